//! SuperNodes by their keys: who is registered takes part, and nobody else; ready is Flower's word.
//!
//! ```text
//!   berlin                      WAN                       madrid                  paris
//!   superlink 10.10.10.5 - gw [ router ] gw - supernode 10.10.11.5    gw - supernode 10.10.12.5
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use zonemesh_lab::federation::{HOME, LabFederation, SUPERNODE, TRAINING, ZONES};
use zonemesh_lab::flower::{Flower, TrainingPlan, VERSION};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

const PLAN: TrainingPlan = TrainingPlan { rounds: 1, nodes: 2, train_sleep: Duration::ZERO };
const PATIENCE: Duration = Duration::from_secs(180);
/// What a SuperNode of Flower 1.25 ends with whose key is not registered.
const REFUSED: &str = "generator didn't yield";

fn started_with(version: &str) -> Result<LabFederation> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.flower = Flower::release(version)?;
    federation.connect()?;
    // Any order of start works.
    federation.start_supernode(TRAINING[0])?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    federation.start_supernode(TRAINING[1])?;
    for zone in TRAINING {
        until_state(&federation, zone, "ready")?;
    }
    Ok(federation)
}

fn status(federation: &LabFederation, zone: &str) -> Result<Value> {
    let file = federation.companion_folder(zone, SUPERNODE).join("status.json");
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

fn until_state(federation: &LabFederation, zone: &str, state: &str) -> Result<()> {
    until(&format!("the SuperNode of {zone} to be {state}"), PATIENCE, || {
        // Its companion may not have written it yet.
        let status = match status(federation, zone) {
            Ok(status) => status,
            Err(error) => return Ok(Look::Not(format!("{error:#}"))),
        };
        Ok(Look::<()>::when(status["state"] == state, &status))
    })?;
    Ok(())
}

/// Those that are not unregistered.
fn standing(federation: &mut LabFederation) -> Result<BTreeMap<String, String>> {
    let mut nodes = federation.supernodes_of_superlink()?;
    nodes.retain(|_, state| state != "unregistered");
    Ok(nodes)
}

fn stop(federation: &mut LabFederation, zone: &str) -> Result<()> {
    let code = federation.companion(zone)?.terminate(Duration::from_secs(30))?;
    ensure!(code == 0, "the companion of {zone} ended with {code}");
    Ok(())
}

/// What the release has to show: ready is Flower's own list, and a number is the same after each kind
/// of restart.
fn a_release_keeps_its_numbers(version: &str) -> Result<()> {
    let mut federation = started_with(version)?;
    let before = standing(&mut federation)?;
    ensure!(before.len() == 2, "{before:?}");
    ensure!(before.values().all(|state| state == "online"), "ready before Flower: {before:?}");

    stop(&mut federation, TRAINING[0])?;
    let stopped = standing(&mut federation)?;
    ensure!(stopped.values().filter(|state| *state == "offline").count() == 1, "{stopped:?}");
    federation.start_supernode(TRAINING[0])?;
    until_state(&federation, TRAINING[0], "ready")?;
    let back = standing(&mut federation)?;
    ensure!(back == before, "a SuperNode that was restarted: {before:?}, then {back:?}");

    stop(&mut federation, HOME)?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    until("both to be online at the SuperLink again", PATIENCE, || {
        let nodes = standing(&mut federation)?;
        Ok(Look::<()>::when(nodes == before, format!("{before:?}, then {nodes:?}")))
    })?;
    federation.train(PLAN)?;
    federation.succeeded()
}

#[test]
fn with_1_25_ready_is_flowers_own_list_and_a_number_outlives_each_restart() -> Result<()> {
    a_release_keeps_its_numbers(VERSION)
}

#[test]
fn with_1_26_ready_is_flowers_own_list_and_a_number_outlives_each_restart() -> Result<()> {
    a_release_keeps_its_numbers("1.26.1")
}

#[test]
fn with_1_42_ready_is_flowers_own_list_and_a_number_outlives_each_restart() -> Result<()> {
    a_release_keeps_its_numbers("1.42.0")
}

/// A key in OpenSSH's form, as Flower's documents say to make one, of who runs Flower.
fn stray_key(federation: &LabFederation) -> Result<PathBuf> {
    let key = federation.lab.folder().join("stray.key");
    let mut keygen = Command::new("ssh-keygen");
    let made =
        keygen.args(["-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f"]).arg(&key).status()?;
    ensure!(made.success(), "ssh-keygen ended with {made}");
    for file in [&key, &key.with_extension("key.pub")] {
        federation.flower.give(file)?;
    }
    Ok(key)
}

/// A VM of a training zone that has the federation's CA and its SuperLink's address, and a key that no
/// gateway has heard of.
fn stray(federation: &mut LabFederation, key: &Path) -> Result<Process> {
    let folder = federation.lab.folder().to_owned();
    federation.at(TRAINING[1], SUPERNODE, |flower, place| {
        let command = flower.stray_supernode(place, key);
        Process::spawn("stray", command, &folder)
    })
}

/// It ends by itself, and its SuperLink has not one SuperNode more.
fn is_refused(federation: &mut LabFederation, key: &Path) -> Result<()> {
    let before = standing(federation)?;
    let (code, output) = stray(federation, key)?.wait_for_end(PATIENCE)?;
    ensure!(code != 0 && output.contains(REFUSED), "it ended with {code}: {output}");
    let after = standing(federation)?;
    ensure!(after.keys().eq(before.keys()), "{before:?}, then {after:?}");
    Ok(())
}

/// Flower's Control API asks nobody who he is.
fn registers_itself(federation: &mut LabFederation, key: &Path) -> Result<()> {
    let public = key.with_extension("key.pub").display().to_string();
    let answer = federation.at(TRAINING[1], SUPERNODE, |flower, place| {
        flower.ask(place, &["supernode", "register", &public])
    })?;
    ensure!(answer["success"] == true, "{answer}");
    Ok(())
}

/// A SuperNode's VM without what it had on its disk.
fn is_made_anew(federation: &mut LabFederation, zone: &str) -> Result<()> {
    federation.cut_power(zone, SUPERNODE)?;
    let folder = federation.companion_folder(zone, SUPERNODE);
    std::fs::remove_dir_all(folder).context("the VM's disk")?;
    federation.start_supernode(zone)?;
    until_state(federation, zone, "ready")
}

#[test]
fn neither_a_key_that_no_gateway_names_nor_that_of_a_vm_before_it_was_made_anew_takes_part()
-> Result<()> {
    let mut federation = started_with(VERSION)?;
    let before = standing(&mut federation)?;
    let key = stray_key(&federation)?;
    is_refused(&mut federation, &key)?;
    // Both take a minute or two to go: they go side by side.
    registers_itself(&mut federation, &key)?;
    is_made_anew(&mut federation, TRAINING[0])?;
    until("the stranger's number and that of the VM before to be unregistered", PATIENCE, || {
        let all = federation.supernodes_of_superlink()?;
        let count = |state: &str| all.values().filter(|shown| *shown == state).count();
        let gone = before.keys().filter(|id| all.get(*id).is_some_and(|s| s == "unregistered"));
        let is_so = all.len() == 4
            && (count("online"), count("unregistered")) == (2, 2)
            && gone.count() == 1;
        Ok(Look::<()>::when(is_so, format!("{before:?}, then {all:?}")))
    })?;
    is_refused(&mut federation, &key)?;
    federation.train(PLAN)?;
    federation.succeeded()
}
