//! A machine that refuses the tunnel's datagrams: told with the kernel's reason, and up again when it
//! takes them.
//!
//! ```text
//!   berlin                          WAN           madrid
//!   gw: no route, or a filter -- [ router ] -------- gw
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::findings::{over, tells, told};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
const TOLD_WITHIN: Duration = Duration::from_secs(10);
const FILTER: &str = "table ip own { chain out { type filter hook output priority 0; \
    udp dport 51820 drop; }; }";

fn wait_for_state(mesh: &mut Mesh, state: &str, within: Duration) -> Result<()> {
    until(&format!("madrid to be {state}"), within, || {
        let madrid = mesh.gateway("berlin")?.ask(&["show", "madrid"])?["peer"].clone();
        Ok(Look::<()>::when(madrid["state"] == state, &madrid))
    })?;
    Ok(())
}

/// Takes the default route away; returns how it is set again.
fn without_route(gateway: &Namespace) -> Result<Vec<String>> {
    let shown = gateway.ip(&["route", "show", "default"])?;
    let route: Vec<_> = shown.split_whitespace().map(str::to_owned).collect();
    ensure!(!route.is_empty(), "there is no default route");
    gateway.ip(&["route", "del", "default"])?;
    Ok(route)
}

fn with_route(gateway: &Namespace, route: &[String]) -> Result<()> {
    let words = route.iter().map(String::as_str);
    gateway.ip(&["route", "add"].into_iter().chain(words).collect::<Vec<_>>())?;
    Ok(())
}

#[test]
fn a_route_that_is_gone_and_a_filter_that_refuses_are_told_with_the_kernels_reason() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let keepalive = toml::Table::from_iter([("wireguard".to_owned(), "5s".into())]);
    mesh.gateway("berlin")?.config.insert("keepalive".to_owned(), keepalive.into());
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    wait_for_state(&mut mesh, "up", patience())?;
    let gateway = &lab.zone("berlin")?.gateway;

    let route = without_route(gateway)?;
    told(
        mesh.gateway("berlin")?,
        "N231",
        &["madrid", "no route to it", "ENETUNREACH"],
        TOLD_WITHIN,
    )?;
    let madrid = mesh.gateway("berlin")?.ask(&["show", "madrid"])?["peer"].clone();
    ensure!(madrid["state"] == "down", "{madrid}");
    let reason = madrid["reason"].as_str().context("no reason")?;
    ensure!(reason.contains("ENETUNREACH"), "{reason}");
    with_route(gateway, &route)?;
    wait_for_state(&mut mesh, "up", TOLD_WITHIN)?;
    over(mesh.gateway("berlin")?, "N231", TOLD_WITHIN)?;

    gateway.run(&["nft", FILTER])?;
    told(mesh.gateway("berlin")?, "N231", &["madrid", "packet filter", "EPERM"], TOLD_WITHIN)?;
    // Longer than a keepalive may be late: what cannot be sent is not late, too.
    std::thread::sleep(Duration::from_secs(12));
    let status = mesh.gateway("berlin")?.ask(&["status"])?;
    ensure!(!tells(&status, "N216", &[])?, "{status}");
    gateway.run(&["nft", "delete table ip own"])?;
    wait_for_state(&mut mesh, "up", TOLD_WITHIN)?;
    over(mesh.gateway("berlin")?, "N231", TOLD_WITHIN)?;
    lab.succeeded()
}

#[test]
fn a_gateway_that_starts_without_a_route_says_so() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let gateway = &lab.zone("berlin")?.gateway;
    let route = without_route(gateway)?;
    mesh.gateway("berlin")?.start(&lab)?;
    mesh.gateway("berlin")?.wait_until_ready(patience())?;
    told(mesh.gateway("berlin")?, "N231", &["madrid", "no route to it"], TOLD_WITHIN)?;
    with_route(gateway, &route)?;
    mesh.gateway("madrid")?.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    over(mesh.gateway("berlin")?, "N231", TOLD_WITHIN)?;
    lab.succeeded()
}
