//! Restarts of a gateway: a planned one keeps interface, routes and connections; `kill -9` costs 3 s
//! at most; SIGTERM leaves nothing but the routes of last resort.
//!
//! ```text
//!   berlin              WAN              madrid
//!   client -- zm0 -- [ router ] -- zm0 -- server        one TCP connection, through the tunnel
//! ```

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use netns_tests::kernel_state::routes;
use netns_tests::wireguard::traffic::ping;
use nix::sys::signal::Signal;
use zonemesh_lab::conversation::Conversation;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
const SOON: Duration = Duration::from_secs(10);

fn connected_mesh() -> Result<(Lab, Mesh)> {
    let lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    Ok((lab, mesh))
}

#[test]
fn a_tcp_connection_and_every_route_survive_a_planned_restart() -> Result<()> {
    let (mut lab, mut mesh) = connected_mesh()?;
    let gateway = &lab.zone("berlin")?.gateway;
    let mut conversation = connect(&lab)?;
    conversation.exchange(b"before")?;
    let mut watch = gateway.command("ip");
    watch.args(["monitor", "route", "address"]);
    let mut monitor = Process::spawn("berlin-monitor", watch, lab.folder())?;

    let start = Instant::now();
    let berlin = mesh.gateway("berlin")?;
    berlin.daemon()?.signal(Signal::SIGUSR1)?;
    let (code, _) = berlin.daemon()?.wait_for_end(SOON)?;
    ensure!(code == 0, "exit code {code}");
    let prefix = lab.zone("madrid")?.prefix();
    let left = routes(gateway, &prefix)?;
    ensure!(left.contains(&format!("{prefix} dev zm0")), "the route went:\n{left}");
    // What the next start does not want.
    gateway.ip(&["addr", "add", "10.255.9.9/32", "dev", "zm0"])?;
    let stale = ["10.99.0.0/16", "dev", "zm0", "proto", "static", "scope", "global"];
    gateway.ip(&[&["route", "add"][..], &stale].concat())?;
    // As releases up to 0.2 leave it: no mark on the interface, routes of last resort in `main`.
    gateway.ip(&["link", "set", "zm0", "alias", ""])?;
    let last = ["proto", "90", "metric", "4278198272"];
    gateway.ip(&[&["route", "add", "unreachable", "10.98.0.0/16"][..], &last].concat())?;
    berlin.start(&lab)?;
    conversation.exchange(b"after").context(berlin.daemon()?.output()?)?;
    writeln!(std::io::stderr(), "planned restart to first byte {:.2?}", start.elapsed())?;
    berlin.wait_until_connected(patience())?;

    let changes = monitor.output()?;
    monitor.kill_9()?;
    ensure!(changes.contains("10.255.9.9"), "the monitor saw nothing:\n{changes}");
    let tunnel = lab.zone("berlin")?.tunnel_address.to_string();
    for line in changes.lines().filter(|line| line.contains("Deleted")) {
        ensure!(!line.contains(&prefix) && !line.contains(&tunnel), "a gap: {line}");
    }
    let link = gateway.ip(&["-d", "link", "show", "zm0"])?;
    ensure!(link.contains("persist off"), "{link}");
    let left = gateway.ip(&["route"])? + &gateway.ip(&["addr"])?;
    ensure!(!left.contains("10.99.0.0/16") && !left.contains("10.255.9.9"), "{left}");
    ensure!(!left.contains("proto 90") && !left.contains("10.98.0.0/16"), "{left}");
    ensure!(link.contains("alias zonemesh gateway"), "{link}");

    berlin.daemon()?.terminate(SOON)?;
    let links = gateway.ip(&["-o", "link"])?;
    ensure!(!links.contains("zm0"), "the interface outlived SIGTERM:\n{links}");
    let left = routes(gateway, &prefix)?;
    ensure!(left.contains(&format!("unreachable {prefix}")), "{left}");
    lab.succeeded()
}

#[test]
fn kill_9_to_the_first_packet_takes_3_s_at_most() -> Result<()> {
    let (mut lab, mut mesh) = connected_mesh()?;
    let target = IpAddr::from(lab.zone("madrid")?.tunnel_address);
    let start = Instant::now();
    mesh.gateway("berlin")?.kill_9_and_start(&lab)?;
    until("an answer through the tunnel", SOON, || {
        // Until the interface is back, ping itself fails.
        let pinged = ping(&lab.zone("berlin")?.gateway, target, 1, 0.1);
        Ok(Look::<()>::when(pinged.is_ok_and(|pinged| pinged.received == 1), "no answer"))
    })?;
    let took = start.elapsed();
    writeln!(std::io::stderr(), "kill -9 of a gateway to the first packet {took:.2?}")?;
    ensure!(took <= Duration::from_secs(3), "{took:.2?}");
    lab.succeeded()
}

#[test]
fn a_planned_restart_under_another_interface_takes_the_one_of_before_away() -> Result<()> {
    let (mut lab, mut mesh) = connected_mesh()?;
    let gateway = &lab.zone("berlin")?.gateway;
    // Another gateway's on the same machine, between two processes of its own.
    gateway.ip(&["tuntap", "add", "dev", "other9", "mode", "tun"])?;
    gateway.ip(&["link", "set", "other9", "alias", "zonemesh gateway", "up"])?;
    gateway.ip(&["addr", "add", "10.254.0.9/32", "dev", "other9"])?;
    let target = IpAddr::from(lab.zone("madrid")?.tunnel_address);
    let berlin = mesh.gateway("berlin")?;
    berlin.daemon()?.signal(Signal::SIGUSR1)?;
    let (code, _) = berlin.daemon()?.wait_for_end(SOON)?;
    ensure!(code == 0, "exit code {code}");
    let kept = gateway.ip(&["addr", "show", "dev", "zm0"])?;
    let own = lab.zone("berlin")?.tunnel_address.to_string();
    ensure!(kept.contains(&own), "nothing was kept for the next process:\n{kept}");
    berlin.section("tunnel")?.insert("interface".to_owned(), "zm1".into());
    berlin.start(&lab)?;
    berlin.wait_until_connected(patience())?;
    until("an answer through the tunnel", SOON, || {
        let pinged = ping(gateway, target, 1, 0.1)?;
        Ok(Look::<()>::when(pinged.received == 1, "no answer"))
    })?;
    let links = gateway.ip(&["-o", "addr"])?;
    ensure!(!links.contains("zm0") && links.contains("other9"), "{links}");
    ensure!(links.lines().any(|line| line.contains("zm1") && line.contains(&own)), "{links}");
    until("a silent status", SOON, || {
        let status = mesh.gateway("berlin")?.ask(&["status"])?;
        let is_silent = status["findings"].as_array().is_some_and(Vec::is_empty);
        Ok(Look::<()>::when(is_silent, status["findings"].to_string()))
    })?;
    lab.succeeded()
}

fn connect(lab: &Lab) -> Result<Conversation> {
    let (berlin, madrid) = (lab.zone("berlin")?, lab.zone("madrid")?);
    let address = SocketAddr::new(madrid.tunnel_address.into(), 7000);
    Conversation::begin(&berlin.gateway, &madrid.gateway, address)
}
