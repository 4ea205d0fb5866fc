//! What is known of the streams to the neighbours, for status and reachability, and how much each
//! neighbour may say over all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zonemesh_core::name::ZoneName;
use zonemesh_core::replication::ClockOffset;

use crate::facts::rate_limits::{LimitedCall, Rate, RateLimiter, RefusedCalls};

/// Messages and items of one neighbour: a thousand zones in step after a cut are one burst.
const SAYS: Rate = Rate { burst: 4000.0, per_second: 400.0 };

/// The streams to one neighbour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StreamsState {
    /// Streams over which both ends have said hello: none, ours, theirs or both.
    pub(crate) open: u32,
    /// Why the last attempt failed; empty if none did since a stream was open.
    pub(crate) error: String,
    /// True if the neighbour was reached and refused.
    pub(crate) refused: bool,
    /// The neighbour's clock minus ours, last known.
    pub(crate) clock_offset: Option<ClockOffset>,
}

/// The streams to all neighbours.
pub(crate) struct StreamBoard {
    entries: Mutex<BTreeMap<ZoneName, StreamsState>>,
    says: RateLimiter<ZoneName>,
    refusals: Arc<RefusedCalls>,
}

impl StreamBoard {
    pub(crate) fn new(refusals: Arc<RefusedCalls>) -> Self {
        Self { entries: Mutex::default(), says: RateLimiter::new(SAYS), refusals }
    }

    /// How long not to listen to `zone`, which has just said something with `items` in it.
    pub(crate) fn pause(&self, zone: &ZoneName, items: usize) -> Duration {
        let pause = self.says.charge(zone, 1 + items, Instant::now());
        if !pause.is_zero() {
            self.refuse(LimitedCall::ZoneMessages, zone);
        }
        pause
    }

    /// Counts what was refused.
    pub(crate) fn refuse(&self, flood: LimitedCall, zone: &ZoneName) {
        self.refusals.count(flood, zone);
    }

    /// What is known of `zone` now.
    pub(crate) fn entry(&self, zone: &ZoneName) -> StreamsState {
        self.lock().get(zone).cloned().unwrap_or_default()
    }

    /// Streams that are open, over all neighbours.
    pub(crate) fn open_streams(&self) -> u32 {
        self.lock().values().map(|entry| entry.open).sum()
    }

    /// Forgets a neighbour to which no stream is kept any more, but for streams of its own.
    pub(crate) fn forget(&self, zone: &ZoneName) {
        let mut board = self.lock();
        if board.get(zone).is_some_and(|entry| entry.open == 0) {
            board.remove(zone);
        }
    }

    /// True if it is the only one.
    pub(crate) fn opened(&self, zone: &ZoneName) -> bool {
        let mut board = self.lock();
        let entry = board.entry(zone.clone()).or_default();
        entry.open += 1;
        entry.error.clear();
        entry.refused = false;
        entry.open == 1
    }

    /// True if it was the last one.
    pub(crate) fn closed(&self, zone: &ZoneName) -> bool {
        let mut board = self.lock();
        let entry = board.entry(zone.clone()).or_default();
        entry.open = entry.open.saturating_sub(1);
        entry.open == 0
    }

    pub(crate) fn failed(&self, zone: &ZoneName, error: String, refused: bool) {
        let mut board = self.lock();
        let entry = board.entry(zone.clone()).or_default();
        entry.error = error;
        entry.refused = refused;
    }

    pub(crate) fn set_clock_offset(&self, zone: &ZoneName, offset: Option<ClockOffset>) {
        let mut board = self.lock();
        let entry = board.entry(zone.clone()).or_default();
        entry.clock_offset = offset.or(entry.clock_offset);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ZoneName, StreamsState>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_either_end_counts_as_open() {
        let (board, zone) = (StreamBoard::new(Arc::default()), "madrid".parse().unwrap());
        board.failed(&zone, "connection refused".to_owned(), false);
        board.opened(&zone);
        board.opened(&zone);
        board.closed(&zone);
        let entry = board.entry(&zone);
        assert_eq!((entry.open, entry.error.as_str()), (1, ""));
        assert_eq!(board.open_streams(), 1);
    }
}
