//! `make bench-mesh`: how fast the mesh knows, how fast it starts, how little memory it takes.
//!
//! Owns three measurements on the demo's three zones, with their goals. Promises exit code 0 only if
//! every goal is met; prints a table, then one line of JSON. Refuses to run Flower: it registers a
//! SuperLink through the local API itself, as the companion does.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use netns_tests::federation::ZONES;
use netns_tests::lab::Lab;
use netns_tests::mesh::{FEDERATION, LOCAL_API_PORT, Mesh, patience};
use netns_tests::namespace::run;
use netns_tests::{privilege, vm};
use serde::Serialize;
use zonemesh_api::clients::{admin, local};
use zonemesh_api::v1::{FlowerTransport, PeersRequest, RegisterRequest, SuperLinksRequest};

const RUNS: u32 = 20;
const STARTS: u32 = 10;
const DISCOVERY_GOAL: Duration = Duration::from_secs(1);
const HANDSHAKE_GOAL: Duration = Duration::from_secs(1);
const MEMORY_GOAL_KIB: u64 = 25 * 1024;
const FIRST_PORT: u32 = 20_000;

/// What was measured; times in milliseconds.
#[derive(Debug, Serialize)]
struct Measured {
    schema: &'static str,
    discovery_ms: Percentiles,
    first_handshake_ms: Percentiles,
    resident_kib: u64,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    runs: usize,
    p50: f64,
    p99: f64,
}

impl Percentiles {
    /// By nearest rank: with 20 runs p99 is the slowest.
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let rank = |percent: usize| (times.len() * percent).div_ceil(100).max(1) - 1;
        let at = |percent| times.get(rank(percent)).map_or(f64::NAN, |t| t.as_secs_f64() * 1e3);
        Self { runs: times.len(), p50: at(50), p99: at(99) }
    }

    fn within(&self, goal: Duration) -> bool {
        self.p99 <= goal.as_secs_f64() * 1e3
    }
}

fn main() -> Result<ExitCode> {
    let mut out = std::io::stdout();
    writeln!(out, "using {}", privilege::enter()?)?;
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    writeln!(out, "{STARTS} starts of madrid's gateway ...")?;
    let starts = (0..STARTS).map(|_| first_handshake(&lab, &mut mesh, &runtime));
    let first_handshake_ms = Percentiles::of(starts.collect::<Result<_>>()?);
    mesh.wait_until_connected(patience())?;
    writeln!(out, "{RUNS} registrations in berlin, seen from paris ...")?;
    let discovery_ms = Percentiles::of(discovery(&lab, &mut mesh)?);
    let mut resident_kib = 0;
    for zone in ZONES {
        resident_kib = resident_kib.max(mesh.gateway(zone.name)?.daemon()?.resident_kib()?);
    }
    let schema = "zonemesh/bench-mesh/v1";
    let measured = Measured { schema, discovery_ms, first_handshake_ms, resident_kib };
    lab.succeeded()?;
    print(&measured)
}

fn print(measured: &Measured) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let mut all_met = true;
    writeln!(out, "\n{:<46} {:>10} {:>10} {:>10}", "", "p50", "p99", "goal p99")?;
    for (name, times, goal) in [
        ("SuperLink registered -> known in another zone", &measured.discovery_ms, DISCOVERY_GOAL),
        ("gateway start -> first handshake", &measured.first_handshake_ms, HANDSHAKE_GOAL),
    ] {
        let met = times.within(goal);
        all_met &= met;
        let verdict = if met { "met" } else { "MISSED" };
        let (p50, p99, goal) = (times.p50, times.p99, goal.as_millis());
        writeln!(out, "{name:<46} {p50:>7.1} ms {p99:>7.1} ms {goal:>7} ms  {verdict}")?;
    }
    let met = measured.resident_kib <= MEMORY_GOAL_KIB;
    let mib = |kib: u64| kib as f64 / 1024.0;
    writeln!(
        out,
        "{:<46} {:>21.1} MiB {:>6.0} MiB  {}",
        "memory of zonemeshd with two peers",
        mib(measured.resident_kib),
        mib(MEMORY_GOAL_KIB),
        if met { "met" } else { "MISSED" }
    )?;
    writeln!(out, "\n{}", serde_json::to_string(measured)?)?;
    Ok(if all_met && met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// From the start of madrid's daemon to its first completed handshake, as the daemon dates it.
fn first_handshake(
    lab: &Lab,
    mesh: &mut Mesh,
    runtime: &tokio::runtime::Runtime,
) -> Result<Duration> {
    let gateway = mesh.gateway("madrid")?;
    gateway.daemon()?.kill_9()?;
    let start = unix_ms();
    gateway.start(lab)?;
    let socket = gateway.socket();
    let deadline = Instant::now() + patience();
    while Instant::now() < deadline {
        let first = runtime.block_on(async {
            let mut client = admin::connect(&socket).await.ok()?;
            let reply = client.peers(PeersRequest {}).await.ok()?.into_inner();
            reply.peers.iter().map(|peer| peer.latest_handshake_unix_ms).filter(|at| *at > 0).min()
        });
        if let Some(at) = first {
            return Ok(Duration::from_millis(at.saturating_sub(start)));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("no handshake after the start of madrid's gateway:\n{}", gateway.daemon()?.output()?)
}

/// Registers again and again with another port, and waits until paris's gateway tells that port.
fn discovery(lab: &Lab, mesh: &mut Mesh) -> Result<Vec<Duration>> {
    let berlin = lab.zone("berlin")?;
    let place = berlin.vm("superlink")?;
    let csr_pem = certificate_request(lab.folder())?;
    let socket = mesh.gateway("paris")?.socket();
    let api = std::net::SocketAddr::from((berlin.lan_address, LOCAL_API_PORT));
    let request = RegisterRequest {
        federation: FEDERATION.to_owned(),
        token: mesh.token().to_owned(),
        addresses: vec![place.address.to_string()],
        fleet_port: 0,
        control_port: 9093,
        flower_version: "1.25.0".to_owned(),
        transport: FlowerTransport::Grpc.into(),
        csr_pem,
        clock_unix_ms: 0,
    };
    let tls = vm::pinned(&mesh.gateway("berlin")?.local_api_fingerprint()?)?;
    // The whole runtime lives inside the VM's namespace; unix sockets do not mind.
    place.namespace.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut gateway = local::connect(api, tls).await?;
            let mut paris = admin::connect(&socket).await?;
            let mut times = Vec::new();
            for port in (FIRST_PORT..).take(RUNS as usize) {
                let request = RegisterRequest {
                    fleet_port: port,
                    clock_unix_ms: unix_ms(),
                    ..request.clone()
                };
                let start = Instant::now();
                gateway.register(request).await?;
                loop {
                    let reply = paris.super_links(SuperLinksRequest {}).await?.into_inner();
                    if reply.superlinks.iter().any(|one| one.fleet_port == port) {
                        break times.push(start.elapsed());
                    }
                    if start.elapsed() > patience() {
                        bail!("paris never learnt port {port}: {reply:?}");
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            Ok(times)
        })
    })
}

fn certificate_request(folder: &Path) -> Result<String> {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=superlink", "-keyout"])
        .arg(folder.join("bench.key"));
    run(&mut openssl).context("openssl made no certificate request")
}
