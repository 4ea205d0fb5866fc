//! A plain WireGuard peer, as the keys ONEAPP_WG_PEER_* say it: each value, and what one means beside
//! others.
//!
//! It promises that the gateway in the VM and whoever writes values for it judge by the same
//! functions. It refuses to know what the mesh grants to other zones: the daemon does.

use ipnet::IpNet;
use zonemesh_core::prefix::{self, NotPrefix};

use super::gateway::is_endpoint;
use super::{UnfitValue, words};
use crate::key::ContextKey;
use crate::keys::gateway::{
    INVITATION, WG_PEER_ALLOWED_IPS, WG_PEER_ENDPOINT, WG_PEER_PERSISTENT_KEEPALIVE,
    WG_PEER_PRESHARED_KEY, WG_PEER_PUBLIC_KEY,
};

/// All of them.
pub const WG_PEER_KEYS: [ContextKey; 5] = [
    WG_PEER_PUBLIC_KEY,
    WG_PEER_ENDPOINT,
    WG_PEER_ALLOWED_IPS,
    WG_PEER_PRESHARED_KEY,
    WG_PEER_PERSISTENT_KEEPALIVE,
];

/// All of them, for people.
pub const WG_PEER_WORDS: &str = "ONEAPP_WG_PEER_*";

/// Why a text is no list of allowed IPs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowedIpsError {
    /// Nothing but separators.
    #[error("there is no prefix in it")]
    None,
    /// A word that is none.
    #[error("{0:?}: {1}")]
    Prefix(String, NotPrefix),
    /// A default route.
    #[error(
        "{0} is every address: a default route into a tunnel would take this zone's other traffic with it, and the tunnels' own. Name that peer's own addresses and subnets"
    )]
    Everything(IpNet),
    /// What means something else on every machine.
    #[error("{0} holds {1}: name that peer's own addresses and subnets")]
    Reserved(IpNet, &'static str),
    /// An address in the place of a prefix.
    #[error("{0} has host bits set: write {1}")]
    HostBits(IpNet, IpNet),
}

/// Prefixes of the peer that are this zone's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{net} overlaps {own}, which is this zone's")]
pub struct OwnAllowedIps {
    net: IpNet,
    own: IpNet,
}

/// A key of a peer that lacks another one.
#[derive(Debug, Clone)]
pub struct PeerLack {
    /// What is to be told at this key.
    pub key: ContextKey,
    /// What is wrong.
    pub problem: String,
}

/// What may come from the peer.
///
/// # Errors
/// The first word that is no prefix which a peer could have.
pub fn allowed_ips(text: &str) -> Result<Vec<IpNet>, AllowedIpsError> {
    let nets: Vec<IpNet> = words(text).map(allowed_ip).collect::<Result<_, _>>()?;
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

/// Compares the peer's with what the zone has.
///
/// # Errors
/// The first that the zone has, too.
pub fn foreign(allowed_ips: &[IpNet], own: &[IpNet]) -> Result<(), OwnAllowedIps> {
    let shared = |net: &IpNet| own.iter().copied().find(|own| prefix::overlaps(own, net));
    let found =
        allowed_ips.iter().find_map(|net| Some(OwnAllowedIps { net: *net, own: shared(net)? }));
    found.map_or(Ok(()), Err)
}

/// The seconds of silence after which something goes to it; 0 is off.
///
/// # Errors
/// It is no such number.
pub fn persistent_keepalive(text: &str) -> Result<u16, UnfitValue> {
    let form = "it is no whole number of seconds from 0 to 65535";
    text.parse().map_err(|_no_number| UnfitValue::Form(form))
}

/// Where it is: a port is no guess, as it has another program.
pub(super) fn endpoint(text: &str) -> Result<(), UnfitValue> {
    let (host, has_port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.bytes().all(|byte| byte.is_ascii_digit())),
        None => (text, false),
    };
    let form = match text.parse::<std::net::Ipv6Addr>().is_ok() || is_bare_v6(host) {
        true => "an IPv6 address needs brackets",
        false if !has_port => "the port is missing",
        false if is_endpoint(text) => return Ok(()),
        false => "it is no ADDRESS:PORT or NAME:PORT of one machine",
    };
    Err(UnfitValue::Form(form))
}

fn is_bare_v6(host: &str) -> bool {
    host.contains(':') && !host.starts_with('[')
}

/// What is missing beside the keys that are there; `may_come` is true for those that are not missing,
/// if they are not there yet.
pub fn lacks(
    is_there: impl Fn(&ContextKey) -> bool,
    may_come: impl Fn(&ContextKey) -> bool,
) -> Vec<PeerLack> {
    let Some(there) = WG_PEER_KEYS.into_iter().find(is_there) else { return Vec::new() };
    let needed = [WG_PEER_PUBLIC_KEY, WG_PEER_ALLOWED_IPS].into_iter().filter(|key| !may_come(key));
    let mut lacks: Vec<PeerLack> = needed
        .map(|key| PeerLack {
            key,
            problem: format!("is not set, and {} is: there is no peer without it", there.name),
        })
        .collect();
    if !may_come(&INVITATION) {
        let problem = format!(
            "is given without {}, from which the configuration file is written: the file here is \
             somebody else's; write a [[wireguard_peer]] section into it, and take ONEAPP_WG_PEER_* out",
            INVITATION.name
        );
        lacks.push(PeerLack { key: there, problem });
    }
    lacks
}
