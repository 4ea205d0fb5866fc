//! A member, or a VM, that asks for too much: the others are served within a second all the same.
//!
//! ```text
//!   berlin: superlink registers, runaway floods ==== madrid: supernode watches
//!                                                       ^ hellos without end, and real keys
//!                                               paris (member): its gateway floods
//! ```

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use netns_tests::flood::{FloodingMember, Sent, flood_with_registrations, listen_without_reading};
use netns_tests::updates::{Post, Series, measure, registration};
use zonemesh_api::v1::RegistryMessage;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

use crate::tool::{in_step, joined, say};

const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &["superlink", "runaway"] },
    ZonePlan { name: "madrid", vms: &["supernode"] },
    ZonePlan { name: "paris", vms: &[] },
];
const SERVED: Duration = Duration::from_secs(1);
/// Pause between two updates: no VM may register more often for long.
const PAUSE: Duration = Duration::from_millis(600);
const GROWTH_KIB: u64 = 8 * 1024;

fn resident(mesh: &mut Mesh, zone: &str) -> Result<u64> {
    mesh.gateway(zone)?.daemon()?.resident_kib()
}

fn has_grown_little(mesh: &mut Mesh, zone: &str, before: u64) -> Result<()> {
    has_grown_by_less_than(mesh, zone, before, GROWTH_KIB)
}

fn has_grown_by_less_than(mesh: &mut Mesh, zone: &str, before: u64, most: u64) -> Result<()> {
    let after = resident(mesh, zone)?;
    writeln!(std::io::stderr(), "memory of {zone}: {before} KiB before, {after} KiB after")?;
    ensure!(after < before + most, "{zone} took {after} KiB after {before} KiB");
    Ok(())
}

/// How often a gateway has refused something under this name; one log line says so.
fn refused(mesh: &mut Mesh, zone: &str, name: &str) -> Result<u64> {
    let status = mesh.gateway(zone)?.ask(&["status"])?;
    let count = status["refused"][name].as_u64().unwrap_or_default();
    if count == 0 {
        return Ok(0);
    }
    let log = mesh.gateway(zone)?.daemon()?.output()?;
    let lines = log.lines().filter(|line| line.contains(&format!("counted_as=\"{name}\""))).count();
    ensure!(lines == 1, "{lines} log lines about {count} {name}:\n{log}");
    Ok(count)
}

fn served_in_time(times: &[Duration]) -> Result<()> {
    let slowest = times.iter().max().context("nothing was measured")?;
    let count = times.len();
    writeln!(std::io::stderr(), "{count} answers during the flood, the slowest after {slowest:?}")?;
    ensure!(*slowest < SERVED, "an update took {slowest:?}: {times:?}");
    Ok(())
}

/// What a thread has come to.
fn end_of<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn status_answers(mesh: &mut Mesh, zone: &str) -> Result<()> {
    let begin = Instant::now();
    mesh.gateway(zone)?.ask(&["status"])?;
    let took = begin.elapsed();
    ensure!(took < SERVED, "zonemesh status took {took:?}");
    Ok(())
}

/// Paris floods madrid's gateway with `message` while a SuperLink registers in berlin, which a VM in madrid
/// is told in time each time.
fn paris_floods_madrid(
    (lab, mesh): (&Lab, &mut Mesh),
    member: &FloodingMember,
    message: &RegistryMessage,
) -> Result<Sent> {
    let home = Post::at(lab, mesh, "berlin", "superlink")?;
    let watcher = [Post::at(lab, mesh, "madrid", "supernode")?];
    let request = registration(lab, mesh, "superlink")?;
    let paris = &lab.zone("paris")?.gateway;
    let sent = std::thread::scope(|scope| {
        let flood = scope.spawn(|| member.flood(paris, message, Duration::from_secs(8)));
        let series = Series { ports: 20_000..20_008, pause: PAUSE };
        served_in_time(&measure(&home, &watcher, &request, series)?)?;
        status_answers(mesh, "madrid")?;
        end_of(flood)
    })?;
    writeln!(std::io::stderr(), "{sent:?}")?;
    Ok(sent)
}

