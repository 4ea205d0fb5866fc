//! What an earlier agent has left on the tunnel interface for a planned restart.
//!
//! Addresses and routes that are still wanted stay without a gap; others go. Knows its own routes
//! by protocol and scope: what an administrator has added with `ip route` is left alone.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressScope};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::aside::is_aside;
use super::backstop::destination;
use super::routes::leads_into;

/// Removes the addresses of the interface that are not among `wanted`.
pub(super) async fn addresses(
    netlink: &Handle,
    index: u32,
    wanted: &[IpAddr],
) -> anyhow::Result<()> {
    let mut left = netlink.address().get().set_link_index_filter(index).execute();
    while let Some(message) = left.try_next().await.context("cannot list the addresses")? {
        let is_local = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Local(ip) | AddressAttribute::Address(ip) => wanted.contains(ip),
            _ => false,
        };
        // The kernel's own of IPv6 are of scope link.
        let is_wanted = message.attributes.iter().any(is_local);
        if is_wanted || message.header.scope == AddressScope::Link {
            continue;
        }
        let removed = netlink.address().del(message).execute().await;
        removed.context("cannot remove an old address")?;
    }
    Ok(())
}

/// The prefixes that are routed into the interface already.
pub(crate) async fn routes(netlink: &Handle, index: u32) -> anyhow::Result<BTreeSet<IpNet>> {
    let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let mut found = BTreeSet::new();
    for family in [v4, v6] {
        let mut routes = netlink.route().get(family).execute();
        while let Some(route) = routes.try_next().await.context("cannot list the routes")? {
            if leads_into(&route, index) && !is_aside(&route) {
                found.extend(destination(&route));
            }
        }
    }
    Ok(found)
}
