//! A route of the kernel in the words of `zonemesh_core::kernel`.
//!
//! Four kinds concern a gateway: what stands in its own tables, networks at local interfaces that lie
//! in other zones', what the table `local` keeps of these, and routes of others that lead there.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use rtnetlink::{Handle, RouteMessageBuilder};
use zonemesh_core::kernel::{ASIDE_TABLE, MARK, PROTOCOL, RouteSlot, RouteWay, TABLE};
use zonemesh_core::prefix;
use zonemesh_netlink::{RouteParts, destination};

/// RT_TABLE_LOCAL of linux/rtnetlink.h.
const LOCAL_TABLE: u32 = 255;
/// The protocol number of UDP.
const UDP: u8 = 17;

/// A route that concerns this gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReadRoute {
    /// It stands in a table of the gateway's.
    Own(RouteSlot, RouteWay),
    /// A network at a local interface, inside another zone's.
    Local { net: IpNet, index: u32, source: Option<IpAddr> },
    /// The table `local`, which comes before all others, keeps at this machine what is another zone's.
    Kept { net: IpNet, index: Option<u32>, kind: RouteType },
    /// Somebody else's, to another zone's prefix or a part of it.
    Foreign { net: IpNet, way: String },
}

/// What this route is to the gateway whose tunnel has this index, if anything.
pub(crate) fn read(
    route: &RouteMessage,
    tunnel: Option<u32>,
    granted: &BTreeSet<IpNet>,
) -> Option<ReadRoute> {
    if route.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let prefix = destination(route)?;
    let attributes = RouteParts::of(route);
    let table = attributes.table;
    if table == TABLE || table == ASIDE_TABLE {
        let slot = RouteSlot { table, prefix, metric: attributes.metric };
        return Some(ReadRoute::Own(slot, way(&attributes, route, tunnel)));
    }
    if table == LOCAL_TABLE {
        return kept(route, prefix, attributes.interface, tunnel, granted);
    }
    let is_main = table == u32::from(RouteHeader::RT_TABLE_MAIN);
    let is_granted = prefix.prefix_len() > 0 && granted.iter().any(|net| net.contains(&prefix));
    if !is_main || !is_granted || route.header.kind != RouteType::Unicast {
        return None;
    }
    if attributes.interface.is_some() && attributes.interface == tunnel {
        return None;
    }
    let is_connected = attributes.gateway.is_none()
        && matches!(route.header.protocol, RouteProtocol::Kernel | RouteProtocol::Ra);
    match attributes.interface {
        Some(index) if is_connected => {
            Some(ReadRoute::Local { net: prefix, index, source: attributes.source })
        }
        _ if route.header.protocol == RouteProtocol::Other(PROTOCOL) => None,
        _ => Some(ReadRoute::Foreign { net: prefix, way: attributes.words(route) }),
    }
}

/// A route of the table `local` that takes what is another zone's: an address of this machine, or what
/// somebody has written there.
fn kept(
    route: &RouteMessage,
    net: IpNet,
    index: Option<u32>,
    tunnel: Option<u32>,
    granted: &BTreeSet<IpNet>,
) -> Option<ReadRoute> {
    let kind = route.header.kind;
    let takes = !matches!(
        kind,
        RouteType::Broadcast | RouteType::Anycast | RouteType::Multicast | RouteType::Throw
    );
    let is_tunnels = index.is_some() && index == tunnel;
    let is_granted = net.prefix_len() > 0 && granted.iter().any(|of| prefix::overlaps(of, &net));
    (takes && is_granted && !is_tunnels).then_some(ReadRoute::Kept { net, index, kind })
}

/// The interfaces to which a default route of `main` leads.
pub(crate) fn outward(route: &RouteMessage) -> Vec<u32> {
    let parts = RouteParts::of(route);
    let is_default = destination(route).is_some_and(|net| net.prefix_len() == 0)
        && parts.table == u32::from(RouteHeader::RT_TABLE_MAIN)
        && route.header.kind == RouteType::Unicast;
    if is_default { parts.all_interfaces().collect() } else { Vec::new() }
}

/// The question for the way of the tunnels' own datagrams to an endpoint.
pub(crate) fn of_tunnels(endpoint: IpAddr) -> RouteMessage {
    let mut question = match endpoint {
        IpAddr::V4(ip) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(ip, 32).build(),
        IpAddr::V6(ip) => {
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(ip, 128).build()
        }
    };
    question.attributes.extend([RouteAttribute::IpProto(UDP), RouteAttribute::Mark(MARK)]);
    question
}

/// The interface by which they leave, whatever rules and tables say so.
pub(super) async fn way_of_tunnels(netlink: &Handle, endpoint: IpAddr) -> Option<u32> {
    let mut routes = netlink.route().get(of_tunnels(endpoint)).execute();
    let route = routes.try_next().await.ok()??;
    RouteParts::of(&route).interface
}

/// The address of this machine's that a route of the table `local` is for.
pub(crate) fn taken_address(route: &RouteMessage) -> Option<IpAddr> {
    let is_local = route.header.kind == RouteType::Local;
    destination(route).filter(|_| is_local).map(|net| net.addr())
}

/// Where a route of the gateway's own tables leads.
fn way(parts: &RouteParts, route: &RouteMessage, tunnel: Option<u32>) -> RouteWay {
    let is_ours = route.header.protocol == RouteProtocol::Other(PROTOCOL)
        && route.header.tos == 0
        && parts.gateway.is_none()
        && !parts.has_several;
    let mtu = parts.mtu.map(|mtu| u16::try_from(mtu).unwrap_or(u16::MAX));
    match (route.header.kind, parts.interface) {
        (RouteType::Unreachable, _) if is_ours => RouteWay::Unreachable,
        (RouteType::Unicast, index) if is_ours && index.is_some() && index == tunnel => {
            RouteWay::Tunnel { mtu }
        }
        (RouteType::Unicast, Some(index)) if is_ours && mtu.is_none() => {
            RouteWay::Local { index, source: parts.source }
        }
        _ => RouteWay::Other(parts.words(route)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A route of the table `local`, as the kernel tells it.
    fn local(net: &str, index: u32, kind: RouteType) -> RouteMessage {
        let net: ipnet::Ipv4Net = net.parse().unwrap();
        let route = RouteMessageBuilder::<Ipv4Addr>::new();
        let route = route.destination_prefix(net.addr(), net.prefix_len()).output_interface(index);
        route.table_id(LOCAL_TABLE).kind(kind).build()
    }

    #[test]
    fn what_the_table_local_keeps_of_another_zone_is_told_and_no_more() {
        let granted = ["10.10.11.0/24".parse().unwrap()].into();
        let read = |net, index, kind| read(&local(net, index, kind), Some(7), &granted);
        for net in ["10.10.11.5/32", "10.10.11.0/25", "10.10.11.0/24", "10.10.0.0/16"] {
            let told = read(net, 1, RouteType::Local);
            assert!(matches!(told, Some(ReadRoute::Kept { .. })), "{net}: {told:?}");
        }
        assert!(read("10.10.11.5/32", 1, RouteType::BlackHole).is_some());
        assert_eq!(read("10.10.10.5/32", 1, RouteType::Local), None, "this zone's");
        assert_eq!(read("10.10.11.5/32", 7, RouteType::Local), None, "the tunnel's");
        assert_eq!(read("10.10.11.255/32", 1, RouteType::Broadcast), None);
        assert_eq!(read("0.0.0.0/0", 1, RouteType::Local), None, "nobody's in particular");
    }
}
