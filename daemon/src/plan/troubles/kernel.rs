//! What stands in the kernel and gets in the way of the plan: findings, never a refusal.

use std::collections::BTreeMap;

use ipnet::IpNet;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::kernel::{GuardState, KernelState};

use crate::plan::MeshPlan;

/// Local networks inside other zones', routes of others to them, and a packet filter that cannot be.
pub(crate) fn of_kernel(plan: &MeshPlan, seen: &KernelState) -> Vec<Finding> {
    let local = seen.local.iter().map(|at| (at.net, format!("at {}", at.interface)));
    let mut found = by_zone(plan, Code::LocalNetworkInside, local);
    let foreign = seen.foreign.iter().map(|(net, way)| (*net, way.clone()));
    found.extend(by_zone(plan, Code::ForeignRoute, foreign));
    if let GuardState::Unusable(reason) = &seen.guard {
        let missing = Finding::new(Code::GuardMissing, Subject::Here);
        found.push(missing.with(Evidence::Reason(reason.clone())));
    }
    found
}

/// One finding for each zone that has such a network, with all of them.
fn by_zone(
    plan: &MeshPlan,
    code: Code,
    networks: impl Iterator<Item = (IpNet, String)>,
) -> Vec<Finding> {
    let mut found: BTreeMap<_, Finding> = BTreeMap::new();
    for (net, way) in networks {
        let is_owner = |owned: IpNet| owned.contains(&net);
        let owner = plan.peers.iter().find(|peer| peer.allowed_ips().any(is_owner));
        let Some(zone) = owner.map(|peer| &peer.id.zone) else { continue };
        let none = || Finding::new(code, Subject::Zone(zone.clone()));
        let finding = found.entry(zone).or_insert_with(none);
        finding.evidence.extend([Evidence::Prefix(net), Evidence::Found(way)]);
    }
    found.into_values().collect()
}
