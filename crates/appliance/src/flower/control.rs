//! How the SuperNodes of a SuperLink are registered, unregistered and listed: `flwr supernode`.
//!
//! It promises that no secret is in a command line, and that the SuperLink is asked over TLS with the
//! federation's CA. Up to 1.25 the connection stands in an app's pyproject.toml, from 1.26 on in
//! FLWR_HOME. It refuses to run anything.
//! Specification: `flwr supernode --help` of 1.25.0, 1.26.1 and 1.42.0, and what each of them prints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{FlowerHome, FlowerVersion, InstalledFlower, path_text};

/// The connection's name in Flower's own files.
const CONNECTION: &str = "zonemesh";
/// The first version that has its connections in FLWR_HOME.
const CONNECTIONS_IN_HOME: FlowerVersion = FlowerVersion::new(1, 26, 0);

/// Where the Control API is asked, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowerControl {
    /// The Control API.
    pub address: SocketAddr,
    /// The federation's CA.
    pub ca_file: PathBuf,
    /// A folder of its own: HOME, FLWR_HOME and the app are in it.
    pub folder: PathBuf,
}

/// What Flower is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlCommand {
    /// Lists all SuperNodes.
    List,
    /// Registers the one whose public key is in this file.
    Register(PathBuf),
    /// Unregisters one, for good.
    Unregister(u64),
}

/// A file that Flower reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlFile {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub contents: String,
}

/// A SuperNode as Flower lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedNode {
    /// Its number.
    pub id: u64,
    /// Flower has it online.
    pub is_online: bool,
    /// When it came online last, in seconds since 1970; 0 if never.
    pub online_since: u64,
}

