//! A mesh of gateways in virtual time: the real registries and sessions of `zonemesh-core`, between
//! them streams with latency, loss and cuts as TCP shows them.
//!
//! Promises: the same seed gives the same run. A message is late, never lost, while its stream
//! lives; a stream that a cut stays on for longer than the keepalive dies and is dialled again with
//! jitter, as the daemon does, without any hint that the path is back.

mod gateway;
mod stream;
pub(crate) mod traffic;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::membership::{ItemId, Membership, SignedTrustItem};
use zonemesh_core::name::ZoneName;
use zonemesh_core::neighbours;
use zonemesh_core::registry::Registry;
use zonemesh_core::replication::{ReplicationSession, StreamMessage};
use zonemesh_core::time::UnixMillis;

pub(crate) use gateway::{Disk, draft, membership, name, registry, removal, revocation, signed};
use stream::{Direction, Stream};

/// When a run starts.
pub(crate) const START: UnixMillis = UnixMillis(1_790_000_000_000);
/// Neighbours of a zone, as the configuration has it unless told otherwise.
const NEIGHBOURS: usize = 6;
/// Longest a stream lives on a path that is cut: keepalive 60 s, timeout 20 s.
const DEATH_MS: u64 = 80_000;

/// What a run looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    /// How many zones.
    pub(crate) zones: u32,
    /// Seed of everything random.
    pub(crate) seed: u64,
    /// Packets lost, of a thousand.
    pub(crate) loss: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival(usize, bool),
    Timer(usize, bool),
    Dial(usize, usize, u64),
    Death(usize),
    Republish(usize),
}

/// A gateway: one of a zone, or a clone of it.
pub(crate) struct Node {
    pub(crate) zone: u32,
    pub(crate) registry: Registry,
    streams: BTreeSet<usize>,
    pub(crate) sent_bytes: u64,
}

/// The mesh.
pub(crate) struct Sim {
    pub(crate) now: UnixMillis,
    pub(crate) nodes: Vec<Node>,
    pub(crate) setup: Setup,
    /// Who keeps a stream with whom.
    pairs: BTreeSet<(usize, usize)>,
    streams: BTreeMap<usize, Stream>,
    queue: BinaryHeap<Reverse<(UnixMillis, u64, Event)>>,
    /// Side of each node while the mesh is cut.
    sides: Option<Vec<bool>>,
    counter: u64,
    random: u64,
    pub(crate) suspicious: u64,
}

impl Sim {
    /// Gateways that have published and know each other's grants, all pairs about to be dialled.
    pub(crate) fn new(setup: Setup) -> Self {
        let mut sim = Self {
            now: START,
            nodes: Vec::new(),
            setup,
            pairs: BTreeSet::new(),
            streams: BTreeMap::new(),
            queue: BinaryHeap::new(),
            sides: None,
            counter: 0,
            random: setup.seed,
            suspicious: 0,
        };
        let trust = membership(setup.zones);
        for zone in 0..setup.zones {
            sim.add_node(zone, &trust);
        }
        let zones = (0..setup.zones).map(|zone| (name(zone), true)).collect();
        let index: BTreeMap<ZoneName, usize> =
            (0..).zip(0..setup.zones).map(|(i, z)| (name(z), i)).collect();
        let seed = setup.seed.to_be_bytes();
        for (a, b) in neighbours::pairs(&zones, &seed, NEIGHBOURS) {
            sim.link(index[&a], index[&b]);
        }
        sim
    }

    fn add_node(&mut self, zone: u32, trust: &Membership) {
        let mut registry = gateway::registry(zone, trust.clone(), self.now);
        registry.publish(draft(zone, 1), self.now).unwrap();
        self.push(zone, registry);
    }

    fn push(&mut self, zone: u32, registry: Registry) -> usize {
        self.nodes.push(Node { zone, registry, streams: BTreeSet::new(), sent_bytes: 0 });
        self.nodes.len() - 1
    }

    fn link(&mut self, a: usize, b: usize) {
        self.pairs.insert((a, b));
        let wait = self.below(500);
        self.schedule(wait, Event::Dial(a, b, 500));
    }

    /// A second gateway with a copy of zone `zone`'s disk, linked like the first one.
    pub(crate) fn clone_of(&mut self, zone: usize, port: u16) -> usize {
        let trust = self.nodes[zone].registry.membership().unwrap().clone();
        let disk = self.snapshot(zone);
        let mut registry = gateway::registry(self.nodes[zone].zone, trust, self.now);
        for record in disk {
            registry.restore(record, self.now).unwrap();
        }
        let clone = self.push(self.nodes[zone].zone, registry);
        let pairs: Vec<_> =
            self.pairs.iter().filter(|(a, b)| *a == zone || *b == zone).copied().collect();
        for (a, b) in pairs {
            self.link(clone, if a == zone { b } else { a });
        }
        self.publish(clone, port);
        clone
    }

    /// A gateway that is never seen again.
    pub(crate) fn remove(&mut self, node: usize) {
        self.pairs.retain(|(a, b)| *a != node && *b != node);
        self.drop_streams(node);
    }

