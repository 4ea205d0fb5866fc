//! How often another key is made in the place of one that Flower does not take. Pure.
//!
//! It promises that a key which served is replaced at once, and that one which was never registered
//! for its owner is not: somebody else has it registered as soon as it is known, and would do so with
//! the next one. Then the waits grow, up to an hour. It refuses to make keys.

use std::time::Duration;

use tokio::time::Instant;
use zonemesh_appliance::backoff::Backoff;
use zonemesh_core::record::{Admission, AdmissionState};

/// Before the second key in a row, at most, and before a later one.
const WAITS: [Duration; 2] = [Duration::from_secs(120), Duration::from_secs(3600)];

/// What is known of the present key.
pub(crate) struct SpentKeys {
    /// It was made here, and Flower has not had it for its owner since.
    is_unused: bool,
    backoff: Backoff,
    /// When it is replaced, once it is known to be of no use.
    due: Option<Instant>,
}

/// What to do with a key that is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpentKey {
    /// Make another.
    Replace,
    /// It was taken before its owner could have it; make another then.
    Taken(Instant),
}

impl SpentKeys {
    /// `is_unused` says that the key was made at this start.
    pub(crate) fn new(is_unused: bool) -> Self {
        Self { is_unused, backoff: Backoff::new(WAITS[0], WAITS[1]), due: None }
    }

    /// Flower's list has this of the key.
    pub(crate) fn seen(&mut self, admission: Option<Admission>) {
        let state = admission.map(|admission| admission.state);
        match state {
            Some(AdmissionState::Registered | AdmissionState::Online) => {
                *self = Self::new(false);
            }
            Some(AdmissionState::Spent) => {}
            _ => self.due = None,
        }
    }

    /// The key is spent, as is known now.
    pub(crate) fn next(&mut self, now: Instant) -> SpentKey {
        if !self.is_unused {
            return SpentKey::Replace;
        }
        let due = *self.due.get_or_insert_with(|| now + self.backoff.wait());
        if now >= due { SpentKey::Replace } else { SpentKey::Taken(due) }
    }

    /// There is another one now.
    pub(crate) fn replaced(&mut self) {
        self.is_unused = true;
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(state: AdmissionState) -> Option<Admission> {
        Some(Admission { state, node_id: 7, online_since: 0 })
    }

    #[test]
    fn a_key_that_served_is_replaced_at_once_and_each_unused_one_later_and_later() {
        let mut keys = SpentKeys::new(false);
        let mut now = Instant::now();
        assert_eq!(keys.next(now), SpentKey::Replace);
        keys.replaced();
        let mut least = WAITS[0] / 2;
        for _ in 0..12 {
            keys.seen(admission(AdmissionState::Spent));
            let SpentKey::Taken(due) = keys.next(now) else { panic!("replaced at once") };
            assert!(due - now >= least && due - now <= WAITS[1], "{:?}", due - now);
            assert_eq!(keys.next(due - Duration::from_millis(1)), SpentKey::Taken(due));
            now = due;
            assert_eq!(keys.next(now), SpentKey::Replace);
            keys.replaced();
            least = (least * 2).min(WAITS[1] / 2);
        }
        keys.seen(admission(AdmissionState::Registered));
        assert_eq!(keys.next(now), SpentKey::Replace, "it served: that is over");
        keys.replaced();
        let SpentKey::Taken(due) = keys.next(now) else { panic!("replaced at once") };
        assert!(due - now <= WAITS[0]);
    }

    #[test]
    fn a_key_of_this_start_is_not_replaced_at_once_either() {
        let now = Instant::now();
        assert!(matches!(SpentKeys::new(true).next(now), SpentKey::Taken(_)));
    }
}
