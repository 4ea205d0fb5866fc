//! Paths: which address answers leave from, when an endpoint moves, and loops.
//!
//! ```text
//!   left .1 (and .9) ---- router ---- .1 right
//! ```

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netns_tests::wireguard::gateway::{PORT, WireGuardGateway, inner, key};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::key::TunnelKey;
use netns_tests::wireguard::pair::{Pair, PairPlan, configuration};
use netns_tests::wireguard::puppet::{Puppet, PuppetKeys, echo_request};
use netns_tests::wireguard::traffic::{Pinger, ping};
use netns_tests::wireguard::wan::{Family, Side, Wan};
use zonemesh_lab::wait::{Look, holds_for, until};

const SOON: Duration = Duration::from_secs(10);

pub(crate) fn answers_leave_from_the_address_spoken_to_v4(by: Implementation) -> Result<()> {
    answers_leave_from_the_address_spoken_to(by, Family::V4)
}

pub(crate) fn answers_leave_from_the_address_spoken_to_v6(by: Implementation) -> Result<()> {
    answers_leave_from_the_address_spoken_to(by, Family::V6)
}

/// Right is a gateway with two addresses; left knows the one that the routes would not choose.
fn answers_leave_from_the_address_spoken_to(by: Implementation, outer: Family) -> Result<()> {
    let wan = Wan::new()?;
    let plan = PairPlan { outer, right_knows_left: false, ..PairPlan::default() };
    let second = SocketAddr::new(wan.add_host(Side::Right, outer, 9)?, PORT);
    if outer == Family::V6 {
        // Of two addresses on one interface, the later one is preferred as a source in IPv6.
        wan.remove_host(Side::Right, outer, 1)?;
        wan.add_host(Side::Right, outer, 1)?;
    }
    let pair = Pair::start(&wan, [by, by], plan)?;
    let peer = pair.left.peer()?.public_key;
    pair.left.set(&["peer", &peer, "endpoint", &second.to_string()])?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    pair.wait_for_ping(Side::Right, Family::V4, SOON)?;
    let endpoint = pair.left.peer()?.endpoint;
    ensure!(endpoint == second.to_string(), "{endpoint} answered for {second}");
    wan.succeeded()
}

pub(crate) fn a_replaced_source_address_is_given_up_v4(by: Implementation) -> Result<()> {
    a_replaced_source_address_is_given_up(by, Family::V4)
}

pub(crate) fn a_replaced_source_address_is_given_up_v6(by: Implementation) -> Result<()> {
    a_replaced_source_address_is_given_up(by, Family::V6)
}

/// Left loses the address that it speaks from, with its routes, and gets another.
fn a_replaced_source_address_is_given_up(by: Implementation, outer: Family) -> Result<()> {
    let wan = Wan::new()?;
    let plan = PairPlan { outer, right_knows_left: false, ..PairPlan::default() };
    let pair = Pair::start(&wan, [by, by], plan)?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let handshake = pair.left.peer()?.latest_handshake;
    for (old, new) in [(1, 7), (7, 8)] {
        wan.remove_host(Side::Left, outer, old)?;
        let address = wan.add_host(Side::Left, outer, new)?;
        wan.add_default_routes(Side::Left)?;
        let took = pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
        writeln!(std::io::stderr(), "{by}: {outer:?} source replaced, back after {took:.2?}")?;
        ensure!(took < Duration::from_secs(2), "back after {took:.2?}");
        let endpoint = pair.right.peer()?.endpoint;
        let expected = SocketAddr::new(address, PORT).to_string();
        ensure!(endpoint == expected, "right sends to {endpoint}, left is at {expected}");
    }
    ensure!(pair.left.peer()?.latest_handshake == handshake, "roaming cost a handshake");
    wan.succeeded()
}

pub(crate) fn only_authentic_datagrams_move_an_endpoint_v4(by: Implementation) -> Result<()> {
    only_authentic_datagrams_move_an_endpoint(by, Family::V4)
}

