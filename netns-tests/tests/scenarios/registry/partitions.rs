//! A partition with changes on both sides, and a revocation that a part of the mesh has not heard.
//!
//! `ZONEMESH_PARTITION_S` sets how long the partition is; `make partition` takes ten minutes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netns_tests::managed::ManagedMesh as _;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};

use crate::tool::{
    ZONES, change_record, in_step, invite, joined, same_records, say, version, without_peer,
};

/// Healed at the latest after this long: the longest pause between two dials, and a digest.
const HEALED: Duration = Duration::from_secs(35);

fn seconds() -> Result<u64> {
    match std::env::var("ZONEMESH_PARTITION_S") {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(60),
    }
}

#[test]
fn changes_on_both_sides_of_a_partition_are_everywhere_after_it() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::strangers(&lab)?;
    say(&mut mesh, "berlin", &["mesh", "init"])?;
    for zone in ["madrid", "paris"] {
        let invitation = invite(&lab, &mut mesh, lab.zone(zone)?, &[])?;
        say(&mut mesh, zone, &["zone", "join", &invitation])?;
    }
    same_records(&mut mesh, &["berlin", "madrid", "paris"], 3, patience())?;
    let before = version(&mut mesh, "berlin", "paris")?;

    lab.cut("paris")?;
    let cut = Instant::now();
    // On one side a zone says something new, on the other one too and a new zone joins.
    change_record(&mut mesh, "paris", "192.0.2.77:51820")?;
    mesh.gateway("paris")?.kill_9_and_start(&lab)?;
    mesh.gateway("paris")?.wait_until_ready(patience())?;
    change_record(&mut mesh, "madrid", "192.0.2.78:51820")?;
    mesh.gateway("madrid")?.kill_9_and_start(&lab)?;
    mesh.gateway("madrid")?.wait_until_ready(patience())?;
    let invitation = invite(&lab, &mut mesh, lab.zone("rome")?, &[])?;
    say(&mut mesh, "rome", &["zone", "join", &invitation])?;
    same_records(&mut mesh, &["berlin", "madrid", "rome"], 4, patience())?;
    ensure!(version(&mut mesh, "berlin", "paris")? == before, "the cut has no effect");
    std::thread::sleep(Duration::from_secs(seconds()?).saturating_sub(cut.elapsed()));

    lab.heal("paris")?;
    let took = in_step(&lab, &mut mesh, HEALED)?;
    eprintln!("healed in {:.1} s", took.as_secs_f64());
    ensure!(version(&mut mesh, "berlin", "paris")? > before);
    mesh.wait_until_connected(HEALED)?;
    lab.succeeded()
}

#[test]
fn a_zone_that_is_revoked_during_a_partition_is_out_everywhere_after_it() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = joined(&lab)?;
    // Rome hears nothing of it, and neither does paris itself.
    lab.cut("rome")?;
    let args = ["zone", "revoke", "paris", "--confirm", "paris", "--reason", "stolen"];
    let said = say(&mut mesh, "berlin", &args)?;
    ensure!(said.contains("members no more: paris"), "{said}");
    without_peer(&mut mesh, "berlin", "paris", Duration::from_secs(2))?;
    without_peer(&mut mesh, "madrid", "paris", Duration::from_secs(5))?;
    ensure!(crate::tool::peers(&mut mesh, "rome")?.iter().any(|peer| peer["zone"] == "paris"));
    // Out for good, also for who comes back with the same key.
    mesh.gateway("paris")?.kill_9_and_start(&lab)?;
    mesh.gateway("paris")?.wait_until_ready(patience())?;
    lab.heal("rome")?;
    let took = without_peer(&mut mesh, "rome", "paris", HEALED)?;
    eprintln!("the revocation was heard {:.1} s after the partition", took.as_secs_f64());
    same_records(&mut mesh, &["berlin", "madrid", "rome"], 3, HEALED)?;
    for zone in ["berlin", "madrid", "rome"] {
        let zones = mesh.gateway(zone)?.ask(&["zone", "list"])?;
        let paris = zones["zones"].as_array().into_iter().flatten().find(|z| z["zone"] == "paris");
        ensure!(paris.is_some_and(|paris| paris["state"] == "revoked"), "{zone}: {zones}");
        mesh.gateway(zone)?.wait_until_connected(patience())?;
    }
    lab.succeeded()
}
