//! What an engineer should know now, for those who raise it and those who show it.
//!
//! Promises: who raised a finding clears it, no time does; a moment of a lock and never a disk.

use std::sync::{Mutex, MutexGuard, PoisonError};

use zonemesh_core::finding::{Code, Finding, Findings, StandingFinding, Subject};

use crate::facts::ledger::now;

/// The findings of this gateway.
#[derive(Default)]
pub(crate) struct FindingBoard(Mutex<Findings>);

impl FindingBoard {
    /// It has happened, perhaps again.
    pub(crate) fn raise(&self, finding: Finding) {
        self.lock().raise(finding, now());
    }

    /// It is over.
    pub(crate) fn clear(&self, code: Code, subject: &Subject) {
        self.lock().clear(code, subject);
    }

    /// All that the raiser of these codes sees now; what it saw before and sees no more is over.
    pub(crate) fn settle(&self, codes: &[Code], seen: impl IntoIterator<Item = Finding>) {
        self.lock().settle(codes, seen, now());
    }

    /// The worst first.
    pub(crate) fn all(&self) -> Vec<StandingFinding> {
        self.lock().all()
    }

    fn lock(&self) -> MutexGuard<'_, Findings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
