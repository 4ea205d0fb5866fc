//! A zone leaves of its own will, stays out over a restart, and comes back by a new invitation.
//!
//! ```text
//!   berlin (founds, invites) ==== madrid (leaves), paris
//! ```

use anyhow::{Context as _, Result, ensure};
use netns_tests::kernel_state::routes;
use netns_tests::managed::ManagedMesh as _;
use serde_json::Value;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

use crate::tool::{ZONES, invite, joined, refused, run, say};

/// What a gateway's `zone list` says of madrid.
fn madrid_at(mesh: &mut Mesh, gateway: &str) -> Result<Value> {
    let list = mesh.gateway(gateway)?.ask(&["zone", "list"])?;
    let zones = list["zones"].as_array().context("no zones")?;
    zones.iter().find(|zone| zone["zone"] == "madrid").cloned().context("no madrid")
}

fn peers_at(mesh: &mut Mesh, gateway: &str) -> Result<Vec<Value>> {
    let peers = mesh.gateway(gateway)?.ask(&["peers"])?;
    let zones = peers["peers"].as_array().into_iter().flatten();
    Ok(zones.map(|peer| peer["zone"].clone()).collect())
}

#[test]
fn a_zone_that_leaves_is_nobodys_peer_and_comes_back_by_a_new_invitation() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = joined(&lab)?;
    let unconfirmed = refused(&mut mesh, "madrid", &["zone", "leave"], 2)?;
    ensure!(unconfirmed.contains("next: zonemesh zone leave --confirm madrid"), "{unconfirmed}");
    let left = say(&mut mesh, "madrid", &["zone", "leave", "--confirm", "madrid"])?;
    ensure!(left.contains("zone madrid has left the mesh") && left.contains("told: "), "{left}");
    for other in ["berlin", "paris"] {
        until("madrid to be gone", patience(), || {
            let (zone, peers) = (madrid_at(&mut mesh, other)?, peers_at(&mut mesh, other)?);
            let gone =
                zone["state"] == "left" && peers.len() == 1 && !peers.contains(&zone["zone"]);
            Ok(Look::<()>::when(gone, format!("{zone} {peers:?}")))
        })?;
        ensure!(madrid_at(&mut mesh, other)?["issued_at"].is_string());
        let routes = routes(&lab.zone(other)?.gateway, &lab.zone("madrid")?.prefix())?;
        let barred = routes.lines().count() == 1 && routes.starts_with("unreachable");
        ensure!(barred, "{other}: {routes}");
    }
    // In madrid too, also over a restart, and nothing is announced.
    mesh.gateway("madrid")?.kill_9_and_start(&lab)?;
    mesh.gateway("madrid")?.wait_until_ready(patience())?;
    ensure!(peers_at(&mut mesh, "madrid")?.is_empty());
    let status = say(&mut mesh, "madrid", &["status"])?;
    ensure!(status.contains("P309") && !status.contains("! "), "{status}");
    ensure!(madrid_at(&mut mesh, "berlin")?["state"] == "left");

    // One that its inviter does not have any more is refused, and changes nothing.
    let madrid = lab.zone("madrid")?;
    let former = invite(&lab, &mut mesh, madrid, &[])?;
    let berlin = mesh.gateway("berlin")?;
    berlin.daemon()?.terminate(patience())?;
    std::fs::remove_dir_all(berlin.folder().join("state/invitations"))?;
    berlin.start(&lab)?;
    berlin.wait_until_ready(patience())?;
    let refused = refused(&mut mesh, "madrid", &["zone", "join", &former], 4)?;
    ensure!(refused.contains("not valid here"), "{refused}");
    until("madrid to be outside as before", patience(), || {
        let status = run(&mut mesh, "madrid", &["status"])?;
        let text = String::from_utf8_lossy(&status.stdout).into_owned();
        let is_out = status.status.success() && text.contains("P309");
        Ok(Look::<()>::when(is_out && madrid_at(&mut mesh, "madrid")?["state"] == "left", text))
    })?;

    let invitation = invite(&lab, &mut mesh, madrid, &[])?;
    say(&mut mesh, "madrid", &["zone", "join", &invitation])?;
    mesh.wait_until_connected(patience())?;
    for gateway in ["berlin", "madrid", "paris"] {
        ensure!(madrid_at(&mut mesh, gateway)?["state"] == "member", "{gateway}");
    }
    lab.succeeded()
}

#[test]
fn a_zone_that_is_cut_off_while_another_leaves_hears_of_it_later() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = Mesh::joined(&lab)?;
    mesh.gateway("paris")?.daemon()?.kill_9()?;
    say(&mut mesh, "madrid", &["zone", "leave", "--confirm", "madrid"])?;
    mesh.gateway("paris")?.start(&lab)?;
    until("paris to hear of it", patience(), || {
        let zone = madrid_at(&mut mesh, "paris");
        let heard = zone.as_ref().is_ok_and(|zone| zone["state"] == "left");
        Ok(Look::<()>::when(heard, format!("{zone:?}")))
    })?;
    lab.succeeded()
}
