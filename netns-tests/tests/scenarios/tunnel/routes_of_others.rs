//! A route of somebody else to another zone's prefix stays as it is, whatever becomes of that zone.
//!
//! ```text
//!   berlin                                   WAN          madrid 10.10.11.0/24
//!     gw: a bridge with 10.10.11.1/24    [ router ]         joins by invitation
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::managed::{ManagedGateway as _, ManagedMesh as _};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::wait::{Look, holds_for, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];

/// The routes to `prefix` at a gateway, without the routes of last resort.
fn routes(gateway: &Namespace, prefix: &str) -> Result<Vec<String>> {
    let shown = gateway.command("ip").args(["route", "show", prefix]).output()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let is_route = |line: &&str| !line.starts_with("unreachable");
    Ok(shown.lines().filter(is_route).map(|line| line.trim().to_owned()).collect())
}

#[test]
fn a_connected_route_to_another_zones_prefix_is_never_replaced() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::strangers(&lab)?;
    let berlin = &lab.zone("berlin")?.gateway;
    berlin.ip(&["link", "add", "br9", "type", "bridge"])?;
    berlin.ip(&["link", "set", "br9", "up"])?;
    berlin.ip(&["addr", "add", "10.10.11.1/24", "dev", "br9"])?;
    let prefix = lab.zone("madrid")?.prefix();
    let before = routes(berlin, &prefix)?;
    ensure!(before.len() == 1 && before[0].contains("dev br9 proto kernel"), "{before:?}");

    mesh.gateway("berlin")?.init_mesh(false)?;
    mesh.invite_and_join(&lab, "madrid")?;
    mesh.wait_until_connected(patience())?;
    let gateway = mesh.gateway("berlin")?;
    until("the finding", patience(), || {
        let status = gateway.ask(&["status"])?;
        let codes = status["findings"].as_array().into_iter().flatten();
        let is_told = codes.map(|finding| &finding["code"]).any(|code| code == "N213");
        Ok(Look::<()>::when(is_told, &status["findings"]))
    })?;
    // The path's MTU is set once a second until it could be set everywhere.
    let own = routes(berlin, "10.255.0.2")?;
    ensure!(own.iter().any(|route| route.contains("dev zm0")), "{own:?}");
    holds_for("the route of the bridge", Duration::from_secs(4), || {
        let after = routes(berlin, &prefix)?;
        Ok(Look::<()>::when(after == before, format!("{before:?} became {after:?}")))
    })?;
    // Once it is gone, the tunnel has its own.
    berlin.ip(&["link", "del", "br9"])?;
    until("the route into the tunnel", patience(), || {
        let routes = routes(berlin, &prefix)?;
        Ok(Look::<()>::when(
            routes.iter().any(|route| route.contains("zm0")),
            format!("{routes:?}"),
        ))
    })?;
    lab.succeeded()
}
