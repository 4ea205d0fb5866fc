//! Routes of others to another zone's prefix: they stop no start, stay as they are, and are told.
//!
//! ```text
//!   berlin                                   WAN          madrid 10.10.11.0/24
//!     gw: a bridge with 10.10.11.1/24,   [ router ]       paris  10.10.12.0/24
//!         or a static route via its LAN
//! ```

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netns_tests::kernel_state::{SOON, routes, whole_soon};
use netns_tests::wireguard::traffic::ping;
use serde_json::Value;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, holds_for, until};

const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &["vm"] },
    ZonePlan { name: "madrid", vms: &["vm"] },
    ZonePlan { name: "paris", vms: &["vm"] },
];

/// Waits until berlin tells this code of madrid, or tells it no more.
fn told(mesh: &mut Mesh, code: &str, is_told: bool) -> Result<Value> {
    let gateway = mesh.gateway("berlin")?;
    let (found, _) = until(&format!("{code}: {is_told}"), Duration::from_secs(10), || {
        let status = gateway.ask(&["status"])?;
        let mut findings = status["findings"].as_array().into_iter().flatten();
        let is = |one: &&Value| one["code"] == code && one["subject"]["name"] == "madrid";
        let found = findings.find(is).cloned().unwrap_or_default();
        Ok(match found.is_null() != is_told {
            true => Look::Done(found),
            false => Look::Not(status["findings"].to_string()),
        })
    })?;
    Ok(found)
}

/// Where berlin's gateway sends what a VM of its zone sends to an address.
fn way(lab: &Lab, address: &str) -> Result<String> {
    let berlin = lab.zone("berlin")?;
    let from = ["route", "get", address, "from", "10.10.10.5", "iif", "lan0"];
    berlin.gateway.ip(&from)
}

fn answers(lab: &Lab, address: [u8; 4]) -> Result<()> {
    let (vm, target) = (&lab.zone("berlin")?.vm("vm")?.namespace, IpAddr::from(address));
    until("an answer through the tunnel", Duration::from_secs(10), || {
        let pinged = ping(vm, target, 1, 0.2)?;
        Ok(Look::<()>::when(pinged.received == 1, format!("{target} does not answer")))
    })?;
    Ok(())
}

#[test]
fn a_local_network_in_a_zone_is_told_wins_for_itself_and_cuts_no_other_zone() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let berlin = &lab.zone("berlin")?.gateway;
    berlin.ip(&["link", "add", "br9", "type", "bridge"])?;
    berlin.ip(&["link", "set", "br9", "up"])?;
    berlin.ip(&["addr", "add", "10.10.11.1/24", "dev", "br9"])?;
    let before = berlin.ip(&["route"])?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let found = told(&mut mesh, "N223", true)?;
    ensure!(found["sentence"].as_str().is_some_and(|text| text.contains("br9")), "{found}");
    answers(&lab, [10, 10, 12, 5])?;
    holds_for("the local network", Duration::from_secs(3), || {
        let way = way(&lab, "10.10.11.9")?;
        Ok(Look::<()>::when(way.contains("dev br9"), way))
    })?;
    ensure!(berlin.ip(&["route"])? == before, "something was written into main");
    // Once it is gone, the zone has its own; a part of it that comes later wins for itself alone.
    berlin.ip(&["link", "del", "br9"])?;
    told(&mut mesh, "N223", false)?;
    answers(&lab, [10, 10, 11, 5])?;
    berlin.ip(&["link", "add", "br9", "type", "bridge"])?;
    berlin.ip(&["link", "set", "br9", "up"])?;
    berlin.ip(&["addr", "add", "10.10.11.129/25", "dev", "br9"])?;
    until("the part to be local", SOON, || {
        let ways = [way(&lab, "10.10.11.130")?, way(&lab, "10.10.11.5")?];
        let is_so = ways[0].contains("dev br9") && ways[1].contains("dev zm0");
        Ok(Look::<()>::when(is_so, format!("{ways:?}")))
    })?;
    answers(&lab, [10, 10, 11, 5])?;
    lab.succeeded()
}

/// What a router advertisement, a rogue DHCP server or a mistake brings: whoever sits on the WAN is
/// not to be sent what belongs to a zone.
#[test]
fn a_network_at_the_interface_of_the_default_route_takes_nothing_from_a_zone() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let berlin = &lab.zone("berlin")?.gateway;
    for (add, remove) in [
        (&["addr", "add", "10.10.11.77/24", "dev", "wan0"][..], ["addr", "del", "10.10.11.77/24"]),
        (
            &["route", "add", "10.10.11.0/25", "dev", "wan0", "proto", "kernel", "scope", "link"],
            ["route", "del", "10.10.11.0/25"],
        ),
    ] {
        berlin.ip(add)?;
        let found = told(&mut mesh, "N224", true)?;
        ensure!(found["sentence"].as_str().is_some_and(|text| text.contains("wan0")), "{found}");
        holds_for("the tunnel", Duration::from_secs(2), || {
            let way = way(&lab, "10.10.11.5")?;
            Ok(Look::<()>::when(way.contains("dev zm0"), way))
        })?;
        answers(&lab, [10, 10, 11, 5])?;
        told(&mut mesh, "N223", false)?;
        berlin.ip(&[&remove[..], &["dev", "wan0"]].concat())?;
        told(&mut mesh, "N224", false)?;
    }
    lab.succeeded()
}