pub(crate) fn only_authentic_datagrams_move_an_endpoint_v6(by: Implementation) -> Result<()> {
    only_authentic_datagrams_move_an_endpoint(by, Family::V6)
}

fn only_authentic_datagrams_move_an_endpoint(by: Implementation, outer: Family) -> Result<()> {
    let wan = Wan::new()?;
    let (gateway, mut puppet) = gateway_and_puppet_over(by, &wan, outer)?;
    let (source, target) = (Ipv4Addr::new(10, 99, 0, 1), Ipv4Addr::new(10, 99, 0, 2));
    let old_initiation = puppet.initiation()?;
    puppet.connect()?;
    ensure!(puppet.ping(source, target)?, "no answer to a ping");
    let home = puppet.local()?.to_string();
    ensure!(gateway.peer()?.endpoint == home, "{:?}", gateway.peer()?);

    let old = puppet.seal(&echo_request(source, target, 1)?)?;
    puppet.send(&old)?;
    let mut damaged = puppet.seal(&echo_request(source, target, 2)?)?;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let mut cookie = vec![3, 0, 0, 0];
    cookie.extend_from_slice(&old[4..8]);
    cookie.extend_from_slice(&[0x99; 56]);
    let elsewhere: IpAddr = wan.add_host(Side::Left, outer, 66)?;
    let thief = Puppet::new(
        wan.namespace(Side::Left),
        elsewhere,
        SocketAddr::new(wan.address(Side::Right, outer), PORT),
        &PuppetKeys { own: &key(Side::Left), peer: key(Side::Right).public() },
    )?;
    for datagram in [&old, &damaged, &cookie, &old_initiation] {
        thief.send(datagram)?;
    }
    holds_for("the endpoint", Duration::from_secs(1), || {
        let endpoint = gateway.peer()?.endpoint;
        Ok(Look::<()>::when(endpoint == home, endpoint))
    })?;
    puppet.move_to(wan.namespace(Side::Left), elsewhere)?;
    ensure!(puppet.ping(source, target)?, "no answer after moving");
    let moved = puppet.local()?.to_string();
    ensure!(gateway.peer()?.endpoint == moved, "{:?} is not {moved}", gateway.peer()?);
    wan.succeeded()
}

/// A gateway on the right whose only peer is a puppet on the left.
pub(crate) fn gateway_and_puppet(
    by: Implementation,
    wan: &Wan,
) -> Result<(WireGuardGateway<'_>, Puppet)> {
    gateway_and_puppet_over(by, wan, Family::V4)
}

fn gateway_and_puppet_over(
    by: Implementation,
    wan: &Wan,
    outer: Family,
) -> Result<(WireGuardGateway<'_>, Puppet)> {
    let gateway = WireGuardGateway::start(by, wan, Side::Right)?;
    let plan = PairPlan { right_knows_left: false, ..PairPlan::default() };
    let text = configuration(wan, Side::Right, plan);
    gateway.load("setconf", &text)?;
    gateway.bring_up()?;
    // A puppet says nothing twice, and IPv6 is slow to get to know its neighbours.
    until("the way to the gateway", SOON, || {
        let there = ping(wan.namespace(Side::Left), wan.address(Side::Right, outer), 1, 0.1)?;
        Ok(Look::<()>::when(there.received == 1, "no answer"))
    })?;
    let puppet = Puppet::new(
        wan.namespace(Side::Left),
        wan.address(Side::Left, outer),
        SocketAddr::new(wan.address(Side::Right, outer), PORT),
        &PuppetKeys { own: &key(Side::Left), peer: key(Side::Right).public() },
    )?;
    Ok((gateway, puppet))
}

