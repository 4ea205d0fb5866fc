//! One peer under watch: which probe is due, what an answer means, what is to be told.
//!
//! Small probes go out once an interval, and four times a second while the peer is silent, so that
//! a cut and its end are seen soon. Padded ones for the MTU are numbered apart: their loss says
//! something of their size and nothing of the path.

use std::time::Duration;

use super::health::{PathChange, PathHealth, PathObservation, PathReason, PathState, SESSION_LIFE};
use super::mtu::{MtuChange, MtuSearch};
use super::quality::{PathQuality, ProbeLoss};
use super::refusal::SendRefusal;

/// Distance of two probes while the peer is silent or was down a moment ago.
const FAST: Duration = Duration::from_millis(250);
/// Padded probes whose answer is still awaited.
const PADDED: usize = 64;
/// Packets of a peer that come so long after its last answer do not belong to it.
const AFTER_ANSWER: Duration = Duration::from_secs(3);
/// How long ago a silent peer may have been heard to be heard still: one that hears nothing begins a
/// handshake every 5 s.
const HEARD: Duration = Duration::from_secs(15);
/// How long what the peer has told of its packets holds without being said again.
const TOLD: Duration = Duration::from_secs(30);
/// A handshake so soon after a goodbye was on its way before.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// A peer that was stopped and has made a handshake answers probes within this time.
const RETURNS: Duration = Duration::from_secs(10);

/// A probe that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeRequest {
    /// Its number, which the answer repeats.
    pub number: u32,
    /// The length of the whole inner packet; `None` for a small one.
    pub size: Option<u16>,
}

/// What the tunnel says of the peer.
#[derive(Debug, Clone, Copy, Default)]
pub struct HandshakeStatus {
    /// Age of the last completed handshake.
    pub handshake_age: Option<Duration>,
    /// Handshake initiations since then.
    pub unanswered: u64,
    /// Why this machine has refused the last datagram to the peer, if it has.
    pub refused: Option<SendRefusal>,
    /// Time since something authentic came from the peer.
    pub heard_ago: Option<Duration>,
}

/// Something to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathEvent {
    /// The state changed.
    State(PathChange),
    /// The largest packet that passes is another one.
    Mtu(MtuChange),
}

/// What is known of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathSummary {
    /// The state.
    pub state: PathState,
    /// Why it was entered.
    pub reason: Option<PathReason>,
    /// Smoothed delay of a round.
    pub delay: Option<Duration>,
    /// Mean difference of delays.
    pub jitter: Option<Duration>,
    /// Loss of rounds.
    pub loss: ProbeLoss,
    /// The largest packet to be sent.
    pub mtu: u16,
    /// True if that is less than the underlay would allow.
    pub black_hole: bool,
    /// True once a probe of that size was answered.
    pub mtu_confirmed: bool,
    /// True if the peer has ever answered a probe.
    pub answers: bool,
    /// True if it does not answer although its packets arrive: ours do not.
    pub one_way: bool,
    /// The largest packet that passes from the peer to here, if it has told that less passes than the
    /// underlay would allow.
    pub mtu_back: Option<u16>,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerSeen {
    /// The number of the request.
    pub number: u32,
    /// How many small requests the peer has heard, if it tells.
    pub heard: Option<u32>,
}

/// What a request of the peer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MtuTold {
    mtu: u16,
    at: Duration,
}

/// One peer under watch.
#[derive(Debug, Clone)]
pub struct PathMonitor {
    interval: Duration,
    quality: PathQuality,
    health: PathHealth,
    mtu: MtuSearch,
    next_number: u32,
    next_at: Duration,
    counted_at: Option<Duration>,
    last_answer: Option<Duration>,
    probes_in_silence: u32,
    answers_in_a_row: u32,
    refused_in_a_row: u32,
    padded: Vec<ProbeRequest>,
    /// When the peer said that it stops, if it is not known to be back.
    goodbye_at: Option<Duration>,
    is_heard: bool,
    mtu_back: Option<MtuTold>,
}

impl PathMonitor {
    /// Probes once each `interval`; packets up to `ceiling` bytes are taken to pass.
    #[must_use]
    pub fn new(interval: Duration, ceiling: u16) -> Self {
        Self {
            interval,
            quality: PathQuality::default(),
            health: PathHealth::default(),
            mtu: MtuSearch::new(ceiling),
            next_number: 0,
            next_at: Duration::ZERO,
            counted_at: None,
            last_answer: None,
            probes_in_silence: 0,
            answers_in_a_row: 0,
            refused_in_a_row: 0,
            padded: Vec::new(),
            goodbye_at: None,
            is_heard: false,
            mtu_back: None,
        }
    }

