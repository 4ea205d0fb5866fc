//! Two schedules in virtual time, joined by a path that can be cut.
//!
//! Stands in for the noise layer by its visible rules: sessions end after 180 seconds, an
//! unanswered handshake ends after 90 seconds and takes the sessions with it.

use super::*;

const TICK: Duration = Duration::from_millis(100);
const SESSION_LIFE: Duration = Duration::from_secs(180);
const ATTEMPT_LIFE: Duration = Duration::from_secs(90);

struct ScheduleSide {
    schedule: Schedule,
    session: Option<Instant>,
    attempt: Option<Instant>,
    keepalives: u32,
    initiations: Vec<Instant>,
}

struct SchedulePair {
    now: Instant,
    start: Instant,
    path_is_up: bool,
    sides: [ScheduleSide; 2],
}

impl SchedulePair {
    fn new(keepalive: Option<Duration>) -> Self {
        let now = Instant::now();
        let side = |elected, seed| {
            let mut schedule = Schedule::new(elected, seed);
            schedule.set_keepalive(keepalive);
            schedule.want_handshake();
            ScheduleSide {
                schedule,
                session: None,
                attempt: None,
                keepalives: 0,
                initiations: Vec::new(),
            }
        };
        Self { now, start: now, path_is_up: true, sides: [side(true, 7), side(false, 1234)] }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            for who in 0..2 {
                self.tick(who);
            }
        }
    }

    fn tick(&mut self, who: usize) {
        let now = self.now;
        let side = &mut self.sides[who];
        if side.session.is_some_and(|since| now - since > SESSION_LIFE) {
            side.session = None;
        }
        if side.attempt.is_some_and(|since| now - since >= ATTEMPT_LIFE) {
            (side.attempt, side.session) = (None, None);
            side.schedule.expired();
        }
        match side.schedule.poll(now, side.session.is_some()) {
            DueMessage::Nothing => {}
            DueMessage::Initiate => {
                side.schedule.initiated(now);
                side.attempt.get_or_insert(now);
                side.initiations.push(now);
                if self.path_is_up {
                    self.establish();
                }
            }
            DueMessage::Keepalive => {
                side.keepalives += 1;
                side.schedule.sent(now);
                if self.path_is_up {
                    self.sides[1 - who].schedule.received(now);
                }
            }
        }
    }

    fn establish(&mut self) {
        for side in &mut self.sides {
            side.session = Some(self.now);
            side.attempt = None;
            side.schedule.established(self.now);
            side.schedule.sent(self.now);
        }
    }

    fn initiations(&self, who: usize) -> usize {
        self.sides[who].initiations.len()
    }
}

const KEEPALIVE: Option<Duration> = Some(Duration::from_secs(25));

#[test]
fn a_handshake_starts_at_once() {
    let mut pair = SchedulePair::new(KEEPALIVE);
    pair.run(TICK);
    assert!(pair.sides.iter().all(|side| side.session == Some(pair.now)));
}

#[test]
fn an_idle_pair_keeps_a_session_and_only_the_elected_side_renews_it() {
    let mut pair = SchedulePair::new(KEEPALIVE);
    pair.run(TICK);
    let before = pair.initiations(1);
    for _ in 0..36_000 {
        pair.run(TICK);
        assert!(pair.sides.iter().all(|side| side.session.is_some()));
    }
    assert_eq!(pair.initiations(1), before);
    let renewals = pair.initiations(0);
    assert!((30..=31).contains(&renewals), "one in 120 s: {renewals} in an hour");
    let keepalives = pair.sides[1].keepalives;
    assert!((110..=145).contains(&keepalives), "one in 25 s: {keepalives} in an hour");
}

#[test]
fn after_silence_of_any_length_the_pair_is_back_within_ten_seconds() {
    for silence in [10, 70, 100, 185, 300, 600, 3600, 86_400] {
        let mut pair = SchedulePair::new(KEEPALIVE);
        pair.run(Duration::from_secs(47));
        pair.path_is_up = false;
        pair.run(Duration::from_secs(silence));
        let returned = pair.now;
        pair.path_is_up = true;
        while !pair.sides.iter().all(|side| side.session.is_some()) {
            pair.run(TICK);
        }
        let gap = pair.now - returned;
        assert!(gap <= Duration::from_secs(5), "{silence} s of silence: {gap:?}");
    }
}

