//! The routes of this VM's table `main`: read whole, and the companion's own written one by one.
//!
//! Promises to write and remove nothing that carries another protocol's number.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use zonemesh_core::kernel::{VM_METRIC, VM_PROTOCOL};
use zonemesh_netlink::rtnetlink::packet_route::link::LinkAttribute;
use zonemesh_netlink::rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use zonemesh_netlink::rtnetlink::{Error, Handle};
use zonemesh_netlink::{
    MISSING, RouteParts, all_routes, answers, destination, to_prefix, with_own_mtu,
};

use super::decision::{OwnRoute, SeenRoute, SeenRouting};

pub(super) async fn look(netlink: &Handle) -> Result<SeenRouting, Error> {
    let all = all_routes(netlink).await?;
    let local = all.iter().filter_map(own_address).collect();
    let routes = all.iter().filter_map(read).collect();
    let mut mtus = BTreeMap::new();
    let mut links = netlink.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let mtu = link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        });
        mtus.extend(mtu.map(|mtu| (link.header.index, mtu)));
    }
    Ok(SeenRouting { routes, mtus, local })
}

fn own_address(route: &RouteMessage) -> Option<IpAddr> {
    let is_local = route.header.kind == RouteType::Local;
    destination(route).filter(|_| is_local).map(|net| net.addr())
}

fn read(route: &RouteMessage) -> Option<SeenRoute> {
    let parts = RouteParts::of(route);
    let is_main = parts.table == u32::from(RouteHeader::RT_TABLE_MAIN);
    if !is_main || route.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    Some(SeenRoute {
        prefix: destination(route)?.trunc(),
        metric: parts.metric,
        via: parts.gateway,
        interface: parts.interface,
        mtu: parts.mtu,
        is_plain: route.header.kind == RouteType::Unicast
            && route.header.tos == 0
            && !parts.has_several,
        is_own: route.header.protocol == RouteProtocol::Other(VM_PROTOCOL),
        words: parts.words(route),
    })
}

/// Sets a route in the place of the companion's own that stood there.
pub(super) async fn set(netlink: &Handle, route: &OwnRoute) -> Result<(), Error> {
    netlink.route().add(message(route)).replace().execute().await
}

fn message(route: &OwnRoute) -> RouteMessage {
    let built = to_prefix(route.prefix)
        .output_interface(route.interface)
        .priority(VM_METRIC)
        .protocol(RouteProtocol::Other(VM_PROTOCOL));
    let mut message = built.build();
    message.attributes.push(RouteAttribute::Gateway(route.via.into()));
    match route.mtu {
        Some(mtu) => with_own_mtu(message, mtu),
        None => message,
    }
}

/// Removes the companion's own routes to this prefix of this metric.
pub(super) async fn remove(netlink: &Handle, prefix: IpNet, metric: u32) -> Result<(), Error> {
    for route in all_routes(netlink).await? {
        let is_meant = read(&route)
            .is_some_and(|seen| seen.is_own && (seen.prefix, seen.metric) == (prefix, metric));
        if !is_meant {
            continue;
        }
        match netlink.route().del(route).execute().await {
            // Somebody else has removed it.
            Err(error) if answers(&error, MISSING) => {}
            removed => removed?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_that_is_set_is_read_as_ones_own_and_as_what_it_is() {
        for (prefix, via) in [("10.10.11.0/24", "10.10.10.1"), ("fd00:11::/64", "fd00:10::1")] {
            for mtu in [None, Some(1420)] {
                let (prefix, via) = (prefix.parse().unwrap(), via.parse().unwrap());
                let route = OwnRoute { prefix, via, interface: 7, mtu };
                let seen = read(&message(&route)).unwrap();
                assert!(seen.is_own && seen.is_plain, "{seen:?}");
                assert_eq!((seen.prefix, seen.metric), (prefix, VM_METRIC));
                assert_eq!((seen.via, seen.interface, seen.mtu), (Some(via), Some(7), mtu));
            }
        }
    }
}
