//! The gateways of a Lab: their keys, configurations and daemons, and what `zonemesh` says of them.
//!
//! Owns one folder per zone with everything that gateway keeps. Promises that a daemon is ready when
//! the `zonemesh` tool says so, never because time passed. Refuses to look into the daemon's files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use toml::Table;

use crate::binaries;
use crate::lab::{Lab, Zone};
use crate::namespace::run;
use crate::process::Process;
use crate::wait::{Look, until};

/// The UDP port of all tunnels.
pub const WIREGUARD_PORT: u16 = 51_820;
/// The TCP port of all registries, inside the tunnels.
pub const REGISTRY_PORT: u16 = 51_821;
/// The TCP port of the local APIs, on the zones' LANs.
pub const LOCAL_API_PORT: u16 = 51_822;
/// The federation of all scenarios.
pub const FEDERATION: &str = "health-eu";

const PATIENCE: Duration = Duration::from_secs(30);

/// The public halves of a gateway's two keys.
#[derive(Debug, Clone)]
pub struct PublicKeys {
    /// WireGuard, base64.
    pub wireguard: String,
    /// The zone's identity, `ed25519:<base64>`.
    pub zone: String,
}

/// One gateway: its files, and its daemon if it runs.
#[derive(Debug)]
pub struct Gateway {
    zone: String,
    folder: PathBuf,
    /// The configuration; a change counts from the next start.
    pub config: Table,
    /// The public keys, made before the first start.
    pub keys: PublicKeys,
    daemon: Option<Process>,
}

/// All gateways of a Lab.
#[derive(Debug)]
pub struct Mesh {
    gateways: Vec<Gateway>,
    token: String,
}

impl Mesh {
    /// Makes keys and configurations for every zone of the Lab, each the others' peer; the first
    /// zone holds the federation and a bootstrap token for it. Starts nothing.
    ///
    /// # Errors
    /// When the `zonemesh` tool does not make keys.
    pub fn prepare(lab: &Lab) -> Result<Self> {
        let zonemesh = binaries::find("zonemesh")?;
        let (token, hash) = make_token(&zonemesh)?;
        let mut gateways = Vec::new();
        for zone in lab.zones() {
            let folder = lab.folder().join(&zone.name);
            std::fs::create_dir(&folder)?;
            let keys = make_keys(&zonemesh, &folder)?;
            let config = config_of(zone, &folder);
            gateways.push(Gateway { zone: zone.name.clone(), folder, config, keys, daemon: None });
        }
        let peers: Vec<Table> = lab
            .zones()
            .iter()
            .zip(&gateways)
            .map(|(zone, gateway)| peer_of(zone, &gateway.keys))
            .collect();
        for (index, gateway) in gateways.iter_mut().enumerate() {
            let mut others = peers.clone();
            others.remove(index);
            gateway.set_peers(others);
        }
        if let Some(home) = gateways.first_mut() {
            home.hold_federation(&hash)?;
        }
        Ok(Self { gateways, token })
    }

    /// A gateway by its zone.
    ///
    /// # Errors
    /// When there is none.
    pub fn gateway(&mut self, zone: &str) -> Result<&mut Gateway> {
        let found = self.gateways.iter_mut().find(|gateway| gateway.zone == zone);
        found.with_context(|| format!("no gateway in zone {zone}"))
    }

    /// The bootstrap token of the first zone's federation.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Starts every daemon.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start(&mut self, lab: &Lab) -> Result<()> {
        self.gateways.iter_mut().try_for_each(|gateway| gateway.start(lab))
    }

    /// Waits until every gateway has all its tunnels and registry streams up.
    ///
    /// # Errors
    /// After `timeout`: which gateway saw which peer in which state.
    pub fn wait_until_connected(&mut self, timeout: Duration) -> Result<Duration> {
        let start = std::time::Instant::now();
        for gateway in &mut self.gateways {
            gateway.wait_until_connected(timeout.saturating_sub(start.elapsed()))?;
        }
        Ok(start.elapsed())
    }

    /// Leaves the daemons running when this value goes (`KEEP=1`).
    pub fn left(&mut self) {
        for gateway in &mut self.gateways {
            if let Some(daemon) = &mut gateway.daemon {
                daemon.left();
            }
        }
    }
}

impl Gateway {
    /// The admin socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }

