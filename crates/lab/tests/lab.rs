//! The Lab's own tests: what its faults do, seen by ping and plain UDP without any of our binaries.
//!
//! ```text
//!   berlin vm 10.10.10.5 - berlin gw - [ router ] - madrid gw - vm 10.10.11.5
//! ```
//!
//! Needs root or a user namespace: `make test`.

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use zonemesh_lab::capture::Capture;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::process::Process;
use zonemesh_lab::{binaries, namespace};

const TWO: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];

const RELAY_PORT: u16 = 51_900;
const PORT: u16 = 51_820;

/// Pings madrid's VM from berlin's; returns how many of `count` came back.
fn replies(lab: &Lab, count: u32, size: u32) -> Result<u32> {
    let (count, size) = (count.to_string(), size.to_string());
    let vm = &lab.zone("berlin")?.vm("vm")?.namespace;
    let output = vm
        .command("ping")
        .args(["-n", "-q", "-M", "do", "-i", "0.01", "-W", "1", "-c", &count, "-s", &size])
        .arg("10.10.11.5")
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words: Vec<&str> = text.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "received,");
    let received = at.and_then(|at| words[at - 1].parse().ok());
    received.ok_or_else(|| anyhow::anyhow!("ping printed: {text}"))
}

#[test]
fn zones_reach_each_other_only_when_the_wan_routes_their_lans() -> Result<()> {
    let mut lab = Lab::new(&TWO)?;
    ensure!(replies(&lab, 3, 56)? == 0, "the WAN must not know the LANs");
    lab.route_lans_over_wan()?;
    ensure!(replies(&lab, 3, 56)? == 3, "routed, they must reach each other");
    lab.succeeded()
}

#[test]
fn a_cut_is_total_and_heals_and_leaves_other_faults_alone() -> Result<()> {
    let mut lab = Lab::new(&TWO)?;
    lab.route_lans_over_wan()?;
    lab.mtu_hole("madrid", Some(1000))?;
    lab.cut("berlin")?;
    ensure!(replies(&lab, 5, 56)? == 0);
    lab.heal("berlin")?;
    ensure!(replies(&lab, 5, 56)? == 5);
    ensure!(replies(&lab, 5, 1200)? == 0, "the MTU hole must have survived the cut");
    lab.mtu_hole("madrid", None)?;
    ensure!(replies(&lab, 5, 1200)? == 5);
    lab.unplug("madrid", true)?;
    ensure!(replies(&lab, 5, 56)? == 0);
    lab.unplug("madrid", false)?;
    // A link that goes down takes the router's routes over it along.
    lab.route_lans_over_wan()?;
    ensure!(replies(&lab, 5, 56)? == 5);
    lab.succeeded()
}

#[test]
fn loss_is_about_what_was_asked_for_each_way() -> Result<()> {
    let mut lab = Lab::new(&TWO)?;
    lab.route_lans_over_wan()?;
    lab.lose("berlin", 20.0)?;
    // 0.8 of the requests, 0.8 of their replies: 256 of 400, standard deviation below 10.
    let back = replies(&lab, 400, 56)?;
    ensure!((205..=305).contains(&back), "{back} of 400 came back");
    lab.succeeded()
}

#[test]
fn a_limited_link_takes_its_time() -> Result<()> {
    let mut lab = Lab::new(&TWO)?;
    lab.route_lans_over_wan()?;
    lab.limit("berlin", Some(1))?;
    // 100 KiB beyond the burst at 1 Mbit/s: at least 0.4 s.
    let start = Instant::now();
    ensure!(replies(&lab, 120, 1400)? > 0);
    let limited = start.elapsed();
    ensure!(limited > Duration::from_millis(1_300), "168 kB took only {limited:?}");
    lab.limit("berlin", None)?;
    ensure!(replies(&lab, 10, 1400)? == 10);
    lab.succeeded()
}

