//! Up, degraded or down, and why: the state of a path with its thresholds.
//!
//! Entering a worse state takes more evidence than one lost probe, and leaving it takes more than
//! one answer, so that a path at the edge does not flap. Silence counts as down only after several
//! probes went out into it.

use std::fmt;
use std::time::Duration;

use super::quality::{LossyWay, ProbeLoss};
use super::refusal::SendRefusal;

/// A session is good for this long after its handshake: WireGuard's REJECT_AFTER_TIME.
pub const SESSION_LIFE: Duration = Duration::from_secs(180);

/// Down takes silence of this much beyond the usual distance of two probes, ...
const SILENCE: Duration = Duration::from_secs(5);
/// ... in which at least this many probes were sent or had no session to be sent in.
const SILENT_PROBES: u32 = 8;
/// A peer that answers no probes, but hears them, sends a keepalive within 10 s (WireGuard's
/// KEEPALIVE_TIMEOUT), and answers each initiation. Down takes that it does neither: nothing for so
/// long, and so many initiations without an answer.
const UNHEARD: Duration = Duration::from_secs(20);
const UNANSWERED: u64 = 2;
/// Up again takes this many answers in a row.
const ANSWERS: u32 = 3;
/// Degraded from this loss on, in thousandths, ...
const LOSS_DEGRADED: u32 = 50;
/// ... which is seen in at least so many probes, and was seen so many times: probes that are lost in a
/// row are an interruption, which is over when the next one is answered.
const LOSS_OF: u32 = 20;
const TIMES_LOST: u32 = 3;
/// A path with more silence than this is not judged by its loss: it may be about to be down.
const SILENT_A_LITTLE: u32 = 2;
/// Up again at this loss, or when it was seen so many times, and not sooner than after this time.
const LOSS_UP: u32 = 20;
const TIMES_UP: u32 = 1;
const DWELL: Duration = Duration::from_secs(10);

/// The state of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathState {
    /// Nothing was ever heard of the peer.
    #[default]
    Never,
    /// Packets pass.
    Up,
    /// Packets pass, but too many are lost.
    Degraded,
    /// Nothing passes.
    Down,
    /// The peer has said goodbye: it was stopped, and nothing is wrong with the path.
    Stopped,
}

impl PathState {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a state was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathReason {
    /// A handshake was completed.
    Handshake,
    /// Probes are answered.
    Answers,
    /// Loss fell, to so many thousandths.
    LossGone(u32),
    /// Loss, in thousandths, and on which way most of it is, if that is known.
    Loss(u32, Option<LossyWay>),
    /// So many probes had no answer for this long, though there is a session.
    Silence {
        /// Probes sent since the last answer.
        probes: u32,
        /// Time since the last answer.
        time: Duration,
        /// True if the peer's packets arrive all the same.
        is_heard: bool,
    },
    /// So many handshake initiations have no answer.
    Handshakes(u64),
    /// The last handshake is too old, and nothing else is known of the peer.
    Expired,
    /// The peer has said that it stops.
    Goodbye,
    /// This machine refuses to send to it.
    Refused(SendRefusal),
}

impl fmt::Display for PathReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |permille: u32| format!("{}.{} %", permille / 10, permille % 10);
        match self {
            Self::Handshake => write!(f, "handshake completed"),
            Self::Answers => write!(f, "probes are answered"),
            Self::LossGone(permille) => write!(f, "loss fell to {}", percent(*permille)),
            Self::Loss(permille, way) => {
                let way = match way {
                    Some(LossyWay::There) => " on the way there",
                    Some(LossyWay::Back) => " on the way back",
                    None => "",
                };
                write!(f, "loss of {}{way}", percent(*permille))
            }
            Self::Silence { probes, time, is_heard } => {
                let heard = if *is_heard { "though its packets arrive" } else { "nothing arrives" };
                write!(f, "{probes} probes without an answer in {} s, {heard}", time.as_secs())
            }
            Self::Handshakes(1) => write!(f, "1 handshake initiation unanswered"),
            Self::Handshakes(count) => write!(f, "{count} handshake initiations unanswered"),
            Self::Expired => write!(f, "no handshake for {} s", SESSION_LIFE.as_secs()),
            Self::Goodbye => write!(f, "it said goodbye"),
            Self::Refused(refusal) => write!(f, "sending is refused: {refusal}"),
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathChange {
    /// The state before.
    pub from: PathState,
    /// The state now.
    pub to: PathState,
    /// Why.
    pub reason: PathReason,
}

/// What is known of a path at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct PathObservation {
    /// Age of the last completed handshake.
    pub handshake_age: Option<Duration>,
    /// Handshake initiations since then.
    pub unanswered: u64,
    /// Why this machine has refused the last datagram to the peer, if it has.
    pub refused: Option<SendRefusal>,
    /// Probes that it has refused in a row.
    pub refused_in_a_row: u32,
    /// Time since the last answer to a probe; `None` if none was ever answered.
    pub silence: Option<Duration>,
    /// Probes sent, or without a session to be sent in, since that answer.
    pub probes_in_silence: u32,
    /// True if the peer's packets have gone on to arrive in this silence.
    pub is_heard: bool,
    /// Time since anything came from the peer.
    pub heard_ago: Option<Duration>,
    /// Answers since the last probe that was lost.
    pub answers_in_a_row: u32,
    /// Loss over the last probes.
    pub loss: ProbeLoss,
    /// How often something was lost, as [`PathQuality::times_lost`] counts it.
    ///
    /// [`PathQuality::times_lost`]: super::quality::PathQuality::times_lost
    pub times_lost: u32,
    /// On which way most of it is.
    pub lossy_way: Option<LossyWay>,
    /// The usual distance of two probes.
    pub interval: Duration,
    /// The peer has said goodbye, and there was no handshake since.
    pub said_goodbye: bool,
}

/// The state of one path.
#[derive(Debug, Clone, Default)]
pub struct PathHealth {
    state: PathState,
    since: Duration,
    reason: Option<PathReason>,
}

impl PathHealth {
    /// The state now.
    #[must_use]
    pub fn state(&self) -> PathState {
        self.state
    }