#[test]
fn a_flood_of_hellos_of_a_member_is_felt_by_nobody() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = joined(&lab)?;
    let member = FloodingMember::of(&lab, &mut mesh, "paris", "madrid")?;
    let before = resident(&mut mesh, "madrid")?;
    let lines = mesh.gateway("madrid")?.daemon()?.output()?.lines().count();
    let sent = paris_floods_madrid((&lab, &mut mesh), &member, &member.hello())?;
    let hellos = sent.messages.load(Ordering::Relaxed);
    ensure!(hellos > 100, "that was no flood: {sent:?}");
    has_grown_little(&mut mesh, "madrid", before)?;
    let streams = refused(&mut mesh, "madrid", "zone_streams")?;
    let connections = refused(&mut mesh, "madrid", "zone_connections")?;
    ensure!(
        streams > 100 && connections > 100,
        "refused: {streams} streams, {connections} connections"
    );
    let more = mesh.gateway("madrid")?.daemon()?.output()?.lines().count() - lines;
    ensure!(more < 20, "the flood left {more} lines in the log");
    // The member itself is still one: its own gateway has its stream.
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}

#[test]
fn a_flood_of_forged_records_of_a_member_is_felt_by_nobody() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = joined(&lab)?;
    let member = FloodingMember::of(&lab, &mut mesh, "paris", "madrid")?;
    let forged = member.forgeries("berlin", 2_000)?;
    let before = resident(&mut mesh, "madrid")?;
    let sent = paris_floods_madrid((&lab, &mut mesh), &member, &forged)?;
    // What one zone can have in memory: 16 connections with a window of 1 MiB each, and on each of 8
    // streams a message of 512 KiB, as it came and as it is read.
    has_grown_by_less_than(&mut mesh, "madrid", before, 5 * GROWTH_KIB)?;
    ensure!(refused(&mut mesh, "madrid", "zone_messages")? > 0, "nobody was slowed down: {sent:?}");
    let status = mesh.gateway("madrid")?.ask(&["status"])?;
    let counted = status["registry"]["rejected"]["bad_signature"].as_u64().unwrap_or_default();
    writeln!(std::io::stderr(), "{counted} forged records were looked at")?;
    ensure!(counted > 10_000, "{counted} forged records: {status}");
    // Nothing was lost: berlin's record is berlin's, and paris is a member in step.
    mesh.wait_until_connected(patience())?;
    in_step(&lab, &mut mesh, patience())?;
    lab.succeeded()
}

#[test]
fn companions_that_do_not_read_are_cut_off_and_others_are_told_in_time() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = joined(&lab)?;
    let home = Post::at(&lab, &mut mesh, "berlin", "superlink")?;
    let runaway = Post::at(&lab, &mut mesh, "berlin", "runaway")?;
    let watchers = [
        Post::at(&lab, &mut mesh, "madrid", "supernode")?,
        Post::at(&lab, &mut mesh, "berlin", "superlink")?,
    ];
    let request = registration(&lab, &mesh, "superlink")?;
    let before = resident(&mut mesh, "berlin")?;
    let let_in = std::thread::scope(|scope| {
        let stuck = scope.spawn(|| listen_without_reading(&runaway, 80, Duration::from_secs(15)));
        served_in_time(&measure(
            &home,
            &watchers,
            &request,
            Series { ports: 20_000..20_012, pause: PAUSE },
        )?)?;
        until("the stuck sessions to be cut off", Duration::from_secs(20), || {
            let count = refused(&mut mesh, "berlin", "stuck_sessions")?;
            Ok(Look::<()>::when(count > 0, count))
        })?;
        end_of(stuck)
    })?;
    ensure!(let_in == 16, "{let_in} of 80 sessions of one VM were let in");
    ensure!(refused(&mut mesh, "berlin", "vm_sessions")? == 64);
    has_grown_little(&mut mesh, "berlin", before)?;
    // Whoever was cut off may come again.
    let again = listen_without_reading(&runaway, 4, Duration::ZERO)?;
    ensure!(again == 4, "{again} of 4 sessions were let in afterwards");
    lab.succeeded()
}

