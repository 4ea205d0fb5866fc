//! One gateway of a mesh: its configuration, its daemon, and what `zonemesh` says of it.
//!
//! Owns the folder with everything that gateway keeps. Promises that it is ready or connected when
//! the `zonemesh` tool says so, never because time passed. Refuses to look into the daemon's files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use toml::Table;

use crate::binaries;
use crate::lab::Lab;
use crate::namespace;
use crate::process::Process;
use crate::wait::{Look, until};

/// The federation of all scenarios.
pub const FEDERATION: &str = "health-eu";

/// Takes pairs of a file and its place up to `--`, then a program and its arguments.
const WITH_STAND_INS: &str =
    "while [ \"$1\" != -- ]; do mount --bind \"$1\" \"$2\"; shift 2; done; shift; exec \"$@\"";

/// The public halves of a gateway's two keys.
#[derive(Debug, Clone)]
pub struct PublicKeys {
    /// WireGuard, base64.
    pub wireguard: String,
    /// The zone's identity, `ed25519:<base64>`.
    pub zone: String,
}

/// A token of a VM, and the hash that its gateway knows.
#[derive(Debug, Clone)]
pub struct MadeToken {
    /// Secret.
    pub token: String,
    /// `zmt1:<hex>`.
    pub sha256: String,
}

/// The tokens of a zone's VMs; each pins the zone.
#[derive(Debug, Clone)]
pub struct VmTokens {
    /// Of a SuperLink's VM; known where the federation is held.
    pub superlink: MadeToken,
    /// Of every SuperNode's VM; known everywhere.
    pub supernode: MadeToken,
}

/// One gateway: its files, and its daemon if it runs.
#[derive(Debug)]
pub struct LabGateway {
    pub(crate) zone: String,
    pub(crate) folder: PathBuf,
    /// The configuration; a change counts from the next start or [`LabGateway::reload`].
    pub config: Table,
    /// The public keys, made before the first start.
    pub keys: PublicKeys,
    /// For the VMs of the zone.
    pub tokens: VmTokens,
    /// Files that the daemon sees in the place of the machine's own (`/etc/resolv.conf`), from the next
    /// start on.
    pub stand_ins: BTreeMap<&'static str, PathBuf>,
    pub(crate) daemon: Option<Process>,
    /// The folder of another release's programs, to be used from the next start on.
    pub programs: Option<PathBuf>,
    /// How wrong its clock is from the next start, as `faketime -f` takes it.
    pub clock: Option<String>,
    /// The socket at which a service manager listens to it, from the next start on.
    pub service_manager: Option<PathBuf>,
}

