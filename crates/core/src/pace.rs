//! When a changed record may be published: readiness is coalesced, the rest goes at once.
//!
//! A SuperLink that flaps must not flood the mesh: its first change is published at once, further
//! ones at most once per [`READINESS_INTERVAL_MS`]. A new registration or CA change never waits.
//! Nothing is lost: what waits is published when its time comes.

use crate::time::UnixMillis;

/// Shortest time between two publications that only change readiness.
pub const READINESS_INTERVAL_MS: u64 = 5_000;

/// How urgent a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordChange {
    /// A SuperLink was registered or has left, a CA or the zone's own configuration changed.
    Urgent,
    /// A SuperLink's readiness or clock offset.
    Readiness,
}

/// Paces the publications of one gateway.
#[derive(Debug, Clone, Default)]
pub struct PublicationPace {
    published_at: Option<UnixMillis>,
    due_at: Option<UnixMillis>,
}

impl PublicationPace {
    /// Notes a change. Ask [`PublicationPace::poll`] next.
    pub fn handle_change(&mut self, change: RecordChange, now: UnixMillis) {
        let due = match (change, self.published_at) {
            (RecordChange::Urgent, _) | (RecordChange::Readiness, None) => now,
            // A clock that went back must not hold a change for longer than the interval.
            (RecordChange::Readiness, Some(last)) => {
                last.min(now).plus(READINESS_INTERVAL_MS).max(now)
            }
        };
        self.due_at = Some(self.due_at.map_or(due, |earlier| earlier.min(due)));
    }

    /// True, once, if the record is to be published now.
    pub fn poll(&mut self, now: UnixMillis) -> bool {
        if self.due_at.is_none_or(|due| due > now) {
            return false;
        }
        self.due_at = None;
        self.published_at = Some(now);
        true
    }

    /// When to ask [`PublicationPace::poll`] again, if a change waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<UnixMillis> {
        self.due_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> UnixMillis {
        UnixMillis(1_000_000 + millis)
    }

    #[test]
    fn the_first_change_goes_at_once_and_a_flapping_one_each_five_seconds() {
        let mut pace = PublicationPace::default();
        let mut published = Vec::new();
        for millis in (0..20_000).step_by(100) {
            pace.handle_change(RecordChange::Readiness, at(millis));
            if pace.poll(at(millis)) {
                published.push(millis);
            }
        }
        assert_eq!(published, [0, 5_000, 10_000, 15_000]);
    }

    #[test]
    fn the_last_state_is_published_although_nothing_changes_any_more() {
        let mut pace = PublicationPace::default();
        pace.handle_change(RecordChange::Readiness, at(0));
        assert!(pace.poll(at(0)));
        pace.handle_change(RecordChange::Readiness, at(1));
        assert!(!pace.poll(at(1)));
        let due = pace.poll_timeout().unwrap();
        assert_eq!(due, at(5_000));
        assert!(pace.poll(due));
        assert_eq!(pace.poll_timeout(), None);
        assert!(!pace.poll(at(99_999)), "published once");
    }

    #[test]
    fn a_registration_does_not_wait_behind_readiness() {
        let mut pace = PublicationPace::default();
        pace.handle_change(RecordChange::Readiness, at(0));
        assert!(pace.poll(at(0)));
        pace.handle_change(RecordChange::Readiness, at(10));
        pace.handle_change(RecordChange::Urgent, at(20));
        assert!(pace.poll(at(20)));
    }

    #[test]
    fn a_clock_that_goes_back_holds_a_change_for_one_interval_at_most() {
        let mut pace = PublicationPace::default();
        pace.handle_change(RecordChange::Readiness, at(900_000));
        assert!(pace.poll(at(900_000)));
        pace.handle_change(RecordChange::Readiness, at(0));
        assert_eq!(pace.poll_timeout(), Some(at(READINESS_INTERVAL_MS)));
    }
}
