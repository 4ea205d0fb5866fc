//! Somebody changes what a gateway has in its kernel: it is back within two seconds, each time, and
//! nothing for another zone ever crosses the WAN in the clear.
//!
//! ```text
//!   berlin                        WAN                      madrid
//!   vm 10.10.10.5 - gw (meddled) [ router: capture ] gw - vm 10.10.11.5
//!   (its default route leads straight to the WAN)
//! ```
//!
//! `make meddle` runs a hundred seeds of the sequences instead of three.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::kernel_state::{SOON, whole_soon};
use netns_tests::meddle::{meddle, meddlings, sequence};
use netns_tests::wireguard::traffic::ping;
use zonemesh_lab::capture::Capture;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, WIREGUARD_PORT, patience};
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

use super::path_mtu::with_ipv6_inside;

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];

/// A VM that never stops sending to the other zone, and what crosses the WAN meanwhile.
fn stays_clean(trouble: impl FnOnce(&Lab, &mut Mesh) -> Result<()>) -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let capture = Capture::start(&lab, "wan", &[WIREGUARD_PORT])?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    whole_soon(&lab, "berlin")?;
    let mut pings = Vec::new();
    for (from, name) in
        [(&lab.zone("berlin")?.vm("vm")?.namespace, "vm"), (&lab.zone("berlin")?.gateway, "gw")]
    {
        let mut ping = from.command("ping");
        ping.args(["-n", "-i", "0.01", "10.10.11.5"]);
        let mut ping = Process::spawn(&format!("ping-{name}"), ping, lab.folder())?;
        ping.wait_for("bytes from 10.10.11.5", Duration::from_secs(10))?;
        pings.push(ping);
    }
    trouble(&lab, &mut mesh)?;
    answers(&lab)?;
    drop(pings);
    let report = capture.finish(&lab)?;
    ensure!(report.is_clean(), "{report}");
    lab.succeeded()
}

/// The VM is answered by the other zone's.
fn answers(lab: &Lab) -> Result<()> {
    let (vm, target) = (&lab.zone("berlin")?.vm("vm")?.namespace, IpAddr::from([10, 10, 11, 5]));
    until("an answer through the tunnel", Duration::from_secs(10), || {
        let pinged = ping(vm, target, 1, 0.1)?;
        Ok(Look::<()>::when(pinged.received == 1, "no answer"))
    })?;
    Ok(())
}

#[test]
fn each_thing_that_is_taken_or_changed_is_back_within_2_s_and_told_as_an_event() -> Result<()> {
    stays_clean(|lab, mesh| {
        let at = lab.zone("berlin")?;
        for meddling in meddlings(at, &lab.zone("madrid")?.prefix()) {
            let events = mesh.gateway("berlin")?.folder().join("state/events");
            let before = std::fs::read_to_string(&events).unwrap_or_default().len();
            meddle(&at.gateway, &meddling)?;
            whole_soon(lab, "berlin").with_context(|| meddling.line.clone())?;
            answers(lab)?;
            if !meddling.leaves_damage {
                continue;
            }
            until(&format!("the event of {:?}", meddling.line), Duration::from_secs(5), || {
                let text = std::fs::read_to_string(&events).unwrap_or_default();
                let told = text.get(before..).unwrap_or_default().contains("\trepaired\t");
                Ok(Look::<()>::when(told, &text))
            })?;
        }
        let status = mesh.gateway("berlin")?.ask(&["status"])?;
        let mut findings = status["findings"].as_array().into_iter().flatten();
        ensure!(findings.all(|one| one["severity"] == "note"), "{status}");
        Ok(())
    })
}

#[test]
fn sequences_of_random_meddling_are_over_2_s_after_their_last_step() -> Result<()> {
    let seeds = std::env::var("ZONEMESH_MEDDLE_SEEDS").ok();
    let seeds: u64 = seeds.map_or(Ok(3), |seeds| seeds.parse())?;
    stays_clean(|lab, _| {
        let mut longest = Duration::ZERO;
        for seed in 1..=seeds {
            longest = longest.max(sequence(lab, "berlin", "madrid", seed)?);
            answers(lab)?;
        }
        writeln!(std::io::stderr(), "{seeds} sequences, whole after {longest:.2?} at most")?;
        Ok(())
    })
}

