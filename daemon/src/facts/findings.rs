//! What an engineer should know now, for those who raise it and those who show it.
//!
//! Promises: who raised a finding clears it, no time does; a moment of a lock and never a disk. What
//! comes and goes is told to the journal, as far as that keeps up.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::mpsc;
use zonemesh_core::finding::{
    Code, Evidence, Finding, Findings, Raised, Settled, Severity, StandingFinding, Subject,
};
use zonemesh_core::journal::JournalEvent;
use zonemesh_core::kernel::KernelChange;
use zonemesh_core::time::UnixMillis;

/// Events that may wait for the journal; more are lost to it.
const QUEUE: usize = 256;

/// The findings of this gateway.
pub(crate) struct FindingBoard {
    findings: Mutex<Findings>,
    journal: mpsc::Sender<JournalEvent>,
    events: Mutex<Option<mpsc::Receiver<JournalEvent>>>,
}

impl Default for FindingBoard {
    fn default() -> Self {
        let (journal, events) = mpsc::channel(QUEUE);
        Self { findings: Mutex::default(), journal, events: Mutex::new(Some(events)) }
    }
}

impl FindingBoard {
    /// It has happened, perhaps again.
    pub(crate) fn raise(&self, finding: Finding) {
        let (code, subject) = (finding.code, finding.subject.clone());
        let mut findings = self.lock();
        if matches!(findings.raise(finding, now()), Raised::New | Raised::Changed)
            && let Some(standing) = findings.get(code, &subject)
        {
            self.tell(JournalEvent::raised(standing));
        }
    }

    /// It is over.
    pub(crate) fn clear(&self, code: Code, subject: &Subject) {
        if let Some(gone) = self.lock().clear(code, subject) {
            self.tell(JournalEvent::cleared(&gone, now()));
        }
    }

    /// It is over, if it is the one that is meant.
    pub(crate) fn clear_if(
        &self,
        code: Code,
        subject: &Subject,
        is_meant: impl FnOnce(&Finding) -> bool,
    ) {
        let mut findings = self.lock();
        if findings.get(code, subject).is_some_and(|standing| is_meant(&standing.finding))
            && let Some(gone) = findings.clear(code, subject)
        {
            self.tell(JournalEvent::cleared(&gone, now()));
        }
    }

    /// True if it is so now.
    pub(crate) fn stands(&self, code: Code, subject: &Subject) -> bool {
        self.lock().get(code, subject).is_some()
    }

    /// All that the raiser of these codes sees now; what it saw before and sees no more is over.
    pub(crate) fn settle(&self, codes: &[Code], seen: impl IntoIterator<Item = Finding>) {
        let Settled { came, went } = self.lock().settle(codes, seen, now());
        came.iter().for_each(|standing| self.tell(JournalEvent::raised(standing)));
        went.iter().for_each(|standing| self.tell(JournalEvent::cleared(standing, now())));
    }

    /// Somebody had changed something, and it is as it should be again.
    pub(crate) fn tell_of_repair(&self, change: &KernelChange) {
        self.tell(JournalEvent::repaired(change));
    }

    /// What others have said cannot be stored, or can.
    pub(crate) fn tell_of_disk(&self, failed: Option<&std::io::Error>) {
        match failed {
            None => self.clear(Code::FileUnusable, &Subject::Here),
            Some(error) => {
                let reason = format!("cannot store what another zone has said: {error}");
                let full = Finding::new(Code::FileUnusable, Subject::Here);
                self.raise(full.severity(Severity::Degraded).with(Evidence::Reason(reason)));
            }
        }
    }

    /// The worst first.
    pub(crate) fn all(&self) -> Vec<StandingFinding> {
        self.lock().all()
    }

    /// At most so many, the worst first, and how many there are.
    pub(crate) fn worst(&self, at_most: usize) -> (Vec<StandingFinding>, usize) {
        let findings = self.lock();
        (findings.worst(at_most), findings.count())
    }

    /// How many of them somebody should look at.
    pub(crate) fn alarming(&self) -> usize {
        self.lock().alarming()
    }

    /// Those about one of `subjects`, the worst first; the others are not copied.
    pub(crate) fn about(&self, subjects: &BTreeSet<Subject>) -> Vec<StandingFinding> {
        let findings = self.lock();
        let of = |code: &Code| {
            let of_code = subjects.iter().filter_map(|subject| findings.get(*code, subject));
            of_code.cloned().collect::<Vec<_>>()
        };
        let mut about: Vec<_> = Code::ALL.iter().flat_map(of).collect();
        about.sort_by_key(|one| std::cmp::Reverse(one.finding.severity));
        about
    }

    /// What comes and goes, for the one who writes it down.
    pub(crate) fn events(&self) -> Option<mpsc::Receiver<JournalEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn tell(&self, event: JournalEvent) {
        // A journal that is behind loses this line; the finding itself is shown.
        let _ = self.journal.try_send(event);
    }

    fn lock(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> UnixMillis {
    UnixMillis::from(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use zonemesh_core::gateway::GatewayId;

    use super::*;

    #[test]
    fn what_is_about_a_zone_and_its_gateways_is_found_and_no_other() {
        let board = FindingBoard::default();
        let madrid = Subject::Zone("madrid".parse().unwrap());
        let gateway: GatewayId = "madrid/gw2".parse().unwrap();
        let second = Subject::Gateway(gateway);
        let paris = Subject::Zone("paris".parse().unwrap());
        for subject in [&madrid, &second, &paris] {
            board.raise(Finding::new(Code::ALL[0], subject.clone()));
        }
        let about = board.about(&BTreeSet::from([madrid.clone(), second.clone()]));
        let subjects: Vec<_> = about.iter().map(|one| &one.finding.subject).collect();
        assert_eq!(subjects, [&madrid, &second]);
        assert!(board.about(&BTreeSet::new()).is_empty());
    }
}
