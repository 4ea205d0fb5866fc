//! How busy a thread is that carries packets, and how it goes about its work then.
//!
//! Owns the account of its time. A busy thread runs before all that are not real-time, where it may: what
//! waits for it stands in queues. And it lets packets gather for a moment before it looks again, which
//! saves most of its awakenings. Promises that a thread with little to do is woken at once and ranks as
//! any other. Refuses to know what is carried.

use std::sync::Once;
use std::time::{Duration, Instant};

use crate::linux::priority::set_realtime;

/// How long packets gather.
const GATHER: Duration = Duration::from_micros(100);
/// More packets are expected after a wait that was shorter than this.
const SOON: Duration = Duration::from_micros(200);

/// Whether the environment leaves it to busy threads to run first.
pub(crate) fn may_be_realtime() -> bool {
    std::env::var_os("ZONEMESH_DEBUG_NO_REALTIME").is_none_or(|value| value.is_empty())
}

/// What a thread does about its load.
#[derive(Debug)]
pub(crate) struct ThreadPace {
    /// It may run before others, as far as is known.
    realtime: bool,
    busy: bool,
    expects: bool,
}

impl ThreadPace {
    pub(crate) fn new(realtime: bool) -> Self {
        Self { realtime, busy: false, expects: false }
    }

    /// Becomes busy or idle, by what a stretch of time was spent on. What a busy thread is left to do
    /// looks less as soon as it ranks before others, so that little work is enough to stay busy.
    pub(crate) fn judge(&mut self, load: &ThreadLoad) {
        let share = if self.busy { 10 } else { 4 };
        self.set_busy(load.worked() * share >= load.total());
    }

    pub(crate) fn set_busy(&mut self, busy: bool) {
        if busy == self.busy {
            return;
        }
        self.busy = busy;
        if !self.realtime {
            return;
        }
        if let Err(error) = set_realtime(busy) {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                tracing::info!(%error, "busy tunnel threads rank as any other; LimitRTPRIO=1 lets them run first");
            });
            self.realtime = false;
        }
    }

    /// Waited for packets for so long.
    pub(crate) fn waited(&mut self, period: Duration) {
        self.expects = period < SOON;
    }

    /// Lets packets gather, if there is much to do and they come one after the other.
    pub(crate) fn rest(&self) {
        if self.busy && self.expects {
            std::thread::sleep(GATHER);
        }
    }
}

/// A direction, as seen from this gateway's own side.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PacketDirection {
    Out,
    In,
}

/// How a thread has spent its time since it was last asked.
#[derive(Debug)]
pub(crate) struct ThreadLoad {
    since: Instant,
    /// When it went to sleep, if it does nothing else.
    last: Instant,
    slept: Duration,
    outward: Duration,
    inward: Duration,
}

impl ThreadLoad {
    pub(crate) fn new(now: Instant) -> Self {
        let zero = Duration::ZERO;
        Self { since: now, last: now, slept: zero, outward: zero, inward: zero }
    }

    /// Woke up; returns for how long it had slept.
    pub(crate) fn woke(&mut self, now: Instant) -> Duration {
        let slept = now.saturating_duration_since(self.last);
        self.slept += slept;
        self.last = now;
        slept
    }

    /// Does `work` and books its time.
    pub(crate) fn time<T>(&mut self, way: PacketDirection, work: impl FnOnce() -> T) -> T {
        let result = work();
        self.book(way, Instant::now());
        result
    }

    fn book(&mut self, way: PacketDirection, now: Instant) {
        let spent = now.saturating_duration_since(self.last);
        match way {
            PacketDirection::Out => self.outward += spent,
            PacketDirection::In => self.inward += spent,
        }
        self.last = now;
    }

    pub(crate) fn is_over(&self, window: Duration) -> bool {
        self.last.saturating_duration_since(self.since) >= window
    }

    /// What was booked; begins anew.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.last))
    }

    fn worked(&self) -> Duration {
        self.outward + self.inward
    }

    fn total(&self) -> Duration {
        self.slept + self.worked()
    }

    /// True if there was next to no sleep, and either direction took its part.
    pub(crate) fn is_too_much(&self) -> bool {
        self.slept * 10 < self.total() && self.outward.min(self.inward) * 4 > self.total()
    }

    /// True if the inward direction would leave little to another one on the same thread.
    pub(crate) fn is_worth_a_thread(&self) -> bool {
        self.inward * 4 > self.total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(slept: u64, outward: u64, inward: u64) -> ThreadLoad {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut load = ThreadLoad::new(start);
        load.woke(start + ms(slept));
        load.book(PacketDirection::Out, start + ms(slept + outward));
        load.book(PacketDirection::In, start + ms(slept + outward + inward));
        load
    }

    #[test]
    fn a_thread_gets_busy_with_a_quarter_of_its_time_and_stays_so_down_to_a_tenth() {
        let mut pace = ThreadPace::new(false);
        for (slept, outward, inward, busy) in
            [(80, 10, 10, false), (75, 20, 5, true), (89, 1, 10, true), (95, 4, 1, false)]
        {
            pace.judge(&load(slept, outward, inward));
            assert_eq!(pace.busy, busy, "{slept} {outward} {inward}");
        }
    }

    #[test]
    fn only_a_busy_thread_that_expects_more_lets_packets_gather() {
        let rests = |busy, waited| {
            let mut pace = ThreadPace::new(false);
            pace.set_busy(busy);
            pace.waited(Duration::from_micros(waited));
            let begin = Instant::now();
            pace.rest();
            begin.elapsed() >= GATHER
        };
        assert!(rests(true, 150));
        assert!(!(rests(true, 250) && rests(true, 250) && rests(true, 250)));
        assert!(!(rests(false, 10) && rests(false, 10) && rests(false, 10)));
    }

    #[test]
    fn a_second_thread_is_for_two_busy_directions() {
        for (slept, outward, inward, is_too_much) in [
            (0, 6, 4, true),
            (0, 3, 7, true),
            // One direction and its acknowledgements.
            (0, 9, 1, false),
            (0, 1, 9, false),
            // Both, and time left.
            (4, 3, 3, false),
            (10, 0, 0, false),
        ] {
            let load = load(slept, outward, inward);
            assert_eq!(load.is_too_much(), is_too_much, "{load:?}");
        }
    }

    #[test]
    fn the_second_thread_gives_back_what_one_can_carry() {
        assert!(load(60, 0, 40).is_worth_a_thread());
        assert!(!load(80, 0, 20).is_worth_a_thread());
        assert!(!load(100, 0, 0).is_worth_a_thread());
    }

    #[test]
    fn what_was_booked_is_judged_once() {
        let mut load = load(1, 5, 5);
        assert!(
            load.is_over(Duration::from_millis(11)) && !load.is_over(Duration::from_millis(12))
        );
        assert_eq!(load.take().total(), Duration::from_millis(11));
        assert_eq!(load.total(), Duration::ZERO);
    }
}
