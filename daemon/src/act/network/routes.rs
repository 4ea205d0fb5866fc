//! The routes into the tunnel, one by one. A route that cannot be set is an error that names it.
//!
//! This gateway's are known by protocol, scope and interface; those of others are left as they are.

use std::cmp::Ordering;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::aside::is_aside;
use super::backstop::destination;
use super::{EXISTS, MISSING, answers, to};

/// Routes `prefix` into the interface.
pub(super) async fn add(netlink: &Handle, index: u32, prefix: IpNet) -> anyhow::Result<()> {
    let route = to(prefix).output_interface(index).build();
    match netlink.route().add(route).execute().await {
        Err(error) if answers(&error, EXISTS) => anyhow::bail!(
            "another route to {prefix} exists on this gateway; see it with: ip route show {prefix}"
        ),
        added => added.with_context(|| format!("cannot route {prefix}")),
    }
}

/// Takes the route to `prefix` out of the interface.
pub(super) async fn remove(netlink: &Handle, index: u32, prefix: IpNet) -> anyhow::Result<()> {
    let route = to(prefix).output_interface(index).build();
    match netlink.route().del(route).execute().await {
        // Somebody else has removed it.
        Err(error) if answers(&error, MISSING) => Ok(()),
        removed => removed.with_context(|| format!("cannot remove the route to {prefix}")),
    }
}

/// True if the route that the kernel takes for exactly `prefix` is this gateway's.
pub(super) async fn is_own(netlink: &Handle, index: u32, prefix: IpNet) -> anyhow::Result<bool> {
    let mut question = to(IpNet::from(prefix.network())).build();
    question.header.flags = RouteFlags::FibMatch;
    // An error is an answer as well: no route leads there.
    let Ok(Some(route)) = netlink.route().get(question).execute().try_next().await else {
        return Ok(false);
    };
    match route.header.destination_prefix_length.cmp(&prefix.prefix_len()) {
        Ordering::Equal => Ok(leads_into(&route, index)),
        Ordering::Less => Ok(false),
        // A longer prefix begins at the same address: only the whole table tells.
        Ordering::Greater => {
            let first = first(netlink, prefix).await.context("cannot list the routes")?;
            Ok(first.is_some_and(|route| leads_into(&route, index)))
        }
    }
}

/// True if it is such a route as [`add`] makes.
pub(super) fn leads_into(route: &RouteMessage, index: u32) -> bool {
    let header = &route.header;
    header.protocol == RouteProtocol::Static
        && header.scope == RouteScope::Universe
        && header.kind == RouteType::Unicast
        && route.attributes.contains(&RouteAttribute::Oif(index))
}

/// The route to exactly `prefix` that is taken before all others to it.
async fn first(netlink: &Handle, prefix: IpNet) -> Result<Option<RouteMessage>, rtnetlink::Error> {
    let all = match prefix {
        IpNet::V4(_) => RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
        IpNet::V6(_) => RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
    };
    let mut routes = netlink.route().get(all).execute();
    while let Some(route) = routes.try_next().await? {
        if destination(&route) == Some(prefix.trunc()) && !is_aside(&route) {
            return Ok(Some(route));
        }
    }
    Ok(None)
}
