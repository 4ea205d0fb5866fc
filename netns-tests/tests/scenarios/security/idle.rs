//! Another zone, and a VM, that connect and say nothing, or half of something: nobody waits for them.
//!
//! ```text
//!   berlin: superlink asks, runaway sends halves ==== paris (member): 1025 connections to each port
//! ```

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use netns_tests::idle::{HalfSent, ThreadTimes, hold_idle, silent_from};
use netns_tests::updates::Post;
use zonemesh_api::clients::local;
use zonemesh_api::v1::ResolveRequest;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{FEDERATION, LOCAL_API_PORT, Mesh, patience};

use crate::tool::joined;

const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &["superlink", "runaway"] },
    ZonePlan { name: "madrid", vms: &[] },
    ZonePlan { name: "paris", vms: &[] },
];
const REGISTRY_PORT: u16 = 51_821;
const JOIN_PORT: u16 = 51_823;
/// More than the usual limit of open files.
const IDLE: usize = 1025;
const ANSWERS: usize = 50;
/// A VM may connect five times a second for long.
const PAUSE: Duration = Duration::from_millis(210);
const MOST: Duration = Duration::from_secs(1);
/// Where hundreds call in one moment a SYN may find no room, and is sent again after a second.
const MOST_IN_A_RUSH: Duration = Duration::from_millis(2500);
/// Below this a share of it is the machine's doing.
const NOISE: Duration = Duration::from_millis(20);
/// Pause before all of them come again.
const REST: Duration = Duration::from_secs(5);
const HALVES: usize = 32;
const GROWTH_KIB: u64 = 8 * 1024;

/// What 50 answers took: the time that 95 of 100 keep, and the slowest.
struct Answers {
    p95: Duration,
    slowest: Duration,
}

impl Answers {
    fn of(mut answer: impl FnMut() -> Result<()>) -> Result<Self> {
        let mut times = Vec::new();
        for _ in 0..ANSWERS {
            let begin = Instant::now();
            answer()?;
            times.push(begin.elapsed());
            std::thread::sleep(PAUSE.saturating_sub(begin.elapsed()));
        }
        times.sort();
        let slowest = *times.last().context("nothing was measured")?;
        Ok(Self { p95: times[ANSWERS * 95 / 100], slowest })
    }

    fn are_little_slower_than(&self, before: &Self, most: Duration, what: &str) -> Result<()> {
        let (with, without) = (self.p95, before.p95);
        writeln!(
            std::io::stderr(),
            "{what}: p95 {without:?} alone, {with:?} beside idle connections, slowest {:?}",
            self.slowest
        )?;
        ensure!(with <= without.max(NOISE) * 5, "{what}: {with:?} after {without:?}");
        ensure!(self.slowest < most, "{what}: one took {:?}", self.slowest);
        Ok(())
    }
}

/// One question of a VM, over a connection of its own.
fn vm_asks(from: &Post<'_>) -> Result<()> {
    from.place.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut gateway = local::connect(from.api, from.tls.clone()).await?;
            let federation = FEDERATION.to_owned();
            gateway.resolve(ResolveRequest { federation, ..ResolveRequest::default() }).await?;
            Ok(())
        })
    })
}

fn measured(post: &Post<'_>, mesh: &mut Mesh) -> Result<[Answers; 2]> {
    let vm = Answers::of(|| vm_asks(post))?;
    let status = Answers::of(|| mesh.gateway("berlin")?.ask(&["status"]).map(drop))?;
    Ok([vm, status])
}

