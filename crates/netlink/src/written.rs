//! The message that sets a route.

use std::net::IpAddr;

use ipnet::IpNet;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteMetric};

/// The number of the MTU among the metrics, as a bit: IPv6 heeds the MTU of a route for packets
/// that it forwards only if it is locked.
const MTU_IS_LOCKED: u32 = 1 << 2;

/// Begins a route to this prefix.
///
/// # Panics
/// Never: an [`IpNet`] has a length of its family.
#[must_use]
pub fn to_prefix(prefix: IpNet) -> RouteMessageBuilder<IpAddr> {
    let builder = RouteMessageBuilder::<IpAddr>::new();
    builder
        .destination_prefix(prefix.network(), prefix.prefix_len())
        .expect("an IpNet has a prefix length of its family")
}

/// The same route for packets of at most so many bytes, those that are passed on too.
#[must_use]
pub fn with_mtu(mut route: RouteMessage, prefix: &IpNet, mtu: u32) -> RouteMessage {
    let mtu = RouteMetric::Mtu(mtu);
    let metrics = match prefix {
        IpNet::V4(_) => vec![mtu],
        IpNet::V6(_) => vec![RouteMetric::Lock(MTU_IS_LOCKED), mtu],
    };
    route.attributes.push(RouteAttribute::Metrics(metrics));
    route
}

/// The same route for packets of this machine's own, of at most so many bytes: whatever is found to be
/// too large later may still lower that.
#[must_use]
pub fn with_own_mtu(mut route: RouteMessage, mtu: u32) -> RouteMessage {
    route.attributes.push(RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)]));
    route
}
