//! Where gateways are seen outside of the tunnels now.
//!
//! Its own addresses follow from the configuration and from what the kernel would send from; those of
//! others from where their tunnels lead to. What either means for routes: `plan::peers::outside`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt};
use zonemesh_config::{Config, Endpoint};
use zonemesh_core::kernel::MARK;
use zonemesh_tunnel::ZoneStatus;

use crate::facts::wan::WanLinks;
use crate::plan::OuterAddresses;

/// What is seen now, with the tunnels that there are; `wan` is told by which way others are reached.
pub(crate) fn seen(config: &Config, zones: &[ZoneStatus], wan: &WanLinks) -> OuterAddresses {
    let mut seen = OuterAddresses::default();
    for zone in zones {
        let Ok(name) = zone.name.parse() else { continue };
        let endpoints = zone.gateways.iter().filter_map(|gateway| gateway.endpoint);
        seen.others.extend(endpoints.map(|endpoint| (endpoint.ip(), Clone::clone(&name))));
    }
    let literal = |endpoint: &Endpoint| match endpoint {
        Endpoint::Address(address) => Some(address.ip()),
        Endpoint::Name { .. } => None,
    };
    seen.own.extend(config.gateway.endpoints.iter().filter_map(literal));
    let by_hand = config.peers.iter().flat_map(|peer| &peer.endpoints).filter_map(literal);
    let remote: BTreeSet<_> = by_hand.chain(seen.others.keys().copied()).collect();
    let sources = remote.iter().filter_map(|ip| Some((*ip, source_towards(*ip)?)));
    let mut sources: BTreeMap<_, _> = sources.collect();
    sources.retain(|_, source| !config.tunnel.addresses.contains(source));
    let named: Vec<_> = seen.own.iter().copied().collect();
    wan.follow(&remote, &sources, &named);
    seen.own.extend(sources.into_values());
    seen
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
