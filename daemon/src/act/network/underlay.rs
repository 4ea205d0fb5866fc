//! What the kernel says of the paths below the tunnel: the MTU towards an endpoint.

use std::net::IpAddr;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMetric};

use crate::facts::kernel::routes::of_tunnels;

/// The MTU of the path to `endpoint` as far as this machine is set, unless the path leads into
/// interface `own`. `None` if there is no route. What ICMP has told the kernel of the path, which
/// ends by itself, is not believed: anybody can forge it. Probes find what it may be true of.
pub(super) async fn mtu(
    netlink: &Handle,
    endpoint: IpAddr,
    own: Option<u32>,
) -> anyhow::Result<Option<u16>> {
    let mut routes = netlink.route().get(of_tunnels(endpoint)).execute();
    let Ok(Some(route)) = routes.try_next().await else {
        return Ok(None);
    };
    let mut interface = None;
    let mut of_route = None;
    let mut is_hearsay = false;
    for attribute in route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(index),
            RouteAttribute::CacheInfo(cached) => is_hearsay = cached.expires != 0,
            RouteAttribute::Metrics(metrics) => {
                of_route = metrics.into_iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) if mtu > 0 => Some(mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let Some(interface) = interface.filter(|index| Some(*index) != own) else {
        return Ok(None);
    };
    let of_link = link_mtu(netlink, interface).await?;
    let of_route = of_route.filter(|_| !is_hearsay);
    let mtu = of_route.into_iter().chain(of_link).min();
    Ok(mtu.map(|mtu| u16::try_from(mtu).unwrap_or(u16::MAX)))
}

async fn link_mtu(netlink: &Handle, index: u32) -> anyhow::Result<Option<u32>> {
    let mut links = netlink.link().get().match_index(index).execute();
    let link = links.try_next().await.context("cannot read a link")?;
    let attributes = link.map(|link| link.attributes).unwrap_or_default();
    Ok(attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::Mtu(mtu) => Some(mtu),
        _ => None,
    }))
}
