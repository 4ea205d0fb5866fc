//! What the kernel says of the paths below the tunnel, and what it is told of those inside.
//!
//! Reads the MTU towards an endpoint; writes the MTU of the tunnel device and of the routes into it.
//! A route's MTU makes the kernel answer longer packets with ICMP "too big", or cut them where that
//! is allowed. Changes routes that are there and never makes one.

use std::net::IpAddr;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _};
use ipnet::IpNet;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMetric};
use rtnetlink::{Handle, LinkUnspec};

use super::{routes, to};

/// Every link of IPv6 takes so much (RFC 8200): the kernel refuses to know of less.
const LEAST_V6: u16 = 1280;
/// The number of the MTU among the metrics, as a bit: IPv6 heeds the MTU of a route for packets
/// that it forwards only if it is locked.
const MTU_IS_LOCKED: u32 = 1 << 2;

/// The protocol number of UDP.
const UDP: u8 = 17;

/// The MTU of the path to `endpoint` as far as this machine knows, unless the path leads into
/// interface `own`. `None` if there is no route.
pub(crate) async fn underlay_mtu(
    netlink: &Handle,
    endpoint: IpAddr,
    own: u32,
) -> anyhow::Result<Option<u16>> {
    let mut question = to(IpNet::from(endpoint)).build();
    // As the tunnel's datagrams go.
    question.attributes.push(RouteAttribute::IpProto(UDP));
    let mut routes = netlink.route().get(question).execute();
    let Ok(Some(route)) = routes.try_next().await else {
        return Ok(None);
    };
    let mut interface = None;
    let mut of_route = None;
    for attribute in route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(index),
            RouteAttribute::Metrics(metrics) => {
                of_route = metrics.into_iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) if mtu > 0 => Some(mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let Some(interface) = interface.filter(|index| *index != own) else {
        return Ok(None);
    };
    let of_link = link_mtu(netlink, interface).await?;
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

/// Sets the MTU of the tunnel interface.
pub(crate) async fn set_device_mtu(netlink: &Handle, index: u32, mtu: u16) -> anyhow::Result<()> {
    let link = LinkUnspec::new_with_index(index).mtu(u32::from(mtu)).build();
    netlink.link().set(link).execute().await.context("cannot set the MTU of the tunnel")
}

/// Sets the MTU of the route to `prefix` through interface `index`; `None` leaves the device's. A
/// route that is not there stays away, and that of somebody else as it is: the kernel replaces the
/// first to the prefix, whoever's it is.
pub(crate) async fn set_route_mtu(
    netlink: &Handle,
    index: u32,
    prefix: IpNet,
    mtu: Option<u16>,
) -> anyhow::Result<()> {
    if !routes::is_own(netlink, index, prefix).await? {
        anyhow::bail!("no route of this gateway leads to {prefix}");
    }
    let mut route = to(prefix).output_interface(index).build();
    let metrics = match (prefix, mtu) {
        (_, None) => vec![],
        (IpNet::V4(_), Some(mtu)) => vec![RouteMetric::Mtu(u32::from(mtu))],
        (IpNet::V6(_), Some(mtu)) => {
            let mtu = u32::from(mtu.max(LEAST_V6));
            vec![RouteMetric::Lock(MTU_IS_LOCKED), RouteMetric::Mtu(mtu)]
        }
    };
    if !metrics.is_empty() {
        route.attributes.push(RouteAttribute::Metrics(metrics));
    }
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewRoute(route));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_REPLACE;
    let mut answers = netlink.clone().request(request)?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload
            && error.code.is_some()
        {
            let error = std::io::Error::from_raw_os_error(-error.raw_code());
            return Err(error).with_context(|| format!("cannot set the MTU towards {prefix}"));
        }
    }
    Ok(())
}
