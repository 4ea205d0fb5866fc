//! Threads that are busy carrying run first, where they may; the bytes are the same either way.
//!
//! ```text
//!   left (watched) ==== tunnel ====  right
//! ```

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::wireguard::gateway::inner;
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::pair::{Pair, PairPlan};
use netns_tests::wireguard::traffic::{ping, transfer};
use netns_tests::wireguard::wan::{Family, Side, Wan};
use zonemesh_lab::priority::{
    SeenRank, has_several_cores, is_allowed, nice_of, rank, ranks_during,
};
use zonemesh_lab::wait::{Look, until};

const SOON: Duration = Duration::from_secs(10);
const BYTES: u64 = 400_000_000;
/// Carries both directions.
const THREAD: &str = "zm-both";
const TOLD: &str = "busy tunnel threads rank as any other";

/// Sends from the left to the right; returns how the left one's thread ranked meanwhile.
fn ranks(wan: &Wan, pair: &mut Pair<'_>) -> Result<SeenRank> {
    let [from, to] = [Side::Left, Side::Right].map(|side| wan.namespace(side));
    let address = SocketAddr::new(inner(Side::Right, Family::V4), 7000);
    ranks_during(pair.left.process(), THREAD, || transfer(from, to, address, BYTES).map(drop))
}

/// Starts the left one again by another program, which is given it and its arguments.
fn left_by(pair: &mut Pair<'_>, program: &str, arguments: &[&str]) -> Result<()> {
    pair.left.process().terminate(SOON)?;
    pair.left.start_again_with(|command| {
        let own = [command.get_program().to_owned()].into_iter();
        let argv: Vec<OsString> = own.chain(command.get_args().map(OsString::from)).collect();
        *command = Command::new(program);
        command.args(arguments).args(argv);
    })?;
    pair.configure(Side::Left, PairPlan::default())?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON).map(drop)
}

/// Little traffic: the thread is as any other.
fn comes_to_rest(wan: &Wan, pair: &mut Pair<'_>) -> Result<()> {
    until("the thread to rank as any other", SOON, || {
        ping(wan.namespace(Side::Left), inner(Side::Right, Family::V4), 2, 0.1)?;
        let now = rank(pair.left.process(), THREAD)?;
        Ok(Look::<()>::when(now == SeenRank::ORDINARY, format!("it ranks {now:?}")))
    })?;
    Ok(())
}

#[test]
fn busy_threads_run_first_and_idle_ones_rank_as_any_other() -> Result<()> {
    let wan = Wan::new()?;
    let mut pair = Pair::start(&wan, [Implementation::Zonemesh; 2], PairPlan::default())?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    comes_to_rest(&wan, &mut pair)?;
    let (allowed, ranks) = (is_allowed()?, ranks(&wan, &mut pair)?);
    let told = pair.left.process().output()?.contains(TOLD);
    let wants = has_several_cores();
    let wanted = SeenRank { first: allowed && wants, favoured: allowed && wants };
    ensure!(ranks == wanted, "allowed {allowed}, several cores {wants}, ranked {ranks:?}");
    ensure!(told == (!allowed && wants), "allowed {allowed}, several cores {wants}, told {told}");
    comes_to_rest(&wan, &mut pair)?;
    wan.succeeded()
}

#[test]
fn threads_that_may_not_run_first_say_so_once_and_carry_all_the_same() -> Result<()> {
    let wan = Wan::new()?;
    let mut pair = Pair::start(&wan, [Implementation::Zonemesh; 2], PairPlan::default())?;
    left_by(&mut pair, "setpriv", &["--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"])?;
    for _ in 0..2 {
        let ranks = ranks(&wan, &mut pair)?;
        ensure!(ranks == SeenRank::ORDINARY, "without the right to it ranked {ranks:?}");
        comes_to_rest(&wan, &mut pair)?;
    }
    let said = pair.left.process().output()?;
    ensure!(said.matches(TOLD).count() == usize::from(has_several_cores()), "{said}");
    wan.succeeded()
}

#[test]
fn how_nice_the_process_was_started_is_where_its_threads_come_back_to() -> Result<()> {
    let wan = Wan::new()?;
    let mut pair = Pair::start(&wan, [Implementation::Zonemesh; 2], PairPlan::default())?;
    left_by(&mut pair, "nice", &["-n", "5"])?;
    comes_to_rest(&wan, &mut pair)?;
    let ranks = ranks(&wan, &mut pair)?;
    ensure!(ranks.favoured == (is_allowed()? && has_several_cores()), "it ranked {ranks:?}");
    comes_to_rest(&wan, &mut pair)?;
    let now = nice_of(pair.left.process(), THREAD)?;
    ensure!(now == 5, "after the load it has nice {now}, and was started with 5");
    wan.succeeded()
}

#[test]
fn the_switch_leaves_all_threads_as_any_other() -> Result<()> {
    let wan = Wan::new()?;
    let without = Implementation::ZonemeshWithout("REALTIME");
    let mut pair = Pair::start(&wan, [without, Implementation::Zonemesh], PairPlan::default())?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let ranks = ranks(&wan, &mut pair)?;
    ensure!(ranks == SeenRank::ORDINARY, "although it was told not to it ranked {ranks:?}");
    let said = pair.left.process().output()?;
    ensure!(!said.contains(TOLD), "{said}");
    wan.succeeded()
}
