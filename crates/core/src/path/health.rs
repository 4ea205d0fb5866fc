//! Up, degraded or down, and why: the state of a path with its thresholds.
//!
//! Entering a worse state takes more evidence than one lost probe, and leaving it takes more than
//! one answer, so that a path at the edge does not flap. Silence counts as down only after several
//! probes went out into it.

use std::fmt;
use std::time::Duration;

use super::quality::ProbeLoss;

/// A session is good for this long after its handshake: WireGuard's REJECT_AFTER_TIME.
pub const SESSION_LIFE: Duration = Duration::from_secs(180);

/// Down takes silence of this much beyond the usual distance of two probes, ...
const SILENCE: Duration = Duration::from_secs(5);
/// ... in which at least this many probes were sent or had no session to be sent in.
const SILENT_PROBES: u32 = 8;
/// Up again takes this many answers in a row.
const ANSWERS: u32 = 3;
/// Degraded from this loss on, in thousandths, ...
const LOSS_DEGRADED: u32 = 50;
/// ... which is seen in at least so many probes, of which so many were lost.
const LOSS_OF: u32 = 20;
const LOST: u32 = 3;
/// A path with more silence than this is not judged by its loss: it may be about to be down.
const SILENT_A_LITTLE: u32 = 2;
/// Up again at this loss, and not sooner than after this time.
const LOSS_UP: u32 = 20;
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
    /// Loss, in thousandths.
    Loss(u32),
    /// So many probes had no answer for this long, though there is a session.
    Silence {
        /// Probes sent since the last answer.
        probes: u32,
        /// Time since the last answer.
        time: Duration,
    },
    /// So many handshake initiations have no answer.
    Handshakes(u64),
    /// The last handshake is too old, and nothing else is known of the peer.
    Expired,
}

