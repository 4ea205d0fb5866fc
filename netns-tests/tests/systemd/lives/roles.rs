//! Roles with many VMs: each SuperNode has a part of the data of its own, and a role is scaled while
//! Flower trains.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::wait::{Look, until};

use super::flowers::with_each_flower;
use super::life::{Life, NODE, supernode};
use super::one_life::{ORDER, in_order};

/// Eight boots at the same time, each with its Flower, on two cores.
const MANY: Duration = Duration::from_secs(400);
const RUN: Duration = Duration::from_secs(600);

/// The part that a VM's Flower was started with.
fn part(life: &mut Life, number: usize) -> Result<String> {
    let vm = life.vm(&supernode(number))?;
    let (part, _) = until(&format!("Flower in {}", vm.name), MANY, || {
        let args = vm.run("ps -u flower -o args= | grep -o 'partition-id=[0-9]*' | sort -u");
        Ok(match args {
            Ok(args) if args.lines().count() == 1 => Look::Done(args.trim().to_owned()),
            other => {
                vm.has_begun_its_stages()?;
                Look::Not(format!("{other:?}"))
            }
        })
    })?;
    Ok(part)
}

/// OneFlow makes these SuperNodes, and waits for none.
fn scale_up(life: &mut Life, numbers: std::ops::Range<usize>, wanted: usize) -> Result<()> {
    life.onegate("madrid").wants(NODE, wanted);
    for number in numbers {
        life.instantiate(&supernode(number))?;
        life.make(&supernode(number))?;
    }
    Ok(())
}

#[test]
fn eight_supernodes_of_a_role_have_eight_parts_of_the_data() -> Result<()> {
    with_each_flower(|flower| {
        let mut life = Life::with_supernodes(flower, 8)?;
        life.onegate("madrid").wants(NODE, 8);
        in_order(&mut life, ORDER)?;
        scale_up(&mut life, 1..8, 8)?;
        let parts: BTreeSet<String> =
            (0..8).map(|vm| part(&mut life, vm)).collect::<Result<_>>()?;
        let expected: BTreeSet<String> = (0..8).map(|id| format!("partition-id={id}")).collect();
        ensure!(parts == expected, "{parts:?}");
        life.wait_until_all_are_ready(MANY)?;
        // The digest is that of all eight parts.
        life.train_on(8)?;
        life.succeeded()
    })
}

#[test]
fn a_role_is_scaled_from_2_to_5_to_3_while_flower_trains() -> Result<()> {
    with_each_flower(|flower| {
        let mut life = Life::with_supernodes(flower, 5)?;
        life.onegate("madrid").wants(NODE, 2);
        in_order(&mut life, ORDER)?;
        scale_up(&mut life, 1..2, 2)?;
        life.wait_until_all_are_ready(MANY)?;
        // Long enough for three boots; on a busy machine rounds take longer, too.
        let plan = TrainingPlan { rounds: 10, nodes: 2, train_sleep: Duration::from_secs(8) };
        let mut run = life.submit(plan)?;
        run.wait_for("[ROUND 2/", RUN)?;
        scale_up(&mut life, 2..5, 5)?;
        let parts = (0..5).map(|vm| part(&mut life, vm)).collect::<Result<BTreeSet<_>>>()?;
        ensure!(parts.len() == 5, "{parts:?}");
        run.wait_for("5 nodes", RUN).context("a round with all five")?;
        // OneFlow takes the oldest away.
        life.onegate("madrid").wants(NODE, 3);
        for number in 0..2 {
            life.scaled_away(&supernode(number))?;
        }
        for number in 2..5 {
            let kept = part(&mut life, number)?;
            ensure!(kept == format!("partition-id={number}"), "{kept}");
        }
        let outcome = run.finish(RUN, &[])?;
        ensure!(outcome.rounds_done == plan.rounds, "{outcome:?}");
        life.succeeded()
    })
}