/// As `wg-quick` does it: everything without the mark goes into the tunnel, the outer packets too
/// if they had none.
pub(crate) fn fwmark_keeps_the_tunnel_out_of_itself(by: Implementation) -> Result<()> {
    for outer in [Family::V4, Family::V6] {
        let wan = Wan::new()?;
        let pair = Pair::start(&wan, [by, by], PairPlan { outer, ..PairPlan::default() })?;
        let peer = pair.left.peer()?.public_key;
        pair.left.set(&["fwmark", "0x5a4d", "peer", &peer, "allowed-ips", "0.0.0.0/0,::/0"])?;
        ensure!(pair.left.show()?.fwmark == "0x5a4d", "{:?}", pair.left.show()?);
        let left = wan.namespace(Side::Left);
        for version in ["-4", "-6"] {
            let name = pair.left.interface();
            left.ip(&[version, "route", "add", "default", "dev", name, "table", "100"])?;
            left.ip(&[version, "rule", "add", "not", "fwmark", "0x5a4d", "table", "100"])?;
        }
        for family in [Family::V4, Family::V6] {
            let took = pair.wait_for_ping(Side::Left, family, SOON)?;
            ensure!(took < Duration::from_secs(3), "{outer:?} {family:?}: {took:?}");
        }
        // What is outside the tunnel elsewhere is inside it now: right answers as itself.
        let outside = ping(left, wan.address(Side::Right, outer), 3, 0.2)?;
        ensure!(outside.received == 0 || pair.left.peer()?.tx_bytes < 100_000, "a loop");
        ensure!(pair.left.peer()?.tx_bytes < 100_000, "{:?}", pair.left.peer()?);
        wan.succeeded()?;
    }
    Ok(())
}

pub(crate) fn an_endpoint_inside_its_own_tunnel_stays_bounded_v4(by: Implementation) -> Result<()> {
    an_endpoint_inside_its_own_tunnel_stays_bounded(by, Family::V4)
}

pub(crate) fn an_endpoint_inside_its_own_tunnel_stays_bounded_v6(by: Implementation) -> Result<()> {
    an_endpoint_inside_its_own_tunnel_stays_bounded(by, Family::V6)
}

/// The mistake that makes other implementations seal their own packets again and again.
fn an_endpoint_inside_its_own_tunnel_stays_bounded(
    by: Implementation,
    outer: Family,
) -> Result<()> {
    let wan = Wan::new()?;
    let pair = Pair::start(&wan, [by, by], PairPlan { outer, ..PairPlan::default() })?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let peer = pair.left.peer()?;
    let inside = SocketAddr::new(inner(Side::Right, outer), PORT).to_string();
    pair.left.set(&["peer", &peer.public_key, "endpoint", &inside])?;
    let (cpu, start) = (pair.left.cpu()?, Instant::now());
    ping(wan.namespace(Side::Left), inner(Side::Right, Family::V4), 3, 0.2)?;
    holds_for("the process", Duration::from_secs(3), || {
        Ok(Look::Done(pair.left.show().map(drop)?))
    })?;
    let (spent, took) = (pair.left.cpu()?.saturating_sub(cpu), start.elapsed());
    let sent = pair.left.peer()?.tx_bytes.saturating_sub(peer.tx_bytes);
    writeln!(std::io::stderr(), "{by}: endpoint inside: {sent} bytes, {spent:?} in {took:.1?}")?;
    ensure!(sent < 1_000_000 && spent < Duration::from_secs(1), "{sent} bytes, {spent:?}");
    // And back, once the mistake is undone.
    pair.left.set(&["peer", &peer.public_key, "endpoint", &peer.endpoint])?;
    until("an answer", SOON, || {
        let pinged = ping(wan.namespace(Side::Left), inner(Side::Right, Family::V4), 1, 0.1)?;
        Ok(Look::<()>::when(pinged.received == 1, "no answer"))
    })?;
    wan.succeeded()
}

pub(crate) fn routes_that_lead_elsewhere_change_the_source_v4(by: Implementation) -> Result<()> {
    routes_that_lead_elsewhere_change_the_source(by, Family::V4)
}

pub(crate) fn routes_that_lead_elsewhere_change_the_source_v6(by: Implementation) -> Result<()> {
    routes_that_lead_elsewhere_change_the_source(by, Family::V6)
}

