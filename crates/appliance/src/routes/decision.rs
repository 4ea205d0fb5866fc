//! Which routes a VM gets to what lies behind its gateway: a pure decision.
//!
//! Promises that a route of anybody else's is never touched and never set against: whoever leads to
//! the gateway is enough, whoever leads elsewhere is named. What would take this VM's own network,
//! the gateway's address, OneGate's or everything is refused. A route has an MTU only where the
//! link takes more. Refuses to touch anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use zonemesh_api::wire::local::NetworksBehind;
use zonemesh_core::kernel::VM_METRIC;
use zonemesh_core::prefix;

/// No zone is as large as this.
const SHORTEST: u8 = 8;
/// What each link takes: RFC 791, RFC 8200.
const LEAST_V4: u32 = 576;
const LEAST_V6: u32 = 1280;

/// What a gateway has told, and at which address it was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ToldNetworks {
    pub(crate) called: IpAddr,
    pub(crate) behind: NetworksBehind,
}

/// A route of the table `main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenRoute {
    pub(crate) prefix: IpNet,
    pub(crate) metric: u32,
    pub(crate) via: Option<IpAddr>,
    pub(crate) interface: Option<u32>,
    pub(crate) mtu: Option<u32>,
    /// It lets packets through, by one way.
    pub(crate) is_plain: bool,
    /// A companion has set it.
    pub(crate) is_own: bool,
    /// Where it leads, for people.
    pub(crate) words: String,
}

/// What the kernel has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SeenRouting {
    pub(crate) routes: Vec<SeenRoute>,
    /// How much each interface takes.
    pub(crate) mtus: BTreeMap<u32, u32>,
    /// The addresses that are this VM's own.
    pub(crate) local: BTreeSet<IpAddr>,
}

/// A route of the companion's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnRoute {
    pub(crate) prefix: IpNet,
    pub(crate) via: IpAddr,
    pub(crate) interface: u32,
    pub(crate) mtu: Option<u32>,
}

/// What is to be done, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteDecision {
    pub(crate) set: Vec<OwnRoute>,
    /// Own routes that are wanted no more, with their metrics.
    pub(crate) remove: Vec<(IpNet, u32)>,
    /// What keeps a network from being led to, for people.
    pub(crate) problems: Vec<String>,
}

/// The way to the gateway at an address that it has in this VM's own network.
struct GatewayWay {
    via: IpAddr,
    interface: u32,
}

/// What becomes of a network.
enum NetworkVerdict {
    Wanted,
    /// Somebody else leads there by the gateway.
    Led,
    Refused(String),
}

/// What follows; `apart` are addresses that are never led to the gateway.
pub(crate) fn decide(told: &ToldNetworks, apart: &[IpAddr], seen: &SeenRouting) -> RouteDecision {
    let mut decision = RouteDecision::default();
    let mut wanted = BTreeMap::new();
    let networks = told.behind.networks.iter().filter(|_| !is_here(told, seen));
    for (net, mtu) in networks {
        // Where the gateway is no neighbour, whoever leads to it leads to what is behind it.
        let Some(way) = way(told, net, seen) else { continue };
        match judge(net, told, &way, apart, seen) {
            NetworkVerdict::Led => {}
            NetworkVerdict::Refused(problem) => decision.problems.push(problem),
            NetworkVerdict::Wanted => {
                let mtu = mtu_of(net, *mtu, seen.mtus.get(&way.interface).copied());
                let GatewayWay { via, interface } = way;
                wanted.insert(*net, OwnRoute { prefix: *net, via, interface, mtu });
                decision.problems.extend(elsewhere_inside(net, via, seen));
            }
        }
    }
    let own = || seen.routes.iter().filter(|route| route.is_own);
    decision.remove = own()
        .filter(|route| route.metric != VM_METRIC || !wanted.contains_key(&route.prefix))
        .map(|route| (route.prefix, route.metric))
        .collect();
    let is_there = |route: &OwnRoute| own().any(|seen| is_same(route, seen));
    decision.set = wanted.into_values().filter(|route| !is_there(route)).collect();
    decision
}

/// The gateway is this VM itself, and has ways of its own.
fn is_here(told: &ToldNetworks, seen: &SeenRouting) -> bool {
    told.called.is_loopback() || seen.local.contains(&told.called)
}

