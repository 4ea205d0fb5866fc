//! Flower's versions, as far as a companion must know them: programs, ports, arguments, environment.
//!
//! It promises that the APIs that never speak TLS (ServerAppIo, ClientAppIo, health) stay on
//! loopback and that no Flower process asks the Internet for anything. It refuses to run anything.
//! Specification: `flower-superlink --help` and `flower-supernode --help` of 1.25.0. From 1.40 on
//! Flower speaks HTTP on one port with other arguments: a second [`Profile`], once it is needed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zonemesh_api::keepalive::Keepalive;

use crate::plan::Layout;

/// The shim that gives gRPC of an unmodified Flower its keepalive.
pub const SHIM: &str = include_str!("sitecustomize.py");

/// Why a text is no version of Flower.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version of Flower: expected three numbers, for example 1.25.0")]
pub struct VersionError(pub String);

/// A version of Flower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowerVersion {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number.
    pub patch: u16,
}

impl FromStr for FlowerVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let numbers: Vec<u16> = text.split('.').map_while(|part| part.parse().ok()).collect();
        match numbers[..] {
            [major, minor, patch] if text.split('.').count() == 3 => {
                Ok(Self { major, minor, patch })
            }
            _ => Err(VersionError(text.to_owned())),
        }
    }
}

impl fmt::Display for FlowerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FlowerVersion {
    /// Reads the answer of `flwr --version`: `Flower version: 1.25.0`.
    ///
    /// # Errors
    /// The answer names no version.
    pub fn from_program_output(output: &str) -> Result<Self, VersionError> {
        let named = output.lines().find_map(|line| line.trim().strip_prefix("Flower version:"));
        named.ok_or_else(|| VersionError(output.trim().chars().take(80).collect()))?.trim().parse()
    }
}

/// How SuperNodes talk to a SuperLink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// gRPC, up to 1.39.
    Grpc,
    /// HTTP, from 1.40 on.
    Http,
}

/// What differs between generations of Flower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// How SuperNodes talk to the SuperLink.
    pub transport: Transport,
    /// Name of the SuperLink's program.
    pub superlink: &'static str,
    /// Name of the SuperNode's program.
    pub supernode: &'static str,
    /// Default port for SuperNodes.
    pub fleet_port: u16,
    /// Default port for `flwr run`.
    pub control_port: u16,
    /// Default loopback port for ServerApps.
    pub serverappio_port: u16,
    /// Default loopback port for ClientApps.
    pub clientappio_port: u16,
    /// Default loopback port for the health service.
    pub health_port: u16,
}

/// Flower 1.25.
pub const GRPC: Profile = Profile {
    transport: Transport::Grpc,
    superlink: "flower-superlink",
    supernode: "flower-supernode",
    fleet_port: 9092,
    control_port: 9093,
    serverappio_port: 9091,
    clientappio_port: 9094,
    health_port: 9099,
};

/// The program that tells Flower's version.
pub const VERSION_PROGRAM: &str = "flwr";

impl Profile {
    /// The profile of a version, if there is one.
    #[must_use]
    pub fn of(version: FlowerVersion) -> Option<&'static Self> {
        (version.major == 1 && version.minor == 25).then_some(&GRPC)
    }

    /// Arguments of the SuperLink's program.
    #[must_use]
    pub fn superlink_arguments(&self, superlink: &SuperLinkArguments) -> Vec<String> {
        pairs(&[
            ("--fleet-api-address", superlink.fleet.to_string()),
            ("--control-api-address", superlink.control.to_string()),
            ("--serverappio-api-address", loopback(superlink.serverappio_port)),
            ("--health-server-address", loopback(superlink.health_port)),
            ("--ssl-ca-certfile", text(&superlink.ca_file)),
            ("--ssl-certfile", text(&superlink.certificate_file)),
            ("--ssl-keyfile", text(&superlink.key_file)),
            ("--database", text(&superlink.database)),
        ])
    }

    /// Arguments of the SuperNode's program.
    #[must_use]
    pub fn supernode_arguments(&self, supernode: &SuperNodeArguments) -> Vec<String> {
        let mut arguments = vec![
            ("--superlink", supernode.superlink.to_string()),
            ("--root-certificates", text(&supernode.ca_file)),
            ("--clientappio-api-address", loopback(supernode.clientappio_port)),
        ];
        if let Some(config) = &supernode.node_config {
            arguments.push(("--node-config", config.clone()));
        }
        pairs(&arguments)
    }
}

/// What a SuperLink is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperLinkArguments {
    /// Where SuperNodes connect.
    pub fleet: SocketAddr,
    /// Where `flwr run` connects.
    pub control: SocketAddr,
    /// On loopback.
    pub serverappio_port: u16,
    /// On loopback.
    pub health_port: u16,
    /// The federation's CA.
    pub ca_file: PathBuf,
    /// The SuperLink's certificate.
    pub certificate_file: PathBuf,
    /// The SuperLink's key.
    pub key_file: PathBuf,
    /// Without it a restart makes every SuperNode's ID unknown.
    pub database: PathBuf,
}

