//! The life in the order that OneFlow keeps: the founder's gateway first, each VM when the one before
//! is ready.

use std::time::Duration;

use anyhow::Result;

use super::life::Life;

/// A boot, the stages and what they wait for, on a busy machine.
pub(crate) const READY: Duration = Duration::from_secs(180);

/// As OneFlow makes them.
pub(crate) const ORDER: [&str; 4] = ["berlin-gateway", "superlink", "madrid-gateway", "supernode"];

/// Each is ready before the next one is made.
pub(crate) fn in_order(life: &mut Life, order: [&str; 4]) -> Result<()> {
    for vm in order {
        life.make(vm)?;
        life.vm(vm)?.wait_until_ready(READY)?;
    }
    Ok(())
}

#[test]
fn the_founder_comes_first_and_flower_1_42_trains() -> Result<()> {
    let mut life = Life::new("1.42.0")?;
    in_order(&mut life, ORDER)?;
    life.wait_until_all_are_ready(READY)?;
    life.train()?;
    life.succeeded()
}
