//! What is wrong with a value, as far as the value and its key alone tell: for the program in the VM,
//! and for whoever writes values for a VM and is not in it.
//!
//! Promises that what the program in the VM takes is taken here, that a value which no VM could take
//! is refused, and that no error repeats a secret. Refuses to know the VM: whether it has an address,
//! a file or a folder, the program there says.

pub mod companion;
pub mod gateway;
pub mod wireguard_peer;

use zonemesh_core::founding::FoundingBundleError;
use zonemesh_core::invitation::InvitationError;
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::key::{KeyError, PresharedKey, WireGuardPublicKey};
use zonemesh_core::name::{FederationName, NameError};
use zonemesh_core::offered::OfferedText;
use zonemesh_core::token::{VmToken, VmTokenError};

use crate::input::InputType;
use crate::key::{ContextKey, KeyEffect};
use crate::keys::{flower, gateway as of_gateway, mesh, opennebula};
use crate::node_config::NodeConfigError;
use crate::values::{self, ValueError};

use gateway::NoConfiguration;
use wireguard_peer::AllowedIpsError;

/// Why a key cannot have a value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
    /// No key of WireGuard.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No prefixes of a peer.
    #[error(transparent)]
    AllowedIps(#[from] AllowedIpsError),
    /// No configuration.
    #[error(transparent)]
    Configuration(#[from] NoConfiguration),
    /// An invitation that is cut off, damaged or of a newer form.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// The same of a bundle.
    #[error(transparent)]
    Bundle(#[from] FoundingBundleError),
    /// Neither of the two.
    #[error("it is {}, and neither an invitation nor a founding bundle", .0.words())]
    NoWayIn(OfferedText),
    /// A word that is no outer address.
    #[error("{0:?} is no IP, NAME, IP:PORT or NAME:PORT")]
    NoEndpoint(String),
    /// Another keepalive than the law's.
    #[error("all ends of all zones keep {0} s, and one that differed would be cut off")]
    OtherKeepalive(u64),
    /// What the kernel would refuse.
    #[error("it has {length} bytes, and {what} has at most {most}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// How long it is.
        length: usize,
        /// How long it may be.
        most: usize,
    },
    /// Not in the form that it needs, or nothing that could work.
    #[error("{0}")]
    Form(&'static str),
    /// The key itself is refused.
    #[error("{0}")]
    Refused(&'static str),
}

/// How the value of a key is judged.
struct KeyCheck {
    name: &'static str,
    check: fn(&str) -> Result<(), UnfitValue>,
}

const fn of(key: ContextKey, check: fn(&str) -> Result<(), UnfitValue>) -> KeyCheck {
    KeyCheck { name: key.name, check }
}

/// Of all keys with effect; of ports, switches and lists the kind says it.
const CHECKS: &[KeyCheck] = &[
    of(mesh::FEDERATION, |text| Ok(text.parse::<FederationName>().map(drop)?)),
    of(mesh::GATEWAY, |text| companion::local_api(text).map(drop)),
    of(mesh::GATEWAY_STATUS, |text| companion::absolute(text).map(drop)),
    of(mesh::TOKEN, |text| Ok(text.parse::<VmToken>().map(drop)?)),
    of(mesh::ADDRESS, |text| companion::own_address(text).map(drop)),
    of(mesh::IDENTITY, companion::identity),
    of(mesh::STATE_DIR, |text| companion::absolute(text).map(drop)),
    of(flower::SUPERLINK_ADDRESS, companion::superlink_address),
    of(flower::SSL_CA_CERTFILE, |text| Ok(values::certificate(text)?)),
    of(flower::NODE_CONFIG, |text| companion::pairs(text).map(drop)),
    of(flower::FLOWER_VERSION, |text| companion::flower_release(text).map(drop)),
    of(flower::FLOWER_BIN, |text| companion::absolute(text).map(drop)),
    of(flower::FLOWER_USER, |text| companion::user(text).map(drop)),
    of(flower::TLS_ENABLED, companion::tls),
    of(flower::ISOLATION, companion::isolation),
    of(flower::DATABASE, |text| companion::database(text).map(drop)),
    of(flower::CUDA_VISIBLE_DEVICES, |text| companion::accelerators(text).map(drop)),
    of(flower::GRPC_KEEPALIVE_TIME, |text| {
        companion::keepalive(text, Keepalive::DEFAULT.grpc_interval)
    }),
    of(flower::GRPC_KEEPALIVE_TIMEOUT, |text| {
        companion::keepalive(text, Keepalive::DEFAULT.grpc_timeout)
    }),
    of(flower::FLEET_API_ADDRESS, |text| companion::fleet_address(text).map(drop)),
    of(opennebula::ETH0_IP, |text| companion::own_address(text).map(drop)),
    of(opennebula::ONEGATE_ENDPOINT, companion::onegate_endpoint),
    of(opennebula::VMID, |text| companion::header(text).map(drop)),
    of(opennebula::TOKENTXT, |text| companion::header(text).map(drop)),
    of(of_gateway::INVITATION, gateway::way_in),
    of(of_gateway::ENDPOINT, gateway::endpoints),
    of(of_gateway::LISTEN, |text| gateway::listen(text).map(drop)),
    of(of_gateway::CONFIG, |text| Ok(gateway::configuration(text).map(drop)?)),
    of(of_gateway::WG_PEER_PUBLIC_KEY, |text| Ok(text.parse::<WireGuardPublicKey>().map(drop)?)),
    of(of_gateway::WG_PEER_ENDPOINT, wireguard_peer::endpoint),
    of(of_gateway::WG_PEER_ALLOWED_IPS, |text| Ok(wireguard_peer::allowed_ips(text).map(drop)?)),
    of(of_gateway::WG_PEER_PRESHARED_KEY, |text| Ok(PresharedKey::from_base64(text).map(drop)?)),
    of(of_gateway::WG_PEER_PERSISTENT_KEEPALIVE, |text| {
        wireguard_peer::persistent_keepalive(text).map(drop)
    }),
];

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
    let check = CHECKS.iter().find(|known| known.name == key.name).map(|known| known.check);
    match (check, key.input) {
        (Some(check), _) => check(value),
        (None, _) if key.name.ends_with("_PORT") => port(value).map(drop),
        (None, InputType::Boolean) => Ok(values::is_truth(value)?),
        (None, InputType::List(list)) => Ok(values::listed(value, list).map(drop)?),
        (None, _) => Ok(()),
    }
}

/// Reads a port.
///
/// # Errors
/// [`UnfitValue::Form`].
pub fn port(text: &str) -> Result<u16, UnfitValue> {
    let form = UnfitValue::Form("it is no port from 1 to 65535");
    text.parse().ok().filter(|port| *port != 0).ok_or(form)
}

/// The words of a list with commas or spaces between.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KEYS;

    /// `-----BEGIN PRIVATE KEY-----`, and no more of it.
    const PRIVATE_KEY: &str = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCg==";

    #[test]
    fn every_key_with_effect_has_a_value_that_is_refused() {
        for key in KEYS {
            assert!(judged(key, "../\u{7f} !").is_err(), "{} takes whatever is given", key.name);
        }
    }

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
            (mesh::ADDRESS, "0.0.0.0", "cannot connect to such an address"),
            (flower::NODE_CONFIG, "site=berlin", "a text stands in quotes"),
            (flower::FLEET_PORT, "9092x", "no port from 1 to 65535"),
            (flower::FLEET_PORT, "70000", "no port from 1 to 65535"),
            (flower::TLS_ENABLED, "NO", "never runs without TLS"),
            (flower::SUPERNODE_AUTH, "perhaps", "neither YES nor NO"),
            (of_gateway::ENDPOINT, "203.0.113.1, 1.2.3.999", "\"1.2.3.999\" is no IP"),
            (of_gateway::WG_PEER_PUBLIC_KEY, "abc", "a key is 44 characters"),
            (of_gateway::WG_PEER_PRESHARED_KEY, "hunter2", "a key "),
            (of_gateway::WG_PEER_ENDPOINT, "1.2.3.4", "the port is missing"),
            (of_gateway::WG_PEER_ENDPOINT, "2001:db8::9:51820", "needs brackets"),
            (of_gateway::WG_PEER_ALLOWED_IPS, "10.77.300.0/24", "expected an address"),
            (of_gateway::WG_PEER_PERSISTENT_KEEPALIVE, "25s", "from 0 to 65535"),
            (of_gateway::INVITATION, "zmt1.key:hunter2.hunter2", "neither an invitation nor"),
            (of_gateway::CONFIG, "hunter2", "neither the text of a configuration"),
            (of_gateway::LISTEN, "10.10.10.1:0", "no IP and no IP:PORT"),
            (flower::SUPERLINK_ADDRESS, "10.10.10.5", "no ADDRESS:PORT or NAME:PORT"),
            (flower::SSL_CA_CERTFILE, PRIVATE_KEY, "it holds a private key"),
            (flower::LOG_LEVEL, "LOUD", "it is none of DEBUG"),
            (flower::GRPC_KEEPALIVE_TIME, "30", "all ends of all zones keep 60 s"),
        ] {
            let told = judged(&key, value).unwrap_err().to_string();
            assert!(told.contains(words), "{}={value}: {told}", key.name);
            assert!(!told.contains("hunter2"), "{told}");
        }
        let refused = KEYS.iter().find(|key| matches!(key.effect, KeyEffect::Refused(_)));
        assert!(judged(refused.unwrap(), "x").is_err());
    }
}