/// Left has a second way out. The first goes down: its address stays (IPv4), its routes do not.
fn routes_that_lead_elsewhere_change_the_source(by: Implementation, outer: Family) -> Result<()> {
    let wan = Wan::new()?;
    add_second_way(&wan)?;
    let left = wan.namespace(Side::Left);
    let plan = PairPlan { outer, right_knows_left: false, ..PairPlan::default() };
    let pair = Pair::start(&wan, [by, by], plan)?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    // Long enough for whoever looks at the routes now and then to know this one.
    holds_for("the first way", Duration::from_secs(2), || {
        Ok(Look::<()>::when(pair.left.peer()?.latest_handshake > 0, "no session"))
    })?;
    left.ip(&["link", "set", "wan0", "down"])?;
    take_second_way(&wan)?;
    let took = pair.wait_for_ping(Side::Left, Family::V4, Duration::from_secs(20))?;
    writeln!(std::io::stderr(), "{by}: {outer:?} by another way after {took:.2?}")?;
    ensure!(took < Duration::from_secs(3), "back after {took:.2?}");
    let endpoint = pair.right.peer()?.endpoint;
    ensure!(endpoint == second_endpoint(outer), "right sends to {endpoint}");
    wan.succeeded()
}

/// Another way from left to the router: 192.0.2.1 and 2001:db8:c::1 on `wan1`.
fn add_second_way(wan: &Wan) -> Result<()> {
    let (left, router) = (wan.namespace(Side::Left), wan.router());
    let second = ["type", "veth", "peer", "name", "wan1", "netns", left.name()];
    router.ip(&[&["link", "add", "second"][..], &second].concat())?;
    for (near, far) in
        [("192.0.2.1/24", "192.0.2.254/24"), ("2001:db8:c::1/64", "2001:db8:c::fe/64")]
    {
        let nodad: &[&str] = if near.contains("::") { &["nodad"] } else { &[] };
        left.ip(&[&["addr", "add", near, "dev", "wan1"][..], nodad].concat())?;
        router.ip(&[&["addr", "add", far, "dev", "second"][..], nodad].concat())?;
    }
    router.ip(&["link", "set", "second", "up"])?;
    left.ip(&["link", "set", "wan1", "up"]).map(drop)
}

fn take_second_way(wan: &Wan) -> Result<()> {
    let left = wan.namespace(Side::Left);
    left.ip(&["route", "replace", "default", "via", "192.0.2.254"])?;
    left.ip(&["-6", "route", "replace", "default", "via", "2001:db8:c::fe"]).map(drop)
}

/// Where left is seen by the second way.
fn second_endpoint(outer: Family) -> &'static str {
    if outer == Family::V4 { "192.0.2.1:51820" } else { "[2001:db8:c::1]:51820" }
}

pub(crate) fn a_better_route_brings_its_source_to_every_peer_v4(by: Implementation) -> Result<()> {
    a_better_route_brings_its_source(by, Family::V4, &[Talk::Asked, Talk::Asking])
}

pub(crate) fn a_better_route_brings_its_source_to_every_peer_v6(by: Implementation) -> Result<()> {
    a_better_route_brings_its_source(by, Family::V6, &[Talk::Asked, Talk::Asking])
}

/// Nothing is said in the tunnel when the routes change, and the peer knows all the same.
pub(crate) fn a_better_route_is_told_to_a_silent_peer(by: Implementation) -> Result<()> {
    a_better_route_brings_its_source(by, Family::V4, &[Talk::Asked, Talk::Silent])
}

/// Who speaks while the routes change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Talk {
    /// Left pings it.
    Asked,
    /// It pings left.
    Asking,
    /// Nobody does.
    Silent,
}

