//! What a companion is told: the ONEAPP_ZONEMESH_* keys of its VM, as types.
//!
//! It promises that a settings value can be used as it is, or every key that is wrong is named with
//! what was expected and an example. It refuses to look at the network or at files.
//! Specification: the table of keys in docs/REFERENCE.md is this file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use zeroize::Zeroizing;
use zonemesh_pki::Fingerprint;

use crate::flower::{FlowerVersion, GRPC};
use crate::reporter::onegate::OneGate;
use crate::source::{Key, SettingsErrors, Variables};

/// Port of a gateway's local API, unless ONEAPP_ZONEMESH_GATEWAY names another.
pub const LOCAL_API_PORT: u16 = 51822;

/// A bootstrap token: secret, so without `Debug` and wiped.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// The token itself, for the request that proves it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// What both companions are told.
#[derive(Debug, Clone)]
pub struct Common {
    /// Name of the federation.
    pub federation: String,
    /// The gateway's local API.
    pub gateway: SocketAddr,
    /// The gateway's key.
    pub fingerprint: Fingerprint,
    /// Folder of Flower's programs.
    pub flower_bin: PathBuf,
    /// User that Flower runs as.
    pub flower_user: Option<String>,
    /// The version that must be installed.
    pub flower_version: Option<FlowerVersion>,
    /// The companion's own folder.
    pub state_dir: PathBuf,
    /// OneGate, if the VM has it.
    pub onegate: Option<OneGate>,
}

/// Settings of `zonemesh-superlink`.
#[derive(Clone)]
pub struct SuperLinkSettings {
    /// What both companions are told.
    pub common: Common,
    /// Proves to the gateway that this VM may register.
    pub token: Token,
    /// This VM's address in its zone.
    pub address: IpAddr,
    /// Port for SuperNodes.
    pub fleet_port: u16,
    /// Port for `flwr run`.
    pub control_port: u16,
    /// Loopback port for ServerApps.
    pub serverappio_port: u16,
    /// Loopback port for the health service.
    pub health_port: u16,
}

/// Settings of `zonemesh-supernode`.
#[derive(Debug, Clone)]
pub struct SuperNodeSettings {
    /// What both companions are told.
    pub common: Common,
    /// For the ClientApps.
    pub node_config: Option<String>,
    /// Loopback port for ClientApps.
    pub clientappio_port: u16,
}

const fn key(name: &'static str, expected: &'static str, example: &'static str) -> Key {
    Key { name, expected, example, secret: false }
}

const FEDERATION: Key = key(
    "ONEAPP_ZONEMESH_FEDERATION",
    "a federation's name: a-z, 0-9 and '-', 1 to 63 characters",
    "health-eu",
);
const GATEWAY: Key =
    key("ONEAPP_ZONEMESH_GATEWAY", "IP:PORT of the gateway's local API", "10.10.10.1:51822");
const FINGERPRINT: Key = key(
    "ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT",
    "the fingerprint of the gateway's local API, which `zonemesh status` shows there",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
);
const TOKEN: Key = Key {
    name: "ONEAPP_ZONEMESH_TOKEN",
    expected: "the token that `zonemesh key generate token` printed",
    example: "zmt-...",
    secret: true,
};
const ADDRESS: Key = key(
    "ONEAPP_ZONEMESH_ADDRESS",
    "the IP address of this VM in its zone (without it, ETH0_IP is taken)",
    "10.10.10.5",
);
const ETH0_IP: Key = key("ETH0_IP", "the IP address of this VM's first interface", "10.10.10.5");
const FLOWER_BIN: Key = key(
    "ONEAPP_ZONEMESH_FLOWER_BIN",
    "an absolute path: the folder with flwr, flower-superlink and flower-supernode",
    "/opt/flower/bin",
);
const FLOWER_USER: Key =
    key("ONEAPP_ZONEMESH_FLOWER_USER", "the name of a user of this VM", "flower");
const FLOWER_VERSION: Key =
    key("ONEAPP_ZONEMESH_FLOWER_VERSION", "the Flower version that must be installed", "1.25.0");
const STATE_DIR: Key =
    key("ONEAPP_ZONEMESH_STATE_DIR", "an absolute path", "/var/lib/zonemesh-supernode");
const NODE_CONFIG: Key = key(
    "ONEAPP_ZONEMESH_NODE_CONFIG",
    "key=value pairs with spaces between them",
    "partition-id=0 num-partitions=2",
);

const fn port_key(name: &'static str, example: &'static str) -> Key {
    key(name, "a TCP port from 1 to 65535", example)
}

