//! A gateway dies mid-round and is started again, in each round another zone's: the path is back in
//! seconds, the result is right.
//!
//! ```text
//!   berlin                      WAN                 madrid                  paris
//!   superlink 10.10.10.5 - gw [ router ] gw - supernode 10.10.11.5   gw - supernode 10.10.12.5
//!                          ^ kill -9 of this gw, 3 s later a new start; then madrid's, then paris's
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

fn dies_and_comes_back(federation: &mut LabFederation, zone: &str) -> Result<()> {
    let LabFederation { mesh, lab, .. } = federation;
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
    ensure!(took <= BACK_WITHIN, "{zone}: tunnels and registry were back after {took:?}");
    Ok(())
}

#[test]
fn each_zones_gateway_comes_back_within_5_s_of_the_round_it_died_in_and_the_run_finishes_right()
-> Result<()> {
    let mut federation = LabFederation::start(Lab::new(&ZONES)?)?;
    let mut run = federation.submit(PLAN)?;
    // The SuperLink's first, then those of the SuperNodes.
    for (round, zone) in (1..=PLAN.rounds).zip(ZONES.map(|plan| plan.name)) {
        run.wait_for(&format!("[ROUND {round}/3]"), Duration::from_secs(180))?;
        dies_and_comes_back(&mut federation, zone)?;
        let next = format!("[ROUND {}/3]", round + 1);
        ensure!(!run.output()?.contains(&next), "round {round} was over before");
    }
    federation.check(run, PLAN)?;
    federation.succeeded()
}
