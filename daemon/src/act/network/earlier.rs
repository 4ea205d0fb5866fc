//! What releases up to 0.2 have left in the routing table `main`: this one writes nothing there.
//!
//! Routes of last resort are known by their protocol number; routes into the tunnel by the interface and
//! as static ones. Taken away once the gateway's own table has what is needed.

use anyhow::Context as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use zonemesh_core::kernel::PROTOCOL;
use zonemesh_netlink::{MISSING, all_routes, answers};

/// Removes them; `tunnel` is the index of the tunnel's interface.
pub(crate) async fn clear(netlink: &Handle, tunnel: Option<u32>) -> anyhow::Result<()> {
    for route in all_routes(netlink).await.context("cannot list the routes")? {
        if !is_earlier(&route, tunnel) {
            continue;
        }
        match netlink.route().del(route).execute().await {
            Err(error) if answers(&error, MISSING) => {}
            removed => removed.context("cannot remove a route of an earlier release")?,
        }
    }
    Ok(())
}

fn is_earlier(route: &RouteMessage, tunnel: Option<u32>) -> bool {
    let header = &route.header;
    let mut table = u32::from(header.table);
    let mut leads_into_tunnel = false;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Oif(index) => leads_into_tunnel = Some(*index) == tunnel,
            _ => {}
        }
    }
    let is_way = header.protocol == RouteProtocol::Static
        && header.scope == RouteScope::Universe
        && header.kind == RouteType::Unicast
        && leads_into_tunnel;
    let is_main = table == u32::from(RouteHeader::RT_TABLE_MAIN);
    is_main && (is_way || header.protocol == RouteProtocol::Other(PROTOCOL))
}
