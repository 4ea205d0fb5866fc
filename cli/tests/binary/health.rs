//! `zonemesh health`: the exit code that a probe sees, and the reason that a person reads.

use zonemesh_api::v1::GatewayHealth;

use crate::daemon::{Answers, Daemon, Paris};
use crate::{ask, stderr, stdout};

/// What both questions end with, and what is said.
fn of(health: Option<GatewayHealth>) -> [(Option<i32>, String); 2] {
    let mut answers = Answers::new(Paris::Down);
    answers.status.health = health;
    let daemon = Daemon::saying(answers);
    ["live", "ready"].map(|question| {
        let output = ask(&daemon.socket(), &["health", question]);
        assert_eq!(stdout(&output), "");
        (output.status.code(), stderr(&output))
    })
}

#[test]
fn a_gateway_with_a_peer_that_is_down_is_well() {
    assert_eq!(of(Some(GatewayHealth::default())), [0, 0].map(|code| (Some(code), String::new())));
}

#[test]
fn one_that_is_not_ready_says_why_and_one_that_does_not_say_it_is_of_another_release() {
    let not_ready = "cannot listen on UDP 51820: Address already in use".to_owned();
    let [live, ready] = of(Some(GatewayHealth { not_ready, ..GatewayHealth::default() }));
    assert_eq!(live.0, Some(0));
    let said = "this gateway is not ready: cannot listen on UDP 51820";
    assert!(ready.0 == Some(1) && ready.1.contains(said), "{ready:?}");
    let not_live = "it has not looked at its tunnels for 61 s".to_owned();
    let [live, _] = of(Some(GatewayHealth { not_live, ..GatewayHealth::default() }));
    assert!(live.0 == Some(1) && live.1.contains("does not live: it has not looked"), "{live:?}");
    assert_eq!(of(None).map(|(code, _)| code), [Some(8), Some(8)]);
}