    /// A number below `bound` (splitmix64).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    fn schedule(&mut self, after: u64, event: Event) {
        self.schedule_at(self.now.plus(after), event);
    }

    fn schedule_at(&mut self, at: UnixMillis, event: Event) {
        self.counter += 1;
        self.queue.push(Reverse((at.max(self.now), self.counter, event)));
    }

    /// Lets `millis` pass.
    pub(crate) fn run(&mut self, millis: u64) {
        let until = self.now.plus(millis);
        self.run_until(until, |_| false);
        self.now = until;
    }

    /// Lets time pass until `done` says so after an event, or until a time.
    pub(crate) fn run_until(
        &mut self,
        until: UnixMillis,
        mut done: impl FnMut(&Self) -> bool,
    ) -> bool {
        while self.queue.peek().is_some_and(|Reverse((at, ..))| *at <= until) {
            let Some(Reverse((at, _, event))) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            self.handle(event);
            if done(self) {
                return true;
            }
        }
        false
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrival(id, to_second) => self.arrive(id, to_second),
            Event::Timer(id, of_second) => self.tick(id, of_second),
            Event::Dial(a, b, wait) => self.dial(a, b, wait),
            Event::Death(id) => self.die(id),
            Event::Republish(node) => {
                // A gateway that was removed has nothing to say any more.
                let Some(Node { registry, .. }) = self.nodes.get_mut(node) else { return };
                if registry.poll_republish(self.now).is_some() {
                    let id = registry.id().clone();
                    self.spread(node, &[], &[id]);
                }
            }
        }
    }

    /// Publishes at a gateway; `port` tells apart one content from another.
    pub(crate) fn publish(&mut self, node: usize, port: u16) {
        let Node { zone, registry, .. } = &mut self.nodes[node];
        if registry.publish(draft(*zone, port), self.now).unwrap().changed {
            let id = registry.id().clone();
            self.spread(node, &[], &[id]);
        }
    }

    /// Offers at a gateway what authorities have signed.
    pub(crate) fn offer(&mut self, node: usize, items: Vec<SignedTrustItem>) {
        self.nodes[node].registry.accept_trust(items);
        self.spread(node, &[], &[]);
    }

    /// Tells all streams of a gateway what has changed there.
    fn spread(&mut self, node: usize, answers: &[(usize, StreamMessage)], changed: &[GatewayId]) {
        let Node { registry, streams, .. } = &mut self.nodes[node];
        let news = registry.poll_trust().unwrap_or_default();
        let stored: Vec<ItemId> = news.stored;
        let mut out: Vec<(usize, StreamMessage)> = Vec::new();
        for id in streams.iter() {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            let session: &mut ReplicationSession = stream.session_of(node);
            out.extend(
                session.handle_trust(&stored, registry, self.now).into_iter().map(|m| (*id, m)),
            );
            out.extend(answers.iter().filter(|(to, _)| to == id).cloned());
            let pushes =
                changed.iter().filter_map(|id| session.handle_change(id, registry, self.now));
            out.extend(pushes.map(|m| (*id, m)));
        }
        let due = registry.poll_timeout();
        for (id, message) in out {
            self.send(id, node, message);
        }
        if let Some(due) = due {
            self.schedule_at(due, Event::Republish(node));
        }
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.sides.as_ref().is_some_and(|sides| sides.get(a) != sides.get(b))
    }

    /// Cuts the mesh in two: nodes for which `side` is true, and the others.
    pub(crate) fn cut(&mut self, side: impl Fn(usize) -> bool) {
        self.sides = Some((0..self.nodes.len()).map(side).collect());
        let across = |(id, stream): (&usize, &Stream)| {
            self.is_cut(stream.ends.0, stream.ends.1).then_some(*id)
        };
        let ids: Vec<_> = self.streams.iter().filter_map(across).collect();
        for id in ids {
            let after = 20_000 + self.below(DEATH_MS - 20_000);
            self.schedule(after, Event::Death(id));
        }
    }

    /// The cut is over; what still waits on a living stream arrives with TCP's next try.
    pub(crate) fn heal(&mut self) {
        self.sides = None;
        let ids: Vec<_> = self.streams.keys().copied().collect();
        for id in ids {
            for to_second in [false, true] {
                let wait = 200 + self.below(10_000);
                let Some(stream) = self.streams.get_mut(&id) else { continue };
                let way: &mut Direction = stream.way(to_second);
                if way.stalled {
                    way.stalled = false;
                    self.schedule(wait, Event::Arrival(id, to_second));
                }
            }
        }
    }

    /// True if all gateways hold the same records and trust items.
    pub(crate) fn agree(&self) -> bool {
        let first = &self.nodes[0].registry;
        let (root, trust) = (first.root_hash(), first.trust_hash());
        let same = |r: &Registry| r.root_hash() == root && r.trust_hash() == trust;
        self.nodes.iter().all(|node| same(&node.registry))
    }

    /// Streams that are open now.
    pub(crate) fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Alarms about cloned gateways so far.
    pub(crate) fn clone_alarms(&self) -> u64 {
        self.nodes.iter().map(|node| node.registry.counters().clone_alarms()).sum()
    }

    /// Bytes that all gateways have sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.nodes.iter().map(|node| node.sent_bytes).sum()
    }
}