/// Reads the settings of `zonemesh-superlink`.
///
/// # Errors
/// Every key that is missing or wrong.
pub fn superlink(mut variables: Variables<'_>) -> Result<SuperLinkSettings, SettingsErrors> {
    let common = common(&mut variables, "/var/lib/zonemesh-superlink");
    let token = variables.required(TOKEN, token);
    let address = address(&mut variables);
    let mut port_of = |name, default| port(&mut variables, name, default);
    let fleet_port = port_of(port_key("ONEAPP_ZONEMESH_FLEET_PORT", "9092"), GRPC.fleet_port);
    let control_port = port_of(port_key("ONEAPP_ZONEMESH_CONTROL_PORT", "9093"), GRPC.control_port);
    let serverappio_port =
        port_of(port_key("ONEAPP_ZONEMESH_SERVERAPPIO_PORT", "9091"), GRPC.serverappio_port);
    let health_port = port_of(port_key("ONEAPP_ZONEMESH_HEALTH_PORT", "9099"), GRPC.health_port);
    let settings = match (common, token, address) {
        (Some(common), Some(token), Some(address)) => Some(SuperLinkSettings {
            common,
            token,
            address,
            fleet_port,
            control_port,
            serverappio_port,
            health_port,
        }),
        _ => None,
    };
    variables.finish(settings)
}

/// Reads the settings of `zonemesh-supernode`.
///
/// # Errors
/// Every key that is missing or wrong.
pub fn supernode(mut variables: Variables<'_>) -> Result<SuperNodeSettings, SettingsErrors> {
    let common = common(&mut variables, "/var/lib/zonemesh-supernode");
    let node_config = variables.optional(NODE_CONFIG, node_config);
    let clientappio = port_key("ONEAPP_ZONEMESH_CLIENTAPPIO_PORT", "9094");
    let clientappio_port = port(&mut variables, clientappio, GRPC.clientappio_port);
    let settings = common.map(|common| SuperNodeSettings { common, node_config, clientappio_port });
    variables.finish(settings)
}

fn common(variables: &mut Variables<'_>, state_dir: &str) -> Option<Common> {
    let federation = variables.required(FEDERATION, label);
    let gateway = variables.required(GATEWAY, gateway);
    let fingerprint = variables.required(FINGERPRINT, str::parse);
    let flower_bin = variables.optional(FLOWER_BIN, absolute);
    let flower_user = variables.optional(FLOWER_USER, user);
    let flower_version = variables.optional(FLOWER_VERSION, str::parse);
    let given_state_dir = variables.optional(STATE_DIR, absolute);
    Some(Common {
        federation: federation?,
        gateway: gateway?,
        fingerprint: fingerprint?,
        flower_bin: flower_bin.unwrap_or_else(|| FLOWER_BIN.example.into()),
        flower_user,
        flower_version,
        state_dir: given_state_dir.unwrap_or_else(|| state_dir.into()),
        onegate: onegate(variables),
    })
}

/// All three or none: a VM without `TOKEN=YES` has no OneGate.
fn onegate(variables: &Variables<'_>) -> Option<OneGate> {
    let endpoint = variables.raw("ONEGATE_ENDPOINT")?;
    let vm = variables.raw("VMID")?;
    let token = variables.raw("TOKENTXT")?;
    Some(OneGate::new(&endpoint, &vm, &token))
}

fn address(variables: &mut Variables<'_>) -> Option<IpAddr> {
    if variables.raw(ADDRESS.name).is_none() && variables.raw(ETH0_IP.name).is_some() {
        return variables.optional(ETH0_IP, own_address);
    }
    variables.required(ADDRESS, own_address)
}

fn port(variables: &mut Variables<'_>, key: Key, default: u16) -> u16 {
    let parse = |text: &str| match text.parse::<u16>() {
        Ok(0) => Err("0 is no port".to_owned()),
        Ok(port) => Ok(port),
        Err(error) => Err(error.to_string()),
    };
    variables.optional(key, parse).unwrap_or(default)
}

fn label(text: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > 63 {
        return Err("it has not 1 to 63 characters");
    }
    if !text.chars().all(allowed) {
        return Err("only a-z, 0-9 and '-' are allowed");
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err("it begins or ends with '-'");
    }
    Ok(text.to_owned())
}

fn gateway(text: &str) -> Result<SocketAddr, &'static str> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, LOCAL_API_PORT));
    }
    match text.parse::<SocketAddr>() {
        Ok(gateway) if gateway.port() != 0 => Ok(gateway),
        _ => Err("it is no IP:PORT (an IPv6 address stands in brackets)"),
    }
}

fn token(text: &str) -> Result<Token, &'static str> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it has spaces or control characters");
    }
    Ok(Token(Zeroizing::new(text.to_owned())))
}

fn own_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|error| format!("{error}"))?;
    if address.is_unspecified() || address.is_multicast() {
        return Err("SuperNodes cannot connect to such an address".to_owned());
    }
    Ok(address)
}

fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err("it is not absolute") }
}

fn user(text: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if text.chars().all(allowed) { Ok(text.to_owned()) } else { Err("that is no user name") }
}

fn node_config(text: &str) -> Result<String, &'static str> {
    let one_line = !text.contains(['\n', '\r', '\0']);
    if one_line && text.contains('=') { Ok(text.to_owned()) } else { Err("it is no list of pairs") }
}
