//! The SuperLink's VM loses its power and does not come back for a while: everyone is told, nobody who
//! trains is touched, who starts meanwhile waits, and what its own zone sees of its companions is shown.
//!
//! ```text
//!   berlin                         WAN                 madrid                  paris
//!   superlink (power) - gw [ router ] gw - supernode 10.10.11.5   gw - supernode 10.10.12.5
//! ```

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK, SUPERNODE, TRAINING, ZONES};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::patience;
use zonemesh_lab::wait::{Look, until};

const PLAN: TrainingPlan = TrainingPlan { rounds: 1, nodes: 2, train_sleep: Duration::ZERO };
/// 30 s without a report, looks of 2 s, records of readiness once in 5 s, and some time to be seen.
const MISSED: Duration = Duration::from_secs(45);

/// What a zone's gateway shows of the companions in its VMs, once that is as `wanted`.
fn companion(
    federation: &mut LabFederation,
    zone: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let (shown, _) = until("the companion as it is", patience() * 4, || {
        let status = federation.mesh.gateway(zone)?.ask(&["status"])?;
        let one = status["companions"][0].clone();
        Ok(if wanted(&one) { Look::Done(one) } else { Look::Not(status["companions"].to_string()) })
    })?;
    Ok(shown)
}

/// What a SuperNode's companion writes of itself.
fn status(federation: &LabFederation, zone: &str) -> Result<Value> {
    let file = federation.companion_folder(zone, SUPERNODE).join("status.json");
    Ok(serde_json::from_slice(&std::fs::read(&file)?)?)
}

/// The process group of a SuperNode's Flower.
fn flower_group(federation: &LabFederation, zone: &str) -> Result<Value> {
    let status = status(federation, zone)?;
    ensure!(status["flower_group"].is_i64(), "no Flower runs in {zone}: {status}");
    Ok(status["flower_group"].clone())
}

#[test]
fn a_superlink_that_lost_its_power_is_lost_for_everyone_and_no_supernode_is_touched() -> Result<()>
{
    let mut federation = LabFederation::start(Lab::new(&ZONES)?)?;
    federation.train(PLAN)?;
    for zone in TRAINING {
        let one = companion(&mut federation, zone, |one| one["state"] == "running")?;
        ensure!(one["connected"] == true && one["role"] == "supernode", "{one}");
        ensure!(
            one["flower_version"] == "1.25.0" && one["findings"] == serde_json::json!([]),
            "{one}"
        );
        ensure!(one["cas"].as_array().is_some_and(|cas| cas.len() == 1), "{one}");
        companion(&mut federation, zone, |one| one["activity"] == "idle")?;
    }
    let before = [flower_group(&federation, "madrid")?, flower_group(&federation, "paris")?];

    federation.cut_power(HOME, SUPERLINK)?;
    let cut = Instant::now();
    for zone in [HOME, "madrid", "paris"] {
        until("the SuperLink to be lost", MISSED, || {
            let known = federation.mesh.gateway(zone)?.ask(&["superlink", "list"])?;
            Ok(Look::<()>::when(known["superlinks"][0]["readiness"] == "lost", &known))
        })?;
    }
    ensure!(cut.elapsed() < MISSED, "after {:?}", cut.elapsed());
    let gone = companion(&mut federation, HOME, |one| one["connected"] == false)?;
    ensure!(gone["state"] == "ready", "what it said last: {gone}");
    let after = [flower_group(&federation, "madrid")?, flower_group(&federation, "paris")?];
    ensure!(before == after, "{before:?}, then {after:?}");
    let shown = federation.mesh.gateway(HOME)?.show(&["status"])?;
    let line = shown.lines().find(|line| line.contains(" superlink ")).context("no line")?;
    ensure!(line.contains("gone"), "{line}");

    // Who starts now waits.
    federation.companion("paris")?.terminate(patience())?;
    federation.start_supernode("paris")?;
    until("the new SuperNode to wait", patience(), || {
        let status = status(&federation, "paris")?;
        let waits = status["reason"]["code"] == "F511" && status.to_string().contains("is lost");
        Ok(Look::<()>::when(waits && status["flower_group"].is_null(), &status))
    })?;

    federation.start_superlink()?;
    federation.wait_until_ready()?;
    companion(&mut federation, "paris", |one| one["state"] == "running")?;
    let after = flower_group(&federation, "madrid")?;
    ensure!(before[0] == after, "back again: {before:?}, then {after:?}");
    federation.succeeded()
}
