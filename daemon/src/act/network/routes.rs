//! Routes and rules of the gateway's own tables, one by one. A refusal names the route.
//!
//! A route is set in one step, in the place of the one that stood there: no packet finds a gap.

use std::net::IpAddr;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{Handle, IpVersion};
use zonemesh_core::kernel::{PROTOCOL, PolicyRule, RouteSlot, RouteWay};
use zonemesh_netlink::{EXISTS, MISSING, NONE, all_routes, answers, to_prefix, with_mtu};

use crate::facts::kernel::routes::{ReadRoute, read};
use crate::facts::kernel::rules;

/// Sets the route of this place; what nobody of ours has put there is taken away first.
pub(super) async fn set(
    netlink: &Handle,
    tunnel: Option<u32>,
    slot: RouteSlot,
    from: Option<RouteWay>,
    to: &RouteWay,
) -> anyhow::Result<()> {
    if matches!(from, Some(RouteWay::Other(_))) {
        remove(netlink, slot).await?;
    }
    let message = message(tunnel, slot, to)?;
    let set = netlink.route().add(message).replace().execute().await;
    set.with_context(|| format!("cannot set the route {slot}: {to}"))
}

/// Removes every route of this place.
pub(super) async fn remove(netlink: &Handle, slot: RouteSlot) -> anyhow::Result<()> {
    let what = || format!("cannot remove the route {slot}");
    for route in all_routes(netlink).await.context("cannot list the routes")? {
        let is_meant = matches!(
            read(&route, None, &std::collections::BTreeSet::new()),
            Some(ReadRoute::Own(at, _)) if at == slot
        );
        if !is_meant {
            continue;
        }
        match netlink.route().del(route).execute().await {
            // Somebody else has removed it.
            Err(error) if answers(&error, MISSING) => {}
            removed => removed.with_context(what)?,
        }
    }
    Ok(())
}

fn message(tunnel: Option<u32>, slot: RouteSlot, to: &RouteWay) -> anyhow::Result<RouteMessage> {
    let route = to_prefix(slot.prefix).table_id(slot.table).priority(slot.metric);
    let route = route.protocol(RouteProtocol::Other(PROTOCOL));
    let mut message = match to {
        RouteWay::Unreachable => route.kind(RouteType::Unreachable).build(),
        RouteWay::Tunnel { .. } => {
            let index = tunnel.context("there is no tunnel yet")?;
            route.output_interface(index).build()
        }
        RouteWay::Local { index, .. } => {
            route.output_interface(*index).scope(RouteScope::Link).build()
        }
        RouteWay::Other(words) => anyhow::bail!("nobody plans a route {words}"),
    };
    match to {
        RouteWay::Tunnel { mtu: Some(mtu) } => {
            message = with_mtu(message, &slot.prefix, u32::from(*mtu));
        }
        RouteWay::Local { source: Some(source), .. } => {
            let source = match source {
                IpAddr::V4(ip) => (*ip).into(),
                IpAddr::V6(ip) => (*ip).into(),
            };
            message.attributes.push(RouteAttribute::PrefSource(source));
        }
        _ => {}
    }
    Ok(message)
}

/// Adds a rule, if it is not there.
pub(super) async fn add_rule(netlink: &Handle, rule: &PolicyRule) -> anyhow::Result<()> {
    let mut request = netlink.rule().add();
    *request.message_mut() = rules::to_message(rule);
    match request.execute().await {
        Err(error) if answers(&error, EXISTS) => Ok(()),
        added => added.with_context(|| format!("cannot set the rule {rule}")),
    }
}

/// Removes a rule wherever it stands.
pub(super) async fn remove_rule(netlink: &Handle, rule: &PolicyRule) -> anyhow::Result<()> {
    let version = if rule.is_v4 { IpVersion::V4 } else { IpVersion::V6 };
    let all: Vec<_> = netlink
        .rule()
        .get(version)
        .execute()
        .try_collect()
        .await
        .context("cannot list the rules")?;
    for message in all.into_iter().filter(|message| rules::read(message).as_ref() == Some(rule)) {
        match netlink.rule().del(message).execute().await {
            Err(error) if answers(&error, MISSING) || answers(&error, NONE) => {}
            removed => removed.with_context(|| format!("cannot remove the rule {rule}"))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use zonemesh_core::kernel::{LAST_METRIC, LOCAL_METRIC, TABLE, TUNNEL_METRIC};

    use super::*;

    #[test]
    fn a_route_that_is_set_is_read_as_what_it_is() {
        let ways = [
            (RouteWay::Unreachable, LAST_METRIC),
            (RouteWay::Tunnel { mtu: None }, TUNNEL_METRIC),
            (RouteWay::Tunnel { mtu: Some(1380) }, TUNNEL_METRIC),
            (RouteWay::Local { index: 9, source: None }, LOCAL_METRIC),
        ];
        for (way, metric) in ways {
            for text in ["10.10.11.0/24", "fd00:11::/64", "10.255.0.2/32"] {
                let slot = RouteSlot { table: TABLE, prefix: text.parse().unwrap(), metric };
                let set = message(Some(7), slot, &way).unwrap();
                let read = read(&set, Some(7), &BTreeSet::new());
                assert_eq!(read, Some(ReadRoute::Own(slot, way.clone())), "{text}");
            }
        }
    }
}
