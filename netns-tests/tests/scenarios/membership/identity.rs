//! The zone that founded the mesh and holds its federation gets a new identity: another authority
//! grants the new key and revokes the old one in one step. The federation stays where it was, the old
//! key never comes back.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::updates::{Post, Series, measure, registration};
use netns_tests::wireguard::traffic::Pinger;
use serde_json::Value;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

use crate::tool::{joined, owner_key, say};

const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &["superlink"] },
    ZonePlan { name: "madrid", vms: &[] },
    ZonePlan { name: "paris", vms: &[] },
];

#[test]
fn a_zone_changes_its_identity_and_keeps_its_federation() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = joined(&lab)?;
    let home = Post::at(&lab, &mut mesh, "berlin", "superlink")?;
    let request = registration(&lab, &mesh, "superlink")?;
    measure(&home, &[], &request, Series { ports: 9092..9093, pause: Duration::ZERO })?;
    held_by_berlin(&mut mesh)?;
    let old = zone_key(&mut mesh)?;

    // berlin cannot grant itself: madrid becomes an authority.
    let file = mesh.gateway("madrid")?.folder().join("state/authority.key").display().to_string();
    let key = say(&mut mesh, "madrid", &["key", "generate", "authority", "--out", &file])?;
    let owner = owner_key(&mut mesh, "berlin")?;
    let add = ["authority", "add", key.trim(), "--key", &owner, "--key", &file];
    say(&mut mesh, "berlin", &add)?;
    until("madrid to be an authority", patience(), || {
        let list = mesh.gateway("madrid")?.ask(&["authority", "list"])?;
        let both = list["authorities"].as_array().is_some_and(|all| all.len() == 2);
        Ok(Look::<()>::when(both, &list))
    })?;
    start_with(&lab, &mut mesh, None)?;
    let target = IpAddr::from(lab.zone("paris")?.tunnel_address);
    mesh.gateway("paris")?.wait_until_ready(patience())?;
    let pinger = Pinger::start(&lab.zone("berlin")?.gateway, target, 0.05, lab.folder())?;
    let berlin = lab.zone("berlin")?;
    let (prefix, ip) = (berlin.prefix(), berlin.tunnel_address.to_string());
    let invitation = lab.folder().join("berlin.invitation").display().to_string();
    let invite = ["zone", "invite", "berlin", "--prefix", &prefix, "--tunnel-ip", &ip];
    say(&mut mesh, "madrid", &[&invite[..], &["--out", &invitation]].concat())?;
    say(&mut mesh, "berlin", &["zone", "join", &invitation])?;
    mesh.wait_until_connected(patience())?;
    let new = zone_key(&mut mesh)?;
    ensure!(new != old, "{old}");
    held_by_berlin(&mut mesh)?;
    let zones = mesh.gateway("paris")?.ask(&["zone", "list"])?;
    let all = zones["zones"].as_array().context("zones")?;
    let revoked = all.iter().find(|zone| zone["zone_key"] == old).context("the old key")?;
    ensure!(revoked["state"] == "revoked" && all.len() == 4, "{zones}");
    let pinged = pinger.finish()?;
    eprintln!("the change cost {} of {} pings, 0.05 s apart", pinged.lost(), pinged.sent);

    // A copy of the disk of before: its key is out for ever.
    start_with(&lab, &mut mesh, Some("zone.key.before"))?;
    until("berlin to say that its key was revoked", patience(), || {
        let status = mesh.gateway("berlin")?.ask(&["status"]);
        let said = status.as_ref().is_ok_and(|s| s["findings"].to_string().contains("T409"));
        Ok(Look::<()>::when(said, format!("{status:?}")))
    })?;
    ensure!(zone_key(&mut mesh)? == new);
    lab.succeeded()
}

/// Starts berlin anew with another identity: a new one, or the one in a file.
fn start_with(lab: &Lab, mesh: &mut Mesh, file: Option<&str>) -> Result<()> {
    let berlin = mesh.gateway("berlin")?;
    berlin.daemon()?.kill_9()?;
    let folder = berlin.folder().to_owned();
    match file {
        None => std::fs::rename(folder.join("zone.key"), folder.join("zone.key.before"))?,
        Some(file) => drop(std::fs::copy(folder.join(file), folder.join("zone.key"))?),
    }
    berlin.start(lab)?;
    berlin.wait_until_ready(patience())
}

/// The key of berlin that paris knows.
fn zone_key(mesh: &mut Mesh) -> Result<Value> {
    let zones = mesh.gateway("paris")?.ask(&["zone", "list"])?;
    let all = zones["zones"].as_array().context("zones")?;
    let berlin = all.iter().find(|zone| zone["zone"] == "berlin" && zone["state"] == "member");
    Ok(berlin.with_context(|| format!("no berlin: {zones}"))?["zone_key"].clone())
}

fn held_by_berlin(mesh: &mut Mesh) -> Result<()> {
    until("paris to find the federation in berlin", patience(), || {
        let list = mesh.gateway("paris")?.ask(&["superlink", "list"])?;
        let held = list["superlinks"].as_array().is_some_and(|all| all.len() == 1)
            && list["superlinks"][0]["zone"] == "berlin";
        Ok(Look::<()>::when(held, &list))
    })?;
    Ok(())
}
