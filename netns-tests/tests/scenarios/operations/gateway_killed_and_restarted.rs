//! A gateway dies mid-round and is started again: the path is back in seconds, the result is right.
//!
//! ```text
//!   berlin                      WAN                 madrid                  paris
//!   superlink 10.10.10.5 - gw [ router ] gw - supernode 10.10.11.5   gw - supernode 10.10.12.5
//!                          ^ kill -9 of one of the three gw, 3 s later a new start
//! ```

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use zonemesh_lab::federation::{LabFederation, ZONES};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::wait::{Look, holds_for};

/// Each round is held open long enough to lose and regain a gateway within it.
const PLAN: TrainingPlan =
    TrainingPlan { rounds: 3, nodes: 2, train_sleep: Duration::from_secs(12) };
const BACK_WITHIN: Duration = Duration::from_secs(5);

fn kill_mid_round(zone: &str) -> Result<()> {
    let mut federation = LabFederation::start(Lab::new(&ZONES)?)?;
    let mut run = federation.submit(PLAN)?;
    run.wait_for("[ROUND 1/3]", Duration::from_secs(180))?;
    let LabFederation { mesh, lab, .. } = &mut federation;
    let gateway = mesh.gateway(zone)?;
    gateway.daemon()?.kill_9()?;
    holds_for("the gateway is gone", Duration::from_secs(3), || {
        Ok(Look::<()>::when(gateway.ask(&["status"]).is_err(), "it answers"))
    })?;
    let start = Instant::now();
    gateway.start(lab)?;
    gateway.wait_until_connected(BACK_WITHIN)?;
    for other in ZONES.map(|plan| plan.name) {
        let left = BACK_WITHIN.saturating_sub(start.elapsed());
        mesh.gateway(other)?.wait_until_connected(left)?;
    }
    let took = start.elapsed();
    ensure!(took <= BACK_WITHIN, "tunnels and registry were back after {took:?}");
    federation.check(run, PLAN)?;
    federation.succeeded()
}

#[test]
fn the_superlinks_gateway_comes_back_within_5_s_and_the_run_finishes_right() -> Result<()> {
    kill_mid_round("berlin")
}

#[test]
fn the_first_supernodes_gateway_comes_back_within_5_s_and_the_run_finishes_right() -> Result<()> {
    kill_mid_round("madrid")
}

#[test]
fn the_second_supernodes_gateway_comes_back_within_5_s_and_the_run_finishes_right() -> Result<()> {
    kill_mid_round("paris")
}
