//! From release 0.2.0 to this one, program by program, in a federation that works on: each program of
//! this release beside all the others of that one.
//!
//! ```text
//!   0.2.0:   berlin (SuperLink) ==== madrid, paris (SuperNodes), a managed mesh     a run of Flower
//!   then:    madrid's gateway; berlin's gateway, a new invitation; madrid's SuperNode     a run
//!            the SuperLink's companion, which admits without keys until all are of this release     a run
//!            all the others, and the SuperLink admits by keys     a run
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::binaries;
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK, TRAINING, ZONES};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::patience;

use crate::tool::{invite, same_records, say};

const BEFORE: &str = "0.2.0";
const PLAN: TrainingPlan = TrainingPlan { rounds: 1, nodes: 2, train_sleep: Duration::ZERO };
/// For a daemon, or a companion with its Flower, to end.
const SOON: Duration = Duration::from_secs(30);

/// Berlin's mesh and federation, all of 0.2.0 and made by its own programs.
fn federation_of_0_2(federation: &mut LabFederation) -> Result<()> {
    let programs = binaries::release(BEFORE)?;
    for zone in ZONES {
        let gateway = federation.mesh.gateway(zone.name)?;
        gateway.programs = Some(programs.clone());
        gateway.set_peers(Vec::new());
    }
    federation.mesh.start(&federation.lab)?;
    for zone in ZONES {
        federation.mesh.gateway(zone.name)?.wait_until_ready(patience())?;
    }
    say(&mut federation.mesh, HOME, &["mesh", "init"])?;
    for zone in TRAINING {
        let LabFederation { lab, mesh, .. } = &mut *federation;
        let invitation = invite(lab, mesh, lab.zone(zone)?, &[])?;
        say(&mut federation.mesh, zone, &["zone", "join", &invitation])?;
    }
    federation.mesh.wait_until_connected(patience())?;
    federation.programs = Some(programs);
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    TRAINING.iter().try_for_each(|zone| federation.start_supernode(zone))
}

/// A gateway is replaced while companions and neighbours stay; all are connected and agree again.
fn upgrade_gateway(federation: &mut LabFederation, zone: &str) -> Result<()> {
    let gateway = federation.mesh.gateway(zone)?;
    ensure!(gateway.ask(&["status"])?["version"] == BEFORE, "{zone} is of another release");
    gateway.daemon()?.terminate(SOON)?;
    gateway.programs = None;
    gateway.start(&federation.lab)?;
    federation.mesh.wait_until_connected(patience())?;
    let zones = ZONES.map(|zone| zone.name);
    same_records(&mut federation.mesh, &zones, zones.len(), patience())?;
    federation.wait_for_superlink(zone, "ready", patience())?;
    Ok(())
}

/// Ends a zone's companion; the next one is of this release.
fn end_companion(federation: &mut LabFederation, zone: &str) -> Result<()> {
    federation.programs = None;
    let code = federation.companion(zone)?.terminate(SOON)?;
    ensure!(code == 0, "the companion of {zone} ended with {code}");
    Ok(())
}

#[test]
fn each_program_is_upgraded_beside_the_others_and_the_federation_trains_on() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation_of_0_2(&mut federation)?;
    federation.train(PLAN)?;
    let [madrid, paris] = TRAINING;

    upgrade_gateway(&mut federation, madrid)?;
    upgrade_gateway(&mut federation, HOME)?;
    end_companion(&mut federation, madrid)?;
    federation.start_supernode(madrid)?;
    federation.train(PLAN)?;

    // What paris runs has no key.
    end_companion(&mut federation, HOME)?;
    let mut settings = federation.superlink_settings(HOME, SUPERLINK)?;
    settings.insert("ONEAPP_FL_SUPERNODE_AUTH", "NO".to_owned());
    federation.start_superlink_with(HOME, SUPERLINK, settings)?;
    federation.wait_until_ready()?;
    federation.train(PLAN)?;

    upgrade_gateway(&mut federation, paris)?;
    end_companion(&mut federation, paris)?;
    federation.start_supernode(paris)?;
    end_companion(&mut federation, HOME)?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    federation.train(TrainingPlan { rounds: 2, ..PLAN })?;
    federation.succeeded()
}