/// Sends numbered datagrams from berlin's gateway through a relay; returns what madrid's received.
fn through_relay(lab: &Lab, seed: u64) -> Result<Vec<(u16, Duration)>> {
    let (berlin, madrid) = (lab.zone("berlin")?, lab.zone("madrid")?);
    let mut command = lab.router().command(binaries::find("zonemesh-lab")?);
    command
        .arg("relay")
        .args(["--a-listen", "198.51.100.254:51900", "--a-peer", "198.51.100.1:51820"])
        .args(["--b-listen", "203.0.113.254:51901", "--b-peer", "203.0.113.1:51820"])
        .args(["--delay-ms", "30", "--jitter-ms", "5", "--loss-percent", "10"])
        .args(["--reorder-percent", "5", "--seed", &seed.to_string()]);
    let mut relay = Process::spawn("relay", command, lab.folder())?;
    relay.wait_for("relay ready", Duration::from_secs(10))?;
    let bind = |port| Ok(UdpSocket::bind(("0.0.0.0", port))?);
    let sender = berlin.gateway.inside(|| bind(PORT))?;
    let receiver = madrid.gateway.inside(|| bind(PORT))?;
    receiver.set_read_timeout(Some(Duration::from_millis(500)))?;
    let start = Instant::now();
    let sent = std::thread::spawn(move || -> Result<Vec<Instant>> {
        let mut times = Vec::new();
        for number in 0_u16..300 {
            sender.send_to(&number.to_be_bytes(), ("198.51.100.254", RELAY_PORT))?;
            times.push(Instant::now());
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(times)
    });
    let mut arrived = Vec::new();
    let mut buffer = [0; 2];
    while receiver.recv(&mut buffer).is_ok() {
        arrived.push((u16::from_be_bytes(buffer), Instant::now()));
    }
    let sent = sent.join().expect("the sender does not panic")?;
    ensure!(start.elapsed() < Duration::from_secs(30));
    Ok(arrived.into_iter().map(|(n, at)| (n, at - sent[usize::from(n)])).collect())
}

#[test]
fn the_relay_delays_and_reorders_and_loses_the_same_datagrams_for_the_same_seed() -> Result<()> {
    let mut lab = Lab::new(&TWO)?;
    let first = through_relay(&lab, 42)?;
    let again = through_relay(&lab, 42)?;
    let other = through_relay(&lab, 43)?;
    let numbers = |arrived: &[(u16, Duration)]| {
        let mut numbers: Vec<u16> = arrived.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    };
    ensure!(numbers(&first) == numbers(&again), "same seed, same losses");
    ensure!(numbers(&first) != numbers(&other), "another seed, other losses");
    ensure!((240..=290).contains(&first.len()), "{} of 300 arrived", first.len());
    ensure!(first.windows(2).any(|pair| pair[0].0 > pair[1].0), "some must overtake");
    let late = first.iter().filter(|(_, took)| *took >= Duration::from_millis(28)).count();
    ensure!(late * 100 > first.len() * 85, "only {late} of {} were delayed", first.len());
    lab.succeeded()
}

#[test]
fn a_capture_tells_wireguard_from_everything_else() -> Result<()> {
    let mut lab = Lab::new(&TWO)?;
    lab.route_lans_over_wan()?;
    let capture = Capture::start(&lab, "quiet", &[PORT])?;
    let datagram = |payload: Vec<u8>| {
        lab.zone("berlin")?.gateway.inside(move || {
            Ok(UdpSocket::bind(("0.0.0.0", PORT))?.send_to(&payload, ("203.0.113.1", PORT))?)
        })
    };
    let mut data = vec![0; 1452];
    data[0] = 4;
    datagram(data)?;
    let report = capture.finish(&lab)?;
    ensure!(report.is_clean(), "{report}");
    ensure!(report.bounces.frames == 2, "nobody listens, so it bounces over both links: {report}");

    let capture = Capture::start(&lab, "loud", &[PORT])?;
    datagram(b"not wireguard at all, but on its port".to_vec())?;
    ensure!(replies(&lab, 2, 56)? == 2);
    let report = capture.finish(&lab)?;
    ensure!(!report.is_clean(), "{report}");
    // Both links see the datagram, its bounce, and two pings with their replies.
    ensure!(report.violations.frames == 12, "{report}");
    ensure!(report.examples.iter().any(|text| text.contains("not WireGuard")), "{report}");
    lab.succeeded()
}

#[test]
fn a_dropped_lab_leaves_no_namespace_no_process_and_no_file() -> Result<()> {
    let mut lab = Lab::new(&TWO)?;
    let mut command = lab.zone("berlin")?.gateway.command("sleep");
    command.arg("600");
    let mut sleeper = Process::spawn("sleep", command, lab.folder())?;
    let (pid, folder) = (sleeper.pid(), lab.folder().to_owned());
    sleeper.left();
    let names = [lab.router().name().to_owned(), lab.zone("madrid")?.gateway.name().to_owned()];
    lab.succeeded()?;
    drop(lab);
    let listed = namespace::run(Command::new("ip").args(["netns", "list"]))?;
    ensure!(!names.iter().any(|name| listed.contains(name.as_str())), "{listed}");
    ensure!(sleeper.ended()?.is_some(), "process {pid} must be gone");
    ensure!(!folder.exists());
    Ok(())
}

#[test]
fn what_a_killed_lab_left_is_reaped_and_a_kept_one_is_not() -> Result<()> {
    // Process ids are below 4194304 on Linux: these owners cannot live.
    let dead = ["zm4194301-0-router", "zmkept4194302-0-router"];
    for name in dead {
        namespace::run(Command::new("ip").args(["netns", "add", name]))?;
    }
    let mut lab = Lab::new(&[])?;
    lab.succeeded()?;
    let listed = namespace::run(Command::new("ip").args(["netns", "list"]))?;
    namespace::run(Command::new("ip").args(["netns", "del", dead[1]]))?;
    ensure!(!listed.contains(dead[0]) && listed.contains(dead[1]), "{listed}");
    Ok(())
}
