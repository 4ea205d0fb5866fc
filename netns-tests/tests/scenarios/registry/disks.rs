//! Disks that are lost, old or copied, and a start from what they hold.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netns_tests::managed::ManagedMesh as _;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

use crate::tool::{
    ZONES, change_record, in_step, invite, joined, peers, same_records, say, text, version,
};

/// Keeps a gateway's keys where a gateway keeps them unless it is told otherwise.
fn keys_in_state_folder(mesh: &mut Mesh, zone: &str) -> Result<()> {
    let gateway = mesh.gateway(zone)?;
    let state = gateway.folder().join("state");
    std::fs::create_dir_all(&state)?;
    for (section, key, file) in [
        ("tunnel", "private_key_file", "wireguard.key"),
        ("registry", "identity_key_file", "zone.key"),
    ] {
        std::fs::rename(gateway.folder().join(file), state.join(file))?;
        gateway.section(section)?.remove(key);
    }
    Ok(())
}

#[test]
fn a_wiped_gateway_restored_from_an_old_backup_speaks_above_what_it_had_said() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = Mesh::prepare(&lab)?;
    for zone in lab.zones() {
        mesh.gateway(&zone.name)?.set_peers(Vec::new());
    }
    keys_in_state_folder(&mut mesh, "paris")?;
    mesh.start(&lab)?;
    for zone in lab.zones() {
        mesh.gateway(&zone.name)?.wait_until_ready(patience())?;
    }
    say(&mut mesh, "berlin", &["mesh", "init"])?;
    for zone in &lab.zones()[1..] {
        let invitation = invite(&lab, &mut mesh, zone, &[])?;
        say(&mut mesh, &zone.name, &["zone", "join", &invitation])?;
    }
    in_step(&lab, &mut mesh, patience())?;
    let state = mesh.gateway("paris")?.folder().join("state");
    let saved = lab.folder().join("paris.state").display().to_string();
    let folder = ["--state-dir", text(&state)?];
    say(&mut mesh, "paris", &[&["state", "backup", &saved][..], &folder].concat())?;

    // Twice more it says something new; then the disk is lost and replaced by the old backup.
    for endpoint in ["192.0.2.77:51820", "192.0.2.78:51820"] {
        change_record(&mut mesh, "paris", endpoint)?;
        mesh.gateway("paris")?.kill_9_and_start(&lab)?;
        mesh.gateway("paris")?.wait_until_ready(patience())?;
        in_step(&lab, &mut mesh, patience())?;
    }
    let latest = version(&mut mesh, "berlin", "paris")?;
    mesh.gateway("paris")?.daemon()?.kill_9()?;
    std::fs::remove_dir_all(&state)?;
    say(&mut mesh, "paris", &[&["state", "restore", &saved][..], &folder].concat())?;
    change_record(&mut mesh, "paris", "192.0.2.79:51820")?;
    mesh.start_one(&lab, "paris")?;
    mesh.wait_until_connected(patience())?;
    until("paris to speak above its earlier self", patience(), || {
        let now = version(&mut mesh, "berlin", "paris")?;
        Ok(Look::<()>::when(now > latest, format!("{now:?}, before {latest:?}")))
    })?;
    in_step(&lab, &mut mesh, patience())?;
    lab.succeeded()
}

#[test]
fn a_gateway_that_has_lost_all_but_its_keys_joins_again_with_the_same_invitation() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::strangers(&lab)?;
    say(&mut mesh, "berlin", &["mesh", "init"])?;
    let invitation = invite(&lab, &mut mesh, lab.zone("madrid")?, &[])?;
    say(&mut mesh, "madrid", &["zone", "join", &invitation])?;
    in_step(&lab, &mut mesh, patience())?;
    let before = version(&mut mesh, "berlin", "madrid")?;
    mesh.gateway("madrid")?.daemon()?.kill_9()?;
    std::fs::remove_dir_all(mesh.gateway("madrid")?.folder().join("state"))?;
    mesh.start_one(&lab, "madrid")?;
    say(&mut mesh, "madrid", &["zone", "join", &invitation])?;
    mesh.wait_until_connected(patience())?;
    in_step(&lab, &mut mesh, patience())?;
    ensure!(version(&mut mesh, "berlin", "madrid")? > before);
    lab.succeeded()
}

#[test]
fn all_start_from_their_disks_and_one_stays_away() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = joined(&lab)?;
    for zone in ["berlin", "madrid", "paris"] {
        mesh.gateway(zone)?.daemon()?.kill_9()?;
    }
    // Berlin first, with every other zone unreachable; nothing of the mesh is forgotten.
    mesh.start_one(&lab, "berlin")?;
    ensure!(peers(&mut mesh, "berlin")?.len() == 2);
    let begin = Instant::now();
    mesh.gateway("madrid")?.start(&lab)?;
    until("the tunnel of madrid to be up", patience(), || {
        let peers = match peers(&mut mesh, "madrid") {
            Ok(peers) => peers,
            Err(error) => return Ok(Look::Not(format!("{error:#}"))),
        };
        let up = peers.iter().any(|peer| peer["zone"] == "berlin" && peer["state"] == "up");
        Ok(Look::<()>::when(up, format!("{peers:?}")))
    })?;
    let took = begin.elapsed();
    eprintln!("from the start of the daemon to its tunnel up: {:.2} s", took.as_secs_f64());
    ensure!(took < Duration::from_secs(5), "a start from the disk took {took:?}");
    same_records(&mut mesh, &["berlin", "madrid"], 3, patience())?;
    let zones = mesh.gateway("madrid")?.ask(&["zone", "list"])?;
    ensure!(zones["zones"].as_array().is_some_and(|zones| zones.len() == 3), "{zones}");
    mesh.start_one(&lab, "paris")?;
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}

#[test]
fn a_cloned_gateway_raises_an_alarm() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::strangers(&lab)?;
    say(&mut mesh, "berlin", &["mesh", "init"])?;
    for zone in ["madrid", "paris"] {
        let invitation = invite(&lab, &mut mesh, lab.zone(zone)?, &[])?;
        say(&mut mesh, zone, &["zone", "join", &invitation])?;
    }
    same_records(&mut mesh, &["berlin", "madrid", "paris"], 3, patience())?;
    // Rome's place on the WAN gets a copy of paris's disk; both say something new.
    for zone in ["paris", "rome"] {
        mesh.gateway(zone)?.daemon()?.kill_9()?;
    }
    mesh.copy_disk("paris", "rome")?;
    change_record(&mut mesh, "paris", "192.0.2.77:51820")?;
    change_record(&mut mesh, "rome", "192.0.2.78:51820")?;
    for zone in ["paris", "rome"] {
        mesh.start_one(&lab, zone)?;
    }
    until("an alarm about the clone", Duration::from_secs(60), || {
        let mut alarms = Vec::new();
        for zone in ["berlin", "madrid", "paris", "rome"] {
            let status = mesh.gateway(zone)?.ask(&["status"])?;
            alarms.push(status["registry"]["clone_alarms"].as_u64().unwrap_or_default());
        }
        Ok(Look::<()>::when(alarms.iter().any(|count| *count > 0), format!("{alarms:?}")))
    })?;
    mesh.gateway("rome")?.daemon()?.kill_9()?;
    // The true one is heard again.
    same_records(&mut mesh, &["berlin", "madrid", "paris"], 3, Duration::from_secs(60))?;
    lab.succeeded()
}
