//! What stands in the kernel and gets in the way of the plan: findings, never a refusal.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::kernel::{GuardState, KernelState};
use zonemesh_core::prefix;

use crate::plan::{MeshPlan, PeerPlan};

/// Local networks inside other zones', routes of others to them, and a packet filter that cannot be.
pub(crate) fn of_kernel(plan: &MeshPlan, seen: &KernelState) -> Vec<Finding> {
    let local = seen.local.iter().map(|at| (at.net, format!("at {}", at.interface)));
    let kept = seen.kept.iter().map(|(net, way)| (*net, way.clone()));
    let mut found = by_zone(plan, Code::LocalNetworkInside, local.chain(kept));
    let foreign = seen.foreign.iter().map(|(net, way)| (*net, way.clone()));
    found.extend(by_zone(plan, Code::ForeignRoute, foreign));
    if let GuardState::Unusable(reason) = &seen.guard {
        let missing = Finding::new(Code::GuardMissing, Subject::Here);
        found.push(missing.with(Evidence::Reason(reason.clone())));
    }
    found
}

/// One finding for each zone, or plain peer, that has such a network, with all of them.
fn by_zone(
    plan: &MeshPlan,
    code: Code,
    networks: impl Iterator<Item = (IpNet, String)>,
) -> Vec<Finding> {
    let mut found: BTreeMap<_, Finding> = BTreeMap::new();
    for (net, way) in networks {
        let is_owner = |owned: IpNet| prefix::overlaps(&owned, &net);
        let owners = plan.peers.iter().filter(|peer| peer.allowed_ips().any(is_owner));
        // A zone with several gateways is one owner.
        let owners: BTreeSet<_> = owners.map(PeerPlan::subject).collect();
        for owner in owners {
            let none = || Finding::new(code, owner.clone());
            let finding = found.entry(owner.clone()).or_insert_with(none);
            finding.evidence.extend([Evidence::Prefix(net), Evidence::Found(way.clone())]);
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use zonemesh_core::finding::Severity;
    use zonemesh_core::gateway::GatewayId;
    use zonemesh_core::kernel::LocalNetwork;
    use zonemesh_core::key::WireGuardPublicKey;

    use super::*;
    use crate::plan::peers::GatewayRole;

    fn madrid() -> MeshPlan {
        let peer = PeerPlan {
            id: GatewayId::assumed("madrid".parse().unwrap()),
            role: GatewayRole::Active,
            wireguard_key: WireGuardPublicKey([2; 32]),
            next_key: None,
            lanes: Vec::new(),
            endpoints: Vec::new(),
            prefixes: vec!["10.10.11.0/24".parse().unwrap()],
            tunnel_ips: Vec::new(),
            aside: Vec::new(),
            registry_port: 51_821,
            is_neighbour: true,
            keeps_alive: true,
            plain: None,
        };
        MeshPlan { peers: vec![peer], ..MeshPlan::default() }
    }

    #[test]
    fn all_local_networks_in_a_zone_are_one_finding_and_those_of_nobody_none() {
        let at = |net: &str, interface: &str| LocalNetwork {
            net: net.parse().unwrap(),
            interface: interface.to_owned(),
            index: 7,
            source: None,
        };
        let local = [
            at("10.10.11.0/25", "br9"),
            at("10.10.11.128/25", "br8"),
            at("192.168.1.0/24", "lan0"),
        ];
        let seen = KernelState { local: local.into(), ..KernelState::default() };
        let found = of_kernel(&madrid(), &seen);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].code, Code::LocalNetworkInside);
        assert_eq!(found[0].seen("found").as_deref(), Some("at br9, at br8"));
    }

    #[test]
    fn what_the_table_local_keeps_of_a_zone_is_told_also_where_it_holds_more_than_that_zone() {
        for net in ["10.10.11.5/32", "10.10.0.0/16"] {
            let kept = [(net.parse().unwrap(), "an address at lo".to_owned())].into();
            let seen = KernelState { kept, ..KernelState::default() };
            let found = of_kernel(&madrid(), &seen);
            let told: Vec<_> = found.iter().map(ToString::to_string).collect();
            let line = format!(
                "N223 madrid: {net} is this machine's as well (an address at lo): \
                 what is sent there from here stays here"
            );
            assert_eq!(told, [line]);
        }
    }

    #[test]
    fn a_route_of_others_is_a_note_and_no_nftables_is_worth_a_look() {
        let foreign = [("10.10.11.0/24".parse().unwrap(), "via 10.10.10.9".to_owned())].into();
        let guard = GuardState::Unusable("Protocol not supported".to_owned());
        let seen = KernelState { foreign, guard, ..KernelState::default() };
        let found = of_kernel(&madrid(), &seen);
        let told: Vec<_> = found.iter().map(|one| (one.code, one.severity)).collect();
        let note = (Code::ForeignRoute, Severity::Note);
        assert_eq!(told, [note, (Code::GuardMissing, Severity::Degraded)]);
        assert!(of_kernel(&madrid(), &KernelState::default()).is_empty());
    }
}
