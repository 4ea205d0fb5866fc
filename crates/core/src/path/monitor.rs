//! One peer under watch: which probe is due, what an answer means, what is to be told.
//!
//! Small probes go out once an interval, and four times a second while the peer is silent, so that
//! a cut and its end are seen soon. Padded ones for the MTU are numbered apart: their loss says
//! something of their size and nothing of the path.

use std::time::Duration;

use super::health::{PathChange, PathHealth, PathObservation, PathReason, PathState, SESSION_LIFE};
use super::mtu::{MtuChange, MtuSearch};
use super::quality::{PathQuality, ProbeLoss};

/// Distance of two probes while the peer is silent or was down a moment ago.
const FAST: Duration = Duration::from_millis(250);
/// Padded probes whose answer is still awaited.
const PADDED: usize = 64;

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
    padded: Vec<ProbeRequest>,
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
            padded: Vec::new(),
        }
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
            self.probes_in_silence = self.probes_in_silence.saturating_add(1);
            let turn = self.interval - self.interval / 5;
            let counts = self.counted_at.is_none_or(|at| now.saturating_sub(at) >= turn);
            self.counted_at = if counts { Some(now) } else { self.counted_at };
            self.quality.sent(request.number, now, counts);
        }
    }

    /// There is no session for the probe to be sent in.
    pub fn handle_no_session(&mut self, request: ProbeRequest) {
        if request.size.is_none() {
            self.probes_in_silence = self.probes_in_silence.saturating_add(1);
        }
    }

    /// An answer came.
    pub fn handle_answer(&mut self, number: u32, now: Duration) {
        if let Some(at) = self.padded.iter().position(|request| request.number == number) {
            let size = self.padded.swap_remove(at).size;
            self.mtu.handle_answer(size.unwrap_or_default());
            return;
        }
        let lost_before = self.quality.loss().lost;
        if self.quality.answered(number, now).is_none() {
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
            silence: self.last_answer.map(|at| now.saturating_sub(at)),
            probes_in_silence: self.probes_in_silence,
            answers_in_a_row: self.answers_in_a_row,
            loss: self.quality.loss(),
            interval: self.interval,
        }
    }

    /// Figures from before an outage say nothing of the path that follows it.
    fn handle_change(&mut self, change: PathChange, now: Duration) {
        if change.to == PathState::Down {
            self.quality.clear();
            self.padded.clear();
            self.answers_in_a_row = 0;
        } else if change.from == PathState::Down {
            self.quality.clear();
            self.mtu.restart(now);
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
        let is_down = self.health.state() == PathState::Down;
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
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const SESSION: HandshakeStatus =
        HandshakeStatus { handshake_age: Some(Duration::from_secs(5)), unanswered: 0 };

    /// A peer at the other end of a path of 20 ms.
    struct World {
        monitor: PathMonitor,
        now: Duration,
        /// The path loses these rounds, by the number of small probes sent.
        loses: fn(u32) -> bool,
        border: u16,
        small: u32,
        told: Vec<(Duration, PathEvent)>,
    }

    impl World {
        fn new() -> Self {
            let monitor = PathMonitor::new(ms(1000), 1420);
            let (loses, told): (fn(u32) -> bool, _) = (|_| false, Vec::new());
            Self { monitor, now: ms(7), loses, border: 1420, small: 0, told }
        }

        fn run(&mut self, seconds: u64) {
            let end = self.now + Duration::from_secs(seconds);
            while self.now < end {
                let (due, events) = self.monitor.poll(&SESSION, self.now);
                self.told.extend(events.into_iter().map(|event| (self.now, event)));
                for request in due {
                    self.monitor.handle_sent(request, self.now);
                    self.small += u32::from(request.size.is_none());
                    let fits = request.size.is_none_or(|size| size <= self.border);
                    if fits && !(self.loses)(self.small) {
                        self.monitor.handle_answer(request.number, self.now + ms(20));
                    }
                }
                self.now += ms(100);
            }
        }

        fn states(&self) -> Vec<PathState> {
            let state = |(_, event): &(Duration, PathEvent)| match event {
                PathEvent::State(change) => Some(change.to),
                PathEvent::Mtu(_) => None,
            };
            self.told.iter().filter_map(state).collect()
        }
    }

    #[test]
    fn a_good_path_is_up_and_told_once() {
        let mut world = World::new();
        world.run(300);
        let summary = world.monitor.summary();
        assert_eq!(world.states(), [PathState::Up]);
        assert_eq!((summary.delay, summary.jitter), (Some(ms(20)), Some(ms(0))));
        assert_eq!((summary.loss.permille(), summary.mtu), (Some(0), 1420));
        assert!(summary.answers && summary.mtu_confirmed && !summary.black_hole);
        assert!(world.small < 330, "{} probes in 300 s", world.small);
    }

    #[test]
    fn a_tenth_of_lost_rounds_is_degraded_with_that_figure() {
        let mut world = World::new();
        world.run(10);
        world.loses = |number| number % 10 == 0;
        world.run(120);
        assert_eq!(world.states(), [PathState::Up, PathState::Degraded]);
        let permille = world.monitor.summary().loss.permille().unwrap();
        assert!((80..=120).contains(&permille), "{permille}");
        world.loses = |_| false;
        world.run(120);
        assert_eq!(world.states(), [PathState::Up, PathState::Degraded, PathState::Up]);
    }

    #[test]
    fn a_cut_is_down_within_8_s_and_its_end_up_within_3_s_with_fresh_figures() {
        let mut world = World::new();
        world.run(60);
        (world.loses, world.now) = (|_| true, world.now);
        let cut = world.now;
        world.run(60);
        let (down, _) = *world.told.last().unwrap();
        assert!(down - cut < ms(8_000), "{:?}", down - cut);
        world.loses = |_| false;
        let healed = world.now;
        world.run(30);
        assert_eq!(world.states(), [PathState::Up, PathState::Down, PathState::Up]);
        let up = world.told.iter().rev().find(|(_, e)| matches!(e, PathEvent::State(_))).unwrap().0;
        assert!(up - healed < ms(3_000), "{:?}", up - healed);
        assert_eq!(world.monitor.summary().loss.lost, 0);
    }

    #[test]
    fn half_of_all_rounds_lost_at_random_is_degraded_and_never_down() {
        let mut world = World::new();
        world.run(10);
        // A fixed sequence without a pattern.
        world.loses = |number| (number.wrapping_mul(2_654_435_761) >> 16) & 1 == 1;
        world.run(600);
        assert_eq!(world.states(), [PathState::Up, PathState::Degraded]);
    }

    #[test]
    fn a_hole_is_found_while_the_path_stays_up() {
        let mut world = World::new();
        world.border = 1240;
        world.run(10);
        let summary = world.monitor.summary();
        assert_eq!((summary.state, summary.mtu, summary.black_hole), (PathState::Up, 1240, true));
        let lowered = MtuChange { from: 1420, to: 1240 };
        assert!(world.told.iter().any(|(_, event)| *event == PathEvent::Mtu(lowered)));
        assert_eq!(summary.loss.lost, 0, "padded probes are not loss");
    }

    #[test]
    fn a_peer_that_answers_nothing_is_judged_by_handshakes_and_never_searched() {
        let mut world = World::new();
        world.loses = |_| true;
        world.run(300);
        assert_eq!(world.states(), [PathState::Up]);
        let summary = world.monitor.summary();
        assert_eq!((summary.answers, summary.mtu), (false, 1420));
        assert!(world.small < 310, "{} probes in 300 s", world.small);
    }
}
