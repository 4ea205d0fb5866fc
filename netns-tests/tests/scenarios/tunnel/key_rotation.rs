//! A gateway changes its WireGuard key while a TCP stream and pings run through its tunnel: no more is
//! lost or sent twice than without a change. It is killed in the middle of the next change
//! and goes on with it.
//!
//! ```text
//!   berlin (new key)    WAN              madrid
//!   iperf3, ping -- zm0 -- [ router ] -- zm0 -- iperf3 server
//! ```

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::wireguard::traffic::Pinger;
use serde_json::Value;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
/// How long each stream lasts; the change takes less.
const STREAM: &str = "8";
/// What a change may cost beyond what the same stream costs without one. One window that is lost
/// costs hundreds.
const RETRANSMITS: u64 = 20;
/// Pings that may be on their way when they are counted.
const ON_THE_WAY: u64 = 1;

#[test]
fn a_new_wireguard_key_costs_no_ping_and_no_retransmit_storm() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let before = key(&mut mesh, "public_key")?;

    let plain = cost(&lab, || Ok(()))?;
    let rotated = cost(&lab, || {
        begin(&mut mesh)?;
        std::thread::sleep(Duration::from_secs(2));
        // By itself it would wait for the old sessions, which nobody uses any more.
        mesh.gateway("berlin")?.ask(&["key", "rotate", "--finish"]).map(drop)
    })?;
    writeln!(std::io::stderr(), "without a change {plain:?}, with one {rotated:?}")?;
    ensure!(rotated.retransmits <= plain.retransmits + RETRANSMITS, "{plain:?} {rotated:?}");
    ensure!(rotated.lost <= plain.lost + ON_THE_WAY, "{plain:?} {rotated:?}");
    let first = key(&mut mesh, "public_key")?;
    ensure!(first != before && key(&mut mesh, "next_key")?.is_null(), "{first}");

    let begun = begin(&mut mesh)?;
    mesh.gateway("berlin")?.kill_9_and_start(&lab)?;
    mesh.wait_until_connected(patience())?;
    ensure!(key(&mut mesh, "next_key")? == begun["next_key"], "the restart lost the next key");
    in_use(&mut mesh)?;
    mesh.gateway("berlin")?.ask(&["key", "rotate", "--finish"])?;
    mesh.gateway("berlin")?.kill_9_and_start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let second = key(&mut mesh, "public_key")?;
    ensure!(second == begun["next_key"], "the restart brought the old key back: {second}");
    lab.succeeded()
}

/// What a TCP stream through the tunnel and pings beside it have suffered.
#[derive(Debug)]
struct Cost {
    /// Segments that were sent again.
    retransmits: u64,
    /// Pings without an answer.
    lost: u64,
}

/// Measures it while `meanwhile` happens.
fn cost(lab: &Lab, meanwhile: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let target = IpAddr::from(lab.zone("madrid")?.tunnel_address);
    let mut server = lab.zone("madrid")?.gateway.command("iperf3");
    server.args(["-s", "-1", "--forceflush", "-B", &target.to_string()]);
    let mut server = Process::spawn("madrid-iperf3", server, lab.folder())?;
    server.wait_for("listening", patience())?;
    let mut client = lab.zone("berlin")?.gateway.command("iperf3");
    client.args(["-c", &target.to_string(), "-t", STREAM, "-b", "50M", "-J"]);
    let mut client = Process::spawn("berlin-iperf3", client, lab.folder())?;
    let pinger = Pinger::start(&lab.zone("berlin")?.gateway, target, 0.01, lab.folder())?;
    std::thread::sleep(Duration::from_secs(2));
    meanwhile()?;
    let (code, said) = client.wait_for_end(Duration::from_secs(30))?;
    ensure!(code == 0, "iperf3 ended with {code}: {said}");
    let pinged = pinger.finish()?;
    ensure!(pinged.sent > 100, "{pinged:?}");
    let report: Value = serde_json::from_str(&said).context(said)?;
    let retransmits = report["end"]["sum_sent"]["retransmits"].as_u64();
    Ok(Cost { retransmits: retransmits.context("retransmits")?, lost: pinged.lost() })
}

/// Begins a change of berlin's key and waits until madrid uses the new one.
fn begin(mesh: &mut Mesh) -> Result<Value> {
    let begun = mesh.gateway("berlin")?.ask(&["key", "rotate"])?;
    ensure!(begun["next_key"].is_string(), "{begun}");
    in_use(mesh)?;
    Ok(begun)
}

fn in_use(mesh: &mut Mesh) -> Result<()> {
    let (_, took) = until("madrid to use the new key", Duration::from_secs(10), || {
        let shown = mesh.gateway("berlin")?.ask(&["key", "rotate", "--show"])?;
        let used = shown["waiting_for"].as_array().is_some_and(Vec::is_empty);
        Ok(Look::<()>::when(used, &shown))
    })?;
    writeln!(std::io::stderr(), "madrid uses the new key after {took:.2?}")?;
    Ok(())
}

fn key(mesh: &mut Mesh, which: &str) -> Result<Value> {
    Ok(mesh.gateway("berlin")?.ask(&["key", "rotate", "--show"])?[which].clone())
}
