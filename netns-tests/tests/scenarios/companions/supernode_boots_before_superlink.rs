//! SuperNodes that boot first wait, and join by themselves once the SuperLink appears.
//!
//! ```text
//!   berlin                      WAN                 madrid                  paris
//!   (superlink comes last) gw [ router ] gw - supernode 10.10.11.5   gw - supernode 10.10.12.5
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::federation::{LabFederation, TRAINING, ZONES};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::wait::{Look, holds_for};

#[test]
fn a_supernode_that_boots_before_the_superlink_joins_by_itself() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.connect()?;
    for zone in TRAINING {
        federation.start_supernode(zone)?;
    }
    holds_for("both companions run and wait", Duration::from_secs(8), || {
        for zone in TRAINING {
            if let Some(status) = federation.companion(zone)?.ended()? {
                return Ok(Look::Not(format!("the one of {zone} ended with {status}")));
            }
        }
        Ok(Look::Done(()))
    })?;
    let before = TRAINING.map(|zone| federation.companion(zone).map(|one| one.pid()).ok());
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    federation.train(TrainingPlan { rounds: 2, nodes: 2, train_sleep: Duration::ZERO })?;
    let after = TRAINING.map(|zone| federation.companion(zone).map(|one| one.pid()).ok());
    ensure!(before == after, "no companion may have been started again");
    federation.succeeded()
}
