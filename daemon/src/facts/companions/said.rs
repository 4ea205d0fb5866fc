//! Which SuperNodes the zone says, of those that have reported a key.
//!
//! Pure. Promises that no VM has a second place before each has its first, and that who was said
//! before a restart has the last ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use zonemesh_core::companion::{CompanionId, ReportedState, SuperNodeState};
use zonemesh_core::record::{CaState, MAX_SUPERNODES, ZoneSuperNode};
use zonemesh_core::token::VmRole;

use super::{Known, KnownCompanion};

/// A SuperNode that could be said.
struct Candidate {
    /// How many of the same VM go before it.
    rank: usize,
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
        candidates.push(Candidate { rank: *rank, node });
        *rank += 1;
    }
    candidates.extend(before.map(|node| Candidate { rank: usize::MAX, node }));
    candidates.sort_by_key(|one| (one.rank, !one.node.is_online));
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
