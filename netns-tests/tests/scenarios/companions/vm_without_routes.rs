//! VMs that nobody has given a route: their companions set them, with the MTU, and keep them.
//!
//! ```text
//!   berlin                     WAN                madrid                     paris
//!   superlink 10.10.10.5 - gw [ router ] gw - supernode 10.10.11.5    gw - supernode 10.10.12.5
//!   (no route)                           (one elsewhere to paris)     (an operator's, no MTU)
//! ```
//!
//! No VM hears that a packet was too large: what the MTU of a route does not say, nobody says.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::findings::{over, told};
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK, SUPERNODE, TRAINING, ZONES};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::{Lab, Vm};
use zonemesh_lab::mesh::{patience, peer_of};
use zonemesh_lab::wait::{Look, holds_for, until};

/// What is changed is followed within so much: the gateway and the companion look every 2 s.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(8);
/// As most firewalls that "drop ICMP" do.
const DEAF: &str = "table ip deaf { chain in { type filter hook input priority 0; \
    icmp type destination-unreachable drop; }; }";
/// A megabyte in datagrams as large as an Ethernet takes.
const DATAGRAMS: usize = 700;
const PAYLOAD: usize = 1472;
const UDP_PORT: u16 = 7007;

fn vm<'a>(federation: &'a LabFederation, zone: &str) -> Result<&'a Vm> {
    federation.zone(zone)?.vm(if zone == HOME { SUPERLINK } else { SUPERNODE })
}

/// The routes that a companion has set in this zone's VM.
fn own_routes(federation: &LabFederation, zone: &str) -> Result<String> {
    vm(federation, zone)?.namespace.ip(&["route", "show", "proto", "91"])
}

fn wait_for_route(
    federation: &LabFederation,
    zone: &str,
    to: &str,
    is_wanted: bool,
) -> Result<Duration> {
    let what = format!("the route of {zone} to {to}: {is_wanted}");
    let gateway = federation.zone(zone)?.lan_address;
    let prefix = federation.zone(to)?.prefix();
    let line = format!("{prefix} via {gateway} dev eth0 metric 9091 mtu 1420");
    let ((), took) = until(&what, FOLLOWED_WITHIN, || {
        let routes = own_routes(federation, zone)?;
        let is_there = routes.lines().any(|route| route.trim() == line);
        Ok(Look::<()>::when(is_there == is_wanted, routes))
    })?;
    Ok(took)
}

/// How many datagrams of a whole Ethernet packet arrive.
fn arrived(from: &Vm, to: &Vm) -> Result<usize> {
    let receiver = to.namespace.inside(|| Ok(UdpSocket::bind((to.address, UDP_PORT))?))?;
    receiver.set_read_timeout(Some(Duration::from_secs(2)))?;
    let sender = from.namespace.inside(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?))?;
    let (payload, mut buffer) = ([7; PAYLOAD], [0; 2 * PAYLOAD]);
    let mut received = 0;
    for _ in 0..DATAGRAMS {
        sender.send_to(&payload, (to.address, UDP_PORT))?;
        match receiver.recv(&mut buffer) {
            Ok(PAYLOAD) => received += 1,
            // What is lost here is lost for good: the rest would only wait.
            _ => break,
        }
    }
    Ok(received)
}

/// Takes the routes that the Lab has given, and says what operators have set instead.
fn take_routes(federation: &LabFederation) -> Result<()> {
    for zone in [HOME, TRAINING[0], TRAINING[1]] {
        let namespace = &vm(federation, zone)?.namespace;
        namespace.ip(&["route", "del", "default"])?;
        namespace.run(&["nft", DEAF])?;
    }
    let paris = federation.zone("paris")?.prefix();
    vm(federation, "madrid")?.namespace.ip(&["route", "add", &paris, "via", "10.10.11.77"])?;
    let (berlin, gateway) =
        (federation.zone(HOME)?.prefix(), federation.zone("paris")?.lan_address);
    let gateway = gateway.to_string();
    vm(federation, "paris")?.namespace.ip(&["route", "add", &berlin, "via", &gateway])?;
    Ok(())
}

#[test]
fn vms_without_any_route_train_and_keep_what_their_companions_have_set() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.connect()?;
    take_routes(&federation)?;
    federation.start_superlink()?;
    for zone in TRAINING {
        federation.start_supernode(zone)?;
        wait_for_route(&federation, HOME, zone, true)?;
    }
    wait_for_route(&federation, "madrid", HOME, true)?;
    wait_for_route(&federation, "paris", "madrid", true)?;
    federation.wait_until_ready()?;
    federation.train(TrainingPlan { rounds: 1, nodes: 2, train_sleep: Duration::ZERO })?;

    large_packets_pass_by_the_mtu_of_the_route_alone(&federation)?;
    operators_routes_are_left_alone(&mut federation)?;
    what_is_flushed_comes_back(&federation)?;
    zones_that_go_and_come_are_followed(&mut federation)?;
    while_the_gateway_is_away_they_stay(&mut federation)?;
    federation.succeeded()
}

