//! One zone is invited at two gateways that do not hear each other, and a thief uses the second.
//!
//! ```text
//!   berlin (founds, invites paris) ==== paris (joins at berlin)
//!      ⋮  cut
//!   madrid (invites paris too) ==== rome's place: the thief, who calls itself paris
//! ```

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use netns_tests::managed::ManagedMesh as _;
use serde_json::Value;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

use crate::tool::{ZONES, call_itself, command, invite, owner_key, refused, run, say};

/// The invitation of paris that madrid's engineer wrote, and that was stolen.
fn invitation_of_madrid(lab: &Lab, mesh: &mut Mesh) -> Result<String> {
    let paris = lab.zone("paris")?;
    let file = lab.folder().join("stolen.invitation").display().to_string();
    let (prefix, ip) = (paris.prefix(), paris.tunnel_address.to_string());
    let args = ["zone", "invite", "paris", "--prefix", &prefix, "--tunnel-ip", &ip];
    say(mesh, "madrid", &[&args[..], &["--out", &file]].concat())?;
    Ok(file)
}

/// The key that berlin has granted paris, of which madrid has not heard; its neighbours are cut off.
fn paris_joins_behind_madrids_back(lab: &mut Lab, mesh: &mut Mesh) -> Result<String> {
    let invitation = invite(lab, mesh, lab.zone("paris")?, &[])?;
    lab.cut("madrid")?;
    say(mesh, "paris", &["zone", "join", &invitation])?;
    let key = key_of_paris(mesh, "berlin")?.context("paris is a member at berlin")?;
    lab.cut("berlin")?;
    lab.cut("paris")?;
    lab.heal("madrid")?;
    call_itself(lab, mesh, "rome", lab.zone("paris")?)?;
    Ok(key)
}

/// Which key paris is granted with, as a gateway knows it.
fn key_of_paris(mesh: &mut Mesh, at: &str) -> Result<Option<String>> {
    let zones = mesh.gateway(at)?.ask(&["zone", "list"])?;
    let mut all = zones["zones"].as_array().into_iter().flatten();
    let paris = all.find(|zone| zone["zone"] == "paris" && zone["state"] == "member");
    Ok(paris.and_then(|zone| zone["zone_key"].as_str()).map(str::to_owned))
}

/// Waits until both gateways grant paris this key, and have a tunnel with its holder.
fn belongs_to(mesh: &mut Mesh, key: &str) -> Result<()> {
    for at in ["berlin", "madrid"] {
        until(&format!("{at} to know and reach the right paris"), patience(), || {
            let known = key_of_paris(mesh, at)?;
            let peers = mesh.gateway(at)?.ask(&["peers"])?;
            let mut all = peers["peers"].as_array().into_iter().flatten();
            let paris = all.find(|peer| peer["zone"] == "paris" && peer["state"] == "up");
            let right = known.as_deref() == Some(key) && paris.is_some();
            Ok(Look::<()>::when(right, format!("{known:?} {peers}")))
        })?;
    }
    Ok(())
}

/// A mesh of berlin and madrid; paris and the thief in rome's place are still strangers.
fn two_inviters(lab: &Lab) -> Result<Mesh> {
    let mut mesh = Mesh::strangers(lab)?;
    say(&mut mesh, "berlin", &["mesh", "init"])?;
    let invitation = invite(lab, &mut mesh, lab.zone("madrid")?, &[])?;
    say(&mut mesh, "madrid", &["zone", "join", &invitation])?;
    Ok(mesh)
}

#[test]
fn a_thief_that_waits_where_the_member_was_unknown_is_told_apart_and_never_urged() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = two_inviters(&lab)?;
    let stolen = invitation_of_madrid(&lab, &mut mesh)?;
    let right = paris_joins_behind_madrids_back(&mut lab, &mut mesh)?;
    // Madrid may not sign: the thief waits there for an authority.
    let joining = command(&mut mesh, "rome", &["zone", "join", &stolen])?;
    let mut joining = Process::spawn("thief-join", joining, lab.folder())?;
    joining.wait_for("waiting until an authority approves", patience())?;
    let status = mesh.gateway("madrid")?.show(&["status"])?;
    ensure!(status.contains("zone approve paris"), "nobody is told who waits:\n{status}");

    lab.heal("berlin")?;
    lab.heal("paris")?;
    belongs_to(&mut mesh, &right)?;
    let zones = mesh.gateway("madrid")?.ask(&["zone", "list"])?;
    let thief = zones["disputed"][0]["zone_key"].as_str().unwrap_or_default().to_owned();
    ensure!(zones["pending"] == Value::Array(Vec::new()), "the thief still waits: {zones}");
    ensure!(zones["disputed"][0]["granted_key"] == right.as_str(), "{zones}");
    ensure!(!thief.is_empty() && thief != right, "{zones}");
    let status = mesh.gateway("madrid")?.show(&["status"])?;
    ensure!(!status.contains("approve"), "the engineer is urged to let the thief in:\n{status}");
    let said = refused(&mut mesh, "madrid", &["zone", "approve", "paris"], 2)?;
    ensure!(said.contains(&right) && said.contains(&thief), "{said}");
    // With its name it is signed as far as madrid can, which is not at all: nothing is changed by it.
    let confirmed = ["zone", "approve", "paris", "--confirm", "paris"];
    let output = run(&mut mesh, "madrid", &confirmed)?;
    ensure!(!output.status.success(), "{output:?}");
    belongs_to(&mut mesh, &right)?;
    ensure!(joining.ended()?.is_none(), "the thief does not wait any more");
    lab.succeeded()
}

#[test]
fn of_two_that_were_granted_as_one_zone_all_follow_who_has_it_longer() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = two_inviters(&lab)?;
    let file: PathBuf = mesh.gateway("madrid")?.folder().join("state/authority.key");
    let file = file.display().to_string();
    let public = say(&mut mesh, "madrid", &["key", "generate", "authority", "--out", &file])?;
    let owner = owner_key(&mut mesh, "berlin")?;
    let add = ["authority", "add", public.trim(), "--key", &owner, "--key", &file];
    say(&mut mesh, "berlin", &add)?;
    mesh.gateway("madrid")?.kill_9_and_start(&lab)?;
    mesh.gateway("madrid")?.wait_until_ready(patience())?;
    let stolen = invitation_of_madrid(&lab, &mut mesh)?;
    let right = paris_joins_behind_madrids_back(&mut lab, &mut mesh)?;
    say(&mut mesh, "rome", &["zone", "join", &stolen])?;
    let thief = key_of_paris(&mut mesh, "madrid")?.context("the thief is a member at madrid")?;
    ensure!(thief != right, "{thief}");

    lab.heal("berlin")?;
    lab.heal("paris")?;
    belongs_to(&mut mesh, &right)?;
    lab.succeeded()
}
