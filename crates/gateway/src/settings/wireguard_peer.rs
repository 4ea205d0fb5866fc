//! A plain WireGuard peer, as the keys ONEAPP_WG_PEER_* say it.
//!
//! It promises that a peer which is there has a key and addresses that are nobody else's as far as
//! CONTEXT says, and that a key which would do nothing is refused and not passed over. It refuses to
//! know what the mesh grants to other zones: the daemon does.

use std::fmt;

use ipnet::IpNet;
use zeroize::Zeroizing;
use zonemesh_config::Endpoint;
use zonemesh_context::keys::gateway::{
    INVITATION, WG_PEER_ALLOWED_IPS, WG_PEER_ENDPOINT, WG_PEER_PERSISTENT_KEEPALIVE,
    WG_PEER_PRESHARED_KEY, WG_PEER_PUBLIC_KEY,
};
use zonemesh_context::{ContextKey, Variables};
use zonemesh_core::key::{KeyError, PresharedKey, WireGuardPublicKey};
use zonemesh_core::prefix::{self, NotPrefix};

use super::GivenZone;

/// All of them.
const KEYS: [ContextKey; 5] = [
    WG_PEER_PUBLIC_KEY,
    WG_PEER_ENDPOINT,
    WG_PEER_ALLOWED_IPS,
    WG_PEER_PRESHARED_KEY,
    WG_PEER_PERSISTENT_KEEPALIVE,
];

/// What CONTEXT says of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ContextWireGuardPeer {
    pub(crate) public_key: WireGuardPublicKey,
    pub(crate) allowed_ips: Vec<IpNet>,
    pub(crate) endpoint: Option<Endpoint>,
    /// As `wg genpsk` writes it.
    pub(crate) preshared_key: Option<Zeroizing<String>>,
    /// In seconds; none is off.
    pub(crate) persistent_keepalive: Option<u16>,
}

impl fmt::Debug for ContextWireGuardPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextWireGuardPeer")
            .field("public_key", &self.public_key)
            .finish_non_exhaustive()
    }
}

/// Why a text is no list of allowed IPs.
#[derive(Debug, thiserror::Error)]
enum AllowedIpsError {
    #[error("there is no prefix in it")]
    None,
    #[error("{0:?}: {1}")]
    Prefix(String, NotPrefix),
    #[error(
        "{0} is every address: a default route into a tunnel would take this zone's other traffic with it, and the tunnels' own. Name that peer's own addresses and subnets"
    )]
    Everything(IpNet),
    #[error("{0} holds {1}: name that peer's own addresses and subnets")]
    Reserved(IpNet, &'static str),
    #[error("{0} has host bits set: write {1}")]
    HostBits(IpNet, IpNet),
}

/// Why a text is no distance of keepalives.
#[derive(Debug, thiserror::Error)]
#[error("it is no whole number of seconds from 0 to 65535")]
struct PersistentKeepaliveError;

