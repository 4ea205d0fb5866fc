//! How far a neighbour's clock is from ours, from the times that its messages carry.
//!
//! As in NTP (RFC 5905, section 8): with the four times of an exchange the offset is known to half
//! of the round trip. For people and for Flower, which refuses a SuperNode whose clock is ahead;
//! nothing in the registry depends on it.

use crate::time::UnixMillis;

/// Times that a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockStamp {
    /// When it left, by the sender's clock.
    pub sent_at: UnixMillis,
    /// The last message that the sender has received.
    pub echo: Option<ClockEcho>,
}

/// The two times of a message that is echoed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockEcho {
    /// When it left, by the clock of who reads this.
    pub sent_at: UnixMillis,
    /// When it arrived, by the clock of who writes this.
    pub received_at: UnixMillis,
}

/// The neighbour's clock minus ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// Milliseconds; positive if the neighbour is ahead.
    pub millis: i64,
    /// The estimate is off by at most half of this; `None` until a message was echoed: then the
    /// offset is too low by the one-way delay.
    pub round_trip_ms: Option<u64>,
}

/// Estimates the offset over the life of a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Estimator {
    last: Option<ClockEcho>,
    offset: Option<ClockOffset>,
    estimated_at: UnixMillis,
}

/// How much two clocks may go apart: a thousandth is more than any machine's do.
const DRIFT: u64 = 1000;

impl ClockOffset {
    /// How far the clocks are apart at least, whatever the way took: what waited in an outage says little.
    #[must_use]
    pub fn at_least_ms(&self) -> i64 {
        let unsure = self.round_trip_ms.map_or(0, |trip| trip / 2);
        let sure = self.millis.unsigned_abs().saturating_sub(unsure);
        i64::try_from(sure).unwrap_or(i64::MAX).saturating_mul(self.millis.signum())
    }

    /// By how much it is off at most, so long after it was made.
    fn error(&self, age_ms: u64) -> u64 {
        self.round_trip_ms.map_or(u64::MAX, |trip| (trip / 2).saturating_add(age_ms / DRIFT))
    }

    /// True if a later one is the better one: nearer, or one that says that a clock was set.
    fn gives_way_to(&self, fresh: &Self, age_ms: u64) -> bool {
        let (old, new) = (self.error(age_ms), fresh.error(0));
        new <= old || self.millis.abs_diff(fresh.millis) > old.saturating_add(new)
    }
}

impl Estimator {
    /// The clock of a message that leaves now.
    pub(super) fn stamp(&self, now: UnixMillis) -> ClockStamp {
        ClockStamp { sent_at: now, echo: self.last }
    }

    /// Takes the clock of a message that arrived now.
    pub(super) fn handle(&mut self, clock: ClockStamp, now: UnixMillis) {
        self.last = Some(ClockEcho { sent_at: clock.sent_at, received_at: now });
        let fresh = match clock.echo {
            Some(echo) => midpoint(clock.sent_at, echo, now),
            None => ClockOffset { millis: clock.sent_at.offset_from(now), round_trip_ms: None },
        };
        let age = now.0.abs_diff(self.estimated_at.0);
        if self.offset.is_none_or(|kept| kept.gives_way_to(&fresh, age)) {
            self.offset = Some(fresh);
            self.estimated_at = now;
        }
    }

    pub(super) fn offset(&self) -> Option<ClockOffset> {
        self.offset
    }
}

