//! A link that swallows long packets without a word: found, reported, lived with, and left again.
//!
//! ```text
//!   berlin                       WAN                           madrid
//!   vm 10.10.10.5 - gw ---- [ router: nothing above 1300 ] ---- gw - vm 10.10.11.5
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::findings::told;
use netns_tests::wireguard::bounce::{Blamed, Fragments, forge};
use netns_tests::wireguard::traffic::transfer;
use zonemesh_lab::lab::{Lab, Vm, ZonePlan};
use zonemesh_lab::mesh::{Mesh, WIREGUARD_PORT, patience};
use zonemesh_lab::wait::{Look, holds_for, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];
const HOLE: u16 = 1300;
/// What an IPv4 header, UDP and WireGuard leave of it.
const INSIDE: u64 = 1240;
const BULK: u64 = 4_000_000;

fn wait_for_mtu(mesh: &mut Mesh, zone: &str, mtu: u64, timeout: Duration) -> Result<Duration> {
    let (_, took) = until(&format!("an MTU of {mtu} in {zone}"), timeout, || {
        let peers = mesh.gateway(zone)?.ask(&["peers"])?;
        Ok(Look::<()>::when(peers["peers"][0]["mtu"] == mtu, &peers))
    })?;
    Ok(took)
}

fn bulk(from: &Vm, to: &Vm) -> Result<Duration> {
    transfer(&from.namespace, &to.namespace, SocketAddr::new(IpAddr::V4(to.address), 7000), BULK)
}

/// What `ping` says of one packet of `len` bytes that must not be cut.
fn whole(from: &Vm, to: &Vm, len: u64) -> Result<String> {
    let (payload, to) = ((len - 28).to_string(), to.address.to_string());
    let args = ["-n", "-M", "do", "-c", "1", "-W", "2", "-s", &payload, &to];
    let output = from.namespace.command("ping").args(args).output()?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn bulk_tcp_passes_a_hole_from_the_start_and_long_packets_pass_again_after_it() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    lab.mtu_hole("madrid", Some(HOLE))?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let took = bulk(lab.zone("berlin")?.vm("vm")?, lab.zone("madrid")?.vm("vm")?)?;
    ensure!(took < Duration::from_secs(15), "4 MB took {took:?}");
    for (zone, other) in [("berlin", "madrid"), ("madrid", "berlin")] {
        wait_for_mtu(&mut mesh, zone, INSIDE, Duration::from_secs(10))?;
        // A second later it is sure, and told.
        let words = [other, "nothing above 1240 bytes passes"];
        told(mesh.gateway(zone)?, "N209", &words, Duration::from_secs(10))?;
    }
    let shown = mesh.gateway("berlin")?.show(&["show", "madrid"])?;
    ensure!(shown.contains("nothing above 1240 bytes passes"), "{shown}");
    let log = mesh.gateway("berlin")?.daemon()?.output()?;
    ensure!(log.contains("black hole: nothing above 1240 bytes passes to madrid"), "no event");
    let (berlin, madrid) = (lab.zone("berlin")?.vm("vm")?, lab.zone("madrid")?.vm("vm")?);
    // The VM has been told during the transfer; it is to be told again.
    berlin.namespace.ip(&["route", "flush", "cache"])?;
    let told = whole(berlin, madrid, 1400)?;
    ensure!(told.contains("mtu = 1240"), "no ICMP \"too big\" reached the VM: {told}");
    let fits = whole(berlin, madrid, INSIDE)?;
    ensure!(fits.contains(" 1 received"), "{fits}");
    bulk(madrid, berlin)?;

    lab.mtu_hole("madrid", None)?;
    for zone in ["berlin", "madrid"] {
        wait_for_mtu(&mut mesh, zone, 1420, Duration::from_secs(30))?;
    }
    let (berlin, madrid) = (lab.zone("berlin")?.vm("vm")?, lab.zone("madrid")?.vm("vm")?);
    berlin.namespace.ip(&["route", "flush", "cache"])?;
    let passes = whole(berlin, madrid, 1420)?;
    ensure!(passes.contains(" 1 received"), "{passes}");
    let events = mesh.gateway("berlin")?.ask(&["peers"])?["events"].clone();
    ensure!(events["mtu_lowered"] == 1 && events["mtu_raised"] == 1, "{events}");
    lab.succeeded()
}

