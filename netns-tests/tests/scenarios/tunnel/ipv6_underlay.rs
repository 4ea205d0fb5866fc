//! Zones whose gateways have nothing but IPv6 outside, and both IPs inside.
//!
//! ```text
//!   berlin                              WAN                              madrid
//!   vm 10.10.10.5 - gw fd00:20::1 -- [ router: IPv6 only ] -- gw fd00:21::1 - vm 10.10.11.5
//!      fd00:10::5                                                               fd00:11::5
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::findings::told;
use netns_tests::wireguard::traffic::{ping, transfer};
use zonemesh_lab::lab::{Lab, Vm, ZonePlan};
use zonemesh_lab::mesh::{Mesh, WIREGUARD_PORT, patience};
use zonemesh_lab::wait::{Look, until};

use super::path_mtu::with_ipv6_inside;

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];
const OUTSIDE: [(&str, &str); 2] = [("berlin", "fd00:20:"), ("madrid", "fd00:21:")];
/// The largest outer packet that passes, and what IPv6, UDP and WireGuard leave of it.
const HOLE: (u16, u64) = (1400, 1320);
const BULK: u64 = 4_000_000;

/// Takes IPv4 away from the WAN and gives it IPv6; every gateway knows the other by that address.
fn with_ipv6_outside(lab: &Lab, mesh: &mut Mesh) -> Result<()> {
    let router = lab.router();
    for setting in ["all.disable_ipv6=0", "default.disable_ipv6=0", "all.forwarding=1"] {
        router.run(&["sysctl", "-qw", &format!("net.ipv6.conf.{setting}")])?;
    }
    for (zone, net) in OUTSIDE {
        let gateway = &lab.zone(zone)?.gateway;
        router.ip(&["-4", "addr", "flush", "dev", zone])?;
        gateway.ip(&["-4", "addr", "flush", "dev", "wan0"])?;
        router.ip(&["addr", "add", &format!("{net}:fe/64"), "dev", zone, "nodad"])?;
        gateway.ip(&["addr", "add", &format!("{net}:1/64"), "dev", "wan0", "nodad"])?;
        gateway.ip(&["-6", "route", "add", "default", "via", &format!("{net}:fe")])?;
    }
    for ((zone, net), other) in OUTSIDE.into_iter().zip(["madrid", "berlin"]) {
        let at = toml::Value::Array(vec![format!("[{net}:1]:{WIREGUARD_PORT}").into()]);
        mesh.gateway(zone)?.section("gateway")?.insert("endpoints".to_owned(), at.clone());
        mesh.gateway(other)?.peer(zone)?.insert("endpoints".to_owned(), at);
    }
    Ok(())
}

fn start(lab: &Lab) -> Result<Mesh> {
    let mut mesh = Mesh::prepare(lab)?;
    with_ipv6_inside(lab, &mut mesh)?;
    with_ipv6_outside(lab, &mut mesh)?;
    mesh.start(lab)?;
    mesh.wait_until_connected(patience())?;
    Ok(mesh)
}

fn wait_for_mtu(mesh: &mut Mesh, mtu: u64, timeout: Duration) -> Result<()> {
    for (zone, _) in OUTSIDE {
        until(&format!("an MTU of {mtu} in {zone}"), timeout, || {
            let peers = mesh.gateway(zone)?.ask(&["peers"])?;
            Ok(Look::<()>::when(peers["peers"][0]["mtu"] == mtu, &peers))
        })?;
    }
    Ok(())
}

/// Bulk TCP from berlin over both IPs.
fn bulk(from: &Vm, to: &Vm) -> Result<()> {
    for target in [IpAddr::V4(to.address), "fd00:11::5".parse()?] {
        let address = SocketAddr::new(target, 7000);
        let took = transfer(&from.namespace, &to.namespace, address, BULK)?;
        ensure!(took < Duration::from_secs(15), "4 MB to {target} took {took:?}");
    }
    Ok(())
}

/// One packet of `len` bytes over IPv6 that must not be cut, as `ping` tells it.
fn whole(from: &Vm, len: u64) -> Result<String> {
    let payload = (len - 48).to_string();
    let args = ["-6", "-n", "-M", "do", "-c", "1", "-W", "2", "-s", &payload, "fd00:11::5"];
    let output = from.namespace.command("ping").args(args).output()?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn zones_with_ipv6_alone_outside_carry_both_ips_and_come_back() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = start(&lab)?;
    wait_for_mtu(&mut mesh, 1420, patience())?;
    let peer = mesh.gateway("berlin")?.ask(&["show", "madrid"])?["peer"].clone();
    ensure!(peer["endpoint"] == "[fd00:21::1]:51820" && peer["underlay_mtu"] == 1500, "{peer}");
    let (from, to) = (lab.zone("berlin")?.vm("vm")?, lab.zone("madrid")?.vm("vm")?);
    bulk(from, to)?;

    // Its address changes under it; who hears from it follows.
    let gateway = &lab.zone("madrid")?.gateway;
    gateway.ip(&["addr", "add", "fd00:21::7/64", "dev", "wan0", "nodad"])?;
    gateway.ip(&["addr", "del", "fd00:21::1/64", "dev", "wan0"])?;
    gateway.ip(&["-6", "route", "replace", "default", "via", "fd00:21::fe"])?;
    until("berlin to follow madrid", Duration::from_secs(10), || {
        let peer = mesh.gateway("berlin")?.ask(&["show", "madrid"])?["peer"].clone();
        let followed = peer["endpoint"] == "[fd00:21::7]:51820" && peer["state"] == "up";
        Ok(Look::<()>::when(followed, &peer))
    })?;
    mesh.gateway("madrid")?.kill_9_and_start(&lab)?;
    let target = IpAddr::V4(to.address);
    let ((), took) = until("the first packet after a kill", Duration::from_secs(3), || {
        let answered = ping(&from.namespace, target, 1, 0.1)?.received == 1;
        Ok(Look::<()>::when(answered, "no answer"))
    })?;
    ensure!(took < Duration::from_secs(3), "{took:?}");
    lab.succeeded()
}

#[test]
fn a_hole_under_ipv6_is_found_told_inside_and_left_again() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let (largest, inside) = HOLE;
    lab.mtu_hole("madrid", Some(largest))?;
    let mut mesh = start(&lab)?;
    wait_for_mtu(&mut mesh, inside, Duration::from_secs(20))?;
    let words = ["madrid", &format!("nothing above {inside} bytes passes")];
    told(mesh.gateway("berlin")?, "N209", &words, Duration::from_secs(10))?;
    let (from, to) = (lab.zone("berlin")?.vm("vm")?, lab.zone("madrid")?.vm("vm")?);
    let told = whole(from, 1400)?;
    ensure!(told.contains(&format!("Packet too big: mtu={inside}")), "{told}");
    bulk(from, to)?;

    lab.mtu_hole("madrid", None)?;
    wait_for_mtu(&mut mesh, 1420, Duration::from_secs(40))?;
    let from = lab.zone("berlin")?.vm("vm")?;
    from.namespace.ip(&["-6", "route", "flush", "cache"])?;
    let passes = whole(from, 1420)?;
    ensure!(passes.contains(" 1 received"), "{passes}");
    lab.succeeded()
}