/// RFC 5905: offset = ((T2 - T1) + (T3 - T4)) / 2, delay = (T4 - T1) - (T3 - T2).
fn midpoint(sent_at: UnixMillis, echo: ClockEcho, now: UnixMillis) -> ClockOffset {
    let there = i128::from(echo.received_at.offset_from(echo.sent_at));
    let back = i128::from(sent_at.offset_from(now));
    let delay = i128::from(now.offset_from(echo.sent_at))
        - i128::from(sent_at.offset_from(echo.received_at));
    let millis = (there + back) / 2;
    ClockOffset {
        millis: i64::try_from(millis).unwrap_or(if millis < 0 { i64::MIN } else { i64::MAX }),
        round_trip_ms: u64::try_from(delay.max(0)).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A neighbour whose clock is `ahead` ms ahead, `one_way` ms away, that answers after `hold`.
    fn exchange(ahead: u64, one_way: u64, hold: u64) -> ClockOffset {
        let start = 1_000_000;
        let there = start + one_way + ahead;
        let mut estimator = Estimator::default();
        let answer = ClockStamp {
            sent_at: UnixMillis(there + hold),
            echo: Some(ClockEcho { sent_at: UnixMillis(start), received_at: UnixMillis(there) }),
        };
        estimator.handle(answer, UnixMillis(start + 2 * one_way + hold));
        estimator.offset().unwrap()
    }

    #[test]
    fn an_echo_gives_the_offset_whatever_the_delay_and_the_pause() {
        for (ahead, one_way, hold) in [(0, 0, 0), (5_000, 60, 0), (5_000, 60, 30_000)] {
            let offset = exchange(ahead, one_way, hold);
            assert_eq!(offset.millis, ahead as i64);
            assert_eq!(offset.round_trip_ms, Some(2 * one_way));
        }
    }

    #[test]
    fn without_an_echo_the_one_way_delay_is_an_error_that_is_told() {
        let mut estimator = Estimator::default();
        let hello = ClockStamp { sent_at: UnixMillis(9_000), echo: None };
        estimator.handle(hello, UnixMillis(10_000));
        let offset = estimator.offset().unwrap();
        assert_eq!((offset.millis, offset.round_trip_ms), (-1_000, None));
    }

    /// Messages of one stream, at these times, each answering the one before after `ways` there and back.
    fn after(messages: &[(u64, u64, u64, u64)]) -> ClockOffset {
        let mut estimator = Estimator::default();
        for (start, there, back, ahead) in messages {
            let received_at = UnixMillis(start + there + ahead);
            let echo = Some(ClockEcho { sent_at: UnixMillis(*start), received_at });
            estimator.handle(
                ClockStamp { sent_at: received_at, echo },
                UnixMillis(start + there + back),
            );
        }
        estimator.offset().unwrap()
    }

    #[test]
    fn what_waited_in_an_outage_is_no_offset_and_a_clock_that_was_set_is_one() {
        let good = (1_000_000, 1, 1, 0);
        let late = (1_200_000, 0, 25_000, 0);
        assert_eq!(after(&[good, late]).millis, 0);
        assert_eq!(after(&[late]).at_least_ms(), 0, "off by 12.5 s, and as much unsure");
        assert_eq!(after(&[good, (1_030_000, 1, 1, 9_000)]).at_least_ms(), 8_999);
        // Set while messages waited: as far as it is sure.
        assert_eq!(after(&[good, (1_030_000, 0, 4_000, 60_000)]).at_least_ms(), 56_000);
    }

    #[test]
    fn a_clock_that_drifts_is_followed() {
        let way = |at: u64, ahead: u64| (1_000_000 + at, 1, 1, ahead);
        assert_eq!(after(&[way(0, 0), way(30_000, 9), way(60_000, 18)]).millis, 18);
        let slower = (1_090_000, 40, 40, 30);
        assert_eq!(after(&[way(0, 0), slower]).millis, 30, "older by more than it is worse");
    }

    #[test]
    fn hostile_times_neither_panic_nor_wrap() {
        let extremes = [0, 1, u64::MAX / 2, u64::MAX].map(UnixMillis);
        for sent_at in extremes {
            for received_at in extremes {
                for now in extremes {
                    let echo = Some(ClockEcho { sent_at: now, received_at });
                    let mut estimator = Estimator::default();
                    estimator.handle(ClockStamp { sent_at, echo }, now);
                    assert!(estimator.offset().is_some());
                }
            }
        }
    }
}