#[test]
fn idle_connections_of_another_zone_to_every_port_hold_up_nobody() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = joined(&lab)?;
    let post = Post::at(&lab, &mut mesh, "berlin", "superlink")?;
    let [vm_alone, status_alone] = measured(&post, &mut mesh)?;

    let (berlin, paris) = (lab.zone("berlin")?, lab.zone("paris")?);
    let targets = [
        SocketAddr::from((berlin.lan_address, LOCAL_API_PORT)),
        SocketAddr::from((berlin.tunnel_address, REGISTRY_PORT)),
        SocketAddr::from((berlin.wan_address, JOIN_PORT)),
    ];
    let mut held = hold_idle(&paris.gateway, &targets, IDLE)?;
    ensure!(held.len() > IDLE, "only {} connections came about", held.len());
    let pid = mesh.gateway("berlin")?.daemon()?.pid();
    let (before, stop) = (ThreadTimes::of(pid)?, AtomicBool::new(false));
    let ([vm, status], came) = std::thread::scope(|scope| {
        // Whoever is let go comes again.
        let coming = scope.spawn(|| -> Result<usize> {
            let mut came = held.len();
            while !stop.load(Ordering::Relaxed) {
                held = hold_idle(&paris.gateway, &targets, IDLE)?;
                came += held.len();
                std::thread::sleep(REST);
            }
            Ok(came)
        });
        let answers = measured(&post, &mut mesh);
        stop.store(true, Ordering::Relaxed);
        let came = coming.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        anyhow::Ok((answers?, came?))
    })?;
    let (thread, share) = ThreadTimes::of(pid)?.busiest_since(&before);
    writeln!(std::io::stderr(), "{came} connections; busiest: {thread}, {share:.2}")?;
    vm.are_little_slower_than(&vm_alone, MOST, "answers to a VM")?;
    status.are_little_slower_than(&status_alone, MOST, "zonemesh status")?;
    ensure!(share < 0.9, "{thread} takes {share:.2} of a core");
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}

/// Addresses that a VM takes in its network, and silent connections from each: more than there may be
/// handshakes at once, and fewer of each than one VM may have.
const ADDRESSES: std::ops::Range<u8> = 100..200;
const FROM_EACH: usize = 7;

/// As in an attack of an hour: 256 handshakes were open, so that nobody else was let in.
#[test]
fn silent_handshakes_from_many_addresses_keep_no_vm_and_no_gateway_out() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = joined(&lab)?;
    let post = Post::at(&lab, &mut mesh, "berlin", "superlink")?;
    let [vm_alone, status_alone] = measured(&post, &mut mesh)?;
    let (berlin, runaway) = (lab.zone("berlin")?, lab.zone("berlin")?.vm("runaway")?);
    let [a, b, c, _] = runaway.address.octets();
    let sources: Vec<_> = ADDRESSES.map(|last| Ipv4Addr::from([a, b, c, last])).collect();
    for source in &sources {
        runaway.namespace.ip(&["address", "add", &format!("{source}/24"), "dev", "eth0"])?;
    }
    let api = SocketAddr::from((berlin.lan_address, LOCAL_API_PORT));
    let registry = SocketAddr::from((berlin.tunnel_address, REGISTRY_PORT));
    let stop = AtomicBool::new(false);
    let [vm, status] = std::thread::scope(|scope| {
        let silent = scope.spawn(|| -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                let held = silent_from(&runaway.namespace, &sources, &[api, registry], FROM_EACH)?;
                std::thread::sleep(REST);
                drop(held);
            }
            Ok(())
        });
        let answers = measured(&post, &mut mesh);
        let came = mesh.gateway("paris")?.kill_9_and_start(&lab);
        let came = came.and_then(|()| mesh.gateway("paris")?.wait_until_connected(REST));
        stop.store(true, Ordering::Relaxed);
        silent.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        writeln!(std::io::stderr(), "a gateway that starts meanwhile is back in {:?}", came?)?;
        answers
    })?;
    vm.are_little_slower_than(&vm_alone, MOST_IN_A_RUSH, "answers to a VM")?;
    status.are_little_slower_than(&status_alone, MOST_IN_A_RUSH, "zonemesh status")?;
    let refused = mesh.gateway("berlin")?.ask(&["status"])?["refused"].clone();
    ensure!(refused["vm_connections"].as_u64() > Some(100), "{refused}");
    ensure!(refused["strange_connections"].as_u64() > Some(100), "{refused}");
    lab.succeeded()
}

#[test]
fn half_sent_requests_of_one_vm_take_little_memory() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = joined(&lab)?;
    let runaway = Post::at(&lab, &mut mesh, "berlin", "runaway")?;
    // What the first connections of all take is no attacker's doing.
    HalfSent::open(&runaway, 1)?.close();
    let before = mesh.gateway("berlin")?.daemon()?.resident_kib()?;
    let halves = HalfSent::open(&runaway, HALVES)?;
    std::thread::sleep(Duration::from_millis(500));
    let after = mesh.gateway("berlin")?.daemon()?.resident_kib()?;
    halves.close();
    writeln!(
        std::io::stderr(),
        "{before} KiB before, {after} KiB with {HALVES} half-sent requests"
    )?;
    ensure!(after < before + GROWTH_KIB, "{after} KiB after {before} KiB");
    lab.succeeded()
}
