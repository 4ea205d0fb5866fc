//! The largest packet that passes to a peer: searched with padded probes, watched, raised again.
//!
//! The ceiling is what the underlay's MTU leaves. It is used until probes of that size vanish while
//! small ones are answered: a black hole. Then eight sizes at a time are tried until the border is
//! known to the byte, and used from the first round on. It is believed once the two sizes were sent side
//! by side and only the smaller one passed: a path that is away for a second at a time looks like a
//! hole to each round alone. All that takes some five seconds. Loss of single probes decides nothing.
//! Later probes raise the size again. After RFC 8899 (DPLPMTUD), with several sizes at once.

use std::time::Duration;

/// No path is taken to be smaller: every IPv4 host takes so much (RFC 791).
pub const SMALLEST_MTU: u16 = 576;
/// How often the size in use is checked; every second time a larger one is tried, if there is one.
pub const MTU_CHECK_EVERY: Duration = Duration::from_secs(10);
/// How soon a check is tried again if nothing at all was answered meanwhile.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a round without any answer waits for a small one, which tells a hole from a dead path:
/// longer than small probes are apart.
const PROOF: Duration = Duration::from_secs(6);
/// Copies of each probe before its size is taken not to pass.
const COPIES: u32 = 3;
/// Copies of the last round, and how many of them have to be answered.
const PROOFS: u32 = 6;
const PROVEN: u32 = 3;
/// Sizes that are tried at once.
const SIZES: u16 = 8;
/// Bounds of the wait between copies.
const WAIT_LEAST: Duration = Duration::from_millis(200);
const WAIT_MOST: Duration = Duration::from_secs(2);

/// The size in use was settled anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MtuChange {
    /// What was in use before.
    pub from: u16,
    /// The largest packet that passes.
    pub to: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RoundKind {
    /// Does the size in use pass?
    Check,
    /// Does a larger one?
    Raise,
    /// Where is the border?
    Search,
    /// Does the size that was found pass, side by side with the one before, which does not?
    Confirm,
}

#[derive(Debug, Clone)]
struct SearchRound {
    kind: RoundKind,
    began: Duration,
    sizes: Vec<u16>,
    /// The largest that is known to pass, and the smallest that is known not to.
    low: u16,
    high: u16,
    copies: u32,
    next: Duration,
    /// What is sent beside all sizes, and how often it was answered.
    control: Option<u16>,
    answered: u32,
}

/// The search for the MTU of one path.
#[derive(Debug, Clone)]
pub struct MtuSearch {
    ceiling: u16,
    /// In use. Below the truth while a search goes on, so that packets pass meanwhile.
    mtu: u16,
    /// What the last search that ended has found: only this makes an event, and it is what a search
    /// that is cut off falls back to.
    settled: u16,
    confirmed: bool,
    round: Option<SearchRound>,
    next: Duration,
    /// Checks and raises take turns: a raise alone would not notice that the size in use has
    /// stopped to pass.
    raise_next: bool,
}

impl MtuSearch {
    /// Begins with `ceiling`, unconfirmed.
    #[must_use]
    pub fn new(ceiling: u16) -> Self {
        let ceiling = ceiling.max(SMALLEST_MTU);
        Self {
            ceiling,
            mtu: ceiling,
            settled: ceiling,
            confirmed: false,
            round: None,
            next: Duration::ZERO,
            raise_next: false,
        }
    }

    /// The largest packet to be sent now.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// What the underlay would allow.
    #[must_use]
    pub fn ceiling(&self) -> u16 {
        self.ceiling
    }

    /// True once a probe of the size in use was answered.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// True if less passes than the underlay would allow. A search that goes on says nothing yet.
    #[must_use]
    pub fn is_black_hole(&self) -> bool {
        self.settled < self.ceiling
    }

    /// Takes another ceiling; what was found below it stays until it is raised.
    pub fn set_ceiling(&mut self, ceiling: u16, now: Duration) {
        let ceiling = ceiling.max(SMALLEST_MTU);
        if ceiling == self.ceiling {
            return;
        }
        if !self.is_black_hole() || self.settled > ceiling {
            (self.mtu, self.settled, self.confirmed) = (ceiling, ceiling, false);
        }
        self.ceiling = ceiling;
        self.restart(now);
    }

    /// Checks at once: the path may be another one.
    pub fn restart(&mut self, now: Duration) {
        self.round = None;
        self.mtu = self.settled;
        self.next = now;
        self.raise_next = self.is_black_hole();
    }

    /// A packet of this size has passed.
    pub fn handle_answer(&mut self, size: u16) {
        if let Some(round) = &mut self.round {
            round.low = round.low.max(size.min(self.ceiling));
            round.answered += u32::from(round.control == Some(size));
        }
    }

    /// The sizes to probe now, and what was settled. `delay` is the path's usual delay, `alive_at`
    /// the time of the last answer to a small probe.
    pub fn poll(
        &mut self,
        now: Duration,
        delay: Duration,
        alive_at: Duration,
    ) -> (Vec<u16>, Option<MtuChange>) {
        let mut settled = None;
        if self.round.as_ref().is_some_and(|round| round.is_decided(now, alive_at)) {
            settled = self.end_round(now, alive_at);
        }
        if self.round.is_none() && now >= self.next {
            self.begin(now);
        }
        let due = self.round.as_mut().filter(|round| round.copies > 0 && now >= round.next);
        let Some(round) = due else {
            return (Vec::new(), settled);
        };
        round.copies -= 1;
        round.next = now + (delay * 3).clamp(WAIT_LEAST, WAIT_MOST);
        let wanted = round.sizes.iter().copied().filter(|size| *size > round.low);
        (round.control.into_iter().chain(wanted).collect(), settled)
    }