/// What Flower does not do, or says in another form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The key is, or was, another SuperNode's.
    #[error("Flower takes each key once, and had this one before")]
    KeyInUse,
    /// There is none of this number.
    #[error("Flower has no SuperNode of this number")]
    NoSuchNode,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl FlowerControl {
    /// What Flower reads, in one version as in the other.
    #[must_use]
    pub fn file(&self, flower: InstalledFlower) -> ControlFile {
        let (path, head, section) = match flower.version < CONNECTIONS_IN_HOME {
            true => (self.app().join("pyproject.toml"), APP, "tool.flwr.federations"),
            false => (self.flwr_home().join("config.toml"), "", "superlink"),
        };
        let (address, ca) = (self.address.to_string(), path_text(&self.ca_file));
        let contents = format!(
            "{head}[{section}]\ndefault = \"{CONNECTION}\"\n\n[{section}.{CONNECTION}]\naddress = {}\nroot-certificates = {}\n",
            toml::Value::from(address),
            toml::Value::from(ca)
        );
        ControlFile { path, contents }
    }

    /// The folders of what Flower reads. It makes those of credentials, which nobody has here, itself
    /// where they are missing, and its user may write to none of these.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let own = [self.folder.clone(), self.app(), self.flwr_home(), self.flwr_of_app()];
        let credentials = [self.flwr_home(), self.flwr_of_app()].map(|flwr| flwr.join(CREDENTIALS));
        own.into_iter().chain(credentials).collect()
    }

    /// What 1.25 writes beside its credentials, if it is not there.
    #[must_use]
    pub fn ignored(&self) -> ControlFile {
        let path = self.flwr_of_app().join(".gitignore");
        ControlFile { path, contents: format!("{CREDENTIALS}\n") }
    }

    /// The arguments of `flwr`.
    #[must_use]
    pub fn arguments(&self, flower: InstalledFlower, command: &ControlCommand) -> Vec<String> {
        let (verb, object) = match command {
            ControlCommand::List => ("list", None),
            ControlCommand::Register(file) => ("register", Some(path_text(file))),
            ControlCommand::Unregister(id) => ("unregister", Some(id.to_string())),
        };
        let app = (flower.version < CONNECTIONS_IN_HOME).then(|| path_text(&self.app()));
        let words = ["supernode", verb].map(str::to_owned).into_iter().chain(object).chain(app);
        words.chain([CONNECTION, "--format", "json"].map(str::to_owned)).collect()
    }

    /// The whole environment of `flwr`.
    #[must_use]
    pub fn environment(&self, home: &FlowerHome) -> BTreeMap<String, String> {
        let mut environment = home.environment();
        environment.extend(
            [
                ("HOME", path_text(&self.folder)),
                ("FLWR_HOME", path_text(&self.flwr_home())),
                // It wraps what it prints at the width it assumes.
                ("COLUMNS", "4000".to_owned()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        environment
    }

    fn app(&self) -> PathBuf {
        self.folder.join("app")
    }

    fn flwr_home(&self) -> PathBuf {
        self.folder.join(".flwr")
    }

    fn flwr_of_app(&self) -> PathBuf {
        self.app().join(".flwr")
    }
}

/// A folder of `flwr`'s.
const CREDENTIALS: &str = ".credentials";

/// What 1.25 wants an app to be before it looks at the connection.
const APP: &str = r#"[project]
name = "zonemesh-control"
version = "1.0.0"
description = "Where the SuperLink is, for flwr supernode: there is no app here"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "zonemesh"

[tool.flwr.app.components]
serverapp = "none:app"
clientapp = "none:app"

"#;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Printed {
    success: bool,
    #[serde(default)]
    error_message: String,
    node_id: Option<u64>,
    nodes: Option<Vec<PrintedNode>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PrintedNode {
    node_id: String,
    status: String,
    #[serde(default)]
    online_at: String,
}

/// The SuperNodes of a list, without those that are unregistered.
///
/// # Errors
/// [`ControlError`]: there is no list.
pub fn listed(printed: &str) -> Result<Vec<ListedNode>, ControlError> {
    let nodes = read(printed)?.nodes.ok_or_else(|| other_form(printed))?;
    let stands = |node: &PrintedNode| !matches!(node.status.as_str(), "unregistered" | "deleted");
    let node = |node: PrintedNode| {
        let since = humantime::parse_rfc3339_weak(node.online_at.trim_end_matches('Z'));
        let since = since.ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Ok(ListedNode {
            id: node.node_id.parse().map_err(|_error| other_form(&node.node_id))?,
            is_online: node.status == "online",
            online_since: since.map_or(0, |since| since.as_secs()),
        })
    };
    nodes.into_iter().filter(stands).map(node).collect()
}

/// The number of a SuperNode that was registered.
///
/// # Errors
/// [`ControlError`]: it was not.
pub fn registered(printed: &str) -> Result<u64, ControlError> {
    read(printed)?.node_id.ok_or_else(|| other_form(printed))
}

/// A SuperNode was unregistered, or is none.
///
/// # Errors
/// [`ControlError`]: it is registered still.
pub fn unregistered(printed: &str) -> Result<(), ControlError> {
    match read(printed) {
        Ok(_) | Err(ControlError::NoSuchNode) => Ok(()),
        Err(error) => Err(error),
    }
}

fn read(printed: &str) -> Result<Printed, ControlError> {
    // Some releases say what they do before they say what came of it.
    let json = printed.find('{').map(|begin| printed[begin..].trim());
    let answer: Option<Printed> = json.and_then(|json| serde_json::from_str(json).ok());
    let answer = answer.ok_or_else(|| other_form(printed))?;
    if answer.success {
        return Ok(answer);
    }
    let said = answer.error_message.to_lowercase();
    Err(match () {
        () if said.contains("already in use") => ControlError::KeyInUse,
        () if said.contains("node id not found") => ControlError::NoSuchNode,
        () => ControlError::Failed(one_line(&answer.error_message)),
    })
}

fn other_form(printed: &str) -> ControlError {
    ControlError::Failed(format!("it answered {:?}", one_line(printed)))
}

fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(300).collect()
}

/// The program that asks.
#[must_use]
pub fn control_program(home: &FlowerHome) -> PathBuf {
    Path::new(&home.programs).join(super::VERSION_PROGRAM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flower::{GrpcFlower, HttpFlower};

    fn control() -> FlowerControl {
        FlowerControl {
            address: "[fd00::5]:9093".parse().unwrap(),
            ca_file: "/s/tls/ca.pem".into(),
            folder: "/s/control".into(),
        }
    }

    fn of(minor: u16) -> InstalledFlower {
        let version = FlowerVersion::new(1, minor, 0);
        match minor < 40 {
            true => InstalledFlower { version, generation: &GrpcFlower },
            false => InstalledFlower { version, generation: &HttpFlower },
        }
    }

    #[test]
    fn the_connection_is_where_each_release_looks_for_it() {
        let file = |minor| control().file(of(minor));
        assert_eq!(file(25).path, Path::new("/s/control/app/pyproject.toml"));
        assert_eq!(file(26).path, Path::new("/s/control/.flwr/config.toml"));
        assert_eq!(file(42), file(26));
        for (minor, section) in [(25, "tool.flwr.federations.zonemesh"), (42, "superlink.zonemesh")]
        {
            let contents = file(minor).contents;
            let read: toml::Table = contents.parse().unwrap();
            let connection =
                section.split('.').fold(&toml::Value::from(read), |at, key| &at[key]).clone();
            assert_eq!(connection["address"].as_str(), Some("[fd00::5]:9093"));
            assert_eq!(connection["root-certificates"].as_str(), Some("/s/tls/ca.pem"));
            assert!(!contents.contains("insecure"));
        }
    }

    #[test]
    fn the_app_is_named_to_1_25_only() {
        let words = |minor, command| control().arguments(of(minor), &command).join(" ");
        assert_eq!(
            words(25, ControlCommand::List),
            "supernode list /s/control/app zonemesh --format json"
        );
        assert_eq!(
            words(26, ControlCommand::Unregister(u64::MAX)),
            "supernode unregister 18446744073709551615 zonemesh --format json"
        );
        assert_eq!(
            words(42, ControlCommand::Register("/s/key.pub".into())),
            "supernode register /s/key.pub zonemesh --format json"
        );
    }

    /// As 1.25.0 printed it; 1.42.0 leaves the owner's `aid` out.
    #[test]
    fn a_list_has_who_is_online_since_when_and_nobody_who_is_unregistered() {
        let printed = r#"{
  "success": true,
  "nodes": [
    {"node-id": "11181189133186737090", "owner-aid": "<id:none>", "owner-name": "<name:none>",
     "status": "registered", "created-at": "2026-12-01 04:53:16Z", "online-at": "N/A",
     "online-elapsed": 0.0, "offline-at": "N/A", "deleted-at": "N/A"},
    {"node-id": "7", "owner-name": "none", "status": "online", "online-at": "2026-12-01 04:53:19Z"},
    {"node-id": "8", "owner-name": "none", "status": "offline", "online-at": "2026-12-01 04:53:20Z"},
    {"node-id": "9", "owner-name": "none", "status": "unregistered", "online-at": "N/A"}
  ]
}"#;
        let node = |id, is_online, online_since| ListedNode { id, is_online, online_since };
        let expected = [
            node(11_181_189_133_186_737_090, false, 0),
            node(7, true, 1_796_100_799),
            node(8, false, 1_796_100_800),
        ];
        assert_eq!(listed(printed).unwrap(), expected);
    }

    #[test]
    fn a_refusal_is_known_in_the_words_of_each_release() {
        let refused = |said: &str| {
            registered(&serde_json::json!({"success": false, "error-message": said}).to_string())
        };
        for said in [
            "Loading project configuration... \nSuccess\n The provided public key is already in use by another SuperNode.\n\n",
            "\nThe provided public key is already in use by another SuperNode.",
            "Using SuperLink: zonemesh (127.0.0.1:19600)\n\n[code: 23] Public key already in use.",
        ] {
            assert_eq!(refused(said), Err(ControlError::KeyInUse));
        }
        for said in
            ["Node ID not found for this account.", "[code: 24] Node ID not found for account."]
        {
            assert_eq!(refused(said), Err(ControlError::NoSuchNode));
            let printed = serde_json::json!({"success": false, "error-message": said}).to_string();
            assert_eq!(unregistered(&printed), Ok(()));
        }
        let other = refused("Connection to the SuperLink\nis unavailable.");
        assert_eq!(
            other,
            Err(ControlError::Failed("Connection to the SuperLink is unavailable.".into()))
        );
        for no_answer in ["", "Traceback", "{", r#"{"success": true}"#] {
            assert!(matches!(registered(no_answer), Err(ControlError::Failed(_))), "{no_answer}");
            assert!(matches!(listed(no_answer), Err(ControlError::Failed(_))), "{no_answer}");
        }
        let printed = r#"{"success": true, "node-id": 11181189133186737090}"#;
        assert_eq!(registered(printed), Ok(11_181_189_133_186_737_090));
    }
}