/// Reads it; `given` is the zone that CONTEXT gives. What is wrong is recorded.
pub(super) fn read(
    variables: &mut Variables<'_>,
    given: Option<&GivenZone>,
) -> Option<ContextWireGuardPeer> {
    let there = KEYS.into_iter().find(|key| variables.raw(*key).is_some())?;
    let key: Option<WireGuardPublicKey> =
        variables.optional(WG_PEER_PUBLIC_KEY, |text| text.parse::<WireGuardPublicKey>());
    let allowed_ips = variables.optional(WG_PEER_ALLOWED_IPS, allowed_ips);
    let endpoint: Option<Endpoint> =
        variables.optional(WG_PEER_ENDPOINT, |text| text.parse::<Endpoint>());
    let preshared_key = variables.optional(WG_PEER_PRESHARED_KEY, preshared_key);
    let keepalive = variables.optional(WG_PEER_PERSISTENT_KEEPALIVE, keepalive);
    for needed in [WG_PEER_PUBLIC_KEY, WG_PEER_ALLOWED_IPS] {
        if variables.raw(needed).is_none() {
            let problem = format!("is not set, and {} is: there is no peer without it", there.name);
            variables.lacks(needed, &problem);
        }
    }
    let has_other_source = variables.raw(INVITATION).is_some();
    if !has_other_source {
        let problem = format!(
            "is given without {}, from which the configuration file is written: the file here is \
             somebody else's; write a [[wireguard_peer]] section into it, and take ONEAPP_WG_PEER_* out",
            INVITATION.name
        );
        variables.lacks(there, &problem);
    }
    let allowed_ips = allowed_ips?;
    if let Some(given) = given {
        let addresses = given.tunnel_ips.iter().map(|ip| IpNet::from(*ip));
        let own: Vec<IpNet> = given.prefixes.iter().copied().chain(addresses).collect();
        let shared = |net: &IpNet| own.iter().find(|own| prefix::overlaps(own, net));
        if let Some((net, own)) = allowed_ips.iter().find_map(|net| Some((net, shared(net)?))) {
            let problem = format!("{net} overlaps {own}, which is this zone's");
            variables.wrong(WG_PEER_ALLOWED_IPS, &problem);
        }
    }
    Some(ContextWireGuardPeer {
        public_key: key?,
        allowed_ips,
        endpoint,
        preshared_key,
        persistent_keepalive: keepalive.filter(|seconds| *seconds > 0),
    })
}

fn allowed_ips(text: &str) -> Result<Vec<IpNet>, AllowedIpsError> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let nets: Vec<IpNet> = words.map(allowed_ip).collect::<Result<_, _>>()?;
    if nets.is_empty() { Err(AllowedIpsError::None) } else { Ok(nets) }
}

fn allowed_ip(word: &str) -> Result<IpNet, AllowedIpsError> {
    let net = prefix::parse(word).map_err(|why| AllowedIpsError::Prefix(word.to_owned(), why))?;
    if net.prefix_len() == 0 {
        return Err(AllowedIpsError::Everything(net));
    }
    prefix::check_ordinary(&net)
        .map_err(|reserved| AllowedIpsError::Reserved(net, reserved.what))?;
    if net != net.trunc() {
        return Err(AllowedIpsError::HostBits(net, net.trunc()));
    }
    Ok(net)
}