#[test]
fn a_hole_that_opens_under_a_connection_is_found_and_the_connection_goes_on() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    lab.mtu_hole("madrid", None)?;
    // 4 MB at 4 Mbit/s: the flow lives for eight seconds and more.
    lab.limit("madrid", Some(4))?;
    let (from, to) = (lab.zone("berlin")?.vm("vm")?, lab.zone("madrid")?.vm("vm")?);
    std::thread::scope(|scope| {
        let flow = scope.spawn(|| bulk(from, to));
        std::thread::sleep(Duration::from_secs(3));
        let rules = "table ip hole { chain hole { type filter hook forward priority 1; meta length > 1300 drop; }; }";
        lab.router().run(&["nft", rules])?;
        wait_for_mtu(&mut mesh, "berlin", INSIDE, Duration::from_secs(25))?;
        match flow.join() {
            Ok(took) => took.map(drop),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    lab.succeeded()
}

/// Waits until the tunnel's interface in berlin is shown with these words.
fn link_has(lab: &Lab, words: &str) -> Result<()> {
    until("the interface to follow", Duration::from_secs(2), || {
        let link = lab.zone("berlin")?.gateway.ip(&["link", "show", "zm0"])?;
        Ok(Look::<()>::when(link.contains(words), &link))
    })?;
    Ok(())
}

#[test]
fn forged_icmp_from_the_path_changes_nothing() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    wait_for_mtu(&mut mesh, "berlin", 1420, patience())?;
    let fragments = Fragments::count(lab.router())?;
    let [from, to] = ["berlin", "madrid"].map(|zone| lab.zone(zone));
    let [from, to] = [from?.wan_address, to?.wan_address]
        .map(|address| SocketAddr::from((address, WIREGUARD_PORT)));
    for blamed in [Blamed { from, to }, Blamed { from: to, to: from }] {
        forge(lab.router(), blamed, 576)?;
    }
    // Longer than it takes to ask the kernel again, and to check the size in use.
    holds_for("the MTU", Duration::from_secs(16), || {
        let peers = mesh.gateway("berlin")?.ask(&["peers"])?;
        let device = lab.zone("berlin")?.gateway.ip(&["link", "show", "zm0"])?;
        let same = peers["peers"][0]["mtu"] == 1420 && device.contains("mtu 1420");
        Ok(Look::<()>::when(same, format!("{peers} {device}")))
    })?;
    bulk(lab.zone("berlin")?.vm("vm")?, lab.zone("madrid")?.vm("vm")?)?;
    bulk(lab.zone("madrid")?.vm("vm")?, lab.zone("berlin")?.vm("vm")?)?;
    ensure!(fragments.read()? == 0, "datagrams were cut");
    let events = mesh.gateway("berlin")?.ask(&["peers"])?["events"].clone();
    ensure!(events["mtu_lowered"] == 0, "{events}");
    lab.succeeded()
}

#[test]
fn the_tunnel_follows_the_mtu_of_the_links_below() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    lab.zone("berlin")?.gateway.ip(&["link", "set", "wan0", "mtu", "1450"])?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    wait_for_mtu(&mut mesh, "berlin", 1390, patience())?;
    link_has(&lab, "mtu 1390")?;
    lab.zone("berlin")?.gateway.ip(&["link", "set", "wan0", "mtu", "1500"])?;
    wait_for_mtu(&mut mesh, "berlin", 1420, patience())?;
    link_has(&lab, "mtu 1420")?;
    lab.succeeded()
}

/// Gives both zones IPv6 inside: `fd00:10::/64` in berlin, `fd00:11::/64` in madrid.
pub(crate) fn with_ipv6_inside(lab: &Lab, mesh: &mut Mesh) -> Result<()> {
    for (zone, other, net, other_net) in
        [("berlin", "madrid", "fd00:10:", "fd00:11:"), ("madrid", "berlin", "fd00:11:", "fd00:10:")]
    {
        let (place, vm) = (lab.zone(zone)?, lab.zone(zone)?.vm("vm")?);
        for namespace in [&place.gateway, &vm.namespace] {
            let on = ["net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0"];
            namespace.run(&[&["sysctl", "-qw"][..], &on[..]].concat())?;
        }
        place.gateway.run(&["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])?;
        let (gateway, host) = (format!("{net}:1"), format!("{net}:5"));
        place.gateway.ip(&["addr", "add", &format!("{gateway}/64"), "dev", "lan0", "nodad"])?;
        vm.namespace.ip(&["addr", "add", &format!("{host}/64"), "dev", "eth0", "nodad"])?;
        vm.namespace.ip(&["-6", "route", "add", "default", "via", &gateway])?;
        let both = |prefix: String, net: &str| {
            let prefixes = vec![prefix.into(), format!("{net}:/64").into()];
            toml::Value::Array(prefixes)
        };
        let own = both(place.prefix(), net);
        mesh.gateway(zone)?.section("zone")?.insert("prefixes".to_owned(), own);
        let others = both(lab.zone(other)?.prefix(), other_net);
        mesh.gateway(zone)?.peer(other)?.insert("prefixes".to_owned(), others);
    }
    Ok(())
}

#[test]
fn ipv6_inside_is_told_of_a_hole_too() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    lab.mtu_hole("madrid", Some(1400))?;
    let mut mesh = Mesh::prepare(&lab)?;
    with_ipv6_inside(&lab, &mut mesh)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    wait_for_mtu(&mut mesh, "berlin", 1340, patience())?;
    let (berlin, madrid) = (lab.zone("berlin")?.vm("vm")?, lab.zone("madrid")?.vm("vm")?);
    let args = ["-6", "-n", "-M", "do", "-c", "1", "-W", "2", "-s", "1352", "fd00:11::5"];
    let output = berlin.namespace.command("ping").args(args).output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(told.contains("Packet too big: mtu=1340"), "{told}");
    let address = "[fd00:11::5]:7000".parse()?;
    let took = transfer(&berlin.namespace, &madrid.namespace, address, BULK)?;
    ensure!(took < Duration::from_secs(15), "4 MB took {took:?}");
    lab.succeeded()
}
