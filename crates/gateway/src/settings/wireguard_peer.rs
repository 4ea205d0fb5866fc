//! A plain WireGuard peer, as the keys ONEAPP_WG_PEER_* say it.
//!
//! It promises that a peer which is there has a key and addresses that are nobody else's as far as
//! CONTEXT says, and that a key which would do nothing is refused and not passed over. It refuses to
//! know what the mesh grants to other zones: the daemon does.

use std::fmt;

use ipnet::IpNet;
use zeroize::Zeroizing;
use zonemesh_config::Endpoint;
use zonemesh_context::judged::wireguard_peer::{self, PeerLack, WG_PEER_KEYS};
use zonemesh_context::keys::gateway::{
    WG_PEER_ALLOWED_IPS, WG_PEER_ENDPOINT, WG_PEER_PERSISTENT_KEEPALIVE, WG_PEER_PRESHARED_KEY,
    WG_PEER_PUBLIC_KEY,
};
use zonemesh_context::{ContextKey, Variables};
use zonemesh_core::key::{KeyError, PresharedKey, WireGuardPublicKey};

use super::GivenZone;

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

/// Reads it; `given` is the zone that CONTEXT gives. What is wrong is recorded.
pub(super) fn read(
    variables: &mut Variables<'_>,
    given: Option<&GivenZone>,
) -> Option<ContextWireGuardPeer> {
    let is_there = |key: &ContextKey| variables.raw(*key).is_some();
    if !WG_PEER_KEYS.iter().any(is_there) {
        return None;
    }
    let lacks = wireguard_peer::lacks(is_there, is_there);
    let key: Option<WireGuardPublicKey> =
        variables.optional(WG_PEER_PUBLIC_KEY, |text| text.parse::<WireGuardPublicKey>());
    let allowed_ips = variables.optional(WG_PEER_ALLOWED_IPS, wireguard_peer::allowed_ips);
    let endpoint: Option<Endpoint> =
        variables.optional(WG_PEER_ENDPOINT, |text| text.parse::<Endpoint>());
    let preshared_key = variables.optional(WG_PEER_PRESHARED_KEY, preshared_key);
    let keepalive =
        variables.optional(WG_PEER_PERSISTENT_KEEPALIVE, wireguard_peer::persistent_keepalive);
    for PeerLack { key, problem } in lacks {
        variables.lacks(key, &problem);
    }
    let allowed_ips = allowed_ips?;
    if let Some(given) = given {
        let addresses = given.tunnel_ips.iter().map(|ip| IpNet::from(*ip));
        let own: Vec<IpNet> = given.prefixes.iter().copied().chain(addresses).collect();
        if let Err(shared) = wireguard_peer::foreign(&allowed_ips, &own) {
            variables.wrong(WG_PEER_ALLOWED_IPS, &shared.to_string());
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

fn preshared_key(text: &str) -> Result<Zeroizing<String>, KeyError> {
    PresharedKey::from_base64(text)?;
    Ok(Zeroizing::new(text.to_owned()))
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