fn preshared_key(text: &str) -> Result<Zeroizing<String>, KeyError> {
    PresharedKey::from_base64(text)?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn keepalive(text: &str) -> Result<u16, PersistentKeepaliveError> {
    text.parse().map_err(|_no_number: std::num::ParseIntError| PersistentKeepaliveError)
}

#[cfg(test)]
mod tests {
    use crate::settings::WantedGateway;
    use crate::settings::tests::{told, usual};

    const KEY: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
    const SECRET: &str = "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=";

    /// What is said of these values beside an invitation and a NIC.
    fn said(values: &[(&str, &str)]) -> Result<super::ContextWireGuardPeer, String> {
        let [_, invitation] = usual();
        let usual =
            [("ONEAPP_ZONEMESH_INVITATION", invitation.as_str()), ("ETH0_IP", "10.10.11.1")];
        let told = told(&[&usual[..], values].concat()).map_err(|errors| errors.to_string())?;
        match told.wanted {
            Some(WantedGateway::Values(values)) => Ok(values.wireguard_peer.expect("a peer")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_five_keys_make_a_peer_and_two_are_enough() {
        let two = [
            ("ONEAPP_WG_PEER_PUBLIC_KEY", KEY),
            ("ONEAPP_WG_PEER_ALLOWED_IPS", "10.10.20.0/24, fd00:20::/64 10.9.0.2/32"),
        ];
        let peer = said(&two).unwrap();
        assert_eq!((peer.public_key.to_string().as_str(), peer.allowed_ips.len()), (KEY, 3));
        assert!(peer.endpoint.is_none() && peer.preshared_key.is_none());
        assert_eq!(peer.persistent_keepalive, None);
        let more = [
            ("ONEAPP_WG_PEER_ENDPOINT", "office.example:51820"),
            ("ONEAPP_WG_PEER_PRESHARED_KEY", SECRET),
            ("ONEAPP_WG_PEER_PERSISTENT_KEEPALIVE", "25"),
        ];
        let peer = said(&[&two[..], &more].concat()).unwrap();
        assert_eq!(peer.endpoint.unwrap().to_string(), "office.example:51820");
        assert_eq!(peer.persistent_keepalive, Some(25));
        assert_eq!(peer.preshared_key.unwrap().as_str(), SECRET);
        let off = ("ONEAPP_WG_PEER_PERSISTENT_KEEPALIVE", "0");
        assert_eq!(said(&[&two[..], &[off]].concat()).unwrap().persistent_keepalive, None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key_and_no_secret_is_shown() {
        for (name, value, words) in [
            ("PUBLIC_KEY", "xTIBA5rboUvnH4htodjb6e697QjLERt1", "base64"),
            ("PRESHARED_KEY", "hunter2", "base64"),
            ("ENDPOINT", "203.0.113.9", "port"),
            ("ENDPOINT", "2001:db8::9:51820", "brackets"),
            ("PERSISTENT_KEEPALIVE", "25s", "from 0 to 65535"),
            ("PERSISTENT_KEEPALIVE", "65536", "from 0 to 65535"),
            ("ALLOWED_IPS", "0.0.0.0/0", "is every address"),
            ("ALLOWED_IPS", "::/0", "is every address"),
            ("ALLOWED_IPS", "10.10.20.1", "add the length"),
            ("ALLOWED_IPS", "10.10.20.1/24", "write 10.10.20.0/24"),
            ("ALLOWED_IPS", "127.0.0.0/8", "loopback"),
            ("ALLOWED_IPS", ",", "there is no prefix"),
            ("ALLOWED_IPS", "10.10.0.0/16", "overlaps 10.10.11.0/24, which is this zone's"),
            ("ALLOWED_IPS", "10.255.0.2/32", "overlaps 10.255.0.2/32, which is this zone's"),
        ] {
            let mut values = vec![
                ("ONEAPP_WG_PEER_PUBLIC_KEY", KEY),
                ("ONEAPP_WG_PEER_ALLOWED_IPS", "10.10.20.0/24"),
            ];
            let name = format!("ONEAPP_WG_PEER_{name}");
            values.retain(|(other, _)| *other != name);
            values.push((&name, value));
            let said = said(&values).unwrap_err();
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(said.starts_with(&name) && said.contains(words), "{name}={value}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn a_key_that_would_do_nothing_is_refused() {
        for (name, value) in [
            ("ONEAPP_WG_PEER_ENDPOINT", "203.0.113.9:51820"),
            ("ONEAPP_WG_PEER_PRESHARED_KEY", SECRET),
            ("ONEAPP_WG_PEER_PERSISTENT_KEEPALIVE", "25"),
        ] {
            let said = said(&[(name, value)]).unwrap_err();
            for needed in ["ONEAPP_WG_PEER_PUBLIC_KEY", "ONEAPP_WG_PEER_ALLOWED_IPS"] {
                assert!(said.contains(&format!("{needed}: is not set, and {name} is")), "{said}");
            }
        }
        let whole = [
            ("ONEAPP_WG_PEER_PUBLIC_KEY", KEY),
            ("ONEAPP_WG_PEER_ALLOWED_IPS", "10.10.20.0/24"),
            ("ETH0_IP", "10.10.11.1"),
        ];
        let alone = told(&whole).unwrap_err().to_string();
        assert!(alone.contains("is given without ONEAPP_ZONEMESH_INVITATION"), "{alone}");
        assert!(alone.contains("write a [[wireguard_peer]] section"), "{alone}");
    }
}