    /// Why the state was entered; `None` while it is [`PathState::Never`].
    #[must_use]
    pub fn reason(&self) -> Option<PathReason> {
        self.reason
    }

    /// Takes what is known now; returns the change that follows from it, if any.
    pub fn observe(&mut self, seen: &PathObservation, now: Duration) -> Option<PathChange> {
        let (to, reason) = match seen.silence {
            _ if seen.said_goodbye && seen.answers_in_a_row < ANSWERS => {
                let is_new = self.state != PathState::Stopped;
                is_new.then_some((PathState::Stopped, PathReason::Goodbye))?
            }
            None => self.by_handshake(seen)?,
            Some(silence) => self.by_probes(seen, silence, now)?,
        };
        let change = PathChange { from: self.state, to, reason };
        (self.state, self.since, self.reason) = (to, now, Some(reason));
        Some(change)
    }

    /// The peer does not answer probes: only handshakes tell.
    fn by_handshake(&self, seen: &PathObservation) -> Option<(PathState, PathReason)> {
        let is_heard = seen.heard_ago.is_some_and(|ago| ago < UNHEARD);
        let is_up = seen.handshake_age.is_some_and(|age| age < SESSION_LIFE)
            && (is_heard || seen.unanswered < UNANSWERED)
            && seen.refused_in_a_row < SILENT_PROBES;
        match (self.state, is_up) {
            (PathState::Never | PathState::Down | PathState::Stopped, true) => {
                Some((PathState::Up, PathReason::Handshake))
            }
            (PathState::Up | PathState::Degraded, false) => Some((
                PathState::Down,
                match (seen.refused, seen.unanswered) {
                    (Some(refusal), _) => PathReason::Refused(refusal),
                    (None, 0) => PathReason::Expired,
                    (None, count) => PathReason::Handshakes(count),
                },
            )),
            _ => None,
        }
    }

    fn by_probes(
        &self,
        seen: &PathObservation,
        silence: Duration,
        now: Duration,
    ) -> Option<(PathState, PathReason)> {
        let is_silent =
            silence >= SILENCE + seen.interval && seen.probes_in_silence >= SILENT_PROBES;
        let permille = seen.loss.permille().unwrap_or(0);
        match self.state {
            PathState::Never => Some((PathState::Up, PathReason::Answers)),
            PathState::Down | PathState::Stopped if seen.answers_in_a_row >= ANSWERS => {
                Some((PathState::Up, PathReason::Answers))
            }
            PathState::Down => None,
            PathState::Up | PathState::Degraded | PathState::Stopped if is_silent => Some((
                PathState::Down,
                match (seen.refused, seen.unanswered) {
                    (Some(refusal), _) => PathReason::Refused(refusal),
                    (None, count @ 1..) if !seen.is_heard => PathReason::Handshakes(count),
                    (None, _) => PathReason::Silence {
                        probes: seen.probes_in_silence,
                        time: silence,
                        is_heard: seen.is_heard,
                    },
                },
            )),
            PathState::Stopped => None,
            PathState::Up => {
                let enough = seen.loss.of >= LOSS_OF
                    && seen.times_lost >= TIMES_LOST
                    && seen.probes_in_silence <= SILENT_A_LITTLE;
                let is_lossy = enough && permille >= LOSS_DEGRADED;
                is_lossy
                    .then_some((PathState::Degraded, PathReason::Loss(permille, seen.lossy_way)))
            }
            PathState::Degraded => {
                let has_dwelt = now.saturating_sub(self.since) >= DWELL;
                let is_good = has_dwelt && (permille <= LOSS_UP || seen.times_lost <= TIMES_UP);
                is_good.then_some((PathState::Up, PathReason::LossGone(permille)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
