//! An invitation is good once, for its zone, whole, and in time; each refusal says why.

use anyhow::{Result, ensure};
use netns_tests::managed::ManagedMesh as _;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

use crate::tool::{ZONES, call_itself, invite, joined, refused, run, say};

#[test]
fn a_used_expired_damaged_or_foreign_invitation_joins_nobody() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = Mesh::strangers(&lab)?;
    say(&mut mesh, "berlin", &["mesh", "init"])?;
    let madrid = lab.zone("madrid")?;

    let late = invite(&lab, &mut mesh, madrid, &["--valid-for", "1s"])?;
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let said = refused(&mut mesh, "madrid", &["zone", "join", &late], 4)?;
    ensure!(said.contains("has expired: ask for a new one"), "{said}");

    let good = invite(&lab, &mut mesh, madrid, &[])?;
    let line = std::fs::read_to_string(&good)?;
    let damaged = lab.folder().join("damaged").display().to_string();
    let middle = line.len() / 2;
    let other = if line.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let changed = format!("{}{other}{}", &line[..middle], &line[middle + 1..]);
    for text in [&changed, &line[..middle], "", "c29tZXRoaW5nIGVsc2U="] {
        std::fs::write(&damaged, text)?;
        let said = refused(&mut mesh, "madrid", &["zone", "join", &damaged], 4)?;
        ensure!(said.contains("invitation"), "{said}");
    }
    let said = refused(&mut mesh, "paris", &["zone", "join", &good], 4)?;
    ensure!(said.contains("the invitation is for zone madrid, this is zone paris"), "{said}");

    let steps = say(&mut mesh, "madrid", &["zone", "join", &good])?;
    ensure!(steps.ends_with("this zone is a member\n"), "{steps}");
    ensure!(say(&mut mesh, "madrid", &["zone", "join", &good])?.ends_with("member\n"));

    // Somebody else with a copy of the invitation, and with all of madrid's names.
    call_itself(&lab, &mut mesh, "paris", madrid)?;
    let said = refused(&mut mesh, "paris", &["zone", "join", &good], 4)?;
    ensure!(said.contains("was used by another gateway"), "{said}");
    let zones = mesh.gateway("berlin")?.ask(&["zone", "list"])?;
    ensure!(zones["zones"].as_array().is_some_and(|zones| zones.len() == 2), "{zones}");
    lab.succeeded()
}

#[test]
fn whoever_has_an_unused_invitation_joins_in_its_zones_place() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = Mesh::strangers(&lab)?;
    say(&mut mesh, "berlin", &["mesh", "init"])?;
    let madrid = lab.zone("madrid")?;
    let stolen = invite(&lab, &mut mesh, madrid, &[])?;
    call_itself(&lab, &mut mesh, "paris", madrid)?;
    say(&mut mesh, "paris", &["zone", "join", &stolen])?;
    mesh.gateway("paris")?.wait_until_connected(patience())?;
    // The zone that it was meant for finds out.
    let said = refused(&mut mesh, "madrid", &["zone", "join", &stolen], 4)?;
    ensure!(said.contains("was used by another gateway"), "{said}");
    lab.succeeded()
}

#[test]
fn a_prefix_that_another_zone_has_is_granted_to_nobody() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = joined(&lab)?;
    let file = lab.folder().join("thief").display().to_string();
    let stolen = lab.zone("madrid")?.prefix();
    let half = stolen.replace("/24", "/25");
    for prefix in [&stolen, &half] {
        let args = ["zone", "invite", "thief", "--prefix", prefix, "--out", &file];
        let said = refused(&mut mesh, "berlin", &args, 6)?;
        ensure!(said.contains("thief") && said.contains("madrid"), "one owner is missing: {said}");
    }
    // A member that announces it all the same: its own gateway leaves it out, and says so.
    let paris = mesh.gateway("paris")?;
    let prefixes = toml::Value::Array(vec![stolen.clone().into()]);
    paris.section("zone")?.insert("prefixes".to_owned(), prefixes);
    paris.config.remove("local_api");
    paris.kill_9_and_start(&lab)?;
    paris.wait_until_ready(patience())?;
    until("paris to tell what it is not granted", patience(), || {
        let status = paris.ask(&["status"])?;
        let mut findings = status["findings"].as_array().into_iter().flatten();
        let is_told = findings.any(|finding| {
            finding["code"] == "P319" && finding["sentence"].to_string().contains(&stolen)
        });
        Ok(Look::<()>::when(is_told, &status["findings"]))
    })?;
    mesh.wait_until_connected(patience())?;
    let output = run(&mut mesh, "berlin", &["peers", "-o", "json"])?;
    let peers = String::from_utf8_lossy(&output.stdout).into_owned();
    let peers: serde_json::Value = serde_json::from_str(&peers)?;
    let owners = peers["peers"].as_array().into_iter().flatten();
    let owners: Vec<_> =
        owners.filter(|peer| peer["prefixes"].to_string().contains(&stolen)).collect();
    ensure!(owners.len() == 1 && owners[0]["zone"] == "madrid", "{peers}");
    lab.succeeded()
}
