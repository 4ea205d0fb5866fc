//! Where gateways are seen outside of the tunnels now.
//!
//! Its own addresses follow from the configuration and from what the kernel would send from; those of
//! others from where their tunnels lead to. What either means for routes: `plan::peers::outside`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use zonemesh_config::{Config, Endpoint};
use zonemesh_tunnel::ZoneStatus;

use crate::plan::OuterAddresses;

/// What is seen now, with the tunnels that there are.
pub(crate) fn seen(config: &Config, zones: &[ZoneStatus]) -> OuterAddresses {
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
    let remote: Vec<_> = by_hand.chain(seen.others.keys().copied()).collect();
    let sources = remote.into_iter().filter_map(source_towards);
    seen.own.extend(sources.filter(|ip| !config.tunnel.addresses.contains(ip)));
    seen
}

/// What the kernel would send from. Connecting a UDP socket sends nothing; it looks the route up.
fn source_towards(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let probe = UdpSocket::bind((any, 0)).ok()?;
    probe.connect(SocketAddr::new(remote, 9)).ok()?;
    probe.local_addr().ok().map(|local| local.ip())
}
