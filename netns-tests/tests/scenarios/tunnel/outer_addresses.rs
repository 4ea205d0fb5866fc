//! A zone is granted a network that holds what gateways have outside: tunnels stay as they are.
//!
//! ```text
//!   berlin                  WAN                 madrid, paris (is granted madrid's outer /24)
//!   vm 10.10.10.5 - gw  [ router: capture ]  gw
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::managed::{ManagedGateway as _, ManagedMesh as _};
use zonemesh_lab::capture::Capture;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, WIREGUARD_PORT, patience};
use zonemesh_lab::wait::{Look, holds_for, until};

use crate::tool::say;

const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &["vm"] },
    ZonePlan { name: "madrid", vms: &[] },
    ZonePlan { name: "paris", vms: &[] },
];

/// The sentence of a finding about paris at a gateway, if it is there.
fn told(mesh: &mut Mesh, zone: &str) -> Result<Option<String>> {
    let status = mesh.gateway(zone)?.ask(&["status"])?;
    let mut findings = status["findings"].as_array().into_iter().flatten();
    let covered = findings.find(|one| one["code"] == "N222" && one["subject"]["name"] == "paris");
    Ok(covered.and_then(|one| one["sentence"].as_str()).map(ToOwned::to_owned))
}

#[test]
fn a_granted_network_that_holds_outer_addresses_draws_no_tunnel_into_itself() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::joined(&lab)?;
    let capture = Capture::start(&lab, "wan", &[WIREGUARD_PORT])?;
    let outer = lab.zone("madrid")?.wan_address;
    let [a, b, c, _] = outer.octets();
    let covering = format!("{a}.{b}.{c}.0/24");
    let own = lab.zone("paris")?.prefix();
    let key = mesh.gateway("paris")?.ask(&["status"])?["zone_key"].clone();
    let key = key.as_str().context("a zone key")?;
    let grant = ["zone", "grant", "paris", "--zone-key", key, "--prefix", &own];
    say(&mut mesh, "berlin", &[&grant[..], &["--prefix", &covering]].concat())?;
    for (zone, meant) in [("berlin", "goes around"), ("madrid", "not routed here")] {
        until(&format!("{zone} to tell"), patience(), || {
            let said = told(&mut mesh, zone)?.unwrap_or_default();
            let is_told = said.contains(&covering) && said.contains(meant);
            Ok(Look::<()>::when(is_told, said))
        })?;
    }
    // What a VM sends to madrid's outer address is for paris, in its tunnel and nowhere else.
    let vm = &lab.zone("berlin")?.vm("vm")?.namespace;
    drop(vm.command("ping").args(["-n", "-c", "3", "-W", "1", &outer.to_string()]).output()?);
    let gateway = &lab.zone("berlin")?.gateway;
    for (protocol, interface) in [("tcp", "dev zm0"), ("udp", "dev wan0")] {
        let way = ["route", "get", &outer.to_string(), "ipproto", protocol];
        let route = gateway.ip(&way)?;
        ensure!(route.contains(interface), "{protocol}: {route}");
    }
    holds_for("all tunnels", Duration::from_secs(20), || {
        let mut seen = String::new();
        for zone in ["berlin", "madrid", "paris"] {
            let peers = mesh.gateway(zone)?.ask(&["peers"])?;
            for peer in peers["peers"].as_array().into_iter().flatten() {
                let (endpoint, state) = (&peer["endpoint"], &peer["state"]);
                let is_outside = !endpoint.to_string().contains("10.255.");
                if state != "up" || !is_outside {
                    seen = format!("{zone} to {}: {state} at {endpoint}", peer["zone"]);
                }
            }
        }
        Ok(Look::<()>::when(seen.is_empty(), seen))
    })?;
    let report = capture.finish(&lab)?;
    ensure!(report.is_clean(), "{report}");
    // Also from the first datagram on after a start.
    mesh.gateway("berlin")?.kill_9_and_start(&lab)?;
    mesh.gateway("berlin")?.wait_until_connected(patience())?;
    say(&mut mesh, "berlin", &grant)?;
    until("berlin to tell it no more", patience(), || {
        let said = told(&mut mesh, "berlin")?;
        Ok(Look::<()>::when(said.is_none(), format!("{said:?}")))
    })?;
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}

#[test]
fn a_tunnel_address_that_a_gateway_has_outside_is_told_and_not_used() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.gateway("madrid")?.section("tunnel")?.remove("addresses");
    for zone in ["berlin", "madrid"] {
        mesh.gateway(zone)?.set_peers(Vec::new());
    }
    mesh.start(&lab)?;
    mesh.gateway("berlin")?.wait_until_ready(patience())?;
    mesh.gateway("berlin")?.init_mesh(false)?;
    let madrid = lab.zone("madrid")?;
    let outer = madrid.wan_address.to_string();
    mesh.invite_and_join(&lab, "madrid")?;
    mesh.gateway("madrid")?.wait_until_connected(patience())?;
    let key = mesh.gateway("madrid")?.ask(&["status"])?["zone_key"].clone();
    let key = key.as_str().context("a zone key")?;
    let grant = ["zone", "grant", "madrid", "--zone-key", key, "--prefix", &madrid.prefix()];
    say(&mut mesh, "berlin", &[&grant[..], &["--tunnel-ip", &outer]].concat())?;
    until("madrid to tell", patience(), || {
        let Ok(status) = mesh.gateway("madrid")?.ask(&["status"]) else {
            return Ok(Look::<()>::Not("no answer".to_owned()));
        };
        let said = status["findings"].to_string();
        let is_told = said.contains("N222") && said.contains("no tunnel address here");
        Ok(Look::<()>::when(is_told, said))
    })?;
    let own = madrid.gateway.ip(&["addr", "show", "dev", "zm0"])?;
    ensure!(!own.contains(&outer), "{own}");
    lab.succeeded()
}
