//! A NAT keeps an entry to an address that went away, and our retries keep it alive: a fresh source
//! port gets through. Where a firewall passes the listen port alone, nothing is lost by trying.
//!
//! ```text
//!   berlin                              WAN                                 madrid
//!   vm - gw (can only call) --- [ router: NAT to .200, later to .201 ] --- gw 203.0.113.1 - vm
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use toml::Value;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, WIREGUARD_PORT, patience};
use zonemesh_lab::wait::{Look, holds_for, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];
/// The silence is noticed after 15 s, four handshakes stay unanswered, the fifth gets through.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// The addresses that berlin has outside, one after the other.
const BEFORE: &str = "203.0.113.200";
const AFTER: &str = "203.0.113.201";
const TOLD: &str = "stay unanswered: also trying from a fresh source port";

/// Two gateways, of which berlin's is known to nobody and has to call.
fn start(lab: &Lab) -> Result<Mesh> {
    let mut mesh = Mesh::prepare(lab)?;
    let none = || Value::Array(Vec::new());
    mesh.gateway("berlin")?.section("gateway")?.insert("endpoints".to_owned(), none());
    mesh.gateway("madrid")?.peer("berlin")?.insert("endpoints".to_owned(), none());
    mesh.start(lab)?;
    mesh.wait_until_connected(patience())?;
    Ok(mesh)
}

/// New entries of the NAT are to this address from now on. Those that are there stay.
fn translate_to(lab: &Lab, address: &str) -> Result<()> {
    let berlin = lab.zone("berlin")?.wan_address;
    let table = format!(
        "table ip zm_nat; delete table ip zm_nat; table ip zm_nat {{ chain c {{ \
         type nat hook postrouting priority srcnat; \
         ip saddr {berlin} oifname \"madrid\" snat to {address}; }}; }}"
    );
    lab.router().run(&["nft", &table])?;
    lab.router().ip(&["addr", "add", &format!("{address}/24"), "dev", "madrid"])?;
    Ok(())
}

/// True if the NAT has the entry of berlin's listen port to the address of before.
fn has_stale_entry(lab: &Lab) -> Result<bool> {
    let port = WIREGUARD_PORT.to_string();
    let all = lab.router().run(&["conntrack", "-L", "-p", "udp", "--orig-port-src", &port])?;
    Ok(all.lines().any(|line| line.contains(&format!("dst={BEFORE} "))))
}

/// Waits until VMs reach each other, both ways.
fn is_back(lab: &Lab, within: Duration) -> Result<()> {
    for (zone, other) in [("berlin", "madrid"), ("madrid", "berlin")] {
        let vm = &lab.zone(zone)?.vm("vm")?.namespace;
        let there = lab.zone(other)?.vm("vm")?.address.to_string();
        until(&format!("{zone}'s VM to reach {other}'s"), within, || {
            let ping = vm.run(&["ping", "-n", "-q", "-c", "1", "-W", "1", &there]);
            Ok(Look::<()>::when(ping.is_ok(), "no answer"))
        })?;
    }
    Ok(())
}

/// The UDP ports beside the listen port that berlin's gateway has open on all addresses.
fn open_ports(lab: &Lab) -> Result<Vec<String>> {
    let sockets = lab.zone("berlin")?.gateway.run(&["ss", "-Huan"])?;
    let ports = sockets.split_whitespace().filter_map(|word| word.strip_prefix("0.0.0.0:"));
    let listen = WIREGUARD_PORT.to_string();
    Ok(ports.filter(|port| *port != listen && *port != "*").map(str::to_owned).collect())
}

/// One fresh port, and the one that VMs are asked from.
fn has_few_ports(lab: &Lab) -> Result<()> {
    until("two ports at most", patience(), || {
        let ports = open_ports(lab)?;
        Ok(Look::<()>::when(ports.len() <= 2, format!("{ports:?}")))
    })?;
    Ok(())
}

fn source_port(mesh: &mut Mesh) -> Result<serde_json::Value> {
    Ok(mesh.gateway("berlin")?.ask(&["show", "madrid"])?["peer"]["source_port"].clone())
}

#[test]
fn a_mapping_to_an_address_that_went_away_is_left_also_after_a_restart() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    translate_to(&lab, BEFORE)?;
    let mut mesh = start(&lab)?;
    is_back(&lab, patience())?;
    ensure!(has_stale_entry(&lab)?, "the lab's NAT does not work");
    ensure!(source_port(&mut mesh)?.is_null(), "{}", source_port(&mut mesh)?);

    translate_to(&lab, AFTER)?;
    lab.router().ip(&["addr", "del", &format!("{BEFORE}/24"), "dev", "madrid"])?;
    // Not before it is lost: answers may be on their way.
    until("the tunnel to be lost", patience(), || {
        let state = mesh.gateway("berlin")?.ask(&["show", "madrid"])?["peer"]["state"].clone();
        Ok(Look::<()>::when(state == "down", state))
    })?;
    is_back(&lab, BACK_WITHIN)?;
    ensure!(has_stale_entry(&lab)?, "the entry went away by itself");
    let log = mesh.gateway("berlin")?.daemon()?.output()?;
    ensure!(log.contains(TOLD), "not told:\n{log}");
    let (shown, open) = (source_port(&mut mesh)?.to_string(), open_ports(&lab)?);
    ensure!(open.contains(&shown), "{shown} is shown, {open:?} are open");
    has_few_ports(&lab)?;

    mesh.gateway("berlin")?.kill_9_and_start(&lab)?;
    mesh.gateway("berlin")?.wait_until_ready(patience())?;
    is_back(&lab, BACK_WITHIN)?;
    ensure!(has_stale_entry(&lab)?, "the entry went away by itself");
    mesh.wait_until_connected(patience())?;
    has_few_ports(&lab)?;
    let fresh = source_port(&mut mesh)?;
    holds_for("the tunnel at this port", Duration::from_secs(10), || {
        let state = mesh.gateway("berlin")?.ask(&["show", "madrid"])?["peer"]["state"].clone();
        let now = source_port(&mut mesh)?;
        Ok(Look::<()>::when(now == fresh && state == "up", format!("{state} from {now}")))
    })?;
    lab.succeeded()
}

#[test]
fn where_the_listen_port_alone_passes_the_tunnel_is_back_within_10_s_of_an_outage() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let berlin = lab.zone("berlin")?.wan_address;
    let table = format!(
        "table ip strict {{ chain c {{ type filter hook forward priority 1; \
         ip saddr {berlin} udp sport != {WIREGUARD_PORT} drop; }}; }}"
    );
    lab.router().run(&["nft", &table])?;
    let mut mesh = start(&lab)?;
    lab.cut("madrid")?;
    mesh.gateway("berlin")?.daemon()?.wait_for(TOLD, BACK_WITHIN)?;
    lab.heal("madrid")?;
    is_back(&lab, Duration::from_secs(10))?;
    ensure!(source_port(&mut mesh)?.is_null(), "{}", source_port(&mut mesh)?);
    lab.succeeded()
}
