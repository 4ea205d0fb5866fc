//! Where gateways are seen outside of the tunnels now.
//!
//! Its own addresses follow from the configuration and from what the kernel would send from; those of
//! others from where their tunnels lead to. What either means for routes: `plan::peers::outside`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt};
use zonemesh_config::{Config, Endpoint};
use zonemesh_core::finding::Subject;
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::kernel::MARK;
use zonemesh_tunnel::ZoneStatus;

use crate::facts::wan::WanLinks;
use crate::plan::OuterAddresses;

/// What is seen now, with the tunnels that there are; `wan` is told by which way others are reached.
pub(crate) fn seen(config: &Config, zones: &[ZoneStatus], wan: &WanLinks) -> OuterAddresses {
    let mut seen = OuterAddresses::default();
    for zone in zones {
        let Some(owner) = owner(config, zone) else { continue };
        let endpoints = zone.gateways.iter().filter_map(|gateway| gateway.endpoint);
        seen.others.extend(endpoints.map(|endpoint| (endpoint.ip(), owner.clone())));
    }
    let literal = |endpoint: &Endpoint| match endpoint {
        Endpoint::Address(address) => Some(address.ip()),
        Endpoint::Name { .. } => None,
    };
    seen.own.extend(config.gateway.endpoints.iter().filter_map(literal));
    let plain = config.wireguard_peers.iter().filter_map(|peer| peer.endpoint.as_ref());
    let by_hand = config.peers.iter().flat_map(|peer| &peer.endpoints).chain(plain);
    let by_hand = by_hand.filter_map(literal);
    let remote: BTreeSet<_> = by_hand.chain(seen.others.keys().copied()).collect();
    let sources = remote.iter().filter_map(|ip| Some((*ip, source_towards(*ip)?)));
    let mut sources: BTreeMap<_, _> = sources.collect();
    sources.retain(|_, source| !config.tunnel.addresses.contains(source));
    let named: Vec<_> = seen.own.iter().copied().collect();
    wan.follow(&remote, &sources, &named);
    seen.own.extend(sources.into_values());
    seen
}

/// Whose these gateways are: a zone's, or a plain peer.
fn owner(config: &Config, zone: &ZoneStatus) -> Option<Subject> {
    let has = |key| zone.gateways.iter().any(|gateway| gateway.public_key == key);
    match config.wireguard_peers.iter().find(|peer| has(peer.public_key)) {
        Some(plain) => Some(Subject::Gateway(GatewayId::wireguard_peer(plain.name.clone()))),
        None => zone.name.parse().ok().map(Subject::Zone),
    }
}

/// What the kernel would send the tunnel's datagrams from. Connecting a UDP socket sends nothing; it
/// looks the route up. Who may set no mark has no rule that the mark concerns.
fn source_towards(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let probe = UdpSocket::bind((any, 0)).ok()?;
    let _unmarked = setsockopt(&probe, sockopt::Mark, &MARK);
    probe.connect(SocketAddr::new(remote, 9)).ok()?;
    probe.local_addr().ok().map(|local| local.ip())
}
