//! What happens to a simulated mesh, and how long it takes until all agree again.

use std::time::{Duration, Instant};

use zonemesh_core::membership::Membership;
use zonemesh_core::record::Version;
use zonemesh_core::registry::RecordAccepted;

use crate::engine::{
    Disk, START, Setup, Sim, membership, name, registry, removal, revocation, signed,
};

/// Longest a scenario may take: more would be a failure, not a figure.
const LONGEST_MS: u64 = 900_000;

/// Milliseconds, sorted.
pub(crate) struct Times(Vec<u64>);

impl Times {
    /// The value that `share` percent are at or below.
    pub(crate) fn percentile(&self, share: usize) -> u64 {
        let index = (self.0.len() * share).div_ceil(100).clamp(1, self.0.len()) - 1;
        self.0[index]
    }
}

/// What a run has measured.
pub(crate) struct Figures {
    pub(crate) streams: usize,
    pub(crate) start_ms: u64,
    pub(crate) updates: Times,
    pub(crate) update_bytes: u64,
    /// Bytes per second, all gateways, digests only.
    pub(crate) idle: f64,
    pub(crate) cut_ms: u64,
    pub(crate) cut_updates: usize,
    pub(crate) heal_ms: u64,
    pub(crate) heal_bytes: u64,
    pub(crate) revocation_ms: u64,
    /// Milliseconds until all follow a set that replaces the signing key, with its list.
    pub(crate) removal_ms: u64,
    /// Bytes of all gateways meanwhile.
    pub(crate) removal_bytes: u64,
    /// Megabytes of all gateways at their peak, before that and with it.
    pub(crate) memory_mb: u64,
    pub(crate) removal_memory_mb: u64,
    /// Gateways that have noticed the clone, each time that they did.
    pub(crate) clone_alarms: u64,
}

/// A mesh in which all gateways have just started, until all agree.
pub(crate) fn started(setup: Setup) -> (Sim, u64) {
    let mut sim = Sim::new(setup);
    let begin = sim.now;
    let zones: Vec<usize> = (0..sim.nodes.len()).collect();
    let took = settle(&mut sim, &zones);
    assert!(sim.agree());
    (sim, took.0 - begin.0)
}

/// Runs until each gateway holds the newest record of each of `zones`; returns when.
fn settle(sim: &mut Sim, zones: &[usize]) -> zonemesh_core::time::UnixMillis {
    let newest = |sim: &Sim, node: usize| -> Version {
        let registry = &sim.nodes[node].registry;
        registry.get(registry.zone()).unwrap().record.version
    };
    let wanted: Vec<_> =
        zones.iter().map(|zone| (name(sim.nodes[*zone].zone), newest(sim, *zone))).collect();
    let (mut node, mut next) = (0, 0);
    let mut all = move |sim: &Sim| {
        while let Some(at) = sim.nodes.get(node) {
            while let Some((zone, version)) = wanted.get(next) {
                if at.registry.get(zone).is_none_or(|held| held.record.version < *version) {
                    return false;
                }
                next += 1;
            }
            (node, next) = (node + 1, 0);
        }
        true
    };
    if !all(sim) {
        let until = sim.now.plus(LONGEST_MS);
        assert!(sim.run_until(until, &mut all), "not all gateways have learned of it");
    }
    sim.now
}

/// One after the other, `count` zones say something new: milliseconds until all zones know.
pub(crate) fn updates(sim: &mut Sim, count: usize) -> (Times, u64) {
    let mut times = Vec::new();
    let mut bytes = 0;
    for port in (100..).take(count) {
        let zones = sim.nodes.len() as u64;
        let zone = usize::try_from(sim.below(zones)).unwrap();
        let (begin, before) = (sim.now, sim.sent());
        sim.publish(zone, port);
        times.push(settle(sim, &[zone]).0 - begin.0);
        bytes += sim.sent() - before;
        sim.run(1_000);
    }
    times.sort_unstable();
    (Times(times), bytes / count as u64)
}

/// Bytes per second of all gateways while nothing happens.
pub(crate) fn idle(sim: &mut Sim) -> f64 {
    sim.run(60_000);
    let before = sim.sent();
    sim.run(120_000);
    (sim.sent() - before) as f64 / 120.0
}

/// The mesh is cut in two for `cut_ms`, `changed` zones say something new meanwhile: milliseconds
/// from the end of the cut until all agree, and bytes of all gateways in that time.
pub(crate) fn half_cut(sim: &mut Sim, cut_ms: u64, changed: usize) -> (u64, u64) {
    sim.cut(|node| node % 2 == 0);
    sim.run(cut_ms / 2);
    let step = (sim.nodes.len() / changed).max(1);
    let zones: Vec<usize> = (0..changed).map(|index| index * step).collect();
    for zone in &zones {
        sim.publish(*zone, 9_000);
    }
    sim.run(cut_ms - cut_ms / 2);
    assert!(!sim.agree(), "the cut has no effect");
    let (begin, before) = (sim.now, sim.sent());
    sim.heal();
    let took = settle(sim, &zones).0 - begin.0;
    assert!(sim.agree());
    (took, sim.sent() - before)
}

/// As Linux tells it; 0 where it tells nothing.
fn peak_memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() / 1024
}