#[test]
fn who_takes_the_same_again_and_again_is_told_until_it_ends() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let mut told = |is_told: bool| {
        until(&format!("N238: {is_told}"), Duration::from_secs(60), || {
            let status = mesh.gateway("berlin")?.ask(&["status"])?;
            let said = status["findings"].to_string();
            Ok(Look::<()>::when(said.contains("N238") == is_told, said))
        })
    };
    let mut meddler = lab.zone("berlin")?.gateway.command("sh");
    meddler.args(["-c", "while :; do ip rule del pref 9091; sleep .03; done 2>/dev/null"]);
    let mut meddler = Process::spawn("meddler", meddler, lab.folder())?;
    told(true)?;
    meddler.kill_9()?;
    whole_soon(&lab, "berlin")?;
    told(false)?;
    answers(&lab)?;
    lab.succeeded()
}

/// What is missing of IPv6 at berlin's gateway: routes and rule, the set of the packet filter, the address.
fn missing_v6(gateway: &Namespace) -> Result<Vec<String>> {
    let said = |program: &str, args: &[&str]| -> Result<String> {
        let output = gateway.command(program).args(args).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let wanted = [
        ("ip", "-6 route show table 9091 fd00:11::/64", &["dev zm0", "unreachable"][..]),
        ("ip", "-6 rule", &["9091:", "not from all fwmark 0x7a6d"]),
        ("nft", "list set inet zonemesh zones6", &["fd00:11::/64"]),
        ("ip", "-6 addr show dev zm0", &["fd00:ff::1/128"]),
    ];
    let mut missing = Vec::new();
    for (program, args, parts) in wanted {
        let seen = said(program, &args.split(' ').collect::<Vec<_>>())?;
        let gone = parts.iter().filter(|part| !seen.contains(**part));
        missing.extend(gone.map(|part| format!("{program} {args} without {part:?}: {seen}")));
    }
    Ok(missing)
}

#[test]
fn ipv6_is_put_right_as_well() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    with_ipv6_inside(&lab, &mut mesh)?;
    for (zone, other, own, others) in [
        ("berlin", "madrid", "fd00:ff::1", "fd00:ff::2"),
        ("madrid", "berlin", "fd00:ff::2", "fd00:ff::1"),
    ] {
        let both = |v4: String, v6: &str| toml::Value::Array(vec![v4.into(), v6.into()]);
        let (at, to) = (lab.zone(zone)?.tunnel_address, lab.zone(other)?.tunnel_address);
        let gateway = mesh.gateway(zone)?;
        gateway.section("tunnel")?.insert("addresses".to_owned(), both(at.to_string(), own));
        let peer = gateway.peer(other)?;
        peer.insert("tunnel_addresses".to_owned(), both(to.to_string(), others));
    }
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let at = lab.zone("berlin")?;
    let (vm, target) = (&at.vm("vm")?.namespace, "fd00:11::5".parse()?);
    for line in [
        "true",
        "ip link set zm0 down",
        "ip link del zm0",
        "ip -6 addr flush dev zm0",
        "ip -6 route flush table 9091",
        "ip -6 route flush table local dev zm0",
        "ip -6 rule del pref 9091",
        "nft flush set inet zonemesh zones6",
        "ip -6 route replace fd00:11::/64 dev lan0 metric 1024 table 9091",
        "ip -6 route append fd00:11::/64 dev lan0 metric 1024 table 9091",
    ] {
        drop(at.gateway.command("sh").args(["-c", line]).output()?);
        let (_, took) = until(&format!("{line:?} to be put right"), SOON * 3, || {
            let missing = missing_v6(&at.gateway)?;
            let lines = at.gateway.ip(&["-6", "route", "show", "table", "9091", "fd00:11::/64"])?;
            let is_whole = missing.is_empty() && lines.lines().count() == 2;
            Ok(Look::<()>::when(is_whole, format!("{missing:#?} {lines}")))
        })?;
        ensure!(took <= SOON, "{line:?} took {took:.2?}");
        until(&format!("an answer after {line:?}"), Duration::from_secs(10), || {
            Ok(Look::<()>::when(ping(vm, target, 1, 0.1)?.received == 1, "no answer"))
        })?;
    }
    lab.succeeded()
}
