//! States and their thresholds.

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
        times_lost: TIMES_LOST,
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
fn a_peer_that_was_cut_before_it_answered_a_probe_is_down_before_its_session_ends() {
    let mut health = PathHealth::default();
    let seen = |seconds, unanswered| PathObservation {
        handshake_age: Some(s(seconds)),
        heard_ago: Some(s(seconds)),
        unanswered,
        ..PathObservation::default()
    };
    assert_eq!(health.observe(&seen(0, 0), s(0)).unwrap().to, PathState::Up);
    // An initiation that is under way, and two that were lost while keepalives arrive.
    assert_eq!(health.observe(&seen(25, 1), s(25)), None);
    let keepalives = PathObservation { heard_ago: Some(s(11)), ..seen(26, 2) };
    assert_eq!(health.observe(&keepalives, s(26)), None);
    let down = health.observe(&seen(27, 2), s(27)).unwrap();
    assert_eq!((down.to, down.reason), (PathState::Down, PathReason::Handshakes(2)));
    assert_eq!(health.observe(&seen(28, 3), s(28)), None);
    assert_eq!(health.observe(&seen(0, 0), s(40)).unwrap().to, PathState::Up);
}

#[test]
fn silence_is_down_only_after_time_and_probes() {
    let mut health = up();
    assert_eq!(health.observe(&silent(5, 99), s(5)), None);
    assert_eq!(health.observe(&silent(60, 7), s(60)), None);
    let down = health.observe(&silent(6, 20), s(66)).unwrap();
    assert_eq!(down.to, PathState::Down);
    assert_eq!(down.reason.to_string(), "20 probes without an answer in 6 s, nothing arrives");
}

#[test]
fn a_silent_peer_whose_packets_arrive_is_told_apart() {
    let seen = PathObservation { is_heard: true, unanswered: 2, ..silent(6, 20) };
    let down = up().observe(&seen, s(6)).unwrap();
    let words = "20 probes without an answer in 6 s, though its packets arrive";
    assert_eq!(down.reason.to_string(), words);
}

#[test]
fn the_way_that_loses_is_named() {
    for (way, words) in [
        (Some(LossyWay::There), "loss of 10.0 % on the way there"),
        (Some(LossyWay::Back), "loss of 10.0 % on the way back"),
        (None, "loss of 10.0 %"),
    ] {
        let loss = ProbeLoss { lost: 10, of: 100 };
        let lossy = PathObservation { loss, lossy_way: way, ..answering() };
        assert_eq!(up().observe(&lossy, s(2)).unwrap().reason.to_string(), words);
    }
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
fn one_interruption_is_no_loss_and_what_is_left_of_others_ends_with_the_first_but_one() {
    let mut health = up();
    let loss = ProbeLoss { lost: 10, of: 100 };
    let lossy = |times_lost| PathObservation { loss, times_lost, ..answering() };
    assert_eq!(health.observe(&lossy(1), s(1)), None);
    assert_eq!(health.observe(&lossy(2), s(2)), None);
    assert_eq!(health.observe(&lossy(3), s(3)).unwrap().to, PathState::Degraded);
    assert_eq!(health.observe(&lossy(2), s(60)), None);
    assert_eq!(health.observe(&lossy(1), s(61)).unwrap().to, PathState::Up);
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
