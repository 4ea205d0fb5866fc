//! Several lanes between two gateways: flows are spread over them and none is reordered; towards a
//! gateway with one lane, and towards another WireGuard, the same tunnel has one.
//!
//! ```text
//!   berlin, N lanes                  WAN               madrid, N lanes, or 1, or wireguard-go
//!   UDP, TCP -- zm0 (N queues) -- [ router ] -- zm0 -- UDP, TCP
//!                 ports 51820, 51831...
//! ```

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::wireguard::implementation::Implementation;
use serde_json::Value;
use zonemesh_lab::flows::{Arrived, Host, Numbered, Streams, tcp_troubles};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, WIREGUARD_PORT, patience};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
const UDP_FLOWS: usize = 32;
const UDP_TIME: Duration = Duration::from_secs(4);
const TCP_STREAMS: usize = 8;
const TCP_BYTES: usize = 12 << 20;
/// Segments sent again in both directions together, of about 140 000. A busy machine loses some in a full
/// queue of a TUN device; in a storm it would be every second one.
const RETRANSMITS: u64 = 7000;
/// Bytes that a lane has sent at least when flows were on it.
const LEAST: u64 = 50_000;

fn prepare(lab: &Lab, lanes: [i64; 2]) -> Result<Mesh> {
    let mut mesh = Mesh::prepare(lab)?;
    for (zone, lanes) in ZONES.iter().zip(lanes) {
        mesh.gateway(zone.name)?.section("tunnel")?.insert("lanes".to_owned(), lanes.into());
    }
    Ok(mesh)
}

fn host<'l>(lab: &'l Lab, zone: &str) -> Result<Host<'l>> {
    let zone = lab.zone(zone)?;
    Ok(Host { namespace: &zone.gateway, address: zone.tunnel_address.into() })
}

/// The lanes of a gateway's only peer.
fn lanes(mesh: &mut Mesh, zone: &str) -> Result<Vec<Value>> {
    let peers = mesh.gateway(zone)?.ask(&["peers"])?;
    Ok(peers["peers"][0]["lanes"].as_array().context("lanes")?.clone())
}

fn wait_for_lanes(mesh: &mut Mesh, count: usize) -> Result<()> {
    for zone in ["berlin", "madrid"] {
        until(&format!("{count} lanes of {zone}"), patience(), || {
            let lanes = lanes(mesh, zone)?;
            let usable = lanes.iter().filter(|lane| lane["usable"] == true).count();
            let seen = format!("{lanes:?}");
            Ok(Look::<()>::when(usable == count && lanes.len() == count, &seen))
        })?;
    }
    Ok(())
}

/// Bytes that a gateway has sent on each lane.
fn sent(mesh: &mut Mesh, zone: &str) -> Result<Vec<u64>> {
    let bytes = |lane: &Value| lane["tx_bytes"].as_u64().context("tx_bytes");
    lanes(mesh, zone)?.iter().map(bytes).collect()
}

/// UDP both ways beside TCP both ways. Returns what came of the datagrams there and back.
fn load(lab: &Lab) -> Result<[Arrived; 2]> {
    let (berlin, madrid) = (host(lab, "berlin")?, host(lab, "madrid")?);
    let there = Numbered::start(berlin, madrid, UDP_FLOWS, UDP_TIME)?;
    let back = Numbered::start(madrid, berlin, UDP_FLOWS, UDP_TIME)?;
    let streams = [
        Streams::start(berlin, madrid, TCP_STREAMS, TCP_BYTES)?,
        Streams::start(madrid, berlin, TCP_STREAMS, TCP_BYTES)?,
    ];
    streams.into_iter().try_for_each(Streams::finish)?;
    Ok([there.finish()?, back.finish()?])
}

/// True if no more was overtaken than where a sender is moved to another core, whose queue the kernel
/// empties sooner: a handful on a machine with other work. A lane that mixes flows makes percents.
fn keeps_order(Arrived { received, late, .. }: &Arrived) -> bool {
    late * 1000 <= *received
}

/// Loads the tunnel: nothing is out of order, next to nothing lost.
fn is_in_order(lab: &Lab) -> Result<()> {
    let arrived = load(lab)?;
    for came in &arrived {
        let Arrived { sent, received, late } = came;
        ensure!(keeps_order(came), "{late} of {received} datagrams overtaken");
        ensure!(received * 10 >= sent * 7, "{received} of {sent} datagrams arrived");
    }
    let mut retransmits = 0;
    for zone in ["berlin", "madrid"] {
        let (again, reordered) = tcp_troubles(&lab.zone(zone)?.gateway)?;
        ensure!(reordered == 0, "TCP of {zone} saw {reordered} segments out of order");
        retransmits += again;
    }
    writeln!(std::io::stderr(), "{arrived:?}, {retransmits} segments sent again")?;
    ensure!(retransmits <= RETRANSMITS, "{retransmits} segments sent again");
    Ok(())
}

fn each_lane_carries_flows_in_order(count: i64) -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = prepare(&lab, [count, count])?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    wait_for_lanes(&mut mesh, usize::try_from(count)?)?;
    is_in_order(&lab)?;
    for zone in ["berlin", "madrid"] {
        let sent = sent(&mut mesh, zone)?;
        writeln!(std::io::stderr(), "{zone} sent {sent:?} bytes")?;
        ensure!(sent.iter().all(|bytes| *bytes > LEAST), "{zone} sent {sent:?}");
    }
    mesh.gateway("madrid")?.kill_9_and_start(&lab)?;
    mesh.wait_until_connected(patience())?;
    wait_for_lanes(&mut mesh, usize::try_from(count)?)?;
    is_in_order(&lab)?;
    lab.succeeded()
}

