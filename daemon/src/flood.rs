//! How much one caller may ask for, so that a flood of one is nobody else's.
//!
//! A bucket for each caller; memory is bounded, whoever calls: when there are too many callers the
//! one that has been quiet longest is forgotten. What is refused is counted, and said once in a while.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most callers that are remembered.
const MAX_CALLERS: usize = 1024;
/// Time between two log lines about refusals.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Calls at once, and how many more each second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) burst: f64,
    pub(crate) per_second: f64,
}

struct Bucket {
    left: f64,
    at: Instant,
}

struct State<K> {
    callers: BTreeMap<K, Bucket>,
    refused: u64,
    said_at: Option<Instant>,
}

/// Buckets by caller.
pub(crate) struct Limits<K> {
    what: &'static str,
    rate: Rate,
    state: Mutex<State<K>>,
}

impl<K: Ord + Clone + std::fmt::Debug> Limits<K> {
    /// Limits for `what`, as the log calls it.
    pub(crate) fn new(what: &'static str, rate: Rate) -> Self {
        let state = State { callers: BTreeMap::new(), refused: 0, said_at: None };
        Self { what, rate, state: Mutex::new(state) }
    }

    /// True if `caller` may ask now.
    pub(crate) fn allow(&self, caller: &K, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.callers.contains_key(caller) {
            state.make_room();
            state.callers.insert(caller.clone(), Bucket { left: self.rate.burst, at: now });
        }
        let allowed =
            state.callers.get_mut(caller).is_none_or(|bucket| bucket.take(self.rate, now));
        if !allowed {
            state.refused += 1;
            let due = |said: Instant| now.saturating_duration_since(said) >= SAY_AGAIN;
            if state.said_at.is_none_or(due) {
                state.said_at = Some(now);
                tracing::warn!(
                    ?caller,
                    refused = state.refused,
                    "too many {}, some are refused",
                    self.what
                );
            }
        }
        allowed
    }
}

impl<K: Ord + Clone> State<K> {
    fn make_room(&mut self) {
        if self.callers.len() < MAX_CALLERS {
            return;
        }
        let quiet = self.callers.iter().min_by_key(|(_, bucket)| bucket.at);
        if let Some(quiet) = quiet.map(|(caller, _)| caller.clone()) {
            self.callers.remove(&quiet);
        }
    }
}

impl Bucket {
    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * rate.per_second).min(rate.burst);
        self.at = now;
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 20.0, per_second: 5.0 };

    #[test]
    fn a_flood_is_cut_to_the_rate_and_is_nobody_elses() {
        let start = Instant::now();
        let limits = Limits::new("registrations", RATE);
        assert_eq!((0..10_000).filter(|_| limits.allow(&1, start)).count(), 20);
        assert!(limits.allow(&2, start));
        let later = start + Duration::from_secs(2);
        assert_eq!((0..1000).filter(|_| limits.allow(&1, later)).count(), 10);
    }

    #[test]
    fn many_callers_do_not_fill_the_memory() {
        let now = Instant::now();
        let limits = Limits::new("registrations", RATE);
        assert!((0..10_000).all(|caller| limits.allow(&caller, now)));
        let state = limits.state.lock().unwrap();
        assert_eq!((state.callers.len(), state.refused), (MAX_CALLERS, 0));
    }
}
