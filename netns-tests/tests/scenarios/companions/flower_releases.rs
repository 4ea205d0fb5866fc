//! Flower's other releases: over HTTP as over gRPC, and never two of them in one federation.
//!
//! ```text
//!   berlin                         WAN                        madrid                  paris
//!   superlink 10.10.10.5 - gw - [ router: capture ] - gw - supernode 10.10.11.5   gw - supernode
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use zonemesh_lab::capture::Capture;
use zonemesh_lab::federation::{HOME, LabFederation, SUPERNODE, TRAINING, ZONES};
use zonemesh_lab::flower::{Flower, TrainingPlan, VERSION};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::WIREGUARD_PORT;

const OVER_HTTP: &str = "1.42.0";
const LATER_GRPC: &str = "1.26.1";
const PLAN: TrainingPlan = TrainingPlan { rounds: 2, nodes: 2, train_sleep: Duration::ZERO };
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// The first SuperLink as the gateway of this zone shows it.
fn superlink(federation: &mut LabFederation, zone: &str) -> Result<Value> {
    Ok(federation.mesh.gateway(zone)?.ask(&["superlink", "list"])?["superlinks"][0].clone())
}

fn trains_with(version: &str, transport: &str, port: u16) -> Result<()> {
    let lab = Lab::new(&ZONES)?;
    let capture = Capture::start(&lab, "wan", &[WIREGUARD_PORT])?;
    let mut federation = LabFederation::prepare(lab)?;
    federation.flower = Flower::release(version)?;
    federation.connect()?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    for zone in TRAINING {
        federation.start_supernode(zone)?;
    }
    federation.train(PLAN)?;
    let shown = superlink(&mut federation, "paris")?;
    ensure!(shown["flower_version"] == version && shown["transport"] == transport, "{shown}");
    ensure!(shown["fleet_port"] == port, "{shown}");
    let report = capture.finish(&federation.lab)?;
    ensure!(report.is_clean(), "{report}");
    federation.succeeded()
}

#[test]
fn over_http_the_digest_is_that_of_plain_fedavg_and_only_wireguard_crosses_the_wan() -> Result<()> {
    trains_with(OVER_HTTP, "http", 8000)
}

#[test]
fn the_next_line_over_grpc_gives_the_same_digest() -> Result<()> {
    trains_with(LATER_GRPC, "grpc", 9092)
}

/// A SuperNode with this release, which is told that its SuperLink has another, and starts nothing.
fn is_refused(federation: &mut LabFederation, zone: &str, ours: &str, theirs: &str) -> Result<()> {
    let mut settings = federation.supernode_settings(zone)?;
    let bin = Flower::release(ours)?.bin().display().to_string();
    settings.insert("ONEAPP_ZONEMESH_FLOWER_BIN", bin);
    federation.start_supernode_with(zone, settings)?;
    let (line, _) = federation.companion(zone)?.wait_for("F501", TOLD_WITHIN)?;
    ensure!(line.contains(&format!("Flower is {ours} over ")), "{line}");
    ensure!(line.contains(&format!(" and {theirs} over ")), "{line}");
    let file = federation.companion_folder(zone, SUPERNODE).join("status.json");
    let status: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    ensure!(status["flower_starts"] == 0, "Flower was started: {status}");
    stop(federation, zone)
}

fn stop(federation: &mut LabFederation, zone: &str) -> Result<()> {
    let code = federation.companion(zone)?.terminate(Duration::from_secs(30))?;
    ensure!(code == 0, "the companion of {zone} ended with {code}");
    Ok(())
}

/// As docs/OPERATIONS.md says: the federation is down between, the SuperLink comes first, with its
/// database. Who is early or late is told so by both versions.
#[test]
fn a_federation_goes_from_1_25_to_1_42_with_its_database_and_who_is_not_there_yet_is_refused()
-> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.connect()?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    is_refused(&mut federation, "paris", OVER_HTTP, VERSION)?;
    for zone in TRAINING {
        federation.start_supernode(zone)?;
    }
    federation.train(PLAN)?;
    let before = federation.runs_of_superlink()?;
    for zone in TRAINING.into_iter().chain([HOME]) {
        stop(&mut federation, zone)?;
    }

    federation.flower = Flower::release(OVER_HTTP)?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    is_refused(&mut federation, "madrid", VERSION, OVER_HTTP)?;
    for zone in TRAINING {
        federation.start_supernode(zone)?;
    }
    federation.train(PLAN)?;
    let after = federation.runs_of_superlink()?;
    ensure!(before.len() == 1 && after.len() == 2, "{before:?}, then {after:?}");
    ensure!(after.contains(&before[0]), "the run before is forgotten: {before:?}, then {after:?}");
    federation.succeeded()
}