/// Left gets a better route, while the old one would still do, with several peers on the right.
fn a_better_route_brings_its_source(
    by: Implementation,
    outer: Family,
    talks: &[Talk],
) -> Result<()> {
    let wan = Wan::new()?;
    add_second_way(&wan)?;
    let left = WireGuardGateway::start(by, &wan, Side::Left)?;
    let text = configuration(&wan, Side::Left, PairPlan { outer, ..PairPlan::default() });
    left.load("setconf", &text)?;
    left.bring_up()?;
    let peers: Vec<_> = (0..talks.len())
        .map(|number| further_peer(by, &wan, &left, (number as u8, outer)))
        .collect::<Result<_>>()?;
    // Long enough for whoever looks at the routes now and then to know these.
    holds_for("the first way", Duration::from_secs(2), || Ok(Look::Done(left.show().map(drop)?)))?;
    let pingers = speak(&wan, talks)?;
    take_second_way(&wan)?;
    for (number, peer) in peers.iter().enumerate() {
        let follows = format!("peer {number} to follow");
        let (_, took) = until(&follows, Duration::from_secs(2), || {
            let endpoint = peer.peer()?.endpoint;
            Ok(Look::<()>::when(endpoint == second_endpoint(outer), endpoint))
        })?;
        writeln!(std::io::stderr(), "{by}: {outer:?} peer {number} follows after {took:.2?}")?;
    }
    holds_for("the second way", Duration::from_secs(2), || {
        let endpoints: Vec<_> =
            peers.iter().map(|peer| Ok(peer.peer()?.endpoint)).collect::<Result<_>>()?;
        let stays = endpoints.iter().all(|endpoint| endpoint == second_endpoint(outer));
        Ok(Look::<()>::when(stays, format!("{endpoints:?}")))
    })?;
    for pinger in pingers.into_iter().flatten() {
        let pinged = pinger.finish()?;
        ensure!(pinged.lost() == 0, "{pinged:?}");
    }
    wan.succeeded()
}

/// Those who speak, in their order.
fn speak(wan: &Wan, talks: &[Talk]) -> Result<Vec<Option<Pinger>>> {
    let start = |(number, talk): (u8, &Talk)| {
        let (from, to) = match talk {
            Talk::Asked => (Side::Left, 2),
            Talk::Asking => (Side::Right, 1),
            Talk::Silent => return Ok(None),
        };
        let to = Ipv4Addr::new(10, 98, number, to).into();
        Pinger::start(wan.namespace(from), to, 0.02, wan.folder()).map(Some)
    };
    (0..).zip(talks).map(start).collect()
}

/// A peer of left's on the right, with a session: 10.98.`number`.2, left is 10.98.`number`.1 there.
fn further_peer<'a>(
    by: Implementation,
    wan: &'a Wan,
    left: &WireGuardGateway<'_>,
    (number, outer): (u8, Family),
) -> Result<WireGuardGateway<'a>> {
    let own = TunnelKey::of(100 + u16::from(number));
    let port = PORT + 10 + u16::from(number);
    let name = wan.interface(char::from(b'a' + number));
    let peer = WireGuardGateway::start_as(name, by, wan, Side::Right)?;
    let inner = |host: u8| Ipv4Addr::new(10, 98, number, host);
    let text = format!(
        "[Interface]\nPrivateKey = {}\nListenPort = {port}\n[Peer]\nPublicKey = {}\nAllowedIPs = {}/32\n",
        own.secret_base64(),
        key(Side::Left).public_base64(),
        inner(1)
    );
    peer.load("setconf", &text)?;
    for (gateway, host) in [(left, 1), (&peer, 2)] {
        let address = format!("{}/24", inner(host));
        gateway.namespace().ip(&["addr", "add", &address, "dev", gateway.interface()])?;
    }
    peer.namespace().ip(&["link", "set", peer.interface(), "up"])?;
    let endpoint = SocketAddr::new(wan.address(Side::Right, outer), port).to_string();
    let allowed = format!("{}/32", inner(2));
    left.set(&["peer", &own.public_base64(), "endpoint", &endpoint, "allowed-ips", &allowed])?;
    until("an answer of the further peer", SOON, || {
        let answered = ping(left.namespace(), inner(2).into(), 1, 0.1)?.received == 1;
        Ok(Look::<()>::when(answered, "no answer"))
    })?;
    Ok(peer)
}
