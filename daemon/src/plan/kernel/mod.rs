//! What this gateway should have in the kernel: a pure decision.
//!
//! Its routes stand in a table of its own, which a rule for each family leads to before `main`; nothing
//! is written anywhere else. Promises: what belongs to another zone goes into the tunnel or nowhere,
//! by the routes of last resort alone and by the guard alone; a local network inside another zone's
//! wins for itself, at this gateway; nothing is wanted of IPv6 that a kernel without it would refuse.

mod difference;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use zonemesh_core::kernel::{
    ASIDE_TABLE, Guard, GuardException, Ipv6State, KernelChange, KernelState, LAST_METRIC,
    LOCAL_METRIC, LocalNetwork, PolicyRule, RouteSlot, RouteWay, RuleSelector, TABLE,
    TUNNEL_METRIC, TunnelLink, WRITTEN_METRIC,
};

use super::MeshPlan;

/// Every link of IPv6 takes so much (RFC 8200): the kernel refuses to know of less.
const LEAST_V6: u16 = 1280;

/// How large packets may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WantedMtus {
    /// That of the tunnel's interface.
    pub(crate) link: u16,
    /// Those of routes that take less.
    pub(crate) routes: BTreeMap<IpNet, u16>,
}

/// What is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KernelPlan {
    pub(crate) link: TunnelLink,
    pub(crate) routes: BTreeMap<RouteSlot, RouteWay>,
    pub(crate) rules: BTreeSet<PolicyRule>,
    pub(crate) guard: Guard,
}

/// The tunnel's interface as the configuration has it.
#[derive(Debug, Clone)]
pub(crate) struct OwnLink {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
}

impl KernelPlan {
    /// What follows from the mesh, and from the local networks that there are.
    pub(crate) fn of(
        mesh: &MeshPlan,
        own: &OwnLink,
        mtus: &WantedMtus,
        seen: &KernelState,
    ) -> Self {
        let local: Vec<_> =
            seen.local.iter().filter(|at| is_inside(&mesh.backstops, &at.net)).collect();
        // What comes out of a tunnel for an address of ours that somebody has removed goes nowhere.
        let addresses: BTreeSet<_> = own.addresses.iter().copied().map(IpNet::from).collect();
        let mut routes = routes(mesh, mtus, &local);
        for prefix in addresses.iter().copied() {
            let slot = RouteSlot { table: TABLE, prefix, metric: LAST_METRIC };
            routes.insert(slot, RouteWay::Unreachable);
        }
        routes.retain(|slot, way| can_be(seen.ipv6, slot, way));
        let rules = rules(&routes);
        let exceptions =
            local.iter().map(|at| GuardException { interface: at.interface.clone(), net: at.net });
        let guard = Guard {
            interface: own.name.clone(),
            zones: IpNet::aggregate(&mesh.backstops.union(&addresses).copied().collect()),
            local: exceptions.collect(),
        };
        let link = TunnelLink {
            name: own.name.clone(),
            mtu: u32::from(mtus.link),
            is_up: true,
            is_marked: true,
            addresses: addresses.into_iter().filter(|net| takes(seen.ipv6, net)).collect(),
            unheard: BTreeSet::new(),
        };
        Self { link, routes, rules, guard }
    }

    /// True if this was wanted before already: somebody else has changed it since.
    pub(crate) fn holds(&self, change: &KernelChange, wanted: &Self) -> bool {
        match change {
            KernelChange::MakeLink { .. }
            | KernelChange::RenameLink { .. }
            | KernelChange::MarkLink
            | KernelChange::LinkUp => true,
            KernelChange::LinkMtu { .. } => self.link.mtu == wanted.link.mtu,
            KernelChange::AddAddress(net) => self.link.addresses.contains(net),
            KernelChange::RemoveAddress(net) => !self.link.addresses.contains(net),
            KernelChange::SetRoute { slot, to, .. } => self.routes.get(slot) == Some(to),
            KernelChange::RemoveRoute { slot, .. } => !self.routes.contains_key(slot),
            KernelChange::AddRule(rule) => self.rules.contains(rule),
            KernelChange::RemoveRule(rule) => !self.rules.contains(rule),
            KernelChange::SetGuard { to, .. } => self.guard == *to,
        }
    }
}

/// True if the tunnel's interface can have this address, or a route to this network.
fn takes(ipv6: Ipv6State, net: &IpNet) -> bool {
    net.addr().is_ipv4() || ipv6 == Ipv6State::On
}

/// What bars is there also while IPv6 is off for the tunnel's interface: others may have it.
fn can_be(ipv6: Ipv6State, slot: &RouteSlot, way: &RouteWay) -> bool {
    let needs_interface = matches!(way, RouteWay::Tunnel { .. });
    takes(ipv6, &slot.prefix) || (ipv6 == Ipv6State::Off && !needs_interface)
}

/// True if one of the networks holds `net`.
pub(crate) fn is_inside(networks: &BTreeSet<IpNet>, net: &IpNet) -> bool {
    networks.iter().any(|network| network.contains(net))
}

fn routes(
    mesh: &MeshPlan,
    mtus: &WantedMtus,
    local: &[&LocalNetwork],
) -> BTreeMap<RouteSlot, RouteWay> {
    let mut routes = BTreeMap::new();
    let own = |prefix: IpNet, metric| RouteSlot { table: TABLE, prefix: prefix.trunc(), metric };
    for (nets, metric) in
        [(mesh.lasting_bars(), LAST_METRIC), (mesh.written.clone(), WRITTEN_METRIC)]
    {
        for net in mesh.without_aside(&nets) {
            routes.insert(own(net, metric), RouteWay::Unreachable);
        }
    }
    for net in mesh.routed() {
        let least = if net.addr().is_ipv4() { 0 } else { LEAST_V6 };
        let mtu = mtus.routes.get(&net).map(|mtu| (*mtu).max(least));
        routes.insert(own(net, TUNNEL_METRIC), RouteWay::Tunnel { mtu });
    }
    for at in local {
        let way = RouteWay::Local { index: at.index, source: at.source };
        routes.insert(own(at.net, LOCAL_METRIC), way);
    }
    for address in &mesh.aside {
        let prefix = IpNet::from(*address);
        let slot = |metric| RouteSlot { table: ASIDE_TABLE, prefix, metric };
        routes.insert(slot(LAST_METRIC), RouteWay::Unreachable);
        routes.insert(slot(TUNNEL_METRIC), RouteWay::Tunnel { mtu: None });
    }
    routes
}

/// A rule for each family that a table has routes of.
fn rules(routes: &BTreeMap<RouteSlot, RouteWay>) -> BTreeSet<PolicyRule> {
    let of = |slot: &RouteSlot| PolicyRule {
        is_v4: slot.prefix.addr().is_ipv4(),
        selects: match slot.table {
            ASIDE_TABLE => RuleSelector::NotLocalUdp,
            _ => RuleSelector::Unmarked,
        },
    };
    routes.keys().map(of).collect()
}

#[cfg(test)]
mod tests;
