//! One stream as TCP shows it: in order, late after loss, dead after a long cut.

use std::collections::VecDeque;

use zonemesh_core::replication::{ReplicationSession, StreamMessage};
use zonemesh_core::time::UnixMillis;

use super::traffic::{HANDSHAKE_BYTES, wire_bytes};
use super::{Event, Sim};

/// Messages that may wait for a slow neighbour, as in the daemon.
const OUTBOX: usize = 64;
/// TCP's least time before it sends again.
const RESEND_MS: u64 = 200;
/// How long a dialler waits for an answer.
const DIAL_MS: u64 = 10_000;

/// One direction of a stream.
#[derive(Default)]
pub(crate) struct Direction {
    waiting: VecDeque<(UnixMillis, StreamMessage)>,
    last: UnixMillis,
    /// Cut off: what waits arrives after the cut.
    pub(super) stalled: bool,
    /// The queue was full.
    lost: bool,
}

pub(crate) struct Stream {
    pub(super) ends: (usize, usize),
    sessions: [ReplicationSession; 2],
    to_first: Direction,
    to_second: Direction,
}

impl Stream {
    pub(super) fn session_of(&mut self, node: usize) -> &mut ReplicationSession {
        &mut self.sessions[usize::from(node == self.ends.1)]
    }

    pub(super) fn way(&mut self, to_second: bool) -> &mut Direction {
        if to_second { &mut self.to_second } else { &mut self.to_first }
    }
}

impl Sim {
    /// One way between two gateways, always the same: 5 to 125 ms.
    fn latency(&self, a: usize, b: usize) -> u64 {
        let (low, high) = (a.min(b) as u64, a.max(b) as u64);
        let hash = (self.setup.seed ^ (low << 32 | high)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        5 + (hash >> 32) % 121
    }

    pub(super) fn dial(&mut self, a: usize, b: usize, wait: u64) {
        if !self.pairs.contains(&(a, b)) {
            return;
        }
        if self.is_cut(a, b) {
            let next = (wait * 2).min(30_000);
            let jitter = wait / 2 + self.below(wait / 2 + 1);
            return self.schedule(DIAL_MS + jitter, Event::Dial(a, b, next));
        }
        // TCP and TLS take two round trips before the first message may leave.
        let opened = self.now.plus(4 * self.latency(a, b));
        let sessions = [(a, b), (b, a)].map(|(own, other)| {
            let registry = &self.nodes[own].registry;
            ReplicationSession::new(registry.mesh(), self.nodes[other].registry.zone().clone())
        });
        self.counter += 1;
        let id = usize::try_from(self.counter).unwrap();
        let way = || Direction { last: opened, ..Direction::default() };
        let (to_first, to_second) = (way(), way());
        self.streams.insert(id, Stream { ends: (a, b), sessions, to_first, to_second });
        for node in [a, b] {
            self.nodes[node].streams.insert(id);
            self.nodes[node].sent_bytes += HANDSHAKE_BYTES / 2;
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let hello = stream.session_of(node).open(&self.nodes[node].registry, self.now);
            let due = stream.session_of(node).poll_timeout();
            self.send(id, node, hello);
            self.schedule_at(due, Event::Timer(id, node == b));
        }
    }

    pub(super) fn send(&mut self, id: usize, from: usize, message: StreamMessage) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (a, b) = stream.ends;
        let to_second = from == a;
        let (latency, cut) = (self.latency(a, b), self.is_cut(a, b));
        let bytes = wire_bytes(&message.body);
        // Each lost packet is sent again after the least wait and a round trip.
        let packets = bytes.div_ceil(1300);
        let lost = (0..packets).filter(|_| self.below(1000) < self.setup.loss).count() as u64;
        let arrives = self.now.plus(latency + lost * (RESEND_MS + 2 * latency));
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let way = stream.way(to_second);
        if way.waiting.len() >= OUTBOX {
            way.lost = true;
            return;
        }
        let arrives = arrives.max(way.last);
        way.last = arrives;
        way.waiting.push_back((arrives, message));
        way.stalled |= cut;
        let alone = way.waiting.len() == 1 && !cut;
        self.nodes[from].sent_bytes += bytes;
        if alone {
            self.schedule_at(arrives, Event::Arrival(id, to_second));
        }
    }

    pub(super) fn arrive(&mut self, id: usize, to_second: bool) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (a, b) = stream.ends;
        if self.is_cut(a, b) {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.way(to_second).stalled = true;
            }
            return;
        }
        let (from, to) = if to_second { (a, b) } else { (b, a) };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let way = stream.way(to_second);
        let Some((_, message)) = way.waiting.pop_front() else { return };
        let next = way.waiting.front().map(|(at, _)| *at);
        let lost = std::mem::take(&mut way.lost);
        let registry = &mut self.nodes[to].registry;
        let output = stream.session_of(to).handle(message, registry, self.now).unwrap();
        self.suspicious += output.rejected.iter().filter(|r| r.is_suspicious()).count() as u64;
        if let Some(next) = next {
            self.schedule_at(next, Event::Arrival(id, to_second));
        }
        if lost && let Some(stream) = self.streams.get_mut(&id) {
            let digest = stream.session_of(from).handle_loss(&self.nodes[from].registry, self.now);
            self.send(id, from, digest);
        }
        let answers: Vec<_> = output.messages.into_iter().map(|answer| (id, answer)).collect();
        self.spread(to, &answers, &output.changed);
    }

    pub(super) fn tick(&mut self, id: usize, of_second: bool) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let node = if of_second { stream.ends.1 } else { stream.ends.0 };
        let session = stream.session_of(node);
        let digest = session.handle_timeout(&self.nodes[node].registry, self.now);
        let due = session.poll_timeout();
        if let Some(digest) = digest {
            self.send(id, node, digest);
        }
        self.schedule_at(due, Event::Timer(id, of_second));
    }

    pub(super) fn die(&mut self, id: usize) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (a, b) = stream.ends;
        if self.is_cut(a, b) {
            self.drop_stream(id);
        }
    }

    fn drop_stream(&mut self, id: usize) {
        let Some(stream) = self.streams.remove(&id) else { return };
        let (a, b) = stream.ends;
        for node in [a, b] {
            self.nodes[node].streams.remove(&id);
        }
        let wait = 250 + self.below(250);
        self.schedule(wait, Event::Dial(a, b, 1_000));
    }

    pub(super) fn drop_streams(&mut self, node: usize) {
        for id in self.nodes[node].streams.clone() {
            self.drop_stream(id);
        }
    }
}
