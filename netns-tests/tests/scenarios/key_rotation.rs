//! A gateway changes its WireGuard key while a TCP stream and pings run through its tunnel: no ping is
//! lost, TCP sends next to nothing twice, and the change survives a restart.
//!
//! ```text
//!   berlin (new key)    WAN              madrid
//!   iperf3, ping -- zm0 -- [ router ] -- zm0 -- iperf3 server
//! ```

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::lab::{Lab, ZonePlan};
use netns_tests::mesh::{Mesh, patience};
use netns_tests::process::Process;
use netns_tests::wait::{Look, until};
use netns_tests::wireguard::traffic::Pinger;
use serde_json::Value;

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
/// How long the stream lasts; the change takes less.
const STREAM: &str = "12";
/// What a change may cost. A lost flight of packets costs hundreds.
const RETRANSMITS: u64 = 20;

#[test]
fn a_new_wireguard_key_costs_no_ping_and_no_retransmit_storm() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let target = IpAddr::from(lab.zone("madrid")?.tunnel_address).to_string();
    let before = key(&mut mesh, "public_key")?;

    let mut server = lab.zone("madrid")?.gateway.command("iperf3");
    server.args(["-s", "-1", "-B", &target]);
    let mut server = Process::spawn("madrid-iperf3", server, lab.folder())?;
    server.wait_for("listening", patience())?;
    let mut client = lab.zone("berlin")?.gateway.command("iperf3");
    client.args(["-c", &target, "-t", STREAM, "-b", "50M", "-J"]);
    let mut client = Process::spawn("berlin-iperf3", client, lab.folder())?;
    let pinger = Pinger::start(&lab.zone("berlin")?.gateway, target.parse()?, 0.01, lab.folder())?;
    std::thread::sleep(Duration::from_secs(2));

    let begun = mesh.gateway("berlin")?.ask(&["key", "rotate"])?;
    ensure!(begun["next_key"].is_string(), "{begun}");
    let (_, took) = until("madrid to use the new key", Duration::from_secs(5), || {
        let shown = mesh.gateway("berlin")?.ask(&["key", "rotate", "--show"])?;
        let used = shown["waiting_for"].as_array().is_some_and(Vec::is_empty);
        Ok(Look::<()>::when(used, &shown))
    })?;
    writeln!(std::io::stderr(), "key rotate to the new key in use {took:.2?}")?;
    std::thread::sleep(Duration::from_secs(2));
    // By itself it would wait for the old sessions, which nobody uses any more.
    mesh.gateway("berlin")?.ask(&["key", "rotate", "--finish"])?;
    let after = key(&mut mesh, "public_key")?;
    ensure!(after == begun["next_key"] && after != before, "{before} {begun} {after}");

    let (code, said) = client.wait_for_end(Duration::from_secs(30))?;
    ensure!(code == 0, "iperf3 ended with {code}: {said}");
    let pinged = pinger.finish()?;
    let report: Value = serde_json::from_str(&said).context(said)?;
    let sent = &report["end"]["sum_sent"];
    let retransmits = sent["retransmits"].as_u64().context("retransmits")?;
    writeln!(std::io::stderr(), "{retransmits} retransmits, {pinged:?}")?;
    ensure!(pinged.lost() == 0, "{pinged:?}");
    ensure!(retransmits <= RETRANSMITS, "{retransmits} retransmits: {sent}");

    mesh.gateway("berlin")?.kill_9_and_start(&lab)?;
    mesh.wait_until_connected(patience())?;
    ensure!(key(&mut mesh, "public_key")? == after, "the restart brought the old key back");
    lab.succeeded()
}

fn key(mesh: &mut Mesh, which: &str) -> Result<Value> {
    Ok(mesh.gateway("berlin")?.ask(&["key", "rotate", "--show"])?[which].clone())
}
