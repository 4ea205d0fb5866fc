//! Which SuperNodes the zone says, of those that have reported a key.
//!
//! Pure. Promises that no VM has a second place before each has its first, that who came earlier goes
//! before who came later, and that who was said before a restart has the last places.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use zonemesh_core::companion::{CompanionId, ReportedState, SuperNodeState};
use zonemesh_core::record::{CaState, MAX_SUPERNODES, ZoneSuperNode};
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::VmRole;

use super::{Known, KnownCompanion};

/// A SuperNode that could be said.
struct Candidate {
    /// How many of the same VM go before it.
    rank: usize,
    /// When it came: many that come now put nobody out who takes part.
    since: UnixMillis,
    node: ZoneSuperNode,
}

/// At most [`MAX_SUPERNODES`], always in the same order.
pub(super) fn choose(
    known: &Known,
    before: impl Iterator<Item = ZoneSuperNode>,
    now: Instant,
) -> Vec<ZoneSuperNode> {
    let mut of_vm: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let mut candidates = Vec::new();
    for (id, companion) in known {
        let Some(node) = supernode(id, companion, now) else { continue };
        let rank = of_vm.entry(id.vm).or_default();
        candidates.push(Candidate { rank: *rank, since: companion.since, node });
        *rank += 1;
    }
    let last = |node| Candidate { rank: usize::MAX, since: UnixMillis(u64::MAX), node };
    candidates.extend(before.map(last));
    candidates.sort_by_key(|one| (one.rank, !one.node.is_online, one.since));
    let mut seen = BTreeSet::new();
    candidates
        .retain(|one| seen.insert((one.node.federation.clone(), one.node.public_key.clone())));
    candidates.truncate(MAX_SUPERNODES);
    let mut nodes: Vec<_> = candidates.into_iter().map(|one| one.node).collect();
    nodes.sort_by(|a, b| (&a.federation, &a.public_key).cmp(&(&b.federation, &b.public_key)));
    nodes
}

fn supernode(id: &CompanionId, companion: &KnownCompanion, now: Instant) -> Option<ZoneSuperNode> {
    let report = companion.report.as_ref().filter(|report| !report.public_key.is_empty())?;
    if id.role != VmRole::SuperNode {
        return None;
    }
    let newest = |state| report.cas.iter().find(|ca| ca.state == state);
    let newest = newest(CaState::Next).or_else(|| newest(CaState::Active));
    Some(ZoneSuperNode {
        federation: id.federation.clone(),
        public_key: report.public_key.clone(),
        ca: newest.map(|ca| ca.certificate),
        is_online: companion.is_there(now) && !report.state.is_goodbye(),
        is_connecting: report.state == ReportedState::SuperNode(SuperNodeState::Connecting),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use zonemesh_core::companion::CompanionReport;

    use super::super::CompanionBoard;
    use super::*;

    #[test]
    fn many_addresses_that_come_put_nobody_out_who_was_there() {
        let board = Arc::new(CompanionBoard::new(Vec::new()));
        let mut present = Vec::new();
        let mut come = |vm: u8| {
            let federation = "health-eu".parse().unwrap();
            let id =
                CompanionId { vm: [10, 10, 10, vm].into(), role: VmRole::SuperNode, federation };
            let one = board.enter(id, "0.3.0".to_owned());
            let state = ReportedState::SuperNode(SuperNodeState::Running);
            one.reports(CompanionReport { public_key: vec![vm; 91], ..CompanionReport::of(state) });
            present.push(one);
        };
        come(250);
        std::thread::sleep(Duration::from_millis(5));
        (100..100 + u8::try_from(MAX_SUPERNODES).unwrap() + 2).for_each(&mut come);
        let said = board.supernodes(Instant::now());
        assert_eq!(said.len(), MAX_SUPERNODES);
        assert!(said.iter().any(|node| node.public_key == [250; 91]), "the first one is out");
    }
}