    /// Probes once each `interval` from now on; what is known of the path stays.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// What the underlay allows now.
    pub fn set_ceiling(&mut self, ceiling: u16, now: Duration) {
        self.mtu.set_ceiling(ceiling, now);
    }

    /// The peer is somewhere else now: its path may take larger packets.
    pub fn handle_moved(&mut self, now: Duration) {
        self.mtu.restart(now);
    }

    /// The probes that are due, and what is to be told. Call it some ten times a second.
    pub fn poll(
        &mut self,
        session: &HandshakeStatus,
        now: Duration,
    ) -> (Vec<ProbeRequest>, Vec<PathEvent>) {
        self.quality.expire(now);
        self.forget_goodbye(session, now);
        self.is_heard = self.hears(session, now);
        self.mtu_back = self.mtu_back.filter(|told| now.saturating_sub(told.at) < TOLD);
        let mut events = Vec::new();
        if let Some(change) = self.health.observe(&self.seen(session, now), now) {
            self.handle_change(change, now);
            events.push(PathEvent::State(change));
        }
        let mut due = Vec::new();
        if now >= self.next_at {
            due.push(self.number(None));
            self.next_at = now + self.distance(now);
        }
        if self.is_passing() {
            let (delay, alive) = (self.quality.delay(), self.last_answer);
            let (delay, alive) = (delay.unwrap_or_default(), alive.unwrap_or_default());
            let (sizes, change) = self.mtu.poll(now, delay, alive);
            events.extend(change.map(PathEvent::Mtu));
            for size in sizes {
                let request = self.number(Some(size));
                self.padded.push(request);
                due.push(request);
            }
            let too_many = self.padded.len().saturating_sub(PADDED);
            self.padded.drain(..too_many);
        }
        (due, events)
    }

    /// The probe was sent.
    pub fn handle_sent(&mut self, request: ProbeRequest, now: Duration) {
        if request.size.is_none() {
            self.refused_in_a_row = 0;
            let counts = self.takes_its_turn(now);
            self.quality.sent(request.number, now, counts);
        }
    }

    /// This machine has refused to send the probe: that is a lost one.
    pub fn handle_refused(&mut self, request: ProbeRequest, now: Duration) {
        if request.size.is_none() {
            self.refused_in_a_row = self.refused_in_a_row.saturating_add(1);
            let counts = self.takes_its_turn(now);
            self.quality.refused(request.number, now, counts);
        }
    }

    /// Counts a probe of now; true if it counts for the loss.
    fn takes_its_turn(&mut self, now: Duration) -> bool {
        self.probes_in_silence = self.probes_in_silence.saturating_add(1);
        let turn = self.interval - self.interval / 5;
        let counts = self.counted_at.is_none_or(|at| now.saturating_sub(at) >= turn);
        self.counted_at = if counts { Some(now) } else { self.counted_at };
        counts
    }

    /// There is no session for the probe to be sent in.
    pub fn handle_no_session(&mut self, request: ProbeRequest) {
        if request.size.is_none() {
            self.probes_in_silence = self.probes_in_silence.saturating_add(1);
        }
    }

    /// An answer came.
    pub fn handle_answer(&mut self, answer: AnswerSeen, now: Duration) {
        let AnswerSeen { number, heard } = answer;
        if let Some(at) = self.padded.iter().position(|request| request.number == number) {
            let size = self.padded.swap_remove(at).size;
            self.mtu.handle_answer(size.unwrap_or_default());
            return;
        }
        let lost_before = self.quality.loss().lost;
        if self.quality.answered(number, heard, now).is_none() {
            return;
        }
        if self.last_answer.is_none() {
            self.mtu.restart(now);
        }
        let has_lost = self.quality.loss().lost > lost_before || self.probes_in_silence > 1;
        self.answers_in_a_row = if has_lost { 1 } else { self.answers_in_a_row.saturating_add(1) };
        self.last_answer = Some(now);
        self.probes_in_silence = 0;
        self.next_at = self.next_at.min(now + self.distance(now));
    }

    /// The peer says that it stops. It is back when it answers again, or has made a handshake.
    pub fn handle_goodbye(&mut self, now: Duration) {
        self.goodbye_at = Some(now);
        self.answers_in_a_row = 0;
    }

