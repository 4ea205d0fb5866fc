//! `make bench-mesh`: how fast a managed mesh knows, starts and heals, and what it costs.
//!
//! Owns the measurements on three zones that have joined by invitation, with their goals. Promises exit
//! code 0 only if every goal is met; prints a table, then one line of JSON. Refuses to run Flower: it
//! registers a SuperLink and watches through the local APIs itself, as the companions do.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use netns_tests::managed::ManagedMesh as _;
use netns_tests::updates::{Post, Series, measure, registration, unix_ms};
use serde::Serialize;
use zonemesh_api::clients::admin;
use zonemesh_api::v1::PeersRequest;
use zonemesh_lab::federation::{HOME, SUPERLINK, SUPERNODE, TRAINING, ZONES};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, REGISTRY_PORT, patience};
use zonemesh_lab::privilege;
use zonemesh_lab::wait::{Look, until};

const UPDATES: u32 = 40;
/// A VM may register twice a second for long.
const PAUSE: Duration = Duration::from_millis(550);
const STARTS: u32 = 10;
const IDLE: Duration = Duration::from_secs(120);
/// Longer than a stream lives without an answer.
const CUT: Duration = Duration::from_secs(100);
const FIRST_PORT: u32 = 20_000;

/// One figure: what was measured, and what it has to stay below.
#[derive(Debug, Serialize)]
struct Figure {
    what: &'static str,
    unit: &'static str,
    samples: usize,
    p50: f64,
    p99: f64,
    goal: f64,
}

impl Figure {
    /// Percentiles by nearest rank: with less than a hundred samples p99 is the largest.
    fn of(what: &'static str, unit: &'static str, mut values: Vec<f64>, goal: f64) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let rank = |percent: usize| (values.len() * percent).div_ceil(100).max(1) - 1;
        let at = |percent| values.get(rank(percent)).copied().unwrap_or(f64::NAN);
        Self { what, unit, samples: values.len(), p50: at(50), p99: at(99), goal }
    }

    fn of_times(what: &'static str, times: &[Duration], goal: Duration) -> Self {
        let ms = |time: &Duration| time.as_secs_f64() * 1e3;
        Self::of(what, "ms", times.iter().map(ms).collect(), ms(&goal))
    }

    fn met(&self) -> bool {
        self.p99 < self.goal
    }
}

fn main() -> Result<ExitCode> {
    let mut out = std::io::stdout();
    writeln!(out, "using {}", privilege::enter()?)?;
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::joined(&lab)?;
    let second = Duration::from_secs(1);
    writeln!(out, "{UPDATES} updates in {HOME}, watched in the other zones ...")?;
    let updates = updates(&lab, &mut mesh)?;
    writeln!(out, "{STARTS} starts of madrid's gateway ...")?;
    let starts = (0..STARTS).map(|_| start(&lab, &mut mesh)).collect::<Result<Vec<_>>>()?;
    let (first, all): (Vec<_>, Vec<_>) = starts.into_iter().unzip();
    mesh.wait_until_connected(patience())?;
    writeln!(out, "{} s without a change ...", IDLE.as_secs())?;
    let idle = idle(&lab)?;
    writeln!(out, "{} s without paris ...", CUT.as_secs())?;
    let healed = heal(&mut lab, &mut mesh)?;
    let mut memory: f64 = 0.0;
    for zone in ZONES {
        let kib = mesh.gateway(zone.name)?.daemon()?.resident_kib()?;
        memory = memory.max(kib as f64 / 1024.0);
    }
    lab.succeeded()?;
    print(&[
        Figure::of_times("an update of one zone -> watchers in all others", &updates, second),
        Figure::of_times("gateway start -> first handshake", &first, second),
        Figure::of_times("gateway start -> all tunnels up", &all, second),
        Figure::of("idle registry stream, both ways", "B/s", idle, 100.0),
        Figure::of_times("end of a partition -> same records", &[healed], 35 * second),
        Figure::of("memory of zonemeshd with two peers", "MiB", vec![memory], 25.0),
    ])
}

fn print(figures: &[Figure]) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{:<48} {:>10} {:>10} {:>10}", "", "p50", "p99", "goal")?;
    for figure in figures {
        let Figure { what, unit, p50, p99, goal, .. } = figure;
        let verdict = if figure.met() { "met" } else { "MISSED" };
        writeln!(out, "{what:<48} {p50:>10.1} {p99:>10.1} {goal:>10.0} {unit:<4} {verdict}")?;
    }
    let all = serde_json::json!({ "schema": "zonemesh/bench-mesh/v2", "figures": figures });
    writeln!(out, "\n{all}")?;
    let met = figures.iter().all(Figure::met);
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn updates(lab: &Lab, mesh: &mut Mesh) -> Result<Vec<Duration>> {
    let home = Post::at(lab, mesh, HOME, SUPERLINK)?;
    let mut watchers = Vec::new();
    for zone in TRAINING {
        watchers.push(Post::at(lab, mesh, zone, SUPERNODE)?);
    }
    let request = registration(lab, mesh, SUPERLINK)?;
    let ports = FIRST_PORT..FIRST_PORT + UPDATES;
    measure(&home, &watchers, &request, Series { ports, pause: PAUSE })
}

