//! Routes of last resort: what is meant for another zone never leaves in the clear.
//!
//! Under each route into the tunnel lies an `unreachable` route of the worst metric, from before
//! the tunnel exists until after it is gone: while the agent is stopped, restarted or dead, packets
//! for other zones end here and not at the default route. They carry a routing protocol number of
//! their own, so that the next start finds those of prefixes that are no longer configured, and an
//! administrator can remove them: `ip route flush proto 90`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType,
};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::aside::is_aside;
use super::{MISSING, answers, to};

/// Worse than any route an administrator sets.
pub(super) const METRIC: u32 = 4_278_198_272;
/// A number that no routing daemon of rt_protos has.
pub(super) const PROTOCOL: RouteProtocol = RouteProtocol::Other(90);

/// Sets one under each of `prefixes` and removes all others that an earlier agent has left.
pub(crate) async fn set(netlink: &Handle, prefixes: &BTreeSet<IpNet>) -> anyhow::Result<()> {
    for prefix in prefixes {
        add(netlink, *prefix).await?;
    }
    for route in left_over(netlink, prefixes).await.context("cannot list the routes")? {
        netlink.route().del(route).execute().await.context("cannot remove an old route")?;
    }
    Ok(())
}

/// Sets the backstop under `prefix`, if it is not there.
pub(super) async fn add(netlink: &Handle, prefix: IpNet) -> anyhow::Result<()> {
    let set = netlink.route().add(backstop(prefix)).replace().execute().await;
    set.with_context(|| format!("cannot set the unreachable route under {prefix}"))
}

/// Removes the backstop under `prefix`.
pub(super) async fn remove(netlink: &Handle, prefix: IpNet) -> anyhow::Result<()> {
    match netlink.route().del(backstop(prefix)).execute().await {
        // Somebody else has removed it.
        Err(error) if answers(&error, MISSING) => Ok(()),
        removed => {
            removed.with_context(|| format!("cannot remove the unreachable route under {prefix}"))
        }
    }
}

fn backstop(prefix: IpNet) -> RouteMessage {
    to(prefix).kind(RouteType::Unreachable).protocol(PROTOCOL).priority(METRIC).build()
}

async fn left_over(
    netlink: &Handle,
    wanted: &BTreeSet<IpNet>,
) -> anyhow::Result<Vec<RouteMessage>> {
    let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let mut left = Vec::new();
    for family in [v4, v6] {
        let mut routes = netlink.route().get(family).execute();
        while let Some(route) = routes.try_next().await? {
            let ours = route.header.protocol == PROTOCOL && !is_aside(&route);
            if ours && destination(&route).is_some_and(|prefix| !wanted.contains(&prefix)) {
                left.push(route);
            }
        }
    }
    Ok(left)
}

/// Where a route leads to.
pub(super) fn destination(route: &RouteMessage) -> Option<IpNet> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(ip)) => Some(IpAddr::from(*ip)),
        RouteAttribute::Destination(RouteAddress::Inet6(ip)) => Some(IpAddr::from(*ip)),
        _ => None,
    });
    IpNet::new(address?, route.header.destination_prefix_length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backstop_is_known_by_its_protocol_and_prefix() {
        for text in ["10.10.11.0/24", "fd00:11::/64", "10.255.0.2/32"] {
            let prefix: IpNet = text.parse().unwrap();
            let route = backstop(prefix);
            assert_eq!(route.header.protocol, PROTOCOL);
            assert_eq!(route.header.kind, RouteType::Unreachable);
            assert_eq!(destination(&route), Some(prefix));
        }
    }
}