    /// A request of the peer came, which tells the largest packet that passes from it to here if less
    /// passes than the underlay would allow.
    pub fn handle_request(&mut self, mtu: Option<u16>, now: Duration) {
        self.mtu_back = mtu.map(|mtu| MtuTold { mtu, at: now });
    }

    /// What is told to the peer of the packets that are sent to it.
    #[must_use]
    pub fn mtu_to_tell(&self) -> Option<u16> {
        self.mtu.is_black_hole().then(|| self.mtu.mtu())
    }

    /// The largest packet to be sent now.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.mtu.mtu()
    }

    /// What is known now.
    #[must_use]
    pub fn summary(&self) -> PathSummary {
        PathSummary {
            state: self.health.state(),
            reason: self.health.reason(),
            delay: self.quality.delay(),
            jitter: self.quality.jitter(),
            loss: self.quality.loss(),
            mtu: self.mtu.mtu(),
            black_hole: self.mtu.is_black_hole(),
            mtu_confirmed: self.mtu.is_confirmed(),
            answers: self.last_answer.is_some(),
            one_way: self.is_heard && self.health.state() == PathState::Down,
            mtu_back: self.mtu_back.map(|told| told.mtu),
        }
    }

    fn number(&mut self, size: Option<u16>) -> ProbeRequest {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        ProbeRequest { number, size }
    }

    fn seen(&self, session: &HandshakeStatus, now: Duration) -> PathObservation {
        PathObservation {
            handshake_age: session.handshake_age,
            unanswered: session.unanswered,
            refused: session.refused,
            refused_in_a_row: self.refused_in_a_row,
            silence: self.last_answer.map(|at| now.saturating_sub(at)),
            probes_in_silence: self.probes_in_silence,
            is_heard: self.is_heard,
            heard_ago: session.heard_ago,
            answers_in_a_row: self.answers_in_a_row,
            loss: self.quality.loss(),
            times_lost: self.quality.times_lost(),
            lossy_way: self.quality.lossy_way(),
            interval: self.interval,
            said_goodbye: self.goodbye_at.is_some(),
        }
    }

    /// True if the peer goes on to send although it answers nothing.
    fn hears(&self, session: &HandshakeStatus, now: Duration) -> bool {
        let silence = self.last_answer.map(|at| now.saturating_sub(at));
        silence.zip(session.heard_ago).is_some_and(|(silence, heard)| {
            heard < HEARD && silence.saturating_sub(heard) >= AFTER_ANSWER
        })
    }

    /// A handshake that was made after a goodbye is of a peer that is back.
    fn forget_goodbye(&mut self, session: &HandshakeStatus, now: Duration) {
        let since = self.goodbye_at.map(|at| now.saturating_sub(at));
        let is_back = since.zip(session.handshake_age).is_some_and(|(since, age)| {
            let is_newer = since.checked_sub(age).is_some_and(|between| between > ON_ITS_WAY);
            is_newer && (self.last_answer.is_none() || age >= RETURNS)
        });
        if is_back {
            self.goodbye_at = None;
        }
    }

    /// Figures from before an outage say nothing of the path that follows it.
    fn handle_change(&mut self, change: PathChange, now: Duration) {
        let is_over = |state| matches!(state, PathState::Down | PathState::Stopped);
        if is_over(change.to) {
            self.quality.clear();
            self.padded.clear();
            self.answers_in_a_row = 0;
        } else {
            self.goodbye_at = None;
            if is_over(change.from) {
                self.quality.clear();
                self.mtu.restart(now);
            }
        }
    }

    fn is_passing(&self) -> bool {
        let passing = matches!(self.health.state(), PathState::Up | PathState::Degraded);
        passing && self.last_answer.is_some()
    }

    /// The distance to the next probe.
    fn distance(&self, now: Duration) -> Duration {
        let Some(last) = self.last_answer else {
            return self.interval;
        };
        let due = self.interval + self.interval / 2 + self.quality.delay().unwrap_or_default() * 2;
        let is_silent = now.saturating_sub(last) > due;
        let is_down = matches!(self.health.state(), PathState::Down | PathState::Stopped);
        // A peer that has been away for long is asked as often as any other.
        let is_recent = now.saturating_sub(last) < SESSION_LIFE;
        let returns = is_down && self.answers_in_a_row > 0;
        if (is_silent && is_recent && !is_down) || returns {
            FAST.min(self.interval)
        } else {
            self.interval
        }
    }
}

#[cfg(test)]
mod tests;