/// From the start of madrid's daemon, with all it knows on its disk, to its first completed handshake
/// and to the one that made all tunnels complete, as the daemon dates them.
fn start(lab: &Lab, mesh: &mut Mesh) -> Result<(Duration, Duration)> {
    let gateway = mesh.gateway("madrid")?;
    gateway.daemon()?.kill_9()?;
    let start = unix_ms();
    gateway.start(lab)?;
    let socket = gateway.socket();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let deadline = Instant::now() + patience();
    while Instant::now() < deadline {
        let peers = runtime.block_on(async {
            let mut client = admin::connect(&socket).await.ok()?;
            Some(client.peers(PeersRequest::default()).await.ok()?.into_inner().peers)
        });
        let at: Vec<u64> =
            peers.into_iter().flatten().map(|peer| peer.latest_handshake_unix_ms).collect();
        if let (Some(first), Some(last)) = (at.iter().min(), at.iter().max())
            && *first > 0
        {
            let since = |at: &u64| Duration::from_millis(at.saturating_sub(start));
            return Ok((since(first), since(last)));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("no handshakes after the start of madrid's gateway:\n{}", gateway.daemon()?.output()?)
}

/// Bytes that TCP has carried both ways on each registry stream that ends in madrid, each second: all of
/// TLS and HTTP/2, without the headers of TCP, IP and WireGuard.
fn idle(lab: &Lab) -> Result<Vec<f64>> {
    let before = carried(lab)?;
    let begin = Instant::now();
    std::thread::sleep(IDLE);
    let after = carried(lab)?;
    let seconds = begin.elapsed().as_secs_f64();
    let rate = |(stream, bytes): (String, u64)| {
        let before = before.iter().find(|(other, _)| *other == stream);
        before.map(|(_, before)| bytes.saturating_sub(*before) as f64 / seconds)
    };
    let rates: Vec<f64> = after.into_iter().filter_map(rate).collect();
    anyhow::ensure!(!rates.is_empty(), "no registry stream was open all the time");
    Ok(rates)
}

/// Both addresses of each registry connection in madrid, and the bytes that went over it.
fn carried(lab: &Lab) -> Result<Vec<(String, u64)>> {
    let filter = format!("( sport = :{REGISTRY_PORT} or dport = :{REGISTRY_PORT} )");
    let text =
        lab.zone("madrid")?.gateway.run(&["ss", "-HOtin", "state", "established", &filter])?;
    let stream = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number =
            |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.parse::<u64>().ok());
        let addresses = words.get(2..4).context("two addresses")?.join(" ");
        let bytes = number("bytes_acked:").unwrap_or(0) + number("bytes_received:").unwrap_or(0);
        Ok((addresses, bytes))
    };
    text.lines().map(stream).collect()
}

/// From the end of a partition, in which one side has said something new, until all gateways hold the
/// same records.
fn heal(lab: &mut Lab, mesh: &mut Mesh) -> Result<Duration> {
    lab.cut("paris")?;
    let cut = Instant::now();
    let home = Post::at(lab, mesh, HOME, SUPERLINK)?;
    let here = [Post::at(lab, mesh, "madrid", SUPERNODE)?];
    let request = registration(lab, mesh, SUPERLINK)?;
    let ports = FIRST_PORT + UPDATES..FIRST_PORT + UPDATES + 2;
    measure(&home, &here, &request, Series { ports, pause: PAUSE })?;
    anyhow::ensure!(hashes(mesh)?.windows(2).any(|two| two[0] != two[1]), "the cut has no effect");
    std::thread::sleep(CUT.saturating_sub(cut.elapsed()));
    lab.heal("paris")?;
    let (_, took) = until("the same records at all gateways", patience() * 4, || {
        let hashes = hashes(mesh)?;
        let same = hashes.windows(2).all(|two| two[0] == two[1]);
        Ok(Look::<()>::when(same, format!("{hashes:?}")))
    })?;
    Ok(took)
}

fn hashes(mesh: &mut Mesh) -> Result<Vec<String>> {
    let mut hash =
        |zone: &str| Ok(mesh.gateway(zone)?.ask(&["status"])?["registry"]["root_hash"].to_string());
    ZONES.iter().map(|zone| hash(zone.name)).collect()
}