/// Rules of the machine say which table the tunnels' own datagrams are led by.
#[test]
fn the_way_out_is_known_also_where_it_stands_in_another_table_than_main() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::prepare(&lab)?;
    let berlin = &lab.zone("berlin")?.gateway;
    let default = berlin.ip(&["route", "show", "default"])?;
    let default: Vec<_> = default.split_whitespace().collect();
    berlin.ip(&[&["route", "add"], &default[..], &["table", "100"]].concat())?;
    berlin.ip(&["rule", "add", "pref", "33000", "lookup", "100"])?;
    berlin.ip(&["route", "del", "default"])?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    berlin.ip(&["addr", "add", "10.10.11.77/24", "dev", "wan0"])?;
    let found = told(&mut mesh, "N224", true)?;
    ensure!(found["sentence"].as_str().is_some_and(|text| text.contains("wan0")), "{found}");
    told(&mut mesh, "N223", false)?;
    answers(&lab, [10, 10, 11, 5])?;
    lab.succeeded()
}

#[test]
fn an_address_that_the_machine_is_given_in_a_zone_is_told_while_it_has_it() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let berlin = &lab.zone("berlin")?.gateway;
    berlin.ip(&["addr", "add", "10.10.11.77/32", "dev", "wan0"])?;
    let found = told(&mut mesh, "N222", true)?;
    ensure!(found["sentence"].as_str().is_some_and(|text| text.contains("10.10.11.77")), "{found}");
    answers(&lab, [10, 10, 11, 5])?;
    berlin.ip(&["addr", "del", "10.10.11.77/32", "dev", "wan0"])?;
    told(&mut mesh, "N222", false)?;
    lab.succeeded()
}

/// The table `local` comes before all others: what stands there is answered by this machine.
#[test]
fn whatever_the_table_local_keeps_of_a_zone_is_told_while_it_is_there() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let berlin = &lab.zone("berlin")?.gateway;
    let tunnel_ip = format!("{}/32", lab.zone("madrid")?.tunnel_address);
    for (object, net, more) in [
        (&["addr"][..], "10.10.11.5/32", &["dev", "lan0"][..]),
        (&["addr"], "10.10.11.9/32", &["dev", "lo"]),
        (&["addr"], &tunnel_ip, &["dev", "lo"]),
        (&["route", "local"], "10.10.11.0/24", &["dev", "lo", "table", "local"]),
        (&["route", "local"], "10.10.11.0/25", &["dev", "lan0", "table", "local"]),
        (&["route", "blackhole"], "10.10.0.0/16", &["table", "local"]),
    ] {
        let line = |verb| [&object[..1], &[verb], &object[1..], &[net], more].concat();
        berlin.ip(&line("add"))?;
        let found = told(&mut mesh, "N223", true)?;
        ensure!(found["sentence"].as_str().is_some_and(|text| text.contains(net)), "{found}");
        ensure!(found["severity"] == "degraded", "{found}");
        berlin.ip(&line("del"))?;
        told(&mut mesh, "N223", false)?;
        answers(&lab, [10, 10, 11, 5])?;
    }
    lab.succeeded()
}

#[test]
fn a_route_of_somebody_else_is_a_note_and_the_tunnel_is_taken() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let berlin = &lab.zone("berlin")?.gateway;
    // As OpenNebula makes it of the network's ROUTES at the gateway's own interface.
    let prefix = lab.zone("madrid")?.prefix();
    let route = ["route", "add", &prefix, "via", "10.10.10.9", "dev", "lan0", "onlink"];
    berlin.ip(&route)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let found = told(&mut mesh, "N224", true)?;
    ensure!(found["severity"] == "note", "{found}");
    answers(&lab, [10, 10, 11, 5])?;
    berlin.ip(&["route", "del", &prefix])?;
    told(&mut mesh, "N224", false)?;
    // The same while it runs.
    berlin.ip(&route)?;
    told(&mut mesh, "N224", true)?;
    answers(&lab, [10, 10, 11, 5])?;
    let own = routes(berlin, &prefix)?;
    ensure!(own.contains("dev zm0") && own.contains("unreachable"), "{own}");
    let main = berlin.ip(&["route", "show", &prefix])?;
    ensure!(main.contains("via 10.10.10.9") && main.lines().count() == 1, "{main}");
    let status = mesh.gateway("berlin")?.ask(&["status"])?;
    let mut findings = status["findings"].as_array().into_iter().flatten();
    ensure!(findings.all(|one| one["severity"] == "note"), "{status}");
    lab.succeeded()
}

