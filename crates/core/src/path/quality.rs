//! Delay, loss and jitter of a path over the last probes.
//!
//! A probe is lost if its answer has not come within [`PROBE_PATIENCE`]; what comes later counts no
//! more. Loss is that of the whole round, there and back; which way it is, is known of a peer that tells
//! how many probes have come in. The smoothed delay follows RFC 6298,
//! jitter is the mean difference of delays that follow each other.

use std::collections::VecDeque;
use std::time::Duration;

/// An answer that takes longer counts as lost.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(2);
/// Probes that loss and jitter are counted over.
pub const PROBE_LENGTH: usize = 100;

/// What became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeFate {
    Waiting,
    Answered {
        delay: Duration,
        /// How many probes the peer had heard then, if it told.
        heard: Option<u32>,
    },
    Lost,
}

#[derive(Debug, Clone, Copy)]
struct SentProbe {
    number: u32,
    sent: Duration,
    fate: ProbeFate,
    /// False for one that was sent because others were lost: it would count the loss twice.
    counts: bool,
    /// How many had been sent before it.
    sent_before: u32,
}

/// How many probes were lost of those whose fate is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProbeLoss {
    /// Probes without an answer.
    pub lost: u32,
    /// Probes that were answered or lost.
    pub of: u32,
}

impl ProbeLoss {
    /// In thousandths; `None` before the first fate is known.
    #[must_use]
    pub fn permille(self) -> Option<u32> {
        (self.lost * 1000).checked_div(self.of)
    }
}

/// On which way most of the loss is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossyWay {
    /// Probes do not arrive.
    There,
    /// Their answers do not.
    Back,
}

/// The last probes of one path.
#[derive(Debug, Clone, Default)]
pub struct PathQuality {
    probes: VecDeque<SentProbe>,
    sent: u32,
    smoothed: Option<Duration>,
}

impl PathQuality {
    /// Notes that a probe was sent. One that was sent out of turn does not count for the loss.
    pub fn sent(&mut self, number: u32, now: Duration, counts: bool) {
        let (sent_before, fate) = (self.sent, ProbeFate::Waiting);
        self.probes.push_back(SentProbe { number, sent: now, fate, counts, sent_before });
        self.sent = self.sent.wrapping_add(1);
        while self.probes.iter().filter(|probe| probe.counts).count() > PROBE_LENGTH
            || self.probes.len() > 2 * PROBE_LENGTH
        {
            self.probes.pop_front();
        }
    }

    /// Notes a probe that this machine has refused to send: it is lost, and nobody waits for it.
    pub fn refused(&mut self, number: u32, now: Duration, counts: bool) {
        self.sent(number, now, counts);
        if let Some(probe) = self.probes.back_mut() {
            probe.fate = ProbeFate::Lost;
        }
    }

    /// Notes an answer and returns its delay; `None` if it counts for nothing: unknown, late, twice.
    /// `heard` is how many probes the peer has heard.
    pub fn answered(&mut self, number: u32, heard: Option<u32>, now: Duration) -> Option<Duration> {
        self.expire(now);
        let mut waiting = self.probes.iter_mut().filter(|probe| probe.fate == ProbeFate::Waiting);
        let probe = waiting.find(|probe| probe.number == number)?;
        let delay = now.saturating_sub(probe.sent);
        probe.fate = ProbeFate::Answered { delay, heard };
        self.smoothed = Some(self.smoothed.map_or(delay, |old| (old * 7 + delay) / 8));
        Some(delay)
    }

    /// Gives up what has waited for too long.
    pub fn expire(&mut self, now: Duration) {
        for probe in &mut self.probes {
            if probe.fate == ProbeFate::Waiting && now.saturating_sub(probe.sent) > PROBE_PATIENCE {
                probe.fate = ProbeFate::Lost;
            }
        }
    }

    /// Forgets everything: the path is another one now.
    pub fn clear(&mut self) {
        *self = Self { sent: self.sent, ..Self::default() };
    }

