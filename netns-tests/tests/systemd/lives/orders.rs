//! The same life in every order in which four VMs may come, with each Flower that the images have.
//!
//! `make test-appliances` runs them; `make test` has one of them, in `one_life`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use zonemesh_lab::wait::{Look, holds_for};

use super::flowers::with_each_flower;
use super::life::Life;
use super::one_life::{ORDER, READY, in_order};

/// How late a SuperLink is, unless `ZONEMESH_LATE_S` says it.
const LATE: Duration = Duration::from_secs(30);

/// A whole life for each Flower, in this order.
fn trained(order: impl Fn(&mut Life) -> Result<()>) -> Result<()> {
    with_each_flower(|flower| {
        let mut life = Life::new(flower)?;
        order(&mut life)?;
        life.wait_until_all_are_ready(READY)?;
        life.train()?;
        life.succeeded()
    })
}

/// Each is configured before the next one is made, and none is waited for.
fn one_by_one(life: &mut Life, order: [&str; 4]) -> Result<()> {
    for vm in order {
        life.make(vm)?;
        life.vm(vm)?.wait_until_configured()?;
    }
    Ok(())
}

fn late() -> Result<Duration> {
    match std::env::var("ZONEMESH_LATE_S") {
        Ok(seconds) => Ok(Duration::from_secs(seconds.parse().context("ZONEMESH_LATE_S")?)),
        Err(_) => Ok(LATE),
    }
}

#[test]
fn the_founder_comes_first_and_all_boot_again_in_the_reverse_order() -> Result<()> {
    trained(|life| {
        in_order(life, ORDER)?;
        life.wait_until_all_are_ready(READY)?;
        life.train()?;
        for vm in ORDER {
            life.vm(vm)?.switch_off()?;
        }
        for vm in ORDER.into_iter().rev() {
            life.vm(vm)?.switch_on()?;
            life.vm(vm)?.wait_until_configured()?;
        }
        Ok(())
    })
}

#[test]
fn the_supernode_comes_first() -> Result<()> {
    let order = ["supernode", "madrid-gateway", "superlink", "berlin-gateway"];
    trained(|life| one_by_one(life, order))
}

#[test]
fn the_superlink_comes_long_after_all_others() -> Result<()> {
    let late = late()?;
    trained(|life| {
        for vm in ["berlin-gateway", "madrid-gateway"] {
            life.make(vm)?;
            life.vm(vm)?.wait_until_ready(READY)?;
        }
        life.make("supernode")?;
        let supernode = life.vm("supernode")?;
        supernode.wait_until_configured()?;
        holds_for("a SuperNode without a SuperLink is not ready", late, || {
            let told = supernode.told("READY");
            Ok(Look::<()>::when(told.is_none(), format!("{told:?}")))
        })?;
        let status = supernode.run("cat /var/lib/zonemesh-supernode/status.json")?;
        ensure!(status.contains("F510"), "it does not say what it waits for: {status}");
        life.make("superlink")
    })
}

#[test]
fn the_gateway_of_a_training_zone_comes_last() -> Result<()> {
    let order = ["berlin-gateway", "superlink", "supernode", "madrid-gateway"];
    trained(|life| one_by_one(life, order))
}

#[test]
fn all_come_at_once() -> Result<()> {
    trained(|life| {
        ["supernode", "superlink", "madrid-gateway", "berlin-gateway"]
            .into_iter()
            .try_for_each(|vm| life.make(vm))
    })
}