impl fmt::Display for PathReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |permille: u32| format!("{}.{} %", permille / 10, permille % 10);
        match self {
            Self::Handshake => write!(f, "handshake completed"),
            Self::Answers => write!(f, "probes are answered"),
            Self::LossGone(permille) => write!(f, "loss fell to {}", percent(*permille)),
            Self::Loss(permille) => write!(f, "loss of {}", percent(*permille)),
            Self::Silence { probes, time } => {
                write!(f, "{probes} probes without an answer in {} s", time.as_secs())
            }
            Self::Handshakes(count) => write!(f, "{count} handshake initiations unanswered"),
            Self::Expired => write!(f, "no handshake for {} s", SESSION_LIFE.as_secs()),
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
    /// Time since the last answer to a probe; `None` if none was ever answered.
    pub silence: Option<Duration>,
    /// Probes sent, or without a session to be sent in, since that answer.
    pub probes_in_silence: u32,
    /// Answers since the last probe that was lost.
    pub answers_in_a_row: u32,
    /// Loss over the last probes.
    pub loss: ProbeLoss,
    /// The usual distance of two probes.
    pub interval: Duration,
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
            None => self.by_handshake(seen)?,
            Some(silence) => self.by_probes(seen, silence, now)?,
        };
        let change = PathChange { from: self.state, to, reason };
        (self.state, self.since, self.reason) = (to, now, Some(reason));
        Some(change)
    }

    /// The peer does not answer probes: only handshakes tell.
    fn by_handshake(&self, seen: &PathObservation) -> Option<(PathState, PathReason)> {
        let is_up = seen.handshake_age.is_some_and(|age| age < SESSION_LIFE);
        match (self.state, is_up) {
            (PathState::Never | PathState::Down, true) => {
                Some((PathState::Up, PathReason::Handshake))
            }
            (PathState::Up | PathState::Degraded, false) => Some((
                PathState::Down,
                match seen.unanswered {
                    0 => PathReason::Expired,
                    count => PathReason::Handshakes(count),
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
            PathState::Down => {
                (seen.answers_in_a_row >= ANSWERS).then_some((PathState::Up, PathReason::Answers))
            }
            PathState::Up | PathState::Degraded if is_silent => Some((
                PathState::Down,
                match seen.unanswered {
                    0 => PathReason::Silence { probes: seen.probes_in_silence, time: silence },
                    count => PathReason::Handshakes(count),
                },
            )),
            PathState::Up => {
                let enough = seen.loss.of >= LOSS_OF
                    && seen.loss.lost >= LOST
                    && seen.probes_in_silence <= SILENT_A_LITTLE;
                let is_lossy = enough && permille >= LOSS_DEGRADED;
                is_lossy.then_some((PathState::Degraded, PathReason::Loss(permille)))
            }
            PathState::Degraded => {
                let has_dwelt = now.saturating_sub(self.since) >= DWELL;
                let is_good = has_dwelt && permille <= LOSS_UP;
                is_good.then_some((PathState::Up, PathReason::LossGone(permille)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn answering() -> PathObservation {
        PathObservation {
            handshake_age: Some(s(10)),
            silence: Some(Duration::ZERO),
            answers_in_a_row: 50,
            loss: ProbeLoss { lost: 0, of: 100 },
            interval: s(1),
            ..PathObservation::default()
        }
    }

    fn up() -> PathHealth {
        let mut health = PathHealth::default();
        let change = health.observe(&answering(), s(0)).unwrap();
        assert_eq!((change.from, change.to), (PathState::Never, PathState::Up));
        health
    }

    fn silent(seconds: u64, probes: u32) -> PathObservation {
        let silence = Some(s(seconds));
        PathObservation { silence, probes_in_silence: probes, answers_in_a_row: 0, ..answering() }
    }

    #[test]
    fn a_peer_that_never_answers_probes_is_judged_by_its_handshakes() {
        let mut health = PathHealth::default();
        let seen = |age| PathObservation {
            handshake_age: age,
            probes_in_silence: 999,
            ..PathObservation::default()
        };
        assert_eq!(health.observe(&seen(None), s(0)), None);
        assert_eq!(health.state(), PathState::Never);
        let up = health.observe(&seen(Some(s(1))), s(1)).unwrap();
        assert_eq!((up.to, up.reason), (PathState::Up, PathReason::Handshake));
        assert_eq!(health.observe(&seen(Some(s(179))), s(180)), None);
        let down = health.observe(&seen(Some(s(180))), s(181)).unwrap();
        assert_eq!((down.to, down.reason), (PathState::Down, PathReason::Expired));
        let unanswered = PathObservation { unanswered: 3, ..seen(Some(s(300))) };
        assert_eq!(health.observe(&unanswered, s(301)), None);
        assert_eq!(health.observe(&seen(Some(s(0))), s(302)).unwrap().to, PathState::Up);
    }

    #[test]
    fn silence_is_down_only_after_time_and_probes() {
        let mut health = up();
        assert_eq!(health.observe(&silent(5, 99), s(5)), None);
        assert_eq!(health.observe(&silent(60, 7), s(60)), None);
        let down = health.observe(&silent(6, 20), s(66)).unwrap();
        assert_eq!(down.to, PathState::Down);
        assert_eq!(down.reason.to_string(), "20 probes without an answer in 6 s");
    }

    #[test]
    fn unanswered_handshakes_are_named_as_the_reason() {
        let seen = PathObservation { unanswered: 2, ..silent(7, 9) };
        let down = up().observe(&seen, s(7)).unwrap();
        assert_eq!(down.reason.to_string(), "2 handshake initiations unanswered");
    }

    #[test]
    fn one_answer_does_not_bring_a_path_up() {
        let mut health = up();
        health.observe(&silent(6, 20), s(6)).unwrap();
        let answers = |count| PathObservation { answers_in_a_row: count, ..answering() };
        assert_eq!(health.observe(&answers(2), s(7)), None);
        assert_eq!(health.observe(&answers(3), s(8)).unwrap().to, PathState::Up);
    }

    #[test]
    fn loss_degrades_and_has_to_fall_well_below_to_be_forgotten() {
        let mut health = up();
        let lossy = |lost, of| PathObservation { loss: ProbeLoss { lost, of }, ..answering() };
        assert_eq!(health.observe(&lossy(2, 19), s(1)), None, "too few to say");
        assert_eq!(health.observe(&lossy(4, 100), s(1)), None);
        let degraded = health.observe(&lossy(10, 100), s(2)).unwrap();
        assert_eq!(degraded.reason.to_string(), "loss of 10.0 %");
        assert_eq!(health.observe(&lossy(3, 100), s(60)), None);
        assert_eq!(health.observe(&lossy(2, 100), s(61)).unwrap().to, PathState::Up);
    }

    #[test]
    fn a_path_at_the_edge_does_not_flap() {
        let mut health = up();
        let mut changes = 0;
        for second in 1..600 {
            let lost = if second % 2 == 0 { 5 } else { 4 };
            let seen = PathObservation { loss: ProbeLoss { lost, of: 100 }, ..answering() };
            changes += u32::from(health.observe(&seen, s(second)).is_some());
        }
        assert_eq!(changes, 1);
    }

    #[test]
    fn good_news_within_the_dwell_time_wait() {
        let mut health = up();
        let lossy = PathObservation { loss: ProbeLoss { lost: 10, of: 100 }, ..answering() };
        health.observe(&lossy, s(1)).unwrap();
        assert_eq!(health.observe(&answering(), s(10)), None);
        assert!(health.observe(&answering(), s(11)).is_some());
    }

    #[test]
    fn a_degraded_path_can_go_down() {
        let mut health = up();
        let lossy = PathObservation { loss: ProbeLoss { lost: 10, of: 100 }, ..answering() };
        health.observe(&lossy, s(1)).unwrap();
        assert_eq!(health.observe(&silent(6, 8), s(7)).unwrap().to, PathState::Down);
    }
}
