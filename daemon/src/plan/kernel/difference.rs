//! From what is planned and what there is to the changes between the two, in their order.
//!
//! What bars comes before what opens, and what is wanted no more goes last: no packet finds a gap in
//! between. What is as it should be is not touched.

use std::collections::BTreeMap;

use ipnet::IpNet;
use zonemesh_core::kernel::{
    GuardState, KernelChange, KernelState, RouteSlot, RouteWay, TunnelLink,
};

use super::KernelPlan;

impl KernelPlan {
    /// What keeps other zones' packets from leaving in the clear; needs no tunnel.
    pub(crate) fn bars(&self, seen: &KernelState) -> Vec<KernelChange> {
        let mut changes = self.set_routes(seen, |way| !matches!(way, RouteWay::Tunnel { .. }));
        let missing = self.rules.difference(&seen.rules).cloned();
        changes.extend(missing.map(KernelChange::AddRule));
        let is_set = matches!(&seen.guard, GuardState::Set(guard) if *guard == self.guard);
        if !is_set && !matches!(seen.guard, GuardState::Unusable(_)) {
            let (from, to) = (seen.guard.as_str(), self.guard.clone());
            changes.push(KernelChange::SetGuard { from, to });
        }
        changes
    }

    /// What leads into the tunnel, and what is wanted no more.
    pub(crate) fn ways(&self, seen: &KernelState) -> Vec<KernelChange> {
        let Some(link) = &seen.link else {
            // All else is seen when it is there.
            return vec![KernelChange::MakeLink { name: self.link.name.clone() }];
        };
        let mut changes = self.of_link(link);
        changes.extend(self.set_routes(seen, |way| matches!(way, RouteWay::Tunnel { .. })));
        for (slot, way) in &seen.routes {
            if !self.routes.contains_key(slot) {
                changes.push(KernelChange::RemoveRoute { slot: *slot, way: way.clone() });
            }
        }
        let left = seen.rules.difference(&self.rules).cloned();
        changes.extend(left.map(KernelChange::RemoveRule));
        changes
    }

    /// Both, in their order.
    pub(crate) fn difference(&self, seen: &KernelState) -> Vec<KernelChange> {
        let mut changes = self.bars(seen);
        changes.extend(self.ways(seen));
        changes
    }

    fn of_link(&self, link: &TunnelLink) -> Vec<KernelChange> {
        let wanted = &self.link;
        let mut changes = Vec::new();
        if link.name != wanted.name {
            let (from, to) = (link.name.clone(), wanted.name.clone());
            changes.push(KernelChange::RenameLink { from, to });
        }
        if !link.is_marked {
            changes.push(KernelChange::MarkLink);
        }
        if link.mtu != wanted.mtu {
            changes.push(KernelChange::LinkMtu { from: link.mtu, to: wanted.mtu });
        }
        let is_heard = |net: &IpNet| link.addresses.contains(net) && !link.unheard.contains(net);
        let missing = wanted.addresses.iter().copied().filter(|net| !is_heard(net));
        changes.extend(missing.map(KernelChange::AddAddress));
        let foreign = link.addresses.difference(&wanted.addresses);
        changes.extend(foreign.copied().map(KernelChange::RemoveAddress));
        if !link.is_up {
            changes.push(KernelChange::LinkUp);
        }
        changes
    }

    fn set_routes(
        &self,
        seen: &KernelState,
        is_meant: impl Fn(&RouteWay) -> bool,
    ) -> Vec<KernelChange> {
        let differs = |seen: &BTreeMap<RouteSlot, RouteWay>, slot, way| seen.get(slot) != Some(way);
        let wanted = self.routes.iter().filter(|(_, way)| is_meant(way));
        let wanted = wanted.filter(|(slot, way)| differs(&seen.routes, slot, way));
        let set = wanted.map(|(slot, way)| KernelChange::SetRoute {
            slot: *slot,
            from: seen.routes.get(slot).cloned(),
            to: way.clone(),
        });
        set.collect()
    }
}
