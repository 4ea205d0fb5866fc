//! Addresses of gateways that lie inside what is granted: only the tunnels' own datagrams go around.
//!
//! The routes of everybody leave such an address out, so that a datagram to it takes the way that the
//! machine has otherwise. A rule sends all but local UDP to a table of their own first, where the
//! address leads into the tunnel and, below that, nowhere: what VMs send there never leaves in the
//! clear. The rule asks for the protocol and no mark, so that a strict reverse path filter, which
//! looks in the other direction, finds the same. Rule and table are there while they are needed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::IpProtocol;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::backstop::{METRIC, PROTOCOL, destination};
use super::{EXISTS, MISSING, answers, to};

/// The table's number, and where the rule stands among others: after the one of local addresses.
const TABLE: u32 = 9090;

/// Bars these addresses to all but the tunnels, and takes away what an earlier agent has left.
pub(crate) async fn set(netlink: &Handle, addresses: &BTreeSet<IpAddr>) -> anyhow::Result<()> {
    for address in addresses {
        bar(netlink, *address).await?;
    }
    for route in all(netlink).await.context("cannot list the routes")? {
        let address = destination(&route).map(|net| net.addr());
        if address.is_none_or(|address| !addresses.contains(&address)) {
            netlink.route().del(route).execute().await.context("cannot remove an old route")?;
        }
    }
    let mut rules = Vec::new();
    for is_v4 in [true, false] {
        if addresses.iter().all(|address| address.is_ipv4() != is_v4) {
            rules.push(rule(is_v4));
        }
    }
    for rule in rules {
        unrule(netlink, rule).await?;
    }
    Ok(())
}

/// Leads all but the tunnels' own datagrams to `address` into interface `index`.
pub(super) async fn add(netlink: &Handle, index: u32, address: IpAddr) -> anyhow::Result<()> {
    bar(netlink, address).await?;
    let route = in_table(address).output_interface(index).build();
    let added = netlink.route().add(route).replace().execute().await;
    added.with_context(|| format!("cannot route {address} into the tunnel for others"))
}

/// Takes that back; the last one takes the rule along.
pub(super) async fn remove(netlink: &Handle, address: IpAddr) -> anyhow::Result<()> {
    let mut of_family = 0_usize;
    for route in all(netlink).await.context("cannot list the routes")? {
        let to = destination(&route).map(|net| net.addr());
        if to == Some(address) {
            let removed = netlink.route().del(route).execute().await;
            removed.with_context(|| format!("cannot remove the route to {address}"))?;
        } else if to.is_some_and(|to| to.is_ipv4() == address.is_ipv4()) {
            of_family += 1;
        }
    }
    if of_family == 0 {
        unrule(netlink, rule(address.is_ipv4())).await?;
    }
    Ok(())
}

async fn bar(netlink: &Handle, address: IpAddr) -> anyhow::Result<()> {
    let route = in_table(address).kind(RouteType::Unreachable).protocol(PROTOCOL).priority(METRIC);
    let set = netlink.route().add(route.build()).replace().execute().await;
    set.with_context(|| format!("cannot set the unreachable route to {address}"))?;
    let mut request = netlink.rule().add();
    *request.message_mut() = rule(address.is_ipv4());
    match request.execute().await {
        Err(error) if answers(&error, EXISTS) => Ok(()),
        added => added.context("cannot set the rule for addresses that tunnels go around"),
    }
}

async fn unrule(netlink: &Handle, rule: RuleMessage) -> anyhow::Result<()> {
    match netlink.rule().del(rule).execute().await {
        Err(error) if answers(&error, MISSING) || answers(&error, NONE) => Ok(()),
        removed => removed.context("cannot remove the rule for addresses that tunnels go around"),
    }
}

/// ENOENT: there is no such rule.
const NONE: i32 = -2;

/// Everything but UDP of this machine looks into the table.
fn rule(is_v4: bool) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = if is_v4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
    rule.header.action = RuleAction::ToTable;
    rule.header.flags = RuleFlags::Invert;
    rule.attributes = vec![
        RuleAttribute::Iifname("lo".to_owned()),
        RuleAttribute::IpProtocol(IpProtocol::Udp),
        RuleAttribute::Priority(TABLE),
        RuleAttribute::Table(TABLE),
        RuleAttribute::Protocol(PROTOCOL),
    ];
    rule
}

fn in_table(address: IpAddr) -> RouteMessageBuilder<IpAddr> {
    to(IpNet::from(address)).table_id(TABLE)
}

/// True if it is one of these, which no other kind is to take for its own.
pub(super) fn is_aside(route: &RouteMessage) -> bool {
    route.attributes.contains(&RouteAttribute::Table(TABLE))
}

async fn all(netlink: &Handle) -> Result<Vec<RouteMessage>, rtnetlink::Error> {
    let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let mut found = Vec::new();
    for family in [v4, v6] {
        let mut routes = netlink.route().get(family).execute();
        while let Some(route) = routes.try_next().await? {
            if is_aside(&route) {
                found.push(route);
            }
        }
    }
    Ok(found)
}
