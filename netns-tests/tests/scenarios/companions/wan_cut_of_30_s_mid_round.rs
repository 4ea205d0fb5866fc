//! A zone loses the WAN for 30 s in the middle of a round: nobody sees it in the result.
//!
//! ```text
//!   berlin                      WAN                   madrid                  paris
//!   superlink 10.10.10.5 - gw [ router ] -X 30 s- gw - supernode 10.10.11.5   gw - supernode
//! ```

use std::time::Duration;

use anyhow::Result;
use zonemesh_lab::federation::{LabFederation, ZONES};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::wait::{Look, holds_for};

const PLAN: TrainingPlan =
    TrainingPlan { rounds: 2, nodes: 2, train_sleep: Duration::from_secs(10) };
const CUT: Duration = Duration::from_secs(30);

#[test]
fn a_wan_cut_of_30_s_in_a_round_is_invisible_in_the_result() -> Result<()> {
    let mut federation = LabFederation::start(Lab::new(&ZONES)?)?;
    let mut run = federation.submit(PLAN)?;
    run.wait_for("[ROUND 1/2]", Duration::from_secs(180))?;
    federation.lab.cut("madrid")?;
    holds_for("round 1 stays open while madrid is cut off", CUT, || {
        let output = run.output()?;
        Ok(Look::<()>::when(!output.contains("[ROUND 2/2]"), &output))
    })?;
    federation.lab.heal("madrid")?;
    federation.check(run, PLAN)?;
    federation.succeeded()
}