/// What a SuperNode is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperNodeArguments {
    /// The SuperLink's Fleet address.
    pub superlink: SocketAddr,
    /// The federation's CA certificates.
    pub ca_file: PathBuf,
    /// On loopback.
    pub clientappio_port: u16,
    /// For the ClientApps, for example `partition-id=0 num-partitions=2`.
    pub node_config: Option<String>,
}

/// What the shim makes Flower's gRPC do: `zonemesh_core::keepalive` says why. Its servers accept a ping
/// each half interval.
pub const KEEPALIVE: Keepalive = Keepalive::DEFAULT;

/// Where one Flower process lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// The folder of Flower's programs.
    pub programs: PathBuf,
    /// The process's own folder: HOME, and FLWR_HOME below it.
    pub folder: PathBuf,
    /// The folder of the shim.
    pub shim: PathBuf,
    /// Seconds between gRPC pings, and to wait for their answer.
    pub keepalive: (u64, u64),
}

impl Home {
    /// The home of a companion's Flower, with the keepalive of all of Zonemesh.
    #[must_use]
    pub fn new(programs: &Path, layout: &Layout) -> Self {
        Self {
            programs: programs.to_owned(),
            folder: layout.flower(),
            shim: layout.shim(),
            keepalive: (KEEPALIVE.grpc_interval.as_secs(), KEEPALIVE.grpc_timeout.as_secs()),
        }
    }

    /// The whole environment of a Flower process.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            text(&self.programs)
        );
        [
            ("PATH", path),
            ("HOME", text(&self.folder)),
            ("FLWR_HOME", text(&self.folder.join(".flwr"))),
            ("LANG", "C.UTF-8".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
            ("PYTHONPATH", text(&self.shim)),
            ("FLWR_TELEMETRY_ENABLED", "0".to_owned()),
            ("FLWR_DISABLE_UPDATE_CHECK", "1".to_owned()),
            ("FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION", "1".to_owned()),
            ("ZONEMESH_GRPC_KEEPALIVE_TIME", self.keepalive.0.to_string()),
            ("ZONEMESH_GRPC_KEEPALIVE_TIMEOUT", self.keepalive.1.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

fn pairs(arguments: &[(&str, String)]) -> Vec<String> {
    arguments.iter().flat_map(|(flag, value)| [(*flag).to_owned(), value.clone()]).collect()
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_programs_answer() {
        let version = FlowerVersion::from_program_output("Flower version: 1.25.0\n").unwrap();
        assert_eq!(version.to_string(), "1.25.0");
        assert!(FlowerVersion::from_program_output("Warning: x\nFlower version: 1.25.0").is_ok());
        for output in [
            "",
            "1.25.0",
            "Flower version: 1.25",
            "Flower version: 1.25.0.dev1",
            "Flower version: x",
        ] {
            assert!(FlowerVersion::from_program_output(output).is_err(), "{output:?}");
        }
    }

    #[test]
    fn only_versions_that_were_tried_have_a_profile() {
        let profile = |text: &str| Profile::of(text.parse().unwrap());
        assert_eq!(profile("1.25.0"), Some(&GRPC));
        for other in ["1.24.0", "1.26.1", "1.42.0", "2.25.0"] {
            assert_eq!(profile(other), None, "{other}");
        }
    }

    #[test]
    fn what_speaks_no_tls_listens_on_loopback_only() {
        let superlink = GRPC.superlink_arguments(&SuperLinkArguments {
            fleet: "10.10.10.5:9092".parse().unwrap(),
            control: "[fd00::5]:9093".parse().unwrap(),
            serverappio_port: 9091,
            health_port: 9099,
            ca_file: "/s/ca.pem".into(),
            certificate_file: "/s/server.pem".into(),
            key_file: "/s/server.key".into(),
            database: "/s/superlink.db".into(),
        });
        let after = |flag: &str| {
            let at = superlink.iter().position(|word| word == flag).unwrap();
            superlink[at + 1].as_str()
        };
        assert_eq!(after("--serverappio-api-address"), "127.0.0.1:9091");
        assert_eq!(after("--health-server-address"), "127.0.0.1:9099");
        assert_eq!(after("--fleet-api-address"), "10.10.10.5:9092");
        assert_eq!(after("--control-api-address"), "[fd00::5]:9093");
        assert_eq!(after("--database"), "/s/superlink.db");
        assert!(!superlink.iter().any(|word| word == "--insecure"));
    }

    #[test]
    fn no_flower_process_asks_the_internet() {
        let home = Home {
            programs: "/opt/flower/bin".into(),
            folder: "/var/lib/zonemesh-supernode/flower".into(),
            shim: "/var/lib/zonemesh-supernode/shim".into(),
            keepalive: (60, 20),
        };
        let environment = home.environment();
        assert_eq!(environment["FLWR_TELEMETRY_ENABLED"], "0");
        assert_eq!(environment["FLWR_DISABLE_UPDATE_CHECK"], "1");
        assert_eq!(environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"], "1");
        assert_eq!(environment["FLWR_HOME"], "/var/lib/zonemesh-supernode/flower/.flwr");
        assert_eq!(environment["PYTHONPATH"], "/var/lib/zonemesh-supernode/shim");
        assert!(environment["PATH"].starts_with("/opt/flower/bin:"));
    }
}
