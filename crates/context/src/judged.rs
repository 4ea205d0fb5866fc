//! What is wrong with a value, as far as the value and its key alone tell: for whoever writes values
//! for a VM and is not in it.
//!
//! Promises that what the program in the VM takes is taken here, that a value which no VM could take
//! is refused, and that no error repeats a secret. Refuses to know the VM: whether it has an address,
//! a file or a folder, the program there says.

use std::net::{IpAddr, SocketAddr};

use zonemesh_core::name::{FederationName, NameError};
use zonemesh_core::token::{VmToken, VmTokenError};

use crate::input::InputType;
use crate::key::{ContextKey, KeyEffect};
use crate::keys::{flower, gateway, mesh, opennebula};
use crate::node_config::{self, NodeConfigError};
use crate::values::{self, ValueError};

/// Why a key cannot have a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitValue {
    /// Of the kind that its key has.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// No name of a federation.
    #[error(transparent)]
    Federation(#[from] NameError),
    /// No token.
    #[error(transparent)]
    Token(#[from] VmTokenError),
    /// No node config.
    #[error(transparent)]
    NodeConfig(#[from] NodeConfigError),
    /// No place of a gateway's local API.
    #[error("it is no IP:PORT (an IPv6 address stands in brackets)")]
    NoApi,
    /// No address of a VM.
    #[error("it is no IP address of a VM")]
    NoAddress,
    /// No port.
    #[error("it is no port from 1 to 65535")]
    NoPort,
    /// A word that is no outer address.
    #[error("{0:?} is no IP, NAME, IP:PORT or NAME:PORT")]
    NoEndpoint(String),
    /// Flower without TLS.
    #[error("Flower never runs without TLS across zones")]
    NoTls,
    /// The key itself is refused.
    #[error("{0}")]
    Refused(&'static str),
}

/// Judges a value. An empty one is as good as none.
///
/// # Errors
/// [`UnfitValue`], never with the value of a secret.
pub fn judged(key: &ContextKey, value: &str) -> Result<(), UnfitValue> {
    let value = value.trim();
    match key.effect {
        _ if value.is_empty() => Ok(()),
        KeyEffect::Refused(reason) => Err(UnfitValue::Refused(reason)),
        KeyEffect::Later { check, .. } => Ok(check(value)?),
        KeyEffect::Full => effective(key, value),
    }
}

fn effective(key: &ContextKey, value: &str) -> Result<(), UnfitValue> {
    let is = |row: ContextKey| row.name == key.name;
    if is(mesh::FEDERATION) {
        value.parse::<FederationName>()?;
    } else if is(mesh::TOKEN) {
        value.parse::<VmToken>()?;
    } else if is(mesh::GATEWAY) {
        api(value)?;
    } else if is(mesh::ADDRESS) || is(opennebula::ETH0_IP) {
        address(value)?;
    } else if is(flower::NODE_CONFIG) {
        node_config::parse(value)?;
    } else if is(gateway::ENDPOINT) {
        endpoints(value)?;
    } else if key.name.ends_with("_PORT") {
        port(value)?;
    } else if is(flower::TLS_ENABLED) {
        values::truth(value)?.then_some(()).ok_or(UnfitValue::NoTls)?;
    } else if is(mesh::STATE_DIR) || is(flower::FLOWER_BIN) {
        values::absolute(value)?;
    } else if key.input == InputType::Boolean {
        values::is_truth(value)?;
    }
    Ok(())
}

fn api(text: &str) -> Result<(), UnfitValue> {
    let is_one = text.parse::<SocketAddr>().is_ok_and(|at| at.port() != 0);
    if is_one || text.parse::<IpAddr>().is_ok() { Ok(()) } else { Err(UnfitValue::NoApi) }
}

fn address(text: &str) -> Result<(), UnfitValue> {
    let ip = text.parse::<IpAddr>().ok();
    let is_one = ip.is_some_and(|ip| !ip.is_unspecified() && !ip.is_multicast());
    if is_one { Ok(()) } else { Err(UnfitValue::NoAddress) }
}

/// Reads a port.
///
/// # Errors
/// [`UnfitValue::NoPort`].
pub fn port(text: &str) -> Result<u16, UnfitValue> {
    text.parse().ok().filter(|port| *port != 0).ok_or(UnfitValue::NoPort)
}

fn endpoints(text: &str) -> Result<(), UnfitValue> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    match words.into_iter().find(|word| !is_endpoint(word)) {
        None => Ok(()),
        Some(word) => Err(UnfitValue::NoEndpoint(word.to_owned())),
    }
}

/// As people write where a gateway is reached: an address or a name, with or without a port.
fn is_endpoint(word: &str) -> bool {
    let is_one = |ip: IpAddr| !ip.is_unspecified() && !ip.is_multicast();
    let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')).unwrap_or(word);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return is_one(ip);
    }
    if let Ok(at) = word.parse::<SocketAddr>() {
        return at.port() != 0 && is_one(at.ip());
    }
    let (host, port_of) = word.rsplit_once(':').map_or((word, None), |(h, port)| (h, Some(port)));
    let labels_fit =
        || host.split('.').all(|label| !label.starts_with('-') && !label.ends_with('-'));
    // Else it would be an address that was mistyped.
    let is_number =
        || host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    values::is_name(host) && labels_fit() && !is_number() && port_of.is_none_or(|p| port(p).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KEYS;

    #[test]
    fn the_example_of_each_row_can_be_given_and_nothing_is_nothing() {
        for key in KEYS.iter().filter(|key| !key.example.contains("....")) {
            if !matches!(key.effect, KeyEffect::Refused(_)) {
                assert_eq!(judged(key, key.example), Ok(()), "{}", key.name);
            }
            assert_eq!(judged(key, " "), Ok(()), "{}", key.name);
        }
    }

    #[test]
    fn what_no_vm_could_take_is_told_in_our_words() {
        for (key, value, words) in [
            (mesh::FEDERATION, "Health EU", "a-z"),
            (mesh::TOKEN, "hunter2", "it is no token"),
            (mesh::GATEWAY, "10.10.10", "it is no IP:PORT"),
            (mesh::GATEWAY, "10.10.10.1:0", "it is no IP:PORT"),
            (mesh::ADDRESS, "0.0.0.0", "no IP address of a VM"),
            (flower::NODE_CONFIG, "site=berlin", "a text stands in quotes"),
            (flower::FLEET_PORT, "9092x", "no port from 1 to 65535"),
            (flower::FLEET_PORT, "70000", "no port from 1 to 65535"),
            (flower::TLS_ENABLED, "NO", "never runs without TLS"),
            (flower::SUPERNODE_AUTH, "perhaps", "neither YES nor NO"),
            (gateway::ENDPOINT, "203.0.113.1, 1.2.3.999", "\"1.2.3.999\" is no IP"),
        ] {
            let told = judged(&key, value).unwrap_err().to_string();
            assert!(told.contains(words), "{}={value}: {told}", key.name);
            assert!(!told.contains("hunter2"), "{told}");
        }
        let refused = KEYS.iter().find(|key| matches!(key.effect, KeyEffect::Refused(_)));
        assert!(judged(refused.unwrap(), "x").is_err());
    }
}
