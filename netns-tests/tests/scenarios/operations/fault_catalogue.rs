//! Faults made on purpose on a running mesh: each is told in time by whom it concerns, and forgotten.
//!
//! `make faults` tries the whole catalogue, and a healthy mesh for an hour; `make test` six of it.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::catalogue::{CataloguedFault, FaultStage, TriedFault, ZONES, faults};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::Mesh;

/// One of each kind, and none that takes minutes to be forgotten.
const IN_SHORT: [&str; 6] = [
    "a zone is cut off the WAN",
    "the default route is gone",
    "all routes of the gateway are flushed",
    "a local bridge has a peer's prefix",
    "the kernel no longer forwards",
    "a peer's zone key is another one's",
];

/// The faults that `ZONEMESH_FAULTS` names, with `;` between; `all`; or those of every run of the tests.
fn chosen() -> Result<Vec<CataloguedFault>> {
    let named = std::env::var("ZONEMESH_FAULTS").unwrap_or_else(|_| IN_SHORT.join(";"));
    let known = faults();
    let names: Vec<&str> = match named.as_str() {
        "all" => known.iter().map(|fault| fault.name).collect(),
        named => named.split(';').collect(),
    };
    for name in &names {
        ensure!(known.iter().any(|fault| fault.name == *name), "no such fault: {name}");
    }
    Ok(known.into_iter().filter(|fault| names.contains(&fault.name)).collect())
}

#[test]
fn faults_are_told_in_time_and_forgotten_and_a_healthy_mesh_says_nothing() -> Result<()> {
    let minutes = std::env::var("ZONEMESH_QUIET_MINUTES").ok();
    let quiet = minutes.map(|minutes| minutes.parse::<u64>()).transpose()?;
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let mut stage = FaultStage::set(&mut lab, &mut mesh)?;
    stage.stays_quiet(Duration::from_secs(quiet.map_or(5, |minutes| 60 * minutes)))?;
    let (mut failed, mut out) = (Vec::new(), std::io::stderr());
    for fault in chosen()? {
        match stage.attempt(&fault)? {
            Ok(TriedFault { name, by, told, forgotten }) => {
                writeln!(out, "{name}: after {told:.1?} ({by}), quiet {forgotten:.1?} later")?;
            }
            Err(error) => {
                writeln!(out, "{}: FAILED: {error:#}", fault.name)?;
                failed.push(fault.name);
            }
        }
    }
    ensure!(failed.is_empty(), "{} failed: {}", failed.len(), failed.join("; "));
    lab.succeeded()
}
