//! The companions of this zone's VMs at one moment.

use std::time::Instant;

use zonemesh_core::companion::CompanionId;

use crate::facts::companions::{CompanionBoard, KnownCompanion};

/// The companions that are shown.
pub(crate) struct CompanionsSnapshot {
    /// Those that need a look first.
    pub(crate) shown: Vec<ShownCompanion>,
    /// How many there are.
    pub(crate) total: usize,
}

/// One of them.
pub(crate) struct ShownCompanion {
    pub(crate) id: CompanionId,
    pub(crate) known: KnownCompanion,
}

impl CompanionsSnapshot {
    pub(super) fn take(board: &CompanionBoard, at_most: usize) -> Self {
        let mut shown = Vec::new();
        board.each(|id, known| {
            shown.push(ShownCompanion { id: id.clone(), known: known.clone() });
        });
        let total = shown.len();
        if total > at_most {
            shown.sort_by_key(|one| !needs_a_look(&one.known));
            shown.truncate(at_most);
            shown.sort_by(|a, b| a.id.cmp(&b.id));
        }
        Self { shown, total }
    }
}

fn needs_a_look(known: &KnownCompanion) -> bool {
    !known.is_heard(Instant::now())
        || known.report.as_ref().is_none_or(|said| !said.findings.is_empty())
}