impl LabGateway {
    /// The zone's name.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone
    }

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

    /// One of the programs that belong to this gateway's release.
    ///
    /// # Errors
    /// When it was not built.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        match &self.programs {
            Some(folder) => Ok(folder.join(name)),
            None => binaries::find(name),
        }
    }

    /// Replaces the peers of the configuration.
    pub fn set_peers(&mut self, peers: Vec<Table>) {
        let peers = peers.into_iter().map(toml::Value::Table).collect();
        self.config.insert("peer".to_owned(), toml::Value::Array(peers));
    }

    /// The `[[peer]]` section about another zone, to change it.
    ///
    /// # Errors
    /// When the configuration has none.
    pub fn peer(&mut self, zone: &str) -> Result<&mut Table> {
        let peers = self.config.get_mut("peer").and_then(toml::Value::as_array_mut);
        let mut peers = peers.into_iter().flatten().filter_map(toml::Value::as_table_mut);
        let found =
            peers.find(|peer| peer.get("zone").and_then(|name| name.as_str()) == Some(zone));
        found.with_context(|| format!("no [[peer]] for zone {zone}"))
    }

    /// One section of the configuration, to change it.
    ///
    /// # Errors
    /// When the configuration has no such section.
    pub fn section(&mut self, name: &str) -> Result<&mut Table> {
        let section = self.config.get_mut(name).and_then(toml::Value::as_table_mut);
        section.with_context(|| format!("no section [{name}]"))
    }

    /// It makes the federation's CA at the next start, and takes a SuperLink's VM with its token.
    ///
    /// # Errors
    /// When the configuration has no local API.
    pub fn hold_federation(&mut self) -> Result<()> {
        let token = toml::toml! {
            name = "superlink-vm"
            role = "superlink"
            expires = "2099-01-01T00:00:00Z"
        };
        let mut token = token;
        token.insert("sha256".to_owned(), self.tokens.superlink.sha256.clone().into());
        token.insert("federation".to_owned(), FEDERATION.into());
        self.take_token(token)?;
        let federation = Table::from_iter([("name".to_owned(), FEDERATION.into())]);
        let federations = toml::Value::Array(vec![toml::Value::Table(federation)]);
        self.config.insert("federation".to_owned(), federations);
        Ok(())
    }

    /// Takes the token of SuperNodes' VMs.
    ///
    /// # Errors
    /// When the configuration has no local API.
    pub fn take_supernodes(&mut self) -> Result<()> {
        let mut token = toml::toml! {
            name = "supernode-vms"
            role = "supernode"
        };
        token.insert("sha256".to_owned(), self.tokens.supernode.sha256.clone().into());
        self.take_token(token)
    }

    fn take_token(&mut self, token: Table) -> Result<()> {
        let none = || toml::Value::Array(Vec::new());
        let tokens = self.section("local_api")?.entry("token").or_insert_with(none);
        let tokens = tokens.as_array_mut().context("local_api.token is no list")?;
        tokens.push(toml::Value::Table(token));
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
        self.write_config()?;
        let (gateway, program) = (&lab.zone(&self.zone)?.gateway, self.program("zonemeshd")?);
        let mut command = if self.stand_ins.is_empty() {
            gateway.command(program)
        } else {
            let mut command = gateway.command("unshare");
            command.args(["--mount", "sh", "-ec", WITH_STAND_INS, "sh"]);
            for (place, file) in &self.stand_ins {
                command.arg(file).arg(place);
            }
            command.arg("--").arg(program);
            command
        };
        if let Some(offset) = &self.clock {
            command.envs(wrong_clock(offset)?);
        }
        if let Some(socket) = &self.service_manager {
            command.env("NOTIFY_SOCKET", socket);
        }
        command.args(["run", "--config"]).arg(self.config_file());
        let name = format!("{}-zonemeshd", self.zone);
        self.daemon = Some(Process::spawn(&name, command, lab.folder())?);
        Ok(())
    }

    /// Writes the configuration file as it is now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config(&self) -> Result<()> {
        Ok(std::fs::write(self.config_file(), self.config.to_string())?)
    }

    /// Writes the configuration and has the daemon take it; what `zonemesh reload -o json` says, also
    /// of a file that is refused.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn reload(&self) -> Result<Value> {
        self.write_config()?;
        let output = self.zonemesh()?.args(["reload", "-o", "json"]).output()?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        ensure!(matches!(output.status.code(), Some(0 | 7)), "zonemesh reload: {said}");
        serde_json::from_slice(&output.stdout).with_context(|| format!("no JSON ({said})"))
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
        let mut command = std::process::Command::new(self.program("zonemesh")?);
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

    /// What tokens of this zone's VMs pin.
    ///
    /// # Errors
    /// When the gateway does not answer, or has no local API.
    pub fn local_api_pin(&self) -> Result<String> {
        let status = self.ask(&["status"])?;
        let pin = status["local_api_pin"].as_str().map(str::to_owned);
        pin.with_context(|| format!("no pin of the local API in {status}"))
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

/// What Debian's `faketime` puts into the environment; timers go on as they are.
fn wrong_clock(offset: &str) -> Result<Vec<(String, String)>> {
    let mut command = std::process::Command::new("faketime");
    let library = namespace::run(command.args(["-f", "+0", "printenv", "LD_PRELOAD"]))?;
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let (key, value) = match offset.strip_prefix("file:") {
        Some(file) => ("FAKETIME_TIMESTAMP_FILE", file),
        None => ("FAKETIME", offset),
    };
    Ok(vec![
        pair("LD_PRELOAD", library.trim()),
        pair(key, value),
        pair("FAKETIME_CACHE_DURATION", "1"),
        pair("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ])
}

/// True when there are peers, and every tunnel and every stream is up.
fn all_connected(peers: &Value) -> bool {
    let peers = peers["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    !peers.is_empty() && peers.iter().all(|peer| peer["state"] == "up" && peer["stream"] == "up")
}
