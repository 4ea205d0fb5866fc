//! What the kernel has: links, addresses, routes, rules, the packet filter, and news of changes.
//!
//! Read whole at each look, in the words of `zonemesh_core::kernel`; [`changes`] says when it is worth
//! one. Promises that what stands in the gateway's own tables is told also if nobody would know it.
//! Changes nothing.

pub(crate) mod changes;
pub(crate) mod ipv6;
pub(crate) mod nftables;
pub(crate) mod routes;
pub(crate) mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressScope};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::{RouteMessage, RouteType};
use rtnetlink::{Handle, IpVersion};
use zonemesh_core::kernel::{KernelState, LINK_ALIAS, LocalNetwork, RouteWay, TunnelLink};
use zonemesh_netlink::all_routes;

use routes::ReadRoute;

/// ENODEV: there is no such link.
const NO_LINK: i32 = -19;

/// Reads all but the packet filter. `index` is that of the tunnel's interface, `granted` what belongs
/// to other zones, `outer` where their tunnels lead to.
pub(crate) async fn read(
    netlink: &Handle,
    index: Option<u32>,
    granted: &BTreeSet<IpNet>,
    outer: &BTreeSet<IpAddr>,
) -> anyhow::Result<KernelState> {
    let mut state = KernelState::default();
    if let Some(index) = index {
        state.link = link(netlink, index).await.context("cannot read the tunnel's interface")?;
    }
    state.ipv6 = ipv6::state(state.link.as_ref().map_or("default", |link| &link.name));
    let all = all_routes(netlink).await.context("cannot list the routes")?;
    if let Some(link) = &mut state.link {
        let heard: BTreeSet<_> = all.iter().filter_map(routes::taken_address).collect();
        link.unheard.retain(|net| !heard.contains(&net.addr()));
    }
    let mut outward = Outward { all: &all, outer, known: None };
    let mut kept = Vec::new();
    for message in &all {
        match routes::read(message, index, granted) {
            Some(ReadRoute::Own(slot, way)) => {
                let twice = RouteWay::Other("several routes".to_owned());
                state.routes.entry(slot).and_modify(|way| *way = twice).or_insert(way);
            }
            Some(ReadRoute::Local { net, index, source }) => {
                let Some(interface) = name(netlink, index).await? else { continue };
                // What a router or a DHCP server on the WAN says is no network of this machine's own.
                if outward.leads(netlink, index).await {
                    let way = format!("to {interface}, which leads out to other gateways");
                    state.foreign.insert(net, way);
                } else {
                    state.local.insert(LocalNetwork { net, interface, index, source });
                }
            }
            Some(ReadRoute::Kept { net, index, kind }) => {
                let is_address =
                    kind == RouteType::Local && net.prefix_len() == net.max_prefix_len();
                let at = index.unwrap_or_default();
                // An address towards other gateways is told as one outside.
                if is_address && outward.leads(netlink, at).await {
                    continue;
                }
                // One that leads nowhere has no interface.
                let interface = match index {
                    Some(index) => name(netlink, index).await?,
                    None => None,
                };
                kept.push((net, at, way_of_kept(interface, kind, is_address)));
            }
            Some(ReadRoute::Foreign { net, way }) => drop(state.foreign.insert(net, way)),
            None => {}
        }
    }
    // An address of a network that is told itself is not told as well.
    let is_told = |net: &IpNet, at: u32| {
        state.local.iter().any(|local| local.index == at && local.net.contains(net))
    };
    kept.retain(|(net, at, _)| !is_told(net, *at));
    state.kept = kept.into_iter().map(|(net, _, way)| (net, way)).collect();
    for version in [IpVersion::V4, IpVersion::V6] {
        let mut read = netlink.rule().get(version).execute();
        while let Some(message) = read.try_next().await.context("cannot list the rules")? {
            state.rules.extend(rules::read(&message));
        }
    }
    Ok(state)
}

fn way_of_kept(interface: Option<String>, kind: RouteType, is_address: bool) -> String {
    let at = interface.map_or_else(String::new, |interface| format!(" at {interface}"));
    match is_address {
        true => format!("an address{at}"),
        false => format!("a route of the table local: {}{at}", format!("{kind:?}").to_lowercase()),
    }
}

/// The interfaces by which this machine reaches what is outside, looked up when somebody asks.
struct Outward<'a> {
    all: &'a [RouteMessage],
    outer: &'a BTreeSet<IpAddr>,
    known: Option<BTreeSet<u32>>,
}