fn is_same(own: &OwnRoute, seen: &SeenRoute) -> bool {
    seen.is_plain
        && seen.metric == VM_METRIC
        && seen.prefix == own.prefix
        && seen.via == Some(own.via)
        && seen.interface == Some(own.interface)
        && seen.mtu == own.mtu
}

/// A network at an interface of this VM's.
fn is_connected(route: &SeenRoute) -> bool {
    !route.is_own
        && route.is_plain
        && route.via.is_none()
        && route.interface.is_some()
        && route.prefix.prefix_len() > 0
}

fn connected(seen: &SeenRouting) -> impl Iterator<Item = &SeenRoute> {
    seen.routes.iter().filter(|route| is_connected(route))
}

/// The gateway's address of this family in a network of this VM's: the one it is called by, if it
/// can be.
fn way(told: &ToldNetworks, net: &IpNet, seen: &SeenRouting) -> Option<GatewayWay> {
    let candidates = std::iter::once(&told.called).chain(&told.behind.addresses);
    let of_family = candidates.filter(|ip| ip.is_ipv4() == net.addr().is_ipv4());
    of_family.copied().find_map(|via| {
        let around = connected(seen).filter(|route| route.prefix.contains(&via));
        let taken = around.min_by_key(|route| order(route))?;
        Some(GatewayWay { via, interface: taken.interface? })
    })
}

fn judge(
    net: &IpNet,
    told: &ToldNetworks,
    way: &GatewayWay,
    apart: &[IpAddr],
    seen: &SeenRouting,
) -> NetworkVerdict {
    if let Err(reserved) = prefix::check_ordinary(net) {
        return NetworkVerdict::Refused(format!("the gateway tells of {net}: {reserved}"));
    }
    let refused =
        |what: &str| NetworkVerdict::Refused(format!("the gateway tells of {net}, which {what}"));
    if net.prefix_len() < SHORTEST {
        return refused("is more than any zone has");
    }
    if connected(seen).any(|route| route.prefix.contains(net)) {
        return refused("lies in a network at an interface of this VM");
    }
    let kept = [told.called, way.via];
    if kept.iter().chain(&told.behind.addresses).any(|ip| net.contains(ip)) {
        return refused("holds its own address");
    }
    if apart.iter().any(|ip| net.contains(ip)) {
        return refused("holds OneGate's address");
    }
    match taken_by(net, seen) {
        Some(route) if route.is_plain && route.via == Some(way.via) => NetworkVerdict::Led,
        // A default route is for what nobody knows better.
        Some(route) if route.prefix.prefix_len() > 0 => {
            let SeenRoute { prefix, words, .. } = route;
            NetworkVerdict::Refused(format!(
                "another's route to {prefix} leads {words}, not to the gateway"
            ))
        }
        _ => NetworkVerdict::Wanted,
    }
}

/// The route of somebody else's that packets for this network take, those to parts of it aside.
fn taken_by<'a>(net: &IpNet, seen: &'a SeenRouting) -> Option<&'a SeenRoute> {
    let others = seen.routes.iter().filter(|route| !route.is_own && route.prefix.contains(net));
    others.min_by_key(|route| order(route))
}

/// The kernel takes the least: the narrowest, then the one of the lowest metric.
fn order(route: &SeenRoute) -> (u8, u32) {
    (u8::MAX - route.prefix.prefix_len(), route.metric)
}

/// Parts of a network that others lead elsewhere; a network at an interface wins for itself.
fn elsewhere_inside(net: &IpNet, via: IpAddr, seen: &SeenRouting) -> Option<String> {
    let is_inside = |route: &&SeenRoute| {
        let leads_there = route.is_plain && route.via == Some(via);
        !route.is_own
            && !is_connected(route)
            && !leads_there
            && route.prefix != *net
            && net.contains(&route.prefix)
    };
    let SeenRoute { prefix, words, .. } = seen.routes.iter().find(is_inside)?;
    Some(format!("another's route to {prefix}, a part of {net}, leads {words}, not to the gateway"))
}

/// What the way takes, where the link would take more.
fn mtu_of(net: &IpNet, told: Option<u32>, link: Option<u32>) -> Option<u32> {
    let least = if net.addr().is_ipv4() { LEAST_V4 } else { LEAST_V6 };
    let mtu = told?.max(least);
    link.is_some_and(|link| mtu < link).then_some(mtu)
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
