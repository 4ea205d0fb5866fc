//! How busy a thread is that carries packets, and how it goes about its work then.
//!
//! Owns the account of its time. A busy thread runs before all that are not real-time, where it may: what
//! waits for it stands in queues. It does so for a fifth of the time at most, and has a larger share than
//! others for the rest; on an only core neither. And it lets packets gather for a moment before it looks
//! again, which saves most of its awakenings.
//! Promises that a thread with little to do is woken at once and ranks as any other. Refuses to know
//! what is carried.

use std::sync::Once;
use std::time::{Duration, Instant};

use crate::linux::priority::{OwnRank, ThreadPriority};

/// How long packets gather.
const GATHER: Duration = Duration::from_micros(100);
/// More packets are expected after a wait that was shorter than this.
const SOON: Duration = Duration::from_micros(200);

/// For so long a busy thread runs first. With what it does between two looks at the clock it stays below
/// 10 ms: nobody who has a core with it waits longer.
const FIRST_FOR: Duration = Duration::from_millis(8);
/// Then others get their share for so long.
const SHARES_FOR: Duration = Duration::from_millis(40);

/// Whether there is a core for others while a busy thread runs first. On an only one, others would
/// wait for each packet that anybody sends here.
pub(crate) fn has_several_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

/// Whether the environment leaves it to busy threads to run first.
pub(crate) fn may_be_realtime() -> bool {
    std::env::var_os("ZONEMESH_DEBUG_NO_REALTIME").is_none_or(|value| value.is_empty())
}

/// What a thread does about its load.
#[derive(Debug)]
pub(crate) struct ThreadPace {
    /// It may run before others, as far as is known.
    realtime: bool,
    /// The same of a larger share.
    favoured: bool,
    busy: bool,
    expects: bool,
    rank: ThreadRank,
    priority: ThreadPriority,
    own: OwnRank,
}

/// How a busy thread ranks now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThreadRank {
    /// As any other, until it is busy.
    Ordinary,
    /// Before others, for what is left of its time.
    First { spent: Duration },
    /// With a larger share than others, for it has been first.
    SharesUntil(Instant),
}

impl ThreadRank {
    /// After `work` that ended `now`.
    fn after(self, work: Duration, now: Instant) -> Self {
        match self {
            Self::First { spent } if spent + work >= FIRST_FOR => {
                Self::SharesUntil(now + SHARES_FOR)
            }
            Self::First { spent } => Self::First { spent: spent + work },
            Self::SharesUntil(end) if now < end => self,
            Self::Ordinary | Self::SharesUntil(_) => Self::First { spent: Duration::ZERO },
        }
    }

    fn is_first(self) -> bool {
        matches!(self, Self::First { .. })
    }
}

impl ThreadPace {
    /// Of the calling thread.
    pub(crate) fn new(realtime: bool) -> Self {
        Self {
            own: OwnRank::of_this_thread(),
            realtime,
            favoured: realtime,
            busy: false,
            expects: false,
            rank: ThreadRank::Ordinary,
            priority: ThreadPriority::Ordinary,
        }
    }

    /// Becomes busy or idle, by what a stretch of time was spent on. What a busy thread is left to do
    /// looks less as soon as it ranks before others, so that little work is enough to stay busy.
    pub(crate) fn judge(&mut self, load: &ThreadLoad) {
        let share = if self.busy { 10 } else { 4 };
        self.set_busy(load.worked() * share >= load.total());
    }

    pub(crate) fn set_busy(&mut self, busy: bool) {
        self.busy = busy;
        if !busy {
            if self.rank.is_first() {
                self.rank = ThreadRank::Ordinary;
            }
            self.take(ThreadPriority::Ordinary);
        }
    }

    /// Has worked for so long, until `now`.
    pub(crate) fn worked(&mut self, work: Duration, now: Instant) {
        if !self.busy || !self.realtime {
            return;
        }
        self.rank = self.rank.after(work, now);
        self.take(match self.rank {
            ThreadRank::First { .. } => ThreadPriority::First,
            ThreadRank::SharesUntil(_) if self.favoured => ThreadPriority::Favoured,
            ThreadRank::SharesUntil(_) | ThreadRank::Ordinary => ThreadPriority::Ordinary,
        });
    }

    fn take(&mut self, priority: ThreadPriority) {
        if self.priority == priority {
            return;
        }
        let Err(error) = self.own.take(priority) else {
            self.priority = priority;
            return;
        };
        static SAID: [Once; 2] = [Once::new(), Once::new()];
        if priority == ThreadPriority::First {
            SAID[0].call_once(|| {
                tracing::info!(%error, "busy tunnel threads rank as any other; to run first they need LimitRTPRIO=1, in a container `--ulimit rtprio=1` and a real-time budget of its cgroup (cpu.rt_runtime_us)");
            });
            (self.realtime, self.rank) = (false, ThreadRank::Ordinary);
        } else {
            SAID[1].call_once(|| {
                tracing::info!(%error, "busy tunnel threads have the share of any other when they are not first; a larger one needs LimitNICE=-8 (eight less than the service's Nice=), in a container `--ulimit nice=28`");
            });
            // The scheduler was taken all the same: what was refused is the share.
            (self.favoured, self.priority) = (false, ThreadPriority::Ordinary);
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

    /// The end of what was booked last.
    pub(crate) fn last(&self) -> Instant {
        self.last
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

    /// The time for which a thread is first in each period of 50 ms, whenever that begins.
    fn most_first_in_50_ms(work: Duration, sleep: Duration) -> Duration {
        let (start, period) = (Instant::now(), Duration::from_millis(50));
        let (mut rank, mut now, mut firsts) = (ThreadRank::Ordinary, start, Vec::new());
        while now < start + Duration::from_secs(2) {
            if rank.is_first() {
                firsts.push((now, now + work));
            }
            now += work;
            rank = rank.after(work, now);
            now += sleep;
        }
        let within = |from: Instant| -> Duration {
            let overlap = |(begin, end): &(Instant, Instant)| {
                (*end).min(from + period).saturating_duration_since((*begin).max(from))
            };
            firsts.iter().map(overlap).sum()
        };
        firsts.iter().map(|(begin, _)| within(*begin)).max().unwrap_or_default()
    }

    #[test]
    fn a_thread_is_first_for_ten_of_any_fifty_milliseconds_at_most() {
        let micros = Duration::from_micros;
        for (work, sleep) in [(50, 0), (500, 0), (1_900, 0), (500, 100), (1_000, 1_000), (40, 60)] {
            let most = most_first_in_50_ms(micros(work), micros(sleep));
            assert!(most <= Duration::from_millis(10), "{work} {sleep}: {most:?}");
            assert!(most >= Duration::from_millis(6), "{work} {sleep}: {most:?}");
        }
    }

    #[test]
    fn a_thread_that_is_not_busy_or_may_not_is_never_first() {
        let now = Instant::now();
        for (busy, realtime) in [(false, true), (true, false)] {
            let mut pace = ThreadPace { realtime, ..ThreadPace::new(false) };
            pace.set_busy(busy);
            pace.worked(Duration::from_millis(1), now);
            assert!(!pace.rank.is_first());
            assert_eq!(pace.priority, ThreadPriority::Ordinary);
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