impl Outward<'_> {
    /// True if the default route of `main` leads there, or tunnels do by whatever table.
    async fn leads(&mut self, netlink: &Handle, index: u32) -> bool {
        if self.known.is_none() {
            let mut known: BTreeSet<u32> = self.all.iter().flat_map(routes::outward).collect();
            for outer in self.outer {
                known.extend(routes::way_of_tunnels(netlink, *outer).await);
            }
            self.known = Some(known);
        }
        self.known.as_ref().is_some_and(|known| known.contains(&index))
    }
}

/// The link of this index, if there is one.
async fn link(netlink: &Handle, index: u32) -> anyhow::Result<Option<TunnelLink>> {
    let mut links = netlink.link().get().match_index(index).execute();
    let Some(message) = there(links.try_next().await)? else { return Ok(None) };
    let mut link =
        TunnelLink { is_up: message.header.flags.contains(LinkFlags::Up), ..TunnelLink::default() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::IfAlias(alias) => link.is_marked = alias == LINK_ALIAS,
            _ => {}
        }
    }
    // Until the routes are known. One of IPv6 that has just come gets its route in a moment.
    for (net, is_new) in addresses(netlink, index).await? {
        link.addresses.insert(net);
        if link.is_up && !is_new {
            link.unheard.insert(net);
        }
    }
    Ok(Some(link))
}

/// The addresses of a link, without the kernel's own of scope link, and whether each is tentative still.
async fn addresses(netlink: &Handle, index: u32) -> anyhow::Result<BTreeMap<IpNet, bool>> {
    let mut found = BTreeMap::new();
    let mut read = netlink.address().get().set_link_index_filter(index).execute();
    while let Some(message) = read.try_next().await.context("cannot list the addresses")? {
        if message.header.index != index || message.header.scope == AddressScope::Link {
            continue;
        }
        let mut address = None;
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(ip) => address = Some(*ip),
                AddressAttribute::Address(ip) => address = address.or(Some(*ip)),
                _ => {}
            }
        }
        let length = message.header.prefix_len;
        let is_new = message.header.flags.contains(AddressHeaderFlags::Tentative);
        let net = address.and_then(|ip: IpAddr| IpNet::new(ip, length).ok());
        found.extend(net.map(|net| (net, is_new)));
    }
    Ok(found)
}

async fn name(netlink: &Handle, index: u32) -> anyhow::Result<Option<String>> {
    let mut links = netlink.link().get().match_index(index).execute();
    Ok(there(links.try_next().await)?.and_then(|link| name_of(&link)))
}

fn name_of(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

/// A link that somebody has left behind under this name: its index, and whether it is a gateway's.
pub(crate) async fn found_link(
    netlink: &Handle,
    wanted: &str,
) -> anyhow::Result<Option<FoundLink>> {
    let mut links = netlink.link().get().match_name(wanted).execute();
    let Some(message) = there(links.try_next().await)? else { return Ok(None) };
    let index = message.header.index;
    let alias = LinkAttribute::IfAlias(LINK_ALIAS.to_owned());
    Ok(Some(FoundLink {
        index,
        is_marked: message.attributes.contains(&alias),
        is_held: message.attributes.contains(&LinkAttribute::Carrier(1)),
        addresses: addresses(netlink, index).await?.into_keys().collect(),
    }))
}

/// All links that carry the gateway's mark, with their names.
pub(crate) async fn marked_links(netlink: &Handle) -> anyhow::Result<BTreeMap<String, FoundLink>> {
    let alias = LinkAttribute::IfAlias(LINK_ALIAS.to_owned());
    let mut names = Vec::new();
    let mut links = netlink.link().get().execute();
    while let Some(link) = links.try_next().await.context("cannot list the links")? {
        if link.attributes.contains(&alias) {
            names.extend(name_of(&link));
        }
    }
    let mut found = BTreeMap::new();
    for name in names {
        found.extend(found_link(netlink, &name).await?.map(|link| (name, link)));
    }
    Ok(found)
}

/// A link that is there before the tunnel.
#[derive(Debug, Clone)]
pub(crate) struct FoundLink {
    pub(crate) index: u32,
    /// It carries the gateway's mark.
    pub(crate) is_marked: bool,
    /// A process holds it.
    pub(crate) is_held: bool,
    pub(crate) addresses: BTreeSet<IpNet>,
}

fn there<T>(read: Result<Option<T>, rtnetlink::Error>) -> anyhow::Result<Option<T>> {
    match read {
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == NO_LINK => Ok(None),
        read => Ok(read?),
    }
}
