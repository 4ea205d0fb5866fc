//! Which lane the packets of one queue take to a peer, and when they may change to another.
//!
//! Pure. The kernel keeps a flow in one queue; as long as a queue keeps its lane, no packet of a flow
//! can overtake another. So a queue changes in a pause of its packets, long enough for those on the old
//! lane to arrive; without one, such a pause is made. A lane that is lost is left at once: what was
//! sent on it comes late or never.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A pause in which packets that were sent arrive.
pub(crate) const QUIET: Duration = Duration::from_millis(20);
/// How long a pause is waited for before one is made.
const PATIENCE: Duration = Duration::from_secs(1);

/// The choice of one queue. Only that queue's thread changes it.
struct QueueChoice {
    lane: AtomicUsize,
    /// When the last packet left.
    last: AtomicU64,
    /// Since when another lane is wanted, 0 if none is.
    since: AtomicU64,
}

/// The choices of all queues for one peer.
pub(super) struct QueueChoices {
    epoch: Instant,
    queues: Vec<QueueChoice>,
}

/// What follows for one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChosenLane {
    pub(super) lane: usize,
    /// It may leave only after [`QUIET`].
    pub(super) after_pause: bool,
}

impl QueueChoices {
    pub(super) fn new(queues: usize) -> Self {
        let choice =
            || QueueChoice { lane: 0.into(), last: AtomicU64::new(0), since: AtomicU64::new(0) };
        Self {
            epoch: Instant::now(),
            queues: std::iter::repeat_with(choice).take(queues).collect(),
        }
    }

    pub(super) fn queues(&self) -> usize {
        self.queues.len()
    }

    /// The lane for a packet of `queue` that wants to leave by lane `wanted`.
    pub(super) fn choose(
        &self,
        queue: usize,
        wanted: usize,
        is_usable: impl Fn(usize) -> bool,
        now: Instant,
    ) -> ChosenLane {
        let Some(choice) = self.queues.get(queue) else {
            return ChosenLane { lane: 0, after_pause: false };
        };
        // The first packet comes after a pause.
        let now = now.saturating_duration_since(self.epoch) + QUIET;
        let now = now.as_micros() as u64;
        let last = choice.last.swap(now, Ordering::Relaxed);
        let present = choice.lane.load(Ordering::Relaxed);
        let since = choice.since.load(Ordering::Relaxed);
        if present == wanted {
            if since != 0 {
                choice.since.store(0, Ordering::Relaxed);
            }
            return ChosenLane { lane: present, after_pause: false };
        }
        let is_over =
            |from: u64, time: Duration| now.saturating_sub(from) >= time.as_micros() as u64;
        let is_lost = present != 0 && !is_usable(present);
        let after_pause = !is_lost && !is_over(last, QUIET);
        if after_pause && (since == 0 || !is_over(since, PATIENCE)) {
            if since == 0 {
                choice.since.store(now, Ordering::Relaxed);
            }
            return ChosenLane { lane: present, after_pause: false };
        }
        choice.lane.store(wanted, Ordering::Relaxed);
        choice.since.store(0, Ordering::Relaxed);
        ChosenLane { lane: wanted, after_pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(choices: &QueueChoices, ms: u64) -> Instant {
        choices.epoch + Duration::from_millis(ms)
    }

    fn choose(
        choices: &QueueChoices,
        wanted: usize,
        lost: Option<usize>,
        ms: u64,
    ) -> (usize, bool) {
        let is_usable = |lane| Some(lane) != lost;
        let chosen = choices.choose(1, wanted, is_usable, at(choices, ms));
        (chosen.lane, chosen.after_pause)
    }

    #[test]
    fn the_first_packet_takes_the_lane_it_wants() {
        assert_eq!(choose(&QueueChoices::new(2), 1, None, 0), (1, false));
    }

    #[test]
    fn a_queue_changes_its_lane_in_a_pause() {
        let choices = QueueChoices::new(2);
        assert_eq!(choose(&choices, 0, None, 0), (0, false));
        assert_eq!(choose(&choices, 1, None, 19), (0, false));
        assert_eq!(choose(&choices, 1, None, 38), (0, false));
        assert_eq!(choose(&choices, 1, None, 58), (1, false));
    }

    #[test]
    fn a_queue_without_pauses_gets_one() {
        let choices = QueueChoices::new(2);
        let lanes: Vec<_> =
            (0..1200).map(|ms| choose(&choices, usize::from(ms > 0), None, ms)).collect();
        assert_eq!(lanes.iter().filter(|(_, after_pause)| *after_pause).count(), 1);
        assert!(lanes[..=1000].iter().all(|chosen| *chosen == (0, false)));
        assert_eq!(lanes[1001], (1, true));
        assert!(lanes[1002..].iter().all(|chosen| *chosen == (1, false)));
    }

    #[test]
    fn a_lane_that_is_lost_is_left_at_once() {
        let choices = QueueChoices::new(2);
        assert_eq!(choose(&choices, 1, None, 0), (1, false));
        assert_eq!(choose(&choices, 0, Some(1), 1), (0, false));
    }

    #[test]
    fn a_wish_that_passes_counts_anew() {
        let choices = QueueChoices::new(2);
        choose(&choices, 0, None, 0);
        for ms in 1..900 {
            choose(&choices, 1, None, ms);
        }
        choose(&choices, 0, None, 900);
        assert_eq!(choose(&choices, 1, None, 1100), (1, false), "a pause");
        let choices = QueueChoices::new(2);
        for ms in 0..1500 {
            let wanted = usize::from(ms % 900 != 0);
            assert_eq!(choose(&choices, wanted, None, ms), (0, false), "{ms}");
        }
    }
}
