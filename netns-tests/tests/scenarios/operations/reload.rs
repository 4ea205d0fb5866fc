//! A gateway takes its changed configuration while packets pass: what does not differ notices nothing.
//!
//! ```text
//!   berlin (reloads)          WAN            madrid: pings, datagrams, iperf3, both ways
//!   vm - gw ------------- [ router ] ------- gw - vm
//!                             |------------- gw - vm   paris: comes, goes, changes
//! ```

use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use netns_tests::meddle::Seeded;
use netns_tests::wireguard::traffic::{Pinged, Pinger, ping};
use nix::sys::signal::Signal;
use serde_json::Value;
use toml::Table;
use zonemesh_lab::flows::{Host, Numbered};
use zonemesh_lab::gateway::LabGateway;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience, peer_of};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

use crate::tool::run;

const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &["vm"] },
    ZonePlan { name: "madrid", vms: &["vm"] },
    ZonePlan { name: "paris", vms: &["vm"] },
];
/// How many differences, and how long the traffic lasts that all of them have to fit in.
const DIFFERENCES: u64 = 20;
const TRAFFIC: Duration = Duration::from_secs(75);
const SOON: Duration = Duration::from_secs(15);

fn connected() -> Result<(Lab, Mesh)> {
    let lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    Ok((lab, mesh))
}

/// Everything that goes between berlin's VM and madrid's meanwhile.
struct Traffic {
    datagrams: [Numbered; 2],
    pinger: Pinger,
    server: Process,
    client: Process,
}

impl Traffic {
    fn start(lab: &Lab) -> Result<Self> {
        let (here, there) = (lab.zone("berlin")?.vm("vm")?, lab.zone("madrid")?.vm("vm")?);
        let target = IpAddr::from(there.address);
        let mut server = there.namespace.command("iperf3");
        server.args(["-s", "-1", "--forceflush"]);
        let mut server = Process::spawn("madrid-iperf3", server, lab.folder())?;
        server.wait_for("listening", patience())?;
        let mut client = here.namespace.command("iperf3");
        let seconds = TRAFFIC.as_secs().to_string();
        client.args(["-c", &target.to_string(), "-t", &seconds, "-b", "20M", "-J"]);
        let host = |zone| -> Result<Host<'_>> {
            let vm = lab.zone(zone)?.vm("vm")?;
            Ok(Host { namespace: &vm.namespace, address: vm.address.into() })
        };
        let (one, other) = (host("berlin")?, host("madrid")?);
        Ok(Self {
            client: Process::spawn("berlin-iperf3", client, lab.folder())?,
            server,
            pinger: Pinger::start(&here.namespace, target, 0.01, lab.folder())?,
            datagrams: [
                Numbered::start(one, other, 2, TRAFFIC)?,
                Numbered::start(other, one, 2, TRAFFIC)?,
            ],
        })
    }

    /// Nothing of it is lost or late.
    fn finish(mut self) -> Result<String> {
        let pinged = self.pinger.finish()?;
        let (code, said) = self.client.wait_for_end(TRAFFIC)?;
        ensure!(code == 0, "iperf3 ended with {code}: {said}");
        self.server.wait_for_end(SOON)?;
        let report: Value = serde_json::from_str(&said).context(said)?;
        let retransmits = report["end"]["sum_sent"]["retransmits"].as_u64();
        let mbits =
            report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap_or_default() / 1e6;
        let [there, back] = self.datagrams.map(Numbered::finish);
        let (there, back) = (there?, back?);
        for arrived in [&there, &back] {
            ensure!(arrived.sent > 10_000 && arrived.received == arrived.sent, "{arrived:?}");
            ensure!(arrived.late == 0, "{arrived:?}");
        }
        ensure!(pinged.sent > 1000 && pinged.lost() == 0, "{pinged:?}");
        Ok(format!(
            "{} datagrams, {} pings lost 0; iperf3 {mbits:.0} Mbit/s, {} segments sent again",
            there.sent + back.sent,
            pinged.sent,
            retransmits.context("retransmits")?,
        ))
    }
}