    fn begin(&mut self, now: Duration) {
        let raises = self.raise_next && self.is_black_hole();
        self.raise_next = !raises;
        self.round = Some(if raises {
            let (low, high) = (self.mtu, self.ceiling + 1);
            SearchRound::new(RoundKind::Raise, (low, high), now)
        } else {
            let sizes = vec![self.mtu];
            SearchRound {
                sizes,
                ..SearchRound::new(RoundKind::Check, (SMALLEST_MTU - 1, self.mtu + 1), now)
            }
        });
    }

    fn end_round(&mut self, now: Duration, alive_at: Duration) -> Option<MtuChange> {
        let round = self.round.take()?;
        let (low, high) = (round.low, round.high());
        let passed = round.has_passed();
        self.next = now + MTU_CHECK_EVERY;
        match round.kind {
            RoundKind::Check if passed => return self.settle(self.mtu),
            RoundKind::Confirm if passed || !round.is_proven(alive_at) => {
                self.mtu = self.settled;
                self.next = now + AGAIN;
                return None;
            }
            RoundKind::Confirm => return self.settle(self.mtu),
            RoundKind::Raise if !passed => return None,
            // Nothing at all is answered: that is no matter of size. A search begins anew, not from
            // where it was cut off: less than the truth would stay in use.
            _ if !passed && alive_at <= round.began => {
                self.mtu = self.settled;
                self.next = now + AGAIN;
                return None;
            }
            RoundKind::Check => {
                // The size in use is asked for once more, now among others.
                let border = (SMALLEST_MTU - 1, self.mtu + 1);
                self.round = Some(SearchRound::new(RoundKind::Search, border, now));
                return None;
            }
            RoundKind::Raise | RoundKind::Search => {}
        }
        // Less than the truth, and enough for packets to pass meanwhile.
        self.mtu = low.max(SMALLEST_MTU);
        if high - low <= 1 {
            if self.mtu >= self.settled {
                return self.settle(self.mtu);
            }
            self.round = Some(SearchRound::confirming(low, self.settled, now));
            return None;
        }
        self.round = Some(SearchRound::new(RoundKind::Search, (low, high), now));
        None
    }

    fn settle(&mut self, mtu: u16) -> Option<MtuChange> {
        let from = std::mem::replace(&mut self.settled, mtu);
        self.mtu = mtu;
        self.confirmed = true;
        (from != mtu).then_some(MtuChange { from, to: mtu })
    }
}

impl SearchRound {
    fn new(kind: RoundKind, (low, high): (u16, u16), now: Duration) -> Self {
        // Nothing depends on a raise that is lost; a check that is lost would start a search.
        let copies = if kind == RoundKind::Raise { 1 } else { COPIES };
        let sizes = spread(low, high);
        let (control, answered) = (None, 0);
        Self { kind, began: now, sizes, low, high, copies, next: now, control, answered }
    }

    /// Does `low` pass and `before` not?
    fn confirming(low: u16, before: u16, now: Duration) -> Self {
        Self {
            sizes: vec![before],
            copies: PROOFS,
            control: (low >= SMALLEST_MTU).then_some(low),
            ..Self::new(RoundKind::Confirm, (low, before + 1), now)
        }
    }

    /// True if the path was there while the size before did not pass.
    fn is_proven(&self, alive_at: Duration) -> bool {
        match self.control {
            Some(_) => self.answered >= PROVEN,
            None => alive_at > self.began,
        }
    }

    /// The smallest size that is known not to pass: all sizes of a round are sent as often as each
    /// other, so that the ones above the largest answered one have had their chance.
    fn high(&self) -> u16 {
        self.sizes.iter().copied().find(|size| *size > self.low).unwrap_or(self.high)
    }

    /// True if one of its own sizes is the largest that is known to pass.
    fn has_passed(&self) -> bool {
        self.low >= SMALLEST_MTU && self.sizes.contains(&self.low)
    }

    fn is_over(&self, now: Duration) -> bool {
        let largest_passed = self.sizes.last().is_some_and(|size| *size <= self.low);
        largest_passed || (self.copies == 0 && now >= self.next)
    }

    /// True if it is over and what it says is clear, or will not become clear any more.
    fn is_decided(&self, now: Duration, alive_at: Duration) -> bool {
        let is_clear = self.has_passed() || alive_at > self.began;
        self.is_over(now) && (is_clear || now >= self.next + PROOF)
    }
}

/// Up to [`SIZES`] sizes above `low` and below `high`, evenly, the largest of them included.
fn spread(low: u16, high: u16) -> Vec<u16> {
    let room = u32::from(high - low - 1);
    let mut sizes: Vec<u16> = (1..=u32::from(SIZES))
        .map(|part| low + u16::try_from(room * part / u32::from(SIZES)).unwrap_or(0))
        .filter(|size| *size > low)
        .collect();
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests;
