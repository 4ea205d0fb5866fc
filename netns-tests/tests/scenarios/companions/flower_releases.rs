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
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK, SUPERNODE, TRAINING, ZONES};
use zonemesh_lab::flower::{Flower, TrainingPlan, VERSION};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::WIREGUARD_PORT;
use zonemesh_lab::wait::{Look, until};

const OVER_HTTP: &str = "1.42.0";
const LATER_GRPC: &str = "1.26.1";
const PLAN: TrainingPlan = TrainingPlan { rounds: 2, nodes: 2, train_sleep: Duration::ZERO };
const TOLD_WITHIN: Duration = Duration::from_secs(30);

fn started_with(lab: Lab, version: &str) -> Result<LabFederation> {
    let mut federation = LabFederation::prepare(lab)?;
    federation.flower = Flower::release(version)?;
    federation.connect()?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    for zone in TRAINING {
        federation.start_supernode(zone)?;
    }
    Ok(federation)
}

fn is_registered_as(federation: &mut LabFederation, version: &str, transport: &str) -> Result<()> {
    let shown = federation.mesh.gateway("paris")?.ask(&["superlink", "list"])?;
    let shown = &shown["superlinks"][0];
    ensure!(shown["flower_version"] == version && shown["transport"] == transport, "{shown}");
    ensure!(shown["fleet_port"] == if transport == "http" { 8000 } else { 9092 }, "{shown}");
    Ok(())
}

/// Both programs took each of their arguments without a word about it.
fn no_argument_is_out_of_date(federation: &LabFederation) -> Result<()> {
    let places = [(HOME, SUPERLINK), (TRAINING[0], SUPERNODE), (TRAINING[1], SUPERNODE)];
    for (zone, vm) in places {
        let folder = federation.companion_folder(zone, vm);
        let log = std::fs::read_to_string(folder.join(format!("log/flower-{vm}.log")))?;
        ensure!(log.contains("Starting Flower Super"), "{zone}: {log}");
        let said = log.lines().find(|line| line.to_lowercase().contains("deprecated"));
        ensure!(said.is_none(), "{zone}: {said:?}");
    }
    Ok(())
}

#[test]
fn over_http_the_digest_is_that_of_plain_fedavg_and_only_wireguard_crosses_the_wan() -> Result<()> {
    let lab = Lab::new(&ZONES)?;
    let capture = Capture::start(&lab, "wan", &[WIREGUARD_PORT])?;
    let mut federation = started_with(lab, OVER_HTTP)?;
    let plan = TrainingPlan { train_sleep: Duration::from_secs(3), ..PLAN };
    let run = federation.submit(plan)?;
    // Its app is in a session of its own.
    until("the SuperLink to be seen at work", Duration::from_secs(120), || {
        let status = federation.mesh.gateway(HOME)?.ask(&["status"])?;
        let seen = status["companions"][0]["activity"] == "training";
        Ok(Look::<()>::when(seen, &status["companions"]))
    })?;
    federation.check(run, plan)?;
    is_registered_as(&mut federation, OVER_HTTP, "http")?;
    no_argument_is_out_of_date(&federation)?;

    let before = TRAINING.map(|zone| status(&federation, zone).ok());
    stop(&mut federation, HOME)?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    federation.train(TrainingPlan { rounds: 1, ..PLAN })?;
    let after = TRAINING.map(|zone| status(&federation, zone).ok());
    ensure!(before == after, "a SuperNode was touched: {before:?}, then {after:?}");
    let report = capture.finish(&federation.lab)?;
    ensure!(report.is_clean(), "{report}");
    federation.succeeded()
}

#[test]
fn the_next_line_over_grpc_gives_the_same_digest() -> Result<()> {
    let mut federation = started_with(Lab::new(&ZONES)?, LATER_GRPC)?;
    federation.train(PLAN)?;
    is_registered_as(&mut federation, LATER_GRPC, "grpc")?;
    no_argument_is_out_of_date(&federation)?;
    federation.succeeded()
}

/// What a SuperNode's companion writes of itself.
fn status(federation: &LabFederation, zone: &str) -> Result<Value> {
    let file = federation.companion_folder(zone, SUPERNODE).join("status.json");
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
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
    let status = status(federation, zone)?;
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