/// What one difference may change, each as an engineer would.
fn change(gateway: &mut LabGateway, lab: &Lab, paris: &Table, which: u64, n: u64) -> Result<()> {
    let text = |value: &str| toml::Value::from(value);
    let list = |values: Vec<String>| toml::Value::from(values);
    let section = |gateway: &mut LabGateway, name: &str, key: &str, value: toml::Value| {
        let empty = || toml::Value::Table(Table::new());
        let section = gateway.config.entry(name).or_insert_with(empty).as_table_mut();
        section.context("no section").map(|table| drop(table.insert(key.to_owned(), value)))
    };
    match which {
        0 => toggle_paris(gateway, paris),
        1 => of_paris(
            gateway,
            "endpoints",
            list(vec![format!("{}:{}", lab.zone("paris")?.wan_address, 51_820)]),
        ),
        2 => of_paris(gateway, "endpoints", list(Vec::new())),
        3 => of_paris(
            gateway,
            "prefixes",
            list(vec![lab.zone("paris")?.prefix(), format!("10.{}.0.0/16", 100 + n % 100)]),
        ),
        4 => section(gateway, "keepalive", "wireguard", text(&format!("{}s", 10 + n % 19))),
        5 => section(gateway, "probes", "interval", text(&format!("{}ms", 500 + 100 * (n % 10)))),
        6 => section(gateway, "log", "level", text(["info", "debug"][(n % 2) as usize])),
        7 => section(gateway, "mesh", "neighbours", i64::try_from(2 + n % 20)?.into()),
        8 => section(gateway, "join", "listen", text(&format!("0.0.0.0:{}", 52_000 + n % 100))),
        9 => {
            let address = lab.zone("berlin")?.lan_address;
            section(gateway, "local_api", "listen", text(&format!("{address}:{}", 51_900 + n % 50)))
        }
        10 => {
            let own = lab.zone("berlin")?.prefix();
            section(
                gateway,
                "zone",
                "prefixes",
                list(vec![own, format!("10.{}.0.0/16", 200 + n % 40)]),
            )
        }
        11 => {
            let name = Table::from_iter([("name".to_owned(), text(&format!("fed-{}", n % 9)))]);
            let held = Table::from_iter([("name".to_owned(), text("health-eu"))]);
            let all = [held, name].map(toml::Value::Table).to_vec();
            gateway.config.insert("federation".to_owned(), all.into());
            Ok(())
        }
        12 => section(gateway, "keepalive", "grpc_interval", text(&format!("{}s", 40 + n % 60))),
        13 => section(gateway, "log", "format", text(["text", "json"][(n % 2) as usize])),
        _ => {
            let wan = lab.zone("berlin")?.wan_address;
            let more = format!("gw{}.berlin.example:51820", n % 9);
            section(gateway, "gateway", "endpoints", list(vec![format!("{wan}:51820"), more]))
        }
    }
}

const KINDS: u64 = 15;

fn toggle_paris(gateway: &mut LabGateway, paris: &Table) -> Result<()> {
    let peers = gateway.config.get_mut("peer").and_then(toml::Value::as_array_mut);
    let peers = peers.context("no peers")?;
    let before = peers.len();
    peers.retain(|peer| peer["zone"].as_str() != Some("paris"));
    if peers.len() == before {
        peers.push(toml::Value::Table(paris.clone()));
    }
    Ok(())
}

fn of_paris(gateway: &mut LabGateway, key: &str, value: toml::Value) -> Result<()> {
    // It may be away.
    if let Ok(peer) = gateway.peer("paris") {
        peer.insert(key.to_owned(), value);
    }
    Ok(())
}

/// The session and the stream between berlin and madrid, as they are told apart from later ones.
fn madrid(gateway: &LabGateway) -> Result<Value> {
    let shown = gateway.ask(&["peers"])?;
    let peers = shown["peers"].as_array().context("no peers")?;
    let peer = peers.iter().find(|peer| peer["zone"] == "madrid").context("no madrid")?;
    Ok(serde_json::json!([peer["latest_handshake"], peer["state"], peer["stream"], peer["since"]]))
}