    /// The way that loses three quarters of what is lost, if one does and it is known.
    #[must_use]
    pub fn lossy_way(&self) -> Option<LossyWay> {
        let mut told = self.probes.iter().filter_map(|probe| match probe.fate {
            ProbeFate::Answered { heard: Some(heard), .. } => Some((probe.sent_before, heard)),
            _ => None,
        });
        let first = told.next()?;
        let last = told.next_back().unwrap_or(first);
        let sent = last.0.wrapping_sub(first.0);
        // A peer that was started anew has begun to count.
        let heard = last.1.checked_sub(first.1).filter(|heard| *heard <= sent)?;
        let is_between = |probe: &&SentProbe| {
            probe.sent_before.wrapping_sub(first.0) < sent && probe.fate == ProbeFate::Lost
        };
        let lost = u32::try_from(self.probes.iter().filter(is_between).count()).unwrap_or(0);
        let there = sent - heard;
        let back = lost.saturating_sub(there);
        match lost {
            0 => None,
            _ if there * 4 >= lost * 3 => Some(LossyWay::There),
            _ if back * 4 >= lost * 3 => Some(LossyWay::Back),
            _ => None,
        }
    }

    /// The smoothed delay of a round; `None` before the first answer.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.smoothed
    }

    /// Loss over the last probes.
    #[must_use]
    pub fn loss(&self) -> ProbeLoss {
        let count = |wanted: fn(&ProbeFate) -> bool| {
            let counted = self.probes.iter().filter(|probe| probe.counts);
            let probes = counted.filter(|probe| wanted(&probe.fate)).count();
            u32::try_from(probes).unwrap_or(u32::MAX)
        };
        ProbeLoss {
            lost: count(|fate| matches!(fate, ProbeFate::Lost)),
            of: count(|fate| !matches!(fate, ProbeFate::Waiting)),
        }
    }

    /// How often something was lost: probes that were lost in a row are one time.
    #[must_use]
    pub fn times_lost(&self) -> u32 {
        let known = self.probes.iter().filter(|probe| probe.fate != ProbeFate::Waiting);
        let (mut times, mut was_lost) = (0_u32, false);
        for probe in known {
            let is_lost = probe.fate == ProbeFate::Lost;
            times += u32::from(is_lost && !was_lost);
            was_lost = is_lost;
        }
        times
    }

    /// The mean difference of delays that follow each other; `None` before the second answer.
    #[must_use]
    pub fn jitter(&self) -> Option<Duration> {
        let delays: Vec<Duration> = self
            .probes
            .iter()
            .filter_map(|probe| match probe.fate {
                ProbeFate::Answered { delay, .. } => Some(delay),
                _ => None,
            })
            .collect();
        let steps = u32::try_from(delays.len().checked_sub(1)?).ok().filter(|steps| *steps > 0)?;
        let sum: Duration = delays.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum();
        Some(sum / steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn loss_is_counted_over_probes_whose_fate_is_known() {
        let mut quality = PathQuality::default();
        for number in 0..20 {
            let at = ms(u64::from(number) * 100);
            quality.sent(number, at, true);
            if number % 10 != 0 {
                assert_eq!(quality.answered(number, None, at + ms(30)), Some(ms(30)));
            }
        }
        assert_eq!(quality.loss(), ProbeLoss { lost: 0, of: 18 });
        quality.expire(ms(60_000));
        assert_eq!(quality.loss(), ProbeLoss { lost: 2, of: 20 });
        assert_eq!(quality.loss().permille(), Some(100));
    }

    #[test]
    fn probes_that_are_lost_in_a_row_are_lost_once() {
        let mut quality = PathQuality::default();
        for number in 0..40 {
            let at = ms(u64::from(number) * 1000);
            quality.sent(number, at, true);
            if !matches!(number, 3 | 10..=14 | 20) {
                quality.answered(number, None, at + ms(30));
            }
        }
        quality.sent(40, ms(40_000), true);
        assert_eq!((quality.loss().lost, quality.times_lost()), (7, 3));
    }

    #[test]
    fn only_the_last_probes_count() {
        let mut quality = PathQuality::default();
        for number in 0..300 {
            let at = ms(u64::from(number) * 1000);
            quality.sent(number, at, true);
            if number >= 150 {
                quality.answered(number, None, at + ms(10));
            }
        }
        assert_eq!(quality.loss(), ProbeLoss { lost: 0, of: 100 });
    }

    /// Which probes are lost, by their numbers.
    type Loses = fn(u32) -> bool;

    /// 60 probes; the peer counts those that arrive, and some answers are lost on their way back.
    fn exchange(is_lost_there: Loses, is_lost_back: Loses) -> PathQuality {
        let (mut quality, mut heard) = (PathQuality::default(), 700);
        for number in 0..60 {
            let at = ms(u64::from(number) * 1000);
            quality.sent(number, at, true);
            if is_lost_there(number) {
                continue;
            }
            heard += 1;
            if !is_lost_back(number) {
                quality.answered(number, Some(heard), at + ms(20));
            }
        }
        quality.expire(ms(600_000));
        quality
    }

    #[test]
    fn the_way_that_loses_is_known_from_what_the_peer_has_heard() {
        let (never, fifth): (Loses, Loses) = (|_| false, |n| n % 5 == 3);
        assert_eq!(exchange(never, never).lossy_way(), None);
        assert_eq!(exchange(fifth, never).lossy_way(), Some(LossyWay::There));
        assert_eq!(exchange(never, fifth).lossy_way(), Some(LossyWay::Back));
        assert_eq!(exchange(fifth, |n| n % 5 == 1).lossy_way(), None, "both lose as much");
    }

    #[test]
    fn a_peer_that_tells_nothing_or_counts_anew_blames_no_way() {
        let mut quality = PathQuality::default();
        for number in 0..20_u32 {
            let at = ms(u64::from(number) * 1000);
            quality.sent(number, at, true);
            let heard = (number >= 10).then_some(number % 15);
            if number % 5 != 3 {
                quality.answered(number, heard, at + ms(20));
            }
        }
        quality.expire(ms(600_000));
        assert_eq!(quality.lossy_way(), None);
    }

    #[test]
    fn probes_out_of_turn_do_not_count_for_the_loss() {
        let mut quality = PathQuality::default();
        quality.sent(1, ms(0), true);
        quality.sent(2, ms(250), false);
        quality.sent(3, ms(1000), true);
        assert_eq!(quality.answered(3, None, ms(1010)), Some(ms(10)));
        quality.expire(ms(9000));
        assert_eq!(quality.loss(), ProbeLoss { lost: 1, of: 2 });
    }

    #[test]
    fn late_double_and_unknown_answers_count_for_nothing() {
        let mut quality = PathQuality::default();
        quality.sent(1, ms(0), true);
        quality.sent(2, ms(0), true);
        assert_eq!(quality.answered(1, None, ms(20)), Some(ms(20)));
        assert_eq!(quality.answered(1, None, ms(30)), None);
        assert_eq!(quality.answered(2, None, ms(2001)), None);
        assert_eq!(quality.answered(7, None, ms(40)), None);
        assert_eq!(quality.loss(), ProbeLoss { lost: 1, of: 2 });
    }

    #[test]
    fn jitter_is_the_mean_difference_and_the_delay_is_smoothed() {
        let mut quality = PathQuality::default();
        assert_eq!((quality.delay(), quality.jitter()), (None, None));
        for (number, delay) in [40, 60, 40, 60].into_iter().enumerate() {
            let number = u32::try_from(number).unwrap();
            quality.sent(number, ms(1000), true);
            quality.answered(number, None, ms(1000 + delay));
        }
        assert_eq!(quality.jitter(), Some(ms(20)));
        let delay = quality.delay().unwrap();
        assert!(delay > ms(40) && delay < ms(50), "{delay:?}");
    }
}
