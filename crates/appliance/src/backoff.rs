//! How long to wait before the next try: doubling, with jitter, up to a limit, for ever.
//!
//! It promises that many companions that lost the same gateway do not come back in step. It holds
//! no clock and starts no timer.

use std::time::Duration;

/// The waits between tries of one thing.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    next: Duration,
}

impl Backoff {
    /// The first wait is at most `first`, all later ones at most `limit`.
    #[must_use]
    pub const fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, next: first }
    }

    /// The next wait: between half of the current step and the whole of it.
    pub fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.limit);
        step / 2 + (step / 2).mul_f64(fraction())
    }

    /// What succeeded starts again at the first wait.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A number in `0.0..=1.0`. Without randomness from the system there is no jitter, and no failure.
fn fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_again() {
        let (first, limit) = (Duration::from_millis(500), Duration::from_secs(4));
        let mut backoff = Backoff::new(first, limit);
        let mut step = first;
        for _ in 0..6 {
            let wait = backoff.wait();
            assert!(wait >= step / 2 && wait <= step, "{wait:?} for a step of {step:?}");
            step = (step * 2).min(limit);
        }
        backoff.reset();
        assert!(backoff.wait() <= first);
    }

    #[test]
    fn waits_differ() {
        let wait = || Backoff::new(Duration::from_secs(8), Duration::from_secs(8)).wait();
        assert!((0..8).map(|_| wait()).collect::<std::collections::BTreeSet<_>>().len() > 1);
    }
}