#[test]
fn twenty_random_differences_lose_nothing_that_they_do_not_concern() -> Result<()> {
    let (mut lab, mut mesh) = connected()?;
    let paris = peer_of(lab.zone("paris")?, &mesh.gateway("paris")?.keys.clone());
    let traffic = Traffic::start(&lab)?;
    let begun = Instant::now();
    let (mut changed, mut slowest, mut renewed) = (Vec::new(), Duration::ZERO, 0);
    for seed in 1..=DIFFERENCES {
        let mut numbers = Seeded::new(seed);
        let berlin = mesh.gateway("berlin")?;
        for _ in 0..1 + numbers.below(3) {
            let (which, n) = (numbers.below(KINDS), numbers.below(1000));
            change(berlin, &lab, &paris, which, n)?;
        }
        let before = madrid(berlin)?;
        let start = Instant::now();
        let told = berlin.reload().with_context(|| format!("seed {seed}"))?;
        slowest = slowest.max(start.elapsed());
        ensure!(told["applied"] == true && told["starts_anew"] == false, "seed {seed}: {told}");
        let keys = told["changed"].as_array().context("changed")?;
        changed.extend(keys.iter().filter_map(|one| one["key"].as_str()).map(str::to_owned));
        // WireGuard renews a session after two minutes by itself, which no difference is to blame for.
        let after = madrid(berlin)?;
        renewed += u32::from(after[0] != before[0]);
        ensure!(after[1] == "up" && after[2] == "up" && after[3] == before[3], "{seed}: {after}");
        let has_paris = berlin.peer("paris").is_ok();
        let peers = berlin.ask(&["peers"])?.to_string();
        ensure!(peers.contains("\"paris\"") == has_paris, "seed {seed}: {peers}");
        std::thread::sleep(Duration::from_millis(500 + numbers.below(1500)));
    }
    ensure!(begun.elapsed() < TRAFFIC, "the traffic was over: {:?}", begun.elapsed());
    ensure!(renewed <= 1, "the session with madrid was renewed {renewed} times");
    let figures = traffic.finish()?;
    let opened = mesh.gateway("berlin")?.daemon()?.output()?;
    let dialled =
        opened.lines().filter(|line| line.contains("stream open") && line.contains("madrid"));
    ensure!(dialled.count() == 1, "the stream to madrid was opened again:\n{opened}");
    // Whatever paris was in between: it is back with the file of the beginning.
    let berlin = mesh.gateway("berlin")?;
    if berlin.peer("paris").is_err() {
        toggle_paris(berlin, &paris)?;
    }
    *berlin.peer("paris")? = paris;
    ensure!(berlin.reload()?["applied"] == true);
    mesh.wait_until_connected(patience())?;
    answers(&lab, "paris")?;
    changed.sort();
    changed.dedup();
    writeln!(
        std::io::stderr(),
        "{DIFFERENCES} differences of {} keys, slowest reload {slowest:.2?}: {figures}",
        changed.len()
    )?;
    ensure!(changed.len() >= 10, "too few kinds of differences: {changed:?}");
    lab.succeeded()
}

/// Berlin's VM is answered by that of `zone`.
fn answers(lab: &Lab, zone: &str) -> Result<()> {
    let (from, to) = (lab.zone("berlin")?.vm("vm")?, lab.zone(zone)?.vm("vm")?);
    until(&format!("an answer of {zone}"), SOON, || {
        let Pinged { received, .. } = ping(&from.namespace, to.address.into(), 1, 0.1)?;
        Ok(Look::<()>::when(received == 1, "no answer"))
    })?;
    Ok(())
}

/// Waits until exactly these findings of the file stand.
fn told(gateway: &LabGateway, codes: &[&str]) -> Result<Value> {
    let ours = ["C115", "C116", "C117"];
    let (found, _) = until(&format!("{codes:?} to be told"), SOON, || {
        let status = gateway.ask(&["status"])?;
        let findings = status["findings"].as_array().context("no findings")?;
        let of_file: Vec<_> =
            findings.iter().filter(|one| ours.iter().any(|code| one["code"] == *code)).collect();
        let is_so = of_file.len() == codes.len()
            && codes.iter().all(|code| of_file.iter().any(|one| one["code"] == *code));
        match is_so {
            true => Ok(Look::Done(status.clone())),
            false => Ok(Look::Not(format!("{of_file:?}"))),
        }
    })?;
    Ok(found)
}

#[test]
fn a_hang_up_reloads_and_what_takes_a_restart_is_refused_whole() -> Result<()> {
    let (mut lab, mut mesh) = connected()?;
    let berlin = mesh.gateway("berlin")?;
    let pid = berlin.daemon()?.pid();
    let good = berlin.config.clone();
    berlin.set_peers(Vec::new());
    berlin.write_config()?;
    told(berlin, &["C116"])?;
    berlin.daemon()?.signal(Signal::SIGHUP)?;
    until("no peers", SOON, || {
        let peers = berlin.ask(&["peers"])?;
        Ok(Look::<()>::when(peers["peers"].as_array().is_some_and(Vec::is_empty), &peers))
    })?;
    told(berlin, &[])?;
    berlin.config = good;
    berlin.section("tunnel")?.insert("interface".to_owned(), "zm7".into());
    let refused = berlin.reload()?;
    ensure!(refused["applied"] == false, "{refused}");
    ensure!(
        refused["reason"].as_str().is_some_and(|why| why.contains("tunnel.interface")),
        "{refused}"
    );
    let status = told(berlin, &["C115"])?;
    ensure!(status["state"] == "degraded" && status["peers"] == serde_json::json!([]), "{status}");
    berlin.section("tunnel")?.remove("interface");
    ensure!(berlin.reload()?["applied"] == true);
    told(berlin, &[])?;
    // What is logged, and how, changes with the next line.
    let log = toml::toml! { level = "debug" format = "json" };
    berlin.config.insert("log".to_owned(), toml::Value::Table(log));
    ensure!(berlin.reload()?["applied"] == true);
    berlin.daemon()?.wait_for("\"level\":\"DEBUG\"", SOON)?;
    ensure!(berlin.daemon()?.pid() == pid, "it was started anew");
    mesh.wait_until_connected(patience())?;
    answers(&lab, "madrid")?;
    lab.succeeded()
}

