//! The main job: Flower trains across zones that only Zonemesh connects.
//!
//! ```text
//!   berlin                         WAN                        madrid                  paris
//!   superlink 10.10.10.5 - gw - [ router: capture ] - gw - supernode 10.10.11.5   gw - supernode
//!                                 \ relay between berlin and madrid in one test
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::binaries;
use zonemesh_lab::capture::Capture;
use zonemesh_lab::federation::{LabFederation, TRAINING, ZONES};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::WIREGUARD_PORT;
use zonemesh_lab::process::Process;

const PLAN: TrainingPlan = TrainingPlan { rounds: 3, nodes: 2, train_sleep: Duration::ZERO };

#[test]
fn gives_the_digest_of_plain_fedavg_and_only_wireguard_crosses_the_wan() -> Result<()> {
    let lab = Lab::new(&ZONES)?;
    let capture = Capture::start(&lab, "wan", &[WIREGUARD_PORT])?;
    let mut federation = LabFederation::start(lab)?;
    federation.train(PLAN)?;
    let report = capture.finish(&federation.lab)?;
    ensure!(report.is_clean(), "{report}");
    federation.succeeded()
}

/// Berlin and madrid know each other only by the relay's two addresses on the router.
fn behind_a_relay(federation: &mut LabFederation) -> Result<Process> {
    for (zone, other, endpoint) in
        [("berlin", "madrid", "198.51.100.254:51901"), ("madrid", "berlin", "203.0.113.254:51902")]
    {
        let gateway = federation.mesh.gateway(zone)?;
        gateway.section("gateway")?.remove("endpoints");
        let peer = gateway.peer(other)?;
        peer.insert("endpoints".to_owned(), vec![toml::Value::from(endpoint)].into());
    }
    let mut command = federation.lab.router().command(binaries::find("zonemesh-lab")?);
    command
        .arg("relay")
        .args(["--a-listen", "198.51.100.254:51901", "--a-peer", "198.51.100.1:51820"])
        .args(["--b-listen", "203.0.113.254:51902", "--b-peer", "203.0.113.1:51820"])
        .args(["--seed", "2026", "--delay-ms", "60", "--jitter-ms", "20"])
        .args(["--loss-percent", "1", "--reorder-percent", "2"]);
    let mut relay = Process::spawn("relay", command, federation.lab.folder())?;
    relay.wait_for("relay ready", Duration::from_secs(10))?;
    Ok(relay)
}

#[test]
fn gives_the_same_digest_over_a_slow_path_that_reorders() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    let _relay = behind_a_relay(&mut federation)?;
    federation.connect()?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    for zone in TRAINING {
        federation.start_supernode(zone)?;
    }
    federation.train(TrainingPlan { rounds: 2, ..PLAN })?;
    let via = federation.mesh.gateway("madrid")?.ask(&["peers"])?["peers"][0]["endpoint"].clone();
    ensure!(via == "203.0.113.254:51902", "the path must still be the relay's, not {via}");
    federation.succeeded()
}

#[test]
fn gives_the_same_digest_over_a_wan_that_loses_packets() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    lab.lose("madrid", 2.0)?;
    lab.lose("paris", 5.0)?;
    let mut federation = LabFederation::start(lab)?;
    federation.train(PLAN)?;
    federation.succeeded()
}
