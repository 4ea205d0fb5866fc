//! One peer under watch over paths that lose, cut and narrow.

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const SESSION: HandshakeStatus = HandshakeStatus {
    handshake_age: Some(Duration::from_secs(5)),
    unanswered: 0,
    refused: None,
    heard_ago: None,
};

const fn answer(number: u32) -> AnswerSeen {
    AnswerSeen { number, heard: None }
}

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
                    self.monitor.handle_answer(answer(request.number), self.now + ms(20));
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
fn another_interval_counts_from_the_next_probe_and_what_is_known_stays() {
    let mut world = World::new();
    world.run(60);
    let before = world.small;
    world.monitor.set_interval(ms(5000));
    world.run(100);
    assert!((15..=30).contains(&(world.small - before)), "{}", world.small - before);
    world.monitor.set_interval(ms(500));
    let before = world.small;
    world.run(30);
    assert!((50..=80).contains(&(world.small - before)), "{}", world.small - before);
    assert_eq!(world.states(), [PathState::Up]);
    assert_eq!(world.monitor.summary().delay, Some(ms(20)));
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

/// A route that was away and is back: nothing is told for the next hundred seconds.
#[test]
fn an_interruption_that_is_over_is_no_loss_and_three_are() {
    let mut world = World::new();
    world.run(50);
    for times in 1..=3 {
        world.loses = |_| true;
        world.run(4);
        world.loses = |_| false;
        world.run(15);
        let expected = if times < 3 { PathState::Up } else { PathState::Degraded };
        assert_eq!(world.monitor.summary().state, expected, "after {times}");
    }
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

#[test]
fn a_peer_that_says_goodbye_is_stopped_at_once_and_never_down() {
    let mut world = World::new();
    world.run(30);
    world.loses = |_| true;
    world.monitor.handle_goodbye(world.now);
    let (_, events) = world.monitor.poll(&SESSION, world.now);
    let [PathEvent::State(change)] = events[..] else { panic!("{events:?}") };
    assert_eq!((change.from, change.to), (PathState::Up, PathState::Stopped));
    assert_eq!(change.reason.to_string(), "it said goodbye");
    world.told.clear();
    let before = world.small;
    world.run(600);
    assert_eq!(world.states(), [], "it is not missed");
    assert!(world.small - before < 610, "and not asked more often: {}", world.small - before);
    world.loses = |_| false;
    let healed = world.now;
    world.run(30);
    assert_eq!(world.states(), [PathState::Up]);
    assert!(world.told[0].0 - healed < ms(3_000));
}

#[test]
fn an_answer_that_was_on_its_way_does_not_undo_a_goodbye() {
    let mut world = World::new();
    world.run(30);
    let (due, _) = loop {
        let polled = world.monitor.poll(&SESSION, world.now);
        if !polled.0.is_empty() {
            break polled;
        }
        world.now += ms(100);
    };
    world.monitor.handle_sent(due[0], world.now);
    world.monitor.handle_goodbye(world.now);
    world.monitor.handle_answer(answer(due[0].number), world.now + ms(20));
    world.loses = |_| true;
    world.run(60);
    assert_eq!(world.monitor.summary().state, PathState::Stopped);
}

#[test]
fn a_stopped_peer_that_makes_a_handshake_and_does_not_answer_is_down() {
    let mut world = World::new();
    world.run(30);
    world.loses = |_| true;
    world.monitor.handle_goodbye(world.now);
    let goodbye = world.now;
    let session = |age| HandshakeStatus { handshake_age: Some(age), ..SESSION };
    let mut state_at = |after: Duration, age| {
        for _ in 0..10 {
            let (due, _) = world.monitor.poll(&session(age), goodbye + after);
            due.into_iter().for_each(|one| world.monitor.handle_sent(one, goodbye + after));
        }
        world.monitor.summary().state
    };
    // The handshake was made 30 s after the goodbye.
    for second in 1..30 {
        assert_eq!(state_at(ms(second * 1000), ms(100_000 + second * 1000)), PathState::Stopped);
    }
    assert_eq!(state_at(ms(35_000), ms(5_000)), PathState::Stopped, "it has time to answer");
    assert_eq!(state_at(ms(41_000), ms(11_000)), PathState::Down);
}

#[test]
fn a_peer_that_never_answered_is_back_with_its_next_handshake() {
    let mut monitor = PathMonitor::new(ms(1000), 1420);
    let at = |seconds: u64| ms(seconds * 1000);
    let session = |age| HandshakeStatus { handshake_age: Some(at(age)), ..SESSION };
    monitor.poll(&session(1), at(10));
    monitor.handle_goodbye(at(11));
    monitor.poll(&session(2), at(11));
    assert_eq!(monitor.summary().state, PathState::Stopped);
    monitor.poll(&session(20), at(29));
    assert_eq!(monitor.summary().state, PathState::Stopped);
    monitor.poll(&session(1), at(30));
    assert_eq!(monitor.summary().state, PathState::Up);
}

/// Polls for so many seconds while this machine refuses every datagram.
fn refuse(monitor: &mut PathMonitor, from: Duration, seconds: u64) -> Vec<PathEvent> {
    let session = HandshakeStatus { refused: Some(SendRefusal(1)), ..SESSION };
    let mut told = Vec::new();
    for step in 0..seconds * 10 {
        let now = from + ms(step * 100);
        let (due, events) = monitor.poll(&session, now);
        due.into_iter().for_each(|request| monitor.handle_refused(request, now));
        told.extend(events);
    }
    told
}

#[test]
fn a_probe_that_is_refused_is_lost_and_its_reason_is_told() {
    let mut world = World::new();
    world.run(30);
    let events = refuse(&mut world.monitor, world.now, 10);
    let [PathEvent::State(change)] = events[..] else { panic!("{events:?}") };
    assert_eq!(change.to, PathState::Down);
    let words = "sending is refused: this machine's packet filter refuses it (EPERM)";
    assert_eq!(change.reason.to_string(), words);
}

#[test]
fn some_refused_probes_are_loss() {
    let mut world = World::new();
    world.run(30);
    for _ in 0..12 {
        let events = refuse(&mut world.monitor, world.now, 2);
        world.told.extend(events.into_iter().map(|event| (world.now, event)));
        world.now += ms(2_000);
        world.run(6);
    }
    let loss = world.monitor.summary().loss.permille().unwrap();
    assert!((120..=350).contains(&loss), "{loss}");
    assert_eq!(world.states(), [PathState::Up, PathState::Degraded]);
}

#[test]
fn a_peer_that_never_answers_is_down_while_sending_is_refused() {
    let mut world = World::new();
    world.loses = |_| true;
    world.run(30);
    let events = refuse(&mut world.monitor, world.now, 10);
    let [PathEvent::State(change)] = events[..] else { panic!("{events:?}") };
    assert_eq!((change.to, change.reason), (PathState::Down, PathReason::Refused(SendRefusal(1))));
    world.now += ms(10_000);
    world.run(3);
    assert_eq!(world.monitor.summary().state, PathState::Up);
}

/// Polls for so many seconds without any answer; the peer's packets come every two seconds or not.
fn silence(world: &mut World, seconds: u64, is_heard: bool) {
    let begun = world.now;
    for step in 0..seconds * 10 {
        let now = begun + ms(step * 100);
        let since_cut = ms(step * 100) + ms(500);
        let heard_ago = Some(if is_heard { ms(step * 100 % 2000) } else { since_cut });
        let (due, events) = world.monitor.poll(&HandshakeStatus { heard_ago, ..SESSION }, now);
        due.into_iter().for_each(|request| world.monitor.handle_sent(request, now));
        world.told.extend(events.into_iter().map(|event| (now, event)));
    }
    world.now = begun + ms(seconds * 1000);
}

#[test]
fn a_cut_of_one_way_is_told_apart_from_a_cut_of_both() {
    for is_heard in [true, false] {
        let mut world = World::new();
        world.run(30);
        silence(&mut world, 10, is_heard);
        let summary = world.monitor.summary();
        assert_eq!((summary.state, summary.one_way), (PathState::Down, is_heard));
        let words = summary.reason.unwrap().to_string();
        assert_eq!(words.ends_with("though its packets arrive"), is_heard, "{words}");
    }
}

#[test]
fn a_cut_of_one_way_that_becomes_one_of_both_and_one_that_ends_are_no_such_cut_any_more() {
    let mut world = World::new();
    world.run(30);
    silence(&mut world, 10, true);
    silence(&mut world, 20, false);
    assert!(!world.monitor.summary().one_way);
    silence(&mut world, 5, true);
    assert!(world.monitor.summary().one_way);
    world.run(10);
    assert!(!world.monitor.summary().one_way);
}

#[test]
fn what_the_peer_tells_of_its_packets_holds_while_it_says_so() {
    let mut world = World::new();
    world.run(10);
    world.monitor.handle_request(Some(1240), world.now);
    world.run(20);
    assert_eq!(world.monitor.summary().mtu_back, Some(1240));
    world.run(20);
    assert_eq!(world.monitor.summary().mtu_back, None, "it has not said so for long");
    world.monitor.handle_request(Some(1240), world.now);
    world.monitor.handle_request(None, world.now);
    assert_eq!(world.monitor.summary().mtu_back, None);
    assert_eq!(world.monitor.mtu_to_tell(), None);
    world.border = 1240;
    world.run(30);
    assert_eq!(world.monitor.mtu_to_tell(), Some(1240));
}