/// How long one gateway of `zones` takes for a record of each other zone that it has never heard of,
/// and for the next one of each.
#[expect(clippy::disallowed_methods, reason = "what it measures is no part of the simulation")]
pub(crate) fn taking(zones: u32) -> (Duration, Duration) {
    let mut one = registry(0, membership(zones), START);
    let mut take = |seq| {
        let records: Vec<_> = (1..zones).map(|zone| signed(zone, seq)).collect();
        let begin = Instant::now();
        records.into_iter().for_each(|record| {
            assert!(matches!(one.accept(record, START), Ok(RecordAccepted::Stored(_))));
        });
        begin.elapsed()
    };
    (take(1), take(2))
}

/// The authority's gateway revokes a zone: milliseconds until no gateway knows it any more.
pub(crate) fn revoke(sim: &mut Sim, zone: u32) -> u64 {
    let item = revocation(sim.nodes[0].registry.membership().unwrap(), zone);
    let begin = sim.now;
    sim.offer(0, vec![item]);
    let gone = name(zone);
    let mut node = 0;
    let until = sim.now.plus(LONGEST_MS);
    let done = sim.run_until(until, move |sim: &Sim| {
        while sim.nodes.get(node).is_some_and(|n| n.registry.get(&gone).is_none()) {
            node += 1;
        }
        node == sim.nodes.len()
    });
    assert!(done, "some gateway still holds the record of a revoked zone");
    sim.now.0 - begin.0
}

/// The owner replaces the signing key: milliseconds until every gateway follows the new set with its
/// whole list, and bytes of all gateways in that time.
pub(crate) fn remove_authority(sim: &mut Sim) -> (u64, u64) {
    let items = removal(sim.nodes[0].registry.membership().unwrap());
    let set = items[0].payload_hash();
    let (begin, before) = (sim.now, sim.sent());
    let members = sim.nodes[0].registry.members().count();
    sim.offer(0, items);
    let mut node = 0;
    let follows = move |membership: &Membership| {
        membership.authority_set().0 == set && membership.members().count() == members
    };
    let done = sim.run_until(sim.now.plus(LONGEST_MS), move |sim: &Sim| {
        let of = |node: usize| sim.nodes.get(node).and_then(|n| n.registry.membership());
        while of(node).is_some_and(follows) {
            node += 1;
        }
        node == sim.nodes.len()
    });
    assert!(done, "some gateway does not follow the new set");
    (sim.now.0 - begin.0, sim.sent() - before)
}

/// Everything at once: restarts, a wiped disk with a clock that went back, a restored old disk, a
/// cloned gateway, a cut. Afterwards all agree on what each zone last said. Returns the alarms that
/// the clone has raised.
pub(crate) fn troubles(sim: &mut Sim) -> u64 {
    let zones = sim.setup.zones as usize;
    let (wiped, old, cloned) = (0, 1 % zones, 2 % zones);
    let snapshot = sim.snapshot(old);
    sim.publish(old, 500);
    sim.run(5_000);
    sim.cut(|node| node % 3 == 0);
    sim.publish(wiped, 501);
    sim.run(10_000);
    sim.restart(wiped, Disk::Wiped, 502, 3_600_000);
    sim.restart(old, Disk::Old(snapshot), 503, 0);
    sim.restart(zones - 1, Disk::Kept, 504, 0);
    sim.heal();
    let clone = sim.clone_of(cloned, 505);
    // The same version, other bytes: that is how a clone is found out.
    sim.publish(cloned, 507);
    sim.run(120_000);
    let alarms = sim.clone_alarms();
    assert!(alarms > 0, "nobody has noticed the clone");
    sim.remove(clone);
    sim.nodes.truncate(zones);
    // Two that jumped above each other wait up to 320 s in between.
    sim.publish(cloned, 506);
    sim.run(400_000);
    assert!(sim.agree(), "not all agree after the troubles");
    for (zone, port) in [(wiped, 502), (old, 503), (cloned, 506), (zones - 1, 504)] {
        let said = &sim.nodes[0].registry.get(&name(zone as u32)).unwrap().record.content;
        let expected = if zone == cloned { 506 } else { port };
        assert_eq!(said.gateways[0].registry_port, expected, "zone {zone}");
    }
    alarms
}

/// All scenarios on one mesh.
pub(crate) fn run(setup: Setup, count: usize, cut_ms: u64) -> Figures {
    let (mut sim, start_ms) = started(setup);
    let (updates, update_bytes) = updates(&mut sim, count);
    let idle = idle(&mut sim);
    let cut_updates = (sim.nodes.len() / 10).max(2);
    let (heal_ms, heal_bytes) = half_cut(&mut sim, cut_ms, cut_updates);
    sim.run(120_000);
    let streams = sim.open_streams();
    let clone_alarms = troubles(&mut sim);
    let last = setup.zones - 1;
    let revocation_ms = revoke(&mut sim, last);
    let memory_mb = peak_memory_mb();
    let (removal_ms, removal_bytes) = remove_authority(&mut sim);
    Figures {
        streams,
        start_ms,
        updates,
        update_bytes,
        idle,
        cut_ms,
        cut_updates,
        heal_ms,
        heal_bytes,
        revocation_ms,
        removal_ms,
        removal_bytes,
        memory_mb,
        removal_memory_mb: peak_memory_mb(),
        clone_alarms,
    }
}