#[test]
fn ten_thousand_registrations_of_one_vm_are_felt_by_no_other() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = joined(&lab)?;
    let home = Post::at(&lab, &mut mesh, "berlin", "superlink")?;
    let runaway = Post::at(&lab, &mut mesh, "berlin", "runaway")?;
    let watchers = [
        Post::at(&lab, &mut mesh, "madrid", "supernode")?,
        Post::at(&lab, &mut mesh, "berlin", "runaway")?,
    ];
    let honest = registration(&lab, &mesh, "superlink")?;
    let mut wrong = registration(&lab, &mesh, "runaway")?;
    wrong.token = "not the token".to_owned();
    let before = resident(&mut mesh, "berlin")?;
    // First a VM without the token, while the SuperLink registers.
    let seen = std::thread::scope(|scope| {
        let flood = scope.spawn(|| flood_with_registrations(&runaway, &wrong, 10_000));
        served_in_time(&measure(
            &home,
            &watchers[..1],
            &honest,
            Series { ports: 20_000..20_006, pause: PAUSE },
        )?)?;
        status_answers(&mut mesh, "berlin")?;
        end_of(flood)
    })?;
    eprintln!("without the token: {seen:?}");
    ensure!((seen.served, seen.other) == (0, 0) && seen.unauthenticated < 2_000, "{seen:?}");
    ensure!(seen.unauthenticated + seen.too_many == 10_000, "{seen:?}");
    ensure!(refused(&mut mesh, "berlin", "vm_reads")? == seen.too_many);
    has_grown_little(&mut mesh, "berlin", before)?;

    // Then the SuperLink's own VM has gone mad; others ask and are told.
    let seen = std::thread::scope(|scope| {
        let flood = scope.spawn(|| flood_with_registrations(&home, &honest, 10_000));
        status_answers(&mut mesh, "berlin")?;
        served_in_time(&questions(&runaway, 20)?)?;
        end_of(flood)
    })?;
    eprintln!("with the token: {seen:?}");
    ensure!(seen.served > 0 && (seen.unauthenticated, seen.other) == (0, 0), "{seen:?}");
    ensure!(seen.served < 200 && seen.served + seen.too_many == 10_000, "{seen:?}");
    has_grown_little(&mut mesh, "berlin", before)?;
    let log = mesh.gateway("berlin")?.daemon()?.output()?;
    let about = log.lines().filter(|line| line.contains("refused a VM")).count();
    ensure!(about == 1, "{about} log lines about refused VMs:\n{log}");

    // Nothing was lost: the SuperLink is where it was, in all zones.
    let address = honest.wanted.addresses[0].to_string();
    for zone in ["berlin", "madrid", "paris"] {
        until("the SuperLink as it was registered last", patience(), || {
            let known = mesh.gateway(zone)?.ask(&["superlink", "list"])?;
            let one = &known["superlinks"][0];
            let same = one["addresses"][0] == address.as_str() && one["fleet_port"] == 9092;
            Ok(Look::<()>::when(same, &known))
        })?;
    }
    say(&mut mesh, "berlin", &["registry", "list"])?;
    lab.succeeded()
}

/// How long each of some questions of a VM took.
fn questions(from: &Post<'_>, count: u32) -> Result<Vec<Duration>> {
    from.place.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut times = Vec::new();
            for _ in 0..count {
                let begin = Instant::now();
                let mut gateway =
                    zonemesh_api::clients::local::connect(from.api, from.tls.clone()).await?;
                let federation = zonemesh_lab::mesh::FEDERATION.to_owned();
                let request = zonemesh_api::v1::ResolveRequest { federation, ..Default::default() };
                let view = gateway.resolve(request).await?.into_inner();
                ensure!(view.found, "{view:?}");
                times.push(begin.elapsed());
            }
            Ok(times)
        })
    })
}
