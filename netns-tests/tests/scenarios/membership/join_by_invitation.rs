//! Three gateways that know nobody become a mesh by invitation, and find it again after a restart.
//!
//! ```text
//!   berlin (founds, invites) <--- join, TCP 51823, outside ---- madrid
//!            ^------------------- join ------------------------ paris
//!   madrid ---- tunnel, from what the registry says ---- paris
//! ```

use anyhow::{Result, ensure};
use netns_tests::kernel_state::routes;
use netns_tests::managed::{ManagedGateway as _, ManagedMesh as _};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &[] },
    ZonePlan { name: "madrid", vms: &[] },
    ZonePlan { name: "paris", vms: &[] },
];

#[test]
fn zones_join_by_invitation_and_meet_each_other() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::strangers(&lab)?;
    let founded = mesh.gateway("berlin")?.init_mesh(false)?;
    ensure!(founded.zones == ["berlin"] && founded.mesh.len() == 64, "{founded:?}");
    let used = mesh.invite_and_join(&lab, "madrid")?;
    mesh.invite_and_join(&lab, "paris")?;
    // Madrid and paris have never heard of each other but through berlin.
    mesh.wait_until_connected(patience())?;
    for zone in ["berlin", "madrid", "paris"] {
        let gateway = mesh.gateway(zone)?;
        let zones = gateway.zones()?;
        ensure!(zones.mesh == founded.mesh && zones.zones.len() == 3, "{zone}: {zones:?}");
        until("the records of all zones", patience(), || {
            let records = gateway.ask(&["registry", "list"])?;
            let count = records["records"].as_array().map_or(0, Vec::len);
            Ok(Look::<()>::when(count == 3, &records))
        })?;
    }
    // Used once: the same gateway may ask again, another one may not.
    mesh.gateway("madrid")?.join(&used)?;
    let refused = mesh.gateway("paris")?.join(&used);
    ensure!(refused.is_err_and(|error| format!("{error:#}").contains("for zone madrid")));
    // All at once from their files.
    for zone in ["berlin", "madrid", "paris"] {
        mesh.gateway(zone)?.daemon()?.kill_9()?;
    }
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}

#[test]
fn revoked_zone_is_cut_off_at_once_and_stays_out() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::joined(&lab)?;
    let reply = mesh.gateway("berlin")?.revoke("paris")?;
    ensure!(reply.removed == ["paris"], "{reply:?}");
    for zone in ["berlin", "madrid"] {
        let gateway = mesh.gateway(zone)?;
        until("paris to be no peer any more", patience(), || {
            let peers = gateway.ask(&["peers"])?;
            let gone = peers["peers"]
                .as_array()
                .is_some_and(|peers| peers.iter().all(|peer| peer["zone"] != "paris"));
            Ok(Look::<()>::when(gone, &peers))
        })?;
        let routes = routes(&lab.zone(zone)?.gateway, &lab.zone("paris")?.prefix())?;
        let is_barred = routes.lines().count() == 1 && routes.starts_with("unreachable ");
        ensure!(
            is_barred,
            "{zone} sends what is for paris into a tunnel or in the clear: {routes}"
        );
    }
    // Also over a restart. What it has said stays on disk, in case that it comes back, and is not heard.
    mesh.gateway("paris")?.kill_9_and_start(&lab)?;
    mesh.gateway("berlin")?.kill_9_and_start(&lab)?;
    mesh.gateway("berlin")?.wait_until_ready(patience())?;
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(mesh.gateway("berlin")?.folder().join("state/records"))? {
        kept.push(entry?.file_name().into_string().unwrap_or_default());
    }
    kept.sort();
    let expected = ["berlin", "madrid", "paris"].map(|zone| format!("{zone}@{zone}-gw1.record"));
    ensure!(kept == expected, "{kept:?}");
    for zone in ["berlin", "madrid"] {
        mesh.gateway(zone)?.wait_until_connected(patience())?;
        let status = mesh.gateway(zone)?.ask(&["registry", "list"])?;
        ensure!(status["records"].as_array().is_some_and(|records| records.len() == 2), "{status}");
    }
    lab.succeeded()
}

