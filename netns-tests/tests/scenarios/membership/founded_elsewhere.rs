//! A mesh that was made on an administrator's machine: its gateways find each other by what stands in
//! their CONTEXT, in whatever order they come, and one follows the tunnel address of its grant.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use netns_tests::managed::ManagedGateway as _;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

use crate::tool::{ZONES, command, say};

/// Makes the mesh without a gateway; returns its folder.
fn init(lab: &Lab, mesh: &mut Mesh) -> Result<String> {
    let endpoints = mesh.gateway("berlin")?.section("gateway")?.get("endpoints").cloned();
    let endpoints = endpoints.context("berlin has endpoints")?;
    let endpoint = endpoints[0].as_str().context("a text")?.to_owned();
    let folder = lab.folder().join("founded").display().to_string();
    let founder = format!("berlin={}@{endpoint}", lab.zone("berlin")?.prefix());
    let [madrid, paris] = [lab.zone("madrid")?, lab.zone("paris")?]
        .map(|zone| format!("{}={}", zone.name, zone.prefix()));
    let args = ["mesh", "init", "--out", &folder, "--founder", &founder];
    say(mesh, "berlin", &[&args[..], &["--zone", &madrid, "--zone", &paris]].concat())?;
    Ok(folder)
}

#[test]
fn gateways_of_a_mesh_that_was_founded_elsewhere_meet_in_whatever_order_they_come() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = Mesh::prepare(&lab)?;
    for zone in lab.zones() {
        mesh.gateway(&zone.name)?.set_peers(Vec::new());
    }
    mesh.gateway("madrid")?.section("tunnel")?.remove("addresses");
    mesh.start(&lab)?;
    for zone in lab.zones() {
        mesh.gateway(&zone.name)?.wait_until_ready(patience())?;
    }
    let folder = init(&lab, &mut mesh)?;

    // Madrid comes first, and asks until there is somebody.
    let invitation = format!("{folder}/madrid/invitation");
    let mut joining = command(&mut mesh, "madrid", &["zone", "join", &invitation])?;
    let joining = joining.stdout(Stdio::piped()).spawn()?;
    std::thread::sleep(std::time::Duration::from_secs(3));
    say(&mut mesh, "berlin", &["mesh", "found", &format!("{folder}/berlin/founding")])?;
    let joined = joining.wait_with_output()?;
    let steps = String::from_utf8_lossy(&joined.stdout).into_owned();
    ensure!(joined.status.success() && steps.contains("trying again"), "{steps}");
    say(&mut mesh, "paris", &["zone", "join", &format!("{folder}/paris/invitation")])?;

    let granted = lab.zone("madrid")?.tunnel_address.to_string();
    until("madrid to have the tunnel address of its grant", patience(), || {
        let status = mesh.gateway("madrid")?.ask(&["status"]);
        let has = status.as_ref().is_ok_and(|s| s["tunnel"].to_string().contains(&granted));
        Ok(Look::<()>::when(has, format!("{status:?}")))
    })?;
    mesh.wait_until_connected(patience())?;
    let zones = mesh.gateway("madrid")?.zones()?;
    ensure!(zones.zones.len() == 3, "{zones:?}");
    lab.succeeded()
}
