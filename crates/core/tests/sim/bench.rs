//! Figures of the registry at 3, 100 and 1000 zones, in virtual time: how fast a change reaches all
//! zones, what idle streams cost, how long healing takes, and how the cost grows.
//!
//! `cargo bench -p zonemesh-core --bench registry_sim [-- ZONES...]`. It fails if a target is missed.
//! `SEED` (42) is what chance follows from: how long one healing takes is as much luck as work.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an instrument")]

mod engine;
mod scenario;

use engine::Setup;
use engine::traffic::PINGS_BYTES_PER_S;
use scenario::Figures;

/// Targets: update to all zones, idle stream, healing.
const UPDATE_MS: u64 = 2_000;
const IDLE_BYTES_PER_S: f64 = 100.0;
const HEAL_MS: u64 = 35_000;

fn main() -> std::process::ExitCode {
    let sizes: Vec<u32> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![3, 100, 1000] } else { sizes };
    println!(
        "one-way latency 5 to 125 ms, 0.5 % of packets lost, a CA set of 1 kB in each record, six neighbours"
    );
    let seed = std::env::var("SEED").map_or(42, |seed| seed.parse().unwrap());
    let mut missed = false;
    let mut per_gateway = Vec::new();
    for zones in sizes {
        let figures = scenario::run(Setup { zones, seed, loss: 5 }, 30, 600_000);
        missed |= !report(zones, &figures);
        per_gateway.push((
            zones,
            figures.idle / f64::from(zones),
            figures.update_bytes / u64::from(zones),
        ));
    }
    if let [(small, idle, update), .., (large, last_idle, last_update)] = per_gateway[..] {
        println!(
            "growth {small} -> {large} zones, per gateway: idle x {:.1}, one update x {:.1}",
            last_idle / idle,
            last_update as f64 / update as f64
        );
    }
    let (first, next) = scenario::taking(1000);
    println!("a record of each of 1000 zones, never heard before: {first:?} of one core");
    println!("the next one of each: {next:?}");
    if missed { std::process::ExitCode::FAILURE } else { std::process::ExitCode::SUCCESS }
}

/// Prints figures; false if one misses its target.
fn report(zones: u32, figures: &Figures) -> bool {
    let streams = figures.streams as f64;
    let idle = figures.idle / streams + PINGS_BYTES_PER_S;
    let gateway = figures.idle / f64::from(zones) + PINGS_BYTES_PER_S * streams / f64::from(zones);
    let (p50, p99) = (figures.updates.percentile(50), figures.updates.percentile(99));
    println!("{zones} zones, {} streams", figures.streams);
    println!("  all start at once          {} ms until all agree", figures.start_ms);
    println!("  update to all zones        p50 {p50} ms, p99 {p99} ms");
    println!("  one update, per gateway    {} B", figures.update_bytes / u64::from(zones));
    println!(
        "  idle                       {idle:.0} B/s per stream, {gateway:.0} B/s sent per gateway"
    );
    println!(
        "  half/half cut of {} s, {} updates: healed in {} ms, {} B per gateway",
        figures.cut_ms / 1000,
        figures.cut_updates,
        figures.heal_ms,
        figures.heal_bytes / u64::from(zones)
    );
    println!("  revocation at all zones    {} ms", figures.revocation_ms);
    println!(
        "  authority removed, its list followed everywhere  {} ms, {} B per gateway",
        figures.removal_ms,
        figures.removal_bytes / u64::from(zones)
    );
    println!(
        "  memory of all gateways at its peak: {} MB, with that list {} MB",
        figures.memory_mb, figures.removal_memory_mb
    );
    println!(
        "  restart, wiped disk, old disk, clone, cut at once: all agree; {} alarms about the clone",
        figures.clone_alarms
    );
    let met = p99 < UPDATE_MS && idle < IDLE_BYTES_PER_S && figures.heal_ms < HEAL_MS;
    if !met {
        println!(
            "  MISSED: p99 < {UPDATE_MS} ms, idle < {IDLE_BYTES_PER_S} B/s, heal < {HEAL_MS} ms"
        );
    }
    met
}