fn large_packets_pass_by_the_mtu_of_the_route_alone(federation: &LabFederation) -> Result<()> {
    let (superlink, madrid, paris) =
        (vm(federation, HOME)?, vm(federation, "madrid")?, vm(federation, "paris")?);
    let received = arrived(madrid, superlink)?;
    ensure!(received == DATAGRAMS, "{received} of {DATAGRAMS} arrived");
    let received = arrived(superlink, madrid)?;
    ensure!(received == DATAGRAMS, "{received} of {DATAGRAMS} arrived");
    // The operator's route has no MTU, and is left as it is.
    let received = arrived(paris, superlink)?;
    ensure!(received == 0, "{received} arrived: this test cannot tell one from the other");
    Ok(())
}

fn operators_routes_are_left_alone(federation: &mut LabFederation) -> Result<()> {
    let prefix = federation.zone("paris")?.prefix();
    told(federation.mesh.gateway("madrid")?, "F512", &["F525", &prefix], FOLLOWED_WITHIN)?;
    let namespace = &vm(federation, "madrid")?.namespace;
    let line = format!("{prefix} via 10.10.11.77 dev eth0");
    let routes = namespace.ip(&["route"])?;
    ensure!(routes.lines().any(|route| route.trim() == line), "{routes}");
    ensure!(!own_routes(federation, "madrid")?.contains(&prefix), "{routes}");
    let of_paris = vm(federation, "paris")?.namespace.ip(&["route", "show", "10.10.10.0/24"])?;
    ensure!(of_paris.trim() == "10.10.10.0/24 via 10.10.12.1 dev eth0", "{of_paris}");
    // Once it is gone, the companion's own takes its place.
    namespace.ip(&["route", "del", &prefix])?;
    wait_for_route(federation, "madrid", "paris", true)?;
    over(federation.mesh.gateway("madrid")?, "F512", patience())
}

fn what_is_flushed_comes_back(federation: &LabFederation) -> Result<()> {
    let namespace = &vm(federation, "madrid")?.namespace;
    for flush in [
        &["route", "flush", "proto", "91"][..],
        &["route", "flush", "10.10.10.0/24"],
        &["route", "del", "10.10.10.0/24", "metric", "9091"],
    ] {
        namespace.ip(flush)?;
        let took = wait_for_route(federation, "madrid", HOME, true)?;
        ensure!(took < Duration::from_secs(5), "{flush:?}: {took:?}");
    }
    // A link that goes takes all routes with it, those to the gateway too.
    namespace.ip(&["link", "set", "eth0", "down"])?;
    ensure!(own_routes(federation, "madrid")?.trim().is_empty(), "they go with the link");
    namespace.ip(&["link", "set", "eth0", "up"])?;
    wait_for_route(federation, "madrid", HOME, true)?;
    wait_for_route(federation, "madrid", "paris", true).map(drop)
}

fn zones_that_go_and_come_are_followed(federation: &mut LabFederation) -> Result<()> {
    let keys = federation.mesh.gateway("paris")?.keys.clone();
    let paris = peer_of(federation.zone("paris")?, &keys);
    let gateway = federation.mesh.gateway(HOME)?;
    let peers = gateway.config.get_mut("peer").and_then(toml::Value::as_array_mut);
    peers.context("no peers")?.retain(|peer| peer["zone"].as_str() != Some("paris"));
    gateway.reload()?;
    wait_for_route(federation, HOME, "paris", false)?;
    wait_for_route(federation, HOME, "madrid", true)?;
    let gateway = federation.mesh.gateway(HOME)?;
    let peers = gateway.config.get_mut("peer").and_then(toml::Value::as_array_mut);
    peers.context("no peers")?.push(toml::Value::Table(paris));
    gateway.reload()?;
    wait_for_route(federation, HOME, "paris", true).map(drop)
}

fn while_the_gateway_is_away_they_stay(federation: &mut LabFederation) -> Result<()> {
    federation.mesh.gateway("madrid")?.daemon()?.kill_9()?;
    let before = own_routes(federation, "madrid")?;
    holds_for("the routes to stay", FOLLOWED_WITHIN, || {
        let now = own_routes(federation, "madrid")?;
        Ok(Look::<()>::when(now == before, now))
    })?;
    vm(federation, "madrid")?.namespace.ip(&["route", "flush", "proto", "91"])?;
    wait_for_route(federation, "madrid", HOME, true)?;
    wait_for_route(federation, "madrid", "paris", true)?;
    // One that has just begun tells all of it at once.
    let gateway = federation.mesh.gateway("madrid")?;
    gateway.start(&federation.lab)?;
    gateway.wait_until_ready(patience())?;
    let before = own_routes(federation, "madrid")?;
    holds_for("the routes to stay", FOLLOWED_WITHIN, || {
        let now = own_routes(federation, "madrid")?;
        Ok(Look::<()>::when(now == before, now))
    })
}
