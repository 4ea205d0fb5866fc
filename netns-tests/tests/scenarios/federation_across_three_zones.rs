//! The main job: Flower trains across zones that only Zonemesh connects.
//!
//! ```text
//!   berlin                         WAN                        madrid                  paris
//!   superlink 10.10.10.5 - gw - [ router: capture ] - gw - supernode 10.10.11.5   gw - supernode
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::capture::Capture;
use netns_tests::federation::{Federation, ZONES};
use netns_tests::flower::Plan;
use netns_tests::lab::Lab;
use netns_tests::mesh::WIREGUARD_PORT;

const PLAN: Plan = Plan { rounds: 3, nodes: 2, train_sleep: Duration::ZERO };

#[test]
fn gives_the_digest_of_plain_fedavg_and_only_wireguard_crosses_the_wan() -> Result<()> {
    let lab = Lab::new(&ZONES)?;
    let capture = Capture::start(&lab, "wan", &[WIREGUARD_PORT])?;
    let mut federation = Federation::start(lab)?;
    federation.train(PLAN)?;
    let report = capture.finish(&federation.lab)?;
    ensure!(report.is_clean(), "{report}");
    federation.succeeded()
}

#[test]
fn gives_the_same_digest_over_a_wan_that_loses_packets() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    lab.lose("madrid", 2.0)?;
    lab.lose("paris", 5.0)?;
    let mut federation = Federation::start(lab)?;
    federation.train(PLAN)?;
    federation.succeeded()
}