#[test]
fn a_dead_path_is_asked_every_five_seconds_with_jitter() {
    let mut pair = SchedulePair::new(KEEPALIVE);
    pair.path_is_up = false;
    pair.run(Duration::from_secs(600));
    for side in &pair.sides {
        let gaps = side.initiations.windows(2).map(|pair| pair[1] - pair[0]);
        let gaps: Vec<_> = gaps.collect();
        assert!(gaps.len() > 110, "{} attempts in ten minutes", gaps.len());
        assert!(gaps.iter().all(|gap| *gap <= Duration::from_secs(5)), "{gaps:?}");
        let distinct: std::collections::BTreeSet<_> = gaps.iter().collect();
        assert!(distinct.len() > 2, "no jitter: {distinct:?}");
        assert_eq!(side.schedule.unanswered(), side.initiations.len() as u64);
    }
}

#[test]
fn a_peer_without_keepalive_is_left_alone_once_its_handshake_was_given_up() {
    let mut pair = SchedulePair::new(None);
    pair.path_is_up = false;
    pair.run(Duration::from_secs(100));
    let tried = pair.initiations(0);
    assert!((17..=21).contains(&tried), "{tried}");
    pair.run(Duration::from_secs(3600));
    assert_eq!(pair.initiations(0), tried);
    assert!(pair.now - pair.start > Duration::from_secs(3600));
}

#[test]
fn a_session_is_up_but_the_peer_is_silent_so_a_handshake_asks_it() {
    let mut schedule = Schedule::new(false, 3);
    schedule.set_keepalive(KEEPALIVE);
    let start = Instant::now();
    schedule.established(start);
    schedule.sent(start + Duration::from_secs(59));
    assert_eq!(schedule.poll(start + Duration::from_secs(59), true), DueMessage::Nothing);
    assert_eq!(schedule.poll(start + Duration::from_secs(60), true), DueMessage::Initiate);
    schedule.received(start + Duration::from_secs(60));
    assert_eq!(schedule.poll(start + Duration::from_secs(60), true), DueMessage::Nothing);
}

#[test]
fn keepalives_go_on_while_a_handshake_is_in_flight() {
    let mut schedule = Schedule::new(true, 3);
    schedule.set_keepalive(Some(Duration::from_secs(1)));
    let start = Instant::now();
    schedule.established(start);
    schedule.sent(start);
    schedule.initiated(start);
    assert_eq!(schedule.poll(start + Duration::from_secs(1), true), DueMessage::Keepalive);
}

#[test]
fn a_cookie_brings_the_next_initiation_forward_once_per_turn() {
    let now = Instant::now();
    let mut schedule = Schedule::new(true, 7);
    schedule.cookie_taken(now);
    assert_eq!(schedule.poll(now + TICK, true), DueMessage::Nothing, "nothing was asked");
    schedule.initiated(now);
    schedule.cookie_taken(now);
    assert_eq!(schedule.poll(now + TICK, false), DueMessage::Initiate);
    schedule.initiated(now + TICK);
    schedule.cookie_taken(now + TICK);
    assert_eq!(
        schedule.poll(now + TICK * 10, false),
        DueMessage::Nothing,
        "a second cookie at once"
    );
    assert_eq!(schedule.poll(now + Duration::from_secs(6), false), DueMessage::Initiate);
}

#[test]
fn a_silent_peer_with_an_old_initiation_is_called_back_and_a_replay_beside_it_is_not() {
    let now = Instant::now();
    let mut schedule = Schedule::new(false, 7);
    schedule.established(now);
    schedule.heard_of_old(now + TICK);
    assert_eq!(schedule.poll(now + TICK, true), DueMessage::Nothing, "the peer was heard just now");
    schedule.heard_of_old(now + LOST_TOUCH);
    assert_eq!(schedule.poll(now + LOST_TOUCH, true), DueMessage::Initiate);
    schedule.initiated(now + LOST_TOUCH);
    schedule.heard_of_old(now + LOST_TOUCH * 2);
    assert_eq!(
        schedule.poll(now + LOST_TOUCH * 2, true),
        DueMessage::Nothing,
        "it was called already"
    );
}

#[test]
fn a_side_whose_clock_went_back_leaves_renewals_to_the_other() {
    let start = Instant::now();
    let mut schedule = Schedule::new(true, 7);
    schedule.set_keepalive(Some(Duration::from_secs(25)));
    schedule.established(start);
    schedule.set_yielding(true);
    let at = |seconds| start + Duration::from_secs(seconds);
    for (seconds, due) in
        [(121, DueMessage::Nothing), (136, DueMessage::Nothing), (150, DueMessage::Initiate)]
    {
        schedule.received(at(seconds));
        schedule.sent(at(seconds));
        assert_eq!(schedule.poll(at(seconds), true), due, "{seconds}");
    }
}