#[test]
fn a_device_of_somebody_else_under_the_tunnels_name_is_left_alone() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::prepare(&lab)?;
    let berlin = &lab.zone("berlin")?.gateway;
    berlin.ip(&["tuntap", "add", "dev", "zm0", "mode", "tun"])?;
    berlin.ip(&["addr", "add", "10.66.0.1/32", "dev", "zm0"])?;
    let gateway = mesh.gateway("berlin")?;
    gateway.start(&lab)?;
    let (code, output) = gateway.daemon()?.wait_for_end(Duration::from_secs(20))?;
    ensure!(code == 5 && output.contains("is not this gateway's"), "{code}: {output}");
    let link = berlin.ip(&["addr", "show", "dev", "zm0"])?;
    ensure!(link.contains("10.66.0.1/32"), "{link}");
    lab.succeeded()
}

#[test]
fn an_interface_that_is_deleted_comes_back_with_its_session_when_its_name_is_free() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::prepare(&lab)?;
    // With several queues, each under two descriptors.
    for zone in ["berlin", "madrid"] {
        mesh.gateway(zone)?.section("tunnel")?.insert("lanes".to_owned(), 2.into());
    }
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let handshake = |mesh: &mut Mesh| -> Result<Value> {
        let peers = mesh.gateway("berlin")?.ask(&["peers"])?;
        // The second lane has its first handshake when a flow comes to it.
        Ok(peers["peers"][0]["lanes"][0]["latest_handshake"].clone())
    };
    // Two that begin at once have two handshakes.
    let mut before = Value::Null;
    let mut since = Instant::now();
    until("a handshake of 2 s", patience(), || {
        let now = handshake(&mut mesh)?;
        if now != before {
            (before, since) = (now, Instant::now());
        }
        let is_old = !before.is_null() && since.elapsed() > Duration::from_secs(2);
        Ok(Look::<()>::when(is_old, &before))
    })?;
    let berlin = &lab.zone("berlin")?.gateway;
    berlin.ip(&["link", "del", "zm0"])?;
    answers(&lab, [10, 10, 11, 5])?;
    ensure!(handshake(&mut mesh)? == before, "the session is another");
    // Somebody takes the name in the same moment, or a moment before the gateway does.
    let take = r"printf 'link del zm0\nlink add zm0 type bridge\n' | ip -batch -";
    until("somebody else to be faster", patience(), || {
        let taken = berlin.command("sh").args(["-c", take]).status()?;
        Ok(Look::<()>::when(taken.success(), "the gateway was faster"))
    })?;
    let gateway = mesh.gateway("berlin")?;
    until("the finding", Duration::from_secs(10), || {
        let status = gateway.ask(&["status"])?;
        let mut findings = status["findings"].as_array().into_iter().flatten();
        let is_told = findings.any(|one| one["code"] == "N213");
        Ok(Look::<()>::when(is_told, status["findings"].to_string()))
    })?;
    let link = berlin.ip(&["-d", "link", "show", "zm0"])?;
    ensure!(link.contains("bridge"), "{link}");
    berlin.ip(&["link", "del", "zm0"])?;
    whole_soon(&lab, "berlin")?;
    answers(&lab, [10, 10, 11, 5])?;
    lab.succeeded()
}

#[test]
fn a_prefix_of_ipv6_where_ipv6_is_off_is_a_finding_and_cuts_nobody() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = Mesh::prepare(&lab)?;
    let prefixes = [lab.zone("madrid")?.prefix(), "fd00:11::/64".to_owned()];
    let prefixes = prefixes.map(toml::Value::from).to_vec();
    mesh.gateway("berlin")?.peer("madrid")?.insert("prefixes".to_owned(), prefixes.into());
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    answers(&lab, [10, 10, 11, 5])?;
    let gateway = mesh.gateway("berlin")?;
    until("the finding", Duration::from_secs(10), || {
        let status = gateway.ask(&["status"])?;
        let said = status["findings"].to_string();
        let is_told = said.contains("N229") && said.contains("left out: 1");
        // One cause is one finding: the route that is not there is not told as well.
        ensure!(!said.contains("N213"), "{said}");
        Ok(Look::<()>::when(is_told, said))
    })?;
    // With IPv6 it comes by itself.
    let on = ["net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.zm0.disable_ipv6=0"];
    lab.zone("berlin")?.gateway.run(&[&["sysctl", "-qw"][..], &on[..]].concat())?;
    until("no finding", Duration::from_secs(10), || {
        let status = gateway.ask(&["status"])?;
        let said = status["findings"].to_string();
        Ok(Look::<()>::when(!said.contains("N229"), said))
    })?;
    lab.succeeded()
}
