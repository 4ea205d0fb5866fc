//! Flower as far as a companion must know it: one [table](COMPATIBILITY) of versions, one file for
//! each generation.
//!
//! It promises that ports are known only once the version is, and that a generation says all that
//! differs: programs, ports, transport, keepalive, arguments. It refuses to run anything. Another
//! generation is another file and another row of the table.

pub mod control;
mod grpc;
mod home;
mod http;
mod ports;
mod table;
mod version;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use zonemesh_api::keepalive::Keepalive;
use zonemesh_core::record::FlowerTransport;

pub use grpc::GrpcFlower;
pub use home::{FlowerHome, PASSED_ON};
pub use http::HttpFlower;
pub use ports::{FlowerPorts, GivenPorts};
pub use table::{
    COMPATIBILITY, FlowerEra, PREFERRED, generation_of, supported_instead_of, supported_lines,
    transport_text,
};
pub use version::{FlowerVersion, FlowerVersionError};

/// The shim that gives gRPC of an unmodified Flower its keepalive.
pub const SHIM: &str = include_str!("sitecustomize.py");

/// What the shim makes Flower's gRPC do: `zonemesh_core::keepalive` says why. Its servers accept a ping
/// each half interval.
pub const KEEPALIVE: Keepalive = Keepalive::DEFAULT;

/// The program that tells Flower's version.
pub const VERSION_PROGRAM: &str = "flwr";

/// The Flower that is installed on this machine.
#[derive(Debug, Clone, Copy)]
pub struct InstalledFlower {
    /// What its programs told.
    pub version: FlowerVersion,
    /// How it is run.
    pub generation: &'static dyn FlowerGeneration,
}

impl InstalledFlower {
    /// Its version with how it talks, for people: `1.25.0 over gRPC`.
    #[must_use]
    pub fn spoken(&self) -> String {
        spoken(&self.version.to_string(), self.generation.transport())
    }

    /// The whole environment of one of its processes.
    #[must_use]
    pub fn environment(&self, home: &FlowerHome) -> BTreeMap<String, String> {
        let mut environment = home.environment();
        // The shim reads the figures. It would hide a sitecustomize of the image: only where it is
        // of use.
        if let Some(keepalive) = self.generation.keepalive() {
            let seconds = |period: std::time::Duration| period.as_secs().to_string();
            environment.extend(
                [
                    ("PYTHONPATH", path_text(&home.shim)),
                    ("ZONEMESH_GRPC_KEEPALIVE_TIME", seconds(keepalive.grpc_interval)),
                    ("ZONEMESH_GRPC_KEEPALIVE_TIMEOUT", seconds(keepalive.grpc_timeout)),
                ]
                .map(|(key, value)| (key.to_owned(), value)),
            );
        }
        environment
    }
}

/// A version with how it talks, for people.
#[must_use]
pub fn spoken(version: &str, transport: FlowerTransport) -> String {
    format!("{version} over {}", transport_text(transport))
}

/// What differs between generations of Flower.
pub trait FlowerGeneration: fmt::Debug + Sync {
    /// How SuperNodes talk to the SuperLink.
    fn transport(&self) -> FlowerTransport;
    /// Name of the SuperLink's program.
    fn superlink_program(&self) -> &'static str {
        "flower-superlink"
    }
    /// Name of the SuperNode's program.
    fn supernode_program(&self) -> &'static str {
        "flower-supernode"
    }
    /// Name of the program that a SuperLink starts while an app runs.
    fn superlink_app(&self) -> &'static str {
        "flwr-serverapp"
    }
    /// Name of the program that a SuperNode starts while it has work.
    fn supernode_app(&self) -> &'static str {
        "flwr-clientapp"
    }
    /// The ports that are used if no others are given.
    fn ports(&self) -> FlowerPorts;
    /// The keepalive of its connections, where the companion sets one.
    fn keepalive(&self) -> Option<Keepalive>;
    /// Arguments of the SuperLink's program.
    fn superlink_arguments(&self, superlink: &SuperLinkArguments) -> Vec<String>;
    /// Arguments of the SuperNode's program.
    fn supernode_arguments(&self, supernode: &SuperNodeArguments) -> Vec<String>;
}

/// What a SuperLink is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperLinkArguments {
    /// Where SuperNodes and `flwr run` connect.
    pub address: IpAddr,
    /// Its ports; those of [`FlowerPorts`] that are on loopback are there.
    pub ports: FlowerPorts,
    /// The federation's CA.
    pub ca_file: PathBuf,
    /// The SuperLink's certificate.
    pub certificate_file: PathBuf,
    /// The SuperLink's key.
    pub key_file: PathBuf,
    /// Without it a restart makes every SuperNode's ID unknown.
    pub database: PathBuf,
    /// SuperNodes are admitted by their keys only.
    pub authenticates: bool,
}

/// What a SuperNode is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperNodeArguments {
    /// Where the SuperLink's Fleet API is: ADDRESS:PORT or NAME:PORT.
    pub superlink: String,
    /// The federation's CA certificates.
    pub ca_file: PathBuf,
    /// On loopback.
    pub clientappio_port: u16,
    /// For the ClientApps, for example `partition-id=0 num-partitions=2`.
    pub node_config: Option<String>,
    /// Its key, where the SuperLink admits by keys; one that does not knows no key.
    pub key_file: Option<PathBuf>,
}

/// Has a SuperLink admit registered SuperNodes only.
const AUTHENTICATES: &str = "--enable-supernode-auth";
/// The key of a SuperNode.
const NODE_KEY: &str = "--auth-supernode-private-key";

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn pairs(arguments: &[(&str, String)]) -> Vec<String> {
    arguments.iter().flat_map(|(flag, value)| [(*flag).to_owned(), value.clone()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_folder::StateFolder;

    /// The word behind a flag.
    pub(super) fn after<'a>(arguments: &'a [String], flag: &str) -> &'a str {
        let at = arguments.iter().position(|word| word == flag).unwrap();
        &arguments[at + 1]
    }

    #[test]
    fn the_shim_is_there_for_grpc_only() {
        let state = StateFolder::new(Path::new("/var/lib/zonemesh-supernode"));
        let home = FlowerHome::new(Path::new("/opt/flower/bin"), &state);
        let of = |generation: &'static dyn FlowerGeneration| {
            InstalledFlower { version: PREFERRED, generation }.environment(&home)
        };
        let grpc = of(&GrpcFlower);
        assert_eq!(grpc["PYTHONPATH"], "/var/lib/zonemesh-supernode/shim");
        assert_eq!(grpc["ZONEMESH_GRPC_KEEPALIVE_TIME"], "60");
        assert_eq!(of(&HttpFlower), home.environment(), "and nothing besides");
    }
}
