//! The SuperLink is restarted; the SuperNodes come back by themselves, because it keeps a database.
//!
//! ```text
//!   berlin                         WAN                 madrid                  paris
//!   superlink (restart) - gw [ router ] gw - supernode 10.10.11.5   gw - supernode 10.10.12.5
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK, TRAINING, ZONES};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::Lab;

const PLAN: TrainingPlan = TrainingPlan { rounds: 1, nodes: 2, train_sleep: Duration::ZERO };

fn restart(stop: impl FnOnce(&mut LabFederation) -> Result<()>) -> Result<()> {
    let mut federation = LabFederation::start(Lab::new(&ZONES)?)?;
    federation.train(PLAN)?;
    let before = TRAINING.map(|zone| federation.companion(zone).map(|one| one.pid()).ok());
    stop(&mut federation)?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    federation.train(TrainingPlan { rounds: 2, ..PLAN })?;
    for zone in TRAINING {
        ensure!(federation.companion(zone)?.ended()?.is_none(), "the companion of {zone} ended");
    }
    let after = TRAINING.map(|zone| federation.companion(zone).map(|one| one.pid()).ok());
    ensure!(before == after, "no companion may have been started again");
    federation.succeeded()
}

#[test]
fn after_an_orderly_stop_no_supernode_needs_a_hand() -> Result<()> {
    restart(|federation| {
        let code = federation.companion(HOME)?.terminate(Duration::from_secs(30))?;
        ensure!(code == 0, "the companion ended with {code}");
        Ok(())
    })
}

#[test]
fn after_a_power_cut_of_its_vm_no_supernode_needs_a_hand() -> Result<()> {
    restart(|federation| federation.cut_power(HOME, SUPERLINK))
}
