//! The gateways of a Lab: keys and configurations that fit together.
//!
//! Owns who knows whom and which zone holds the federation. Promises keys made by the tool that
//! engineers use. Refuses to start anything on its own; [`LabGateway`] is one of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use toml::Table;

use crate::binaries;
use crate::gateway::LabGateway;
pub use crate::gateway::{FEDERATION, MadeToken, PublicKeys, VmTokens};
use crate::lab::{Lab, LabZone};
use crate::namespace::run;

/// The UDP port of all tunnels.
pub const WIREGUARD_PORT: u16 = 51_820;
/// The TCP port of all registries, inside the tunnels.
pub const REGISTRY_PORT: u16 = 51_821;
/// The TCP port of the local APIs, on the zones' LANs.
pub const LOCAL_API_PORT: u16 = 51_822;

const PATIENCE: Duration = Duration::from_secs(30);

/// All gateways of a Lab.
#[derive(Debug)]
pub struct Mesh {
    gateways: Vec<LabGateway>,
}

impl Mesh {
    /// Makes keys, tokens and configurations for every zone of the Lab, each the others' peer; the
    /// first zone holds the federation. Starts nothing.
    ///
    /// # Errors
    /// When the `zonemesh` tool does not make keys.
    pub fn prepare(lab: &Lab) -> Result<Self> {
        let zonemesh = binaries::find("zonemesh")?;
        let mut gateways = Vec::new();
        for zone in lab.zones() {
            let folder = lab.folder().join(&zone.name);
            std::fs::create_dir(&folder)?;
            let keys = make_keys(&zonemesh, &folder)?;
            let config = config_of(zone, &folder);
            let tokens = VmTokens {
                superlink: make_token(&zonemesh, &keys)?,
                supernode: make_token(&zonemesh, &keys)?,
            };
            gateways.push(LabGateway {
                zone: zone.name.clone(),
                folder,
                config,
                keys,
                tokens,
                stand_ins: BTreeMap::new(),
                daemon: None,
                programs: None,
                clock: None,
                service_manager: None,
            });
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
            gateway.take_supernodes()?;
        }
        if let Some(home) = gateways.first_mut() {
            home.hold_federation()?;
        }
        Ok(Self { gateways })
    }

    /// A gateway by its zone.
    ///
    /// # Errors
    /// When there is none.
    pub fn gateway(&mut self, zone: &str) -> Result<&mut LabGateway> {
        let found = self.gateways.iter_mut().find(|gateway| gateway.zone == zone);
        found.with_context(|| format!("no gateway in zone {zone}"))
    }

    /// The token of a SuperLink's VM in the first zone.
    #[must_use]
    pub fn token(&self) -> &str {
        self.gateways.first().map_or("", |home| &home.tokens.superlink.token)
    }

    /// Gives the gateway of `thief` a copy of all that of `victim` keeps: keys, state, and what its
    /// configuration says about zone, tunnel and registry. It has no local API then, and keeps its own peers.
    ///
    /// # Errors
    /// When there is no such gateway, or a file cannot be copied.
    pub fn copy_disk(&mut self, victim: &str, thief: &str) -> Result<()> {
        let from = self.gateway(victim)?;
        let (config, folder) = (from.config.clone(), from.folder().to_owned());
        let to = self.gateway(thief)?;
        let state = to.folder().join("state");
        if state.exists() {
            std::fs::remove_dir_all(&state)?;
        }
        run(std::process::Command::new("cp").arg("-a").arg(folder.join("state")).arg(state))?;
        for (section, key, file) in [
            ("tunnel", "private_key_file", "wireguard.key"),
            ("registry", "identity_key_file", "zone.key"),
        ] {
            std::fs::copy(folder.join(file), to.folder().join(file))?;
            let own = to.folder().join(file).display().to_string();
            to.config.insert(section.to_owned(), config[section].clone());
            to.section(section)?.insert(key.to_owned(), own.into());
        }
        to.config.insert("zone".to_owned(), config["zone"].clone());
        to.config.remove("local_api");
        Ok(())
    }

    /// Starts every daemon.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start(&mut self, lab: &Lab) -> Result<()> {
        self.gateways.iter_mut().try_for_each(|gateway| gateway.start(lab))
    }

    /// Starts one daemon and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start_one(&mut self, lab: &Lab, zone: &str) -> Result<()> {
        let gateway = self.gateway(zone)?;
        gateway.start(lab)?;
        gateway.wait_until_ready(PATIENCE)
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

/// The `[[peer]]` section by which others know this zone.
#[must_use]
pub fn peer_of(zone: &LabZone, keys: &PublicKeys) -> Table {
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
fn config_of(zone: &LabZone, folder: &Path) -> Table {
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

/// A token that pins this zone, as `zonemesh key generate token -o json` prints it.
fn make_token(zonemesh: &Path, keys: &PublicKeys) -> Result<MadeToken> {
    let mut command = std::process::Command::new(zonemesh);
    command.args(["key", "generate", "token", "-o", "json", "--zone-key"]).arg(&keys.zone);
    let text = run(&mut command)?;
    let value: Value = serde_json::from_str(&text).context("key generate token: no JSON")?;
    let field = |name: &str| {
        let text = value[name].as_str().map(str::to_owned);
        text.with_context(|| format!("key generate token printed no {name}"))
    };
    Ok(MadeToken { token: field("token")?, sha256: field("sha256")? })
}

/// How long a freshly started mesh may take before a scenario gives up.
#[must_use]
pub fn patience() -> Duration {
    PATIENCE
}