#[test]
fn static_mesh_becomes_a_managed_one_without_a_cut() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let before = handshakes(&mut mesh)?;
    let founded = mesh.gateway("berlin")?.init_mesh(true)?;
    ensure!(founded.zones == ["berlin", "madrid", "paris"], "{founded:?}");
    for zone in ["madrid", "paris"] {
        mesh.invite_and_join(&lab, zone)?;
    }
    mesh.wait_until_connected(patience())?;
    ensure!(handshakes(&mut mesh)? == before, "a tunnel was set up anew");
    // Nothing of it is in the configuration any more.
    for zone in ["berlin", "madrid", "paris"] {
        let gateway = mesh.gateway(zone)?;
        gateway.set_peers(Vec::new());
        gateway.daemon()?.kill_9()?;
    }
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}

fn handshakes(mesh: &mut Mesh) -> Result<Vec<serde_json::Value>> {
    let mut all = Vec::new();
    for zone in ["berlin", "madrid", "paris"] {
        let peers = mesh.gateway(zone)?.ask(&["peers"])?;
        let peers = peers["peers"].as_array().cloned().unwrap_or_default();
        all.extend(peers.into_iter().map(|peer| peer["latest_handshake"].clone()));
    }
    Ok(all)
}

#[test]
fn blocked_zone_is_out_here_only_and_comes_back() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::joined(&lab)?;
    let blocked = mesh.gateway("berlin")?.block("madrid", true)?;
    ensure!(blocked == ["madrid"], "{blocked:?}");
    until("madrid to be barred in berlin", patience(), || {
        let routes = routes(&lab.zone("berlin")?.gateway, &lab.zone("madrid")?.prefix())?;
        let barred = routes.lines().count() == 1 && routes.starts_with("unreachable");
        Ok(Look::<()>::when(barred, &routes))
    })?;
    // Also over a restart; and others go on as they were.
    mesh.gateway("berlin")?.kill_9_and_start(&lab)?;
    mesh.gateway("berlin")?.wait_until_connected(patience())?;
    let peers = mesh.gateway("berlin")?.ask(&["peers"])?;
    ensure!(peers["peers"].as_array().is_some_and(|peers| peers.len() == 1), "{peers}");
    ensure!(mesh.gateway("berlin")?.block("madrid", false)?.is_empty());
    until("all tunnels again", patience(), || {
        let peers = mesh.gateway("berlin")?.ask(&["peers"])?;
        let count = peers["peers"].as_array().map_or(0, Vec::len);
        Ok(Look::<()>::when(count == 2, &peers))
    })?;
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}

#[test]
fn zone_with_new_keys_is_granted_anew_and_keeps_its_place() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::joined(&lab)?;
    let madrid = mesh.gateway("madrid")?;
    madrid.daemon()?.kill_9()?;
    std::fs::remove_file(madrid.folder().join("zone.key"))?;
    std::fs::remove_file(madrid.folder().join("wireguard.key"))?;
    madrid.start(&lab)?;
    until("madrid to say that it is granted with another key", patience(), || {
        let status = mesh.gateway("madrid")?.ask(&["status"]);
        let said = status.as_ref().is_ok_and(|s| s["findings"].to_string().contains("T410"));
        Ok(Look::<()>::when(said, format!("{status:?}")))
    })?;
    mesh.invite_and_join(&lab, "madrid")?;
    mesh.wait_until_connected(patience())?;
    let zones = mesh.gateway("paris")?.zones()?;
    // Three members, and madrid's former key, which was revoked in the same step.
    ensure!(zones.zones.len() == 4 && zones.alarms.is_empty(), "{zones:?}");
    lab.succeeded()
}