    /// The folder of everything this gateway keeps.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that `zonemeshd run --config` reads.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("zonemesh.toml")
    }

    /// Replaces the peers of the configuration.
    pub fn set_peers(&mut self, peers: Vec<Table>) {
        let peers = peers.into_iter().map(toml::Value::Table).collect();
        self.config.insert("peer".to_owned(), toml::Value::Array(peers));
    }

    /// One section of the configuration, to change it.
    ///
    /// # Errors
    /// When the configuration has no such section.
    pub fn section(&mut self, name: &str) -> Result<&mut Table> {
        let section = self.config.get_mut(name).and_then(toml::Value::as_table_mut);
        section.with_context(|| format!("no section [{name}]"))
    }

    fn hold_federation(&mut self, token_hash: &str) -> Result<()> {
        let token = toml::toml! {
            name = "superlink-vm"
            sha256 = ""
            federation = ""
            expires = "2099-01-01T00:00:00Z"
        };
        let mut token = token;
        token.insert("sha256".to_owned(), token_hash.into());
        token.insert("federation".to_owned(), FEDERATION.into());
        let tokens = toml::Value::Array(vec![toml::Value::Table(token)]);
        self.section("local_api")?.insert("token".to_owned(), tokens);
        let federation = Table::from_iter([("name".to_owned(), FEDERATION.into())]);
        let federations = toml::Value::Array(vec![toml::Value::Table(federation)]);
        self.config.insert("federation".to_owned(), federations);
        Ok(())
    }

    /// Writes the configuration and starts the daemon; does not wait until it is ready.
    ///
    /// # Errors
    /// When it runs already or cannot start.
    pub fn start(&mut self, lab: &Lab) -> Result<()> {
        if let Some(daemon) = &mut self.daemon {
            ensure!(daemon.ended()?.is_some(), "the gateway of {} runs already", self.zone);
        }
        std::fs::write(self.config_file(), self.config.to_string())?;
        let mut command = lab.zone(&self.zone)?.gateway.command(binaries::find("zonemeshd")?);
        command.args(["run", "--config"]).arg(self.config_file());
        let name = format!("{}-zonemeshd", self.zone);
        self.daemon = Some(Process::spawn(&name, command, lab.folder())?);
        Ok(())
    }

    /// The daemon's process.
    ///
    /// # Errors
    /// When it was never started.
    pub fn daemon(&mut self) -> Result<&mut Process> {
        let zone = &self.zone;
        self.daemon.as_mut().with_context(|| format!("the gateway of {zone} was never started"))
    }

    /// What `zonemesh ARGS -o json` prints about this gateway. Exit code 1 (degraded) is an answer.
    ///
    /// # Errors
    /// Any other exit code, with the tool's message; or output that is no JSON.
    pub fn ask(&self, args: &[&str]) -> Result<Value> {
        let mut command = self.zonemesh()?;
        let output = command.args(args).args(["-o", "json"]).output()?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !matches!(output.status.code(), Some(0 | 1)) {
            bail!("zonemesh {} ended with {}: {said}", args.join(" "), output.status);
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("zonemesh {} printed no JSON ({said})", args.join(" ")))
    }

    /// What `zonemesh ARGS` prints for people.
    ///
    /// # Errors
    /// When it cannot be started, or exits with 3 or more.
    pub fn show(&self, args: &[&str]) -> Result<String> {
        let mut command = self.zonemesh()?;
        let output = command.args(args).output()?;
        if !matches!(output.status.code(), Some(0 | 1)) {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn zonemesh(&self) -> Result<std::process::Command> {
        let mut command = std::process::Command::new(binaries::find("zonemesh")?);
        command.arg("--socket").arg(self.socket()).stdin(std::process::Stdio::null());
        Ok(command)
    }

    /// Waits until the daemon answers on its admin socket.
    ///
    /// # Errors
    /// When it ends or does not answer in time.
    pub fn wait_until_ready(&mut self, timeout: Duration) -> Result<()> {
        let what = format!("the gateway of {} to answer", self.zone);
        until(&what, timeout, || {
            self.fail_if_ended()?;
            Ok(Look::retry(self.ask(&["status"])))
        })?;
        Ok(())
    }

    /// Waits until all its tunnels and registry streams are up.
    ///
    /// # Errors
    /// When the daemon ends, or after `timeout` with the peers' states.
    pub fn wait_until_connected(&mut self, timeout: Duration) -> Result<Duration> {
        let what = format!("all tunnels and streams of {}", self.zone);
        let (_, took) = until(&what, timeout, || {
            self.fail_if_ended()?;
            Ok(match self.ask(&["peers"]) {
                Ok(peers) => Look::<()>::when(all_connected(&peers), &peers),
                Err(error) => Look::Not(format!("{error:#}")),
            })
        })?;
        Ok(took)
    }

    fn fail_if_ended(&mut self) -> Result<()> {
        let zone = self.zone.clone();
        let daemon = self.daemon()?;
        if let Some(status) = daemon.ended()? {
            bail!("the gateway of {zone} ended with {status}:\n{}", daemon.output()?);
        }
        Ok(())
    }

    /// The fingerprint that VMs pin for the local API.
    ///
    /// # Errors
    /// When the daemon has none.
    pub fn local_api_fingerprint(&mut self) -> Result<String> {
        let log = self.daemon()?.output()?;
        let line = log.lines().find_map(|line| line.split_once("fingerprint="));
        let pin = line.and_then(|(_, rest)| rest.split_whitespace().next());
        pin.map(str::to_owned).with_context(|| format!("no fingerprint in the log:\n{log}"))
    }

    /// Keeps `kill -9` and a new start together: what a crash and its supervisor do.
    ///
    /// # Errors
    /// When it had already ended or does not start.
    pub fn kill_9_and_start(&mut self, lab: &Lab) -> Result<()> {
        self.daemon()?.kill_9()?;
        self.start(lab)
    }
}

/// True when there are peers, and every tunnel and every stream is up.
fn all_connected(peers: &Value) -> bool {
    let peers = peers["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    !peers.is_empty() && peers.iter().all(|peer| peer["state"] == "up" && peer["stream"] == "up")
}

/// The `[[peer]]` section by which others know this zone.
#[must_use]
pub fn peer_of(zone: &Zone, keys: &PublicKeys) -> Table {
    let list = |text: String| toml::Value::Array(vec![text.into()]);
    Table::from_iter([
        ("zone".to_owned(), zone.name.clone().into()),
        ("wireguard_key".to_owned(), keys.wireguard.clone().into()),
        ("zone_key".to_owned(), keys.zone.clone().into()),
        ("endpoints".to_owned(), list(format!("{}:{WIREGUARD_PORT}", zone.wan_address))),
        ("prefixes".to_owned(), list(zone.prefix())),
        ("tunnel_addresses".to_owned(), list(zone.tunnel_address.to_string())),
    ])
}

/// A zone's own sections; peers, tokens and federations come on top.
fn config_of(zone: &Zone, folder: &Path) -> Table {
    let list = |text: String| toml::Value::Array(vec![text.into()]);
    let path = |name: &str| toml::Value::from(folder.join(name).display().to_string());
    let section = |entries: Vec<(&str, toml::Value)>| {
        let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
        toml::Value::Table(entries.collect())
    };
    Table::from_iter([
        (
            "zone".to_owned(),
            section(vec![("name", zone.name.clone().into()), ("prefixes", list(zone.prefix()))]),
        ),
        (
            "gateway".to_owned(),
            section(vec![
                ("state_dir", path("state")),
                ("admin_socket", path("admin.sock")),
                ("endpoints", list(format!("{}:{WIREGUARD_PORT}", zone.wan_address))),
            ]),
        ),
        (
            "tunnel".to_owned(),
            section(vec![
                ("addresses", list(zone.tunnel_address.to_string())),
                ("private_key_file", path("wireguard.key")),
            ]),
        ),
        ("registry".to_owned(), section(vec![("identity_key_file", path("zone.key"))])),
        (
            "local_api".to_owned(),
            section(vec![("listen", format!("{}:{LOCAL_API_PORT}", zone.lan_address).into())]),
        ),
    ])
}

/// Makes both keys of a gateway in `folder` with the tool that engineers use.
///
/// # Errors
/// When the tool refuses.
pub fn make_keys(zonemesh: &Path, folder: &Path) -> Result<PublicKeys> {
    let make = |kind: &str, file: &str| -> Result<String> {
        let file = folder.join(file);
        let mut command = std::process::Command::new(zonemesh);
        run(command.args(["key", "generate", kind, "--out"]).arg(&file))?;
        let mut command = std::process::Command::new(zonemesh);
        Ok(run(command.args(["key", "public"]).arg(&file))?.trim().to_owned())
    };
    Ok(PublicKeys {
        wireguard: make("wireguard", "wireguard.key")?,
        zone: make("zone", "zone.key")?,
    })
}

/// A bootstrap token and its SHA-256, as `zonemesh key generate token -o json` prints them.
fn make_token(zonemesh: &Path) -> Result<(String, String)> {
    let mut command = std::process::Command::new(zonemesh);
    let text = run(command.args(["key", "generate", "token", "-o", "json"]))?;
    let value: Value = serde_json::from_str(&text).context("key generate token: no JSON")?;
    let field = |name: &str| {
        let text = value[name].as_str().map(str::to_owned);
        text.with_context(|| format!("key generate token printed no {name}"))
    };
    Ok((field("token")?, field("sha256")?))
}

/// How long a freshly started mesh may take before a scenario gives up.
#[must_use]
pub fn patience() -> Duration {
    PATIENCE
}
