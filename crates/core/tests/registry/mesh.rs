//! A mesh in virtual time: links with delay, cuts that lose what is under way, lossy queues.
//! Whatever happened, two digest intervals after the last trouble all gateways hold the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use zonemesh_core::mesh::MeshId;
use zonemesh_core::registry::{RecordRejected, Registry};
use zonemesh_core::replication::{DIGEST_INTERVAL_MS, ReplicationSession, StreamMessage};
use zonemesh_core::time::UnixMillis;

use crate::zones::{NOW, draft, gateway, name, registry};

/// One way, in milliseconds.
const DELAY_MS: u64 = 60;

/// One end of a link: from, to.
type End = (u8, u8);

struct Mesh {
    now: UnixMillis,
    registries: Vec<Registry>,
    sessions: BTreeMap<End, ReplicationSession>,
    under_way: Vec<(UnixMillis, End, StreamMessage)>,
    /// Every n-th message finds a full queue; 0 for none.
    lossy: usize,
    sent: usize,
}

impl Mesh {
    fn new(zones: u8, lossy: usize) -> Self {
        let mut registries: Vec<_> = (0..zones).map(|zone| registry(zone, zones)).collect();
        for (zone, registry) in (0..).zip(&mut registries) {
            registry.publish(draft(zone, 1), NOW).unwrap();
        }
        Self {
            now: NOW,
            registries,
            sessions: BTreeMap::new(),
            under_way: Vec::new(),
            lossy,
            sent: 0,
        }
    }

    fn connect(&mut self, a: u8, b: u8) {
        if self.sessions.contains_key(&(a, b)) {
            return;
        }
        for (own, other) in [(a, b), (b, a)] {
            let mut session = ReplicationSession::new(MeshId::static_peers(), name(other));
            let hello = session.open(&self.registries[usize::from(own)], self.now);
            self.sessions.insert((own, other), session);
            self.under_way.push((self.now.plus(DELAY_MS), (other, own), hello));
        }
    }

    fn cut(&mut self, a: u8, b: u8) {
        let link = |end: End| end == (a, b) || end == (b, a);
        self.sessions.retain(|end, _| !link(*end));
        self.under_way.retain(|(_, end, _)| !link(*end));
    }

    fn send(&mut self, (own, other): End, message: StreamMessage) {
        self.sent += 1;
        let mut message = message;
        if self.lossy > 0 && self.sent.is_multiple_of(self.lossy) {
            let session = self.sessions.get_mut(&(own, other)).unwrap();
            message = session.handle_loss(&self.registries[usize::from(own)], self.now);
        }
        self.under_way.push((self.now.plus(DELAY_MS), (other, own), message));
    }

    fn changed(&mut self, zone: u8, of: &zonemesh_core::gateway::GatewayId) {
        let ends: Vec<End> = self.sessions.keys().copied().filter(|end| end.0 == zone).collect();
        for end in ends {
            let registry = &self.registries[usize::from(zone)];
            let session = self.sessions.get_mut(&end).unwrap();
            if let Some(push) = session.handle_change(of, registry, self.now) {
                self.send(end, push);
            }
        }
    }

    fn publish(&mut self, zone: u8, port: u16) {
        let registry = &mut self.registries[usize::from(zone)];
        if registry.publish(draft(zone, port), self.now).unwrap().changed {
            self.changed(zone, &gateway(zone));
        }
    }

    /// The gateway's disk is lost: empty registry, streams broken, the first content again. The
    /// incarnation is the old one, as with a clock that went back: the hardest case.
    fn wipe(&mut self, zone: u8) {
        let zones = u8::try_from(self.registries.len()).unwrap();
        for other in 0..zones {
            self.cut(zone, other);
        }
        self.registries[usize::from(zone)] = registry(zone, zones);
        self.publish(zone, 1);
    }

    fn deliver(&mut self, end: End, message: StreamMessage) {
        let registry = &mut self.registries[usize::from(end.0)];
        let session = self.sessions.get_mut(&end).unwrap();
        let output = session.handle(message, registry, self.now).unwrap();
        // A wiped gateway that starts with its old incarnation looks like a clone, rightly.
        let honest = |r: &RecordRejected| !r.is_suspicious() || *r == RecordRejected::CloneRefused;
        assert!(output.rejected.iter().all(honest), "{:?}", output.rejected);
        for answer in output.messages {
            self.send(end, answer);
        }
        for zone in output.changed {
            self.changed(end.0, &zone);
        }
    }