#[test]
fn a_key_of_the_whole_tunnel_is_taken_by_a_start_within_and_connections_go_on() -> Result<()> {
    let (mut lab, mut mesh) = connected()?;
    let here = lab.zone("berlin")?.vm("vm")?;
    let target = lab.zone("madrid")?.vm("vm")?.address.into();
    let pinger = Pinger::start(&here.namespace, target, 0.05, lab.folder())?;
    let berlin = mesh.gateway("berlin")?;
    let pid = berlin.daemon()?.pid();
    berlin.section("tunnel")?.insert("listen_port".to_owned(), 51_899.into());
    let reloaded = berlin.reload()?;
    ensure!(reloaded["applied"] == true && reloaded["starts_anew"] == true, "{reloaded}");
    until("the new port", SOON, || {
        let port = berlin.ask(&["status"]).map(|status| status["tunnel"]["listen_port"].clone());
        Ok(Look::<()>::when(port.is_ok_and(|port| port == 51_899), "not yet"))
    })?;
    mesh.wait_until_connected(patience())?;
    answers(&lab, "madrid")?;
    let pinged = pinger.finish()?;
    let berlin = mesh.gateway("berlin")?;
    ensure!(berlin.daemon()?.pid() == pid, "another process");
    told(berlin, &[])?;
    let standstill = pinged.lost() * 50;
    writeln!(std::io::stderr(), "a start within stands still for {standstill} ms")?;
    ensure!(standstill <= 3000, "{pinged:?}");
    lab.succeeded()
}

#[test]
fn a_start_with_a_broken_file_runs_the_last_that_was_in_force_and_says_so() -> Result<()> {
    let (mut lab, mut mesh) = connected()?;
    let berlin = mesh.gateway("berlin")?;
    let good = berlin.config.clone();
    berlin.daemon()?.terminate(SOON)?;
    berlin.section("tunnel")?.insert("mtu".to_owned(), 70.into());
    berlin.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    answers(&lab, "madrid")?;
    let berlin = mesh.gateway("berlin")?;
    let status = told(berlin, &["C117"])?;
    let finding = status["findings"].as_array().and_then(|all| all.first()).context("none")?;
    ensure!(finding["severity"] == "down" && status["state"] == "degraded", "{status}");
    let said = finding["sentence"].as_str().unwrap_or_default();
    ensure!(said.contains("tunnel.mtu") && said.contains("zonemesh.toml:"), "{said}");
    ensure!(berlin.reload()?["applied"] == false, "a broken file was taken");
    told(berlin, &["C117"])?;
    // The file of before is no difference; nobody has to reload it.
    berlin.config = good;
    berlin.write_config()?;
    told(berlin, &[])?;
    // What only a start can change, a start takes.
    berlin.daemon()?.terminate(SOON)?;
    berlin.section("tunnel")?.insert("interface".to_owned(), "zm7".into());
    berlin.start(&lab)?;
    berlin.wait_until_ready(patience())?;
    ensure!(berlin.ask(&["status"])?["tunnel"]["interface"] == "zm7");
    // Without what was kept there is nothing to run.
    berlin.daemon()?.terminate(SOON)?;
    std::fs::remove_file(berlin.folder().join("state/in-force.toml"))?;
    berlin.section("tunnel")?.insert("mtu".to_owned(), 70.into());
    berlin.start(&lab)?;
    let (code, said) = berlin.daemon()?.wait_for_end(SOON)?;
    ensure!(code == 7 && said.contains("tunnel.mtu"), "ended with {code}: {said}");
    lab.succeeded()
}

/// Whoever opens a pipe waits for its other end.
#[test]
fn a_pipe_in_the_place_of_the_file_is_refused_and_never_waited_for() -> Result<()> {
    let (mut lab, mut mesh) = connected()?;
    let berlin = mesh.gateway("berlin")?;
    let file = berlin.config_file();
    std::fs::remove_file(&file)?;
    nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU)?;
    until("status to tell of it", SOON, || {
        let status = berlin.ask(&["status"])?;
        Ok(Look::<()>::when(status.to_string().contains("it is a pipe"), &status["findings"]))
    })?;
    let reload = run(&mut mesh, "berlin", &["reload"])?;
    let said = String::from_utf8_lossy(&[reload.stdout, reload.stderr].concat()).into_owned();
    let ended = reload.status.code();
    ensure!(ended == Some(7) && said.contains("it is a pipe"), "{ended:?}: {said}");
    answers(&lab, "madrid")?;
    mesh.gateway("berlin")?.daemon()?.terminate(SOON)?;
    lab.succeeded()
}
