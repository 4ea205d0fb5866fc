//! The simulator at small sizes: whatever happens to a mesh, all its gateways agree again.
//!
//! `cargo bench -p zonemesh-core --bench registry_sim` runs the same at 1000 zones.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(dead_code, reason = "the instrument uses more of the engine than these tests")]

mod engine;
mod scenario;

use engine::Setup;
use proptest::prelude::*;

#[test]
fn a_change_reaches_twelve_zones_within_two_seconds_and_a_cut_heals_within_35() {
    let figures = scenario::run(Setup { zones: 12, seed: 1, loss: 5 }, 5, 200_000);
    assert!(figures.updates.percentile(99) < 2_000);
    assert!(figures.heal_ms < 35_000, "{}", figures.heal_ms);
    assert!(figures.revocation_ms < 2_000, "{}", figures.revocation_ms);
    assert!(figures.idle / (figures.streams as f64) < 100.0);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let (mut sim, took) = scenario::started(Setup { zones: 5, seed: 9, loss: 50 });
        (took, scenario::half_cut(&mut sim, 100_000, 2))
    };
    assert_eq!(run(), run());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn restarts_wiped_and_restored_disks_clones_and_cuts_leave_all_in_agreement(
        zones in 4..9_u32,
        seed in any::<u64>(),
        loss in 0..100_u64,
    ) {
        let (mut sim, _) = scenario::started(Setup { zones, seed, loss });
        scenario::troubles(&mut sim);
        scenario::revoke(&mut sim, zones - 1);
        sim.run(60_000);
        prop_assert!(sim.agree());
    }
}