    /// Lets `millis` pass.
    fn run(&mut self, millis: u64) {
        let until = self.now.plus(millis);
        loop {
            let timers = self.sessions.iter().map(|(end, s)| (s.poll_timeout(), Some(*end)));
            let jumps = self.registries.iter().filter_map(Registry::poll_timeout);
            let messages = self.under_way.iter().map(|(at, ..)| *at);
            let others = messages.chain(jumps).map(|at| (at, None));
            let Some((at, timer)) = timers.chain(others).min() else { break };
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            if let Some(end) = timer {
                let registry = &self.registries[usize::from(end.0)];
                let session = self.sessions.get_mut(&end).unwrap();
                let digest = session.handle_timeout(registry, self.now).unwrap();
                self.send(end, digest);
                continue;
            }
            self.wake();
        }
        self.now = until;
    }

    /// Delivers what has arrived, and jumps that are due.
    fn wake(&mut self) {
        let now = self.now;
        if let Some(index) = self.under_way.iter().position(|(at, ..)| *at <= now) {
            let (_, end, message) = self.under_way.remove(index);
            self.deliver(end, message);
        }
        for zone in (0_u8..).take(self.registries.len()) {
            let registry = &mut self.registries[usize::from(zone)];
            if registry.poll_republish(now).is_some() {
                self.changed(zone, &gateway(zone));
            }
        }
    }

    fn agree(&self) -> bool {
        let first = self.registries[0].root_hash();
        self.registries.iter().all(|registry| registry.root_hash() == first)
    }
}

#[derive(Debug, Clone)]
enum Trouble {
    Cut(u8, u8),
    Heal(u8, u8),
    Publish(u8, u16),
    Wipe(u8),
    Wait(u64),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let (a, b) = (any::<u8>(), any::<u8>());
    prop_oneof![
        3 => (a, b).prop_map(|(a, b)| Trouble::Cut(a, b)),
        3 => (a, b).prop_map(|(a, b)| Trouble::Heal(a, b)),
        4 => (a, 1..9_u16).prop_map(|(a, port)| Trouble::Publish(a, port)),
        1 => a.prop_map(Trouble::Wipe),
        3 => (0..40_000_u64).prop_map(Trouble::Wait),
    ]
}

#[test]
fn a_change_reaches_all_zones_of_a_line_in_one_delay_for_each_hop() {
    let mut mesh = Mesh::new(4, 0);
    for zone in 0..3 {
        mesh.connect(zone, zone + 1);
    }
    mesh.run(10_000);
    assert!(mesh.agree());
    mesh.publish(0, 7);
    mesh.run(3 * DELAY_MS - 1);
    assert!(!mesh.agree());
    mesh.run(1);
    assert!(mesh.agree());
}

#[test]
fn an_idle_mesh_says_one_digest_for_each_end_and_interval() {
    let mut mesh = Mesh::new(3, 0);
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        mesh.connect(a, b);
    }
    mesh.run(DIGEST_INTERVAL_MS + 1_000);
    let before = mesh.sent;
    mesh.run(10 * DIGEST_INTERVAL_MS);
    assert_eq!(mesh.sent - before, 60);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_mesh_converges_after_any_trouble(
        zones in 3..=8_u8,
        lossy in prop::sample::select(vec![0, 2, 3, 7]),
        troubles in prop::collection::vec(trouble(), 0..25),
    ) {
        let mut mesh = Mesh::new(zones, lossy);
        for trouble in troubles {
            match trouble {
                Trouble::Cut(a, b) => mesh.cut(a % zones, b % zones),
                Trouble::Heal(a, b) if a % zones != b % zones => mesh.connect(a % zones, b % zones),
                Trouble::Heal(..) => {}
                Trouble::Publish(zone, port) => mesh.publish(zone % zones, port),
                Trouble::Wipe(zone) => mesh.wipe(zone % zones),
                Trouble::Wait(millis) => mesh.run(millis),
            }
        }
        mesh.lossy = 0;
        // Jumps of wiped gateways are spaced: let them all happen.
        for zone in 1..zones {
            mesh.connect(zone - 1, zone);
        }
        mesh.connect(zones - 1, 0);
        mesh.run(400_000);
        prop_assert!(mesh.agree());
        for (zone, registry) in (0..).zip(&mesh.registries) {
            let own = &registry.get(&name(zone)).unwrap().record;
            for other in &mesh.registries {
                prop_assert_eq!(&other.get(&name(zone)).unwrap().record, own);
            }
        }
    }
}