#[test]
fn two_lanes_carry_all_flows_in_order_also_after_a_restart_of_one_end() -> Result<()> {
    each_lane_carries_flows_in_order(2)
}

#[test]
fn four_lanes_carry_all_flows_in_order_also_after_a_restart_of_one_end() -> Result<()> {
    each_lane_carries_flows_in_order(4)
}

#[test]
fn a_gateway_with_four_lanes_uses_one_towards_a_gateway_with_one() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = prepare(&lab, [4, 1])?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    wait_for_lanes(&mut mesh, 1)?;
    is_in_order(&lab)?;
    lab.succeeded()
}

#[test]
fn a_new_key_is_taken_on_all_lanes_under_load() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = prepare(&lab, [2, 2])?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    wait_for_lanes(&mut mesh, 2)?;
    let (berlin, madrid) = (host(&lab, "berlin")?, host(&lab, "madrid")?);
    let time = Duration::from_secs(8);
    let there = Numbered::start(berlin, madrid, UDP_FLOWS, time)?;
    let back = Numbered::start(madrid, berlin, UDP_FLOWS, time)?;
    std::thread::sleep(Duration::from_secs(1));
    mesh.gateway("berlin")?.ask(&["key", "rotate"])?;
    until("madrid to use the new key", Duration::from_secs(6), || {
        let shown = mesh.gateway("berlin")?.ask(&["key", "rotate", "--show"])?;
        let used = shown["waiting_for"].as_array().is_some_and(Vec::is_empty);
        Ok(Look::<()>::when(used, &shown))
    })?;
    mesh.gateway("berlin")?.ask(&["key", "rotate", "--finish"])?;
    for came in [there.finish()?, back.finish()?] {
        let Arrived { sent, received, late } = came;
        writeln!(std::io::stderr(), "{received} of {sent}, {late} late")?;
        ensure!(received * 100 >= sent * 99, "{received} of {sent} datagrams arrived");
        ensure!(keeps_order(&came), "{late} of {received} datagrams overtaken");
    }
    wait_for_lanes(&mut mesh, 2)?;
    lab.succeeded()
}

#[test]
fn a_gateway_with_four_lanes_uses_one_towards_another_wireguard() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = prepare(&lab, [4, 1])?;
    mesh.gateway("berlin")?.start(&lab)?;
    mesh.gateway("berlin")?.wait_until_ready(patience())?;
    let _other = wireguard_go(&lab, &mut mesh)?;
    let (berlin, madrid) = (host(&lab, "berlin")?, host(&lab, "madrid")?);
    let address = madrid.address.to_string();
    until("an answer of wireguard-go", patience(), || {
        let answer = berlin.namespace.run(&["ping", "-c", "1", "-W", "1", &address]);
        Ok(Look::retry(answer))
    })?;
    Streams::start(berlin, madrid, TCP_STREAMS, TCP_BYTES)?.finish()?;
    Streams::start(madrid, berlin, TCP_STREAMS, TCP_BYTES)?.finish()?;
    let there = Numbered::start(berlin, madrid, UDP_FLOWS, Duration::from_secs(2))?.finish()?;
    writeln!(std::io::stderr(), "{there:?}")?;
    ensure!(there.late == 0 && there.received * 10 >= there.sent * 9, "{there:?}");
    ensure!(lanes(&mut mesh, "berlin")?.len() == 1);
    lab.succeeded()
}

/// wireguard-go in the place of madrid's gateway.
fn wireguard_go(lab: &Lab, mesh: &mut Mesh) -> Result<Process> {
    let zone = lab.zone("madrid")?;
    let berlin = lab.zone("berlin")?;
    // The UAPI sockets of all namespaces share one folder.
    let name = format!("zmgo{}", std::process::id());
    let mut command = zone.gateway.command(Implementation::WireguardGo.find()?);
    command.args(["-f", &name]);
    let process = Process::spawn("madrid-wireguard-go", command, lab.folder())?;
    let key_file = mesh.gateway("madrid")?.folder().join("wireguard.key").display().to_string();
    let key = mesh.gateway("berlin")?.keys.wireguard.clone();
    let (port, endpoint) =
        (WIREGUARD_PORT.to_string(), format!("{}:{WIREGUARD_PORT}", berlin.wan_address));
    let allowed = IpAddr::from(berlin.tunnel_address).to_string();
    until("wireguard-go to be configured", patience(), || {
        Ok(Look::retry(zone.gateway.run(&[
            "wg",
            "set",
            &name,
            "private-key",
            &key_file,
            "listen-port",
            &port,
            "peer",
            &key,
            "allowed-ips",
            &allowed,
            "endpoint",
            &endpoint,
        ])))
    })?;
    zone.gateway.ip(&["address", "add", &zone.tunnel_address.to_string(), "dev", &name])?;
    zone.gateway.ip(&["link", "set", &name, "mtu", "1420", "up"])?;
    zone.gateway.ip(&["route", "add", &allowed, "dev", &name])?;
    Ok(process)
}
