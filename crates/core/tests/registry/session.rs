//! One stream: greeting, refusals, the messages that two ends exchange.

use zonemesh_core::mesh::MeshId;
use zonemesh_core::record::{ProtocolRange, SignedRecord};
use zonemesh_core::registry::{RecordRejected, Registry};
use zonemesh_core::replication::{
    DIGEST_INTERVAL_MS, RegistryDigest, ReplicationSession, StreamBody, StreamMessage,
    StreamRefused,
};
use zonemesh_core::time::UnixMillis;

use crate::zones::{NOW, draft, gateway, identity, name, record, registry, signed};

fn session(neighbour: u8) -> ReplicationSession {
    ReplicationSession::new(MeshId::static_peers(), name(neighbour))
}

/// Two gateways and their ends of one stream, without delay.
struct Pair {
    registries: [Registry; 2],
    ends: [ReplicationSession; 2],
    /// Kinds of messages in the order in which they arrived.
    seen: Vec<&'static str>,
}

impl Pair {
    fn new(registries: [Registry; 2]) -> Self {
        Self { registries, ends: [session(1), session(0)], seen: Vec::new() }
    }

    fn open(&mut self, now: UnixMillis) {
        let [a, b] = &mut self.ends;
        let first = [a.open(&self.registries[0], now), b.open(&self.registries[1], now)];
        let [from_a, from_b] = first;
        self.exchange(vec![(1, from_a), (0, from_b)], now);
    }

    /// Delivers messages and their answers until both are silent.
    fn exchange(&mut self, mut queue: Vec<(usize, StreamMessage)>, now: UnixMillis) {
        while !queue.is_empty() {
            let (to, message) = queue.remove(0);
            self.seen.push(match &message.body {
                StreamBody::Hello(_) => "hello",
                StreamBody::Versions(_) => "versions",
                StreamBody::Items(_) => "items",
                StreamBody::Trust(_) => "trust",
                StreamBody::Digest(_) => "digest",
                StreamBody::TrustIds(_) => "trust ids",
                StreamBody::CountersQuestion | StreamBody::Counters(_) => "counters",
                StreamBody::Unknown => "unknown",
            });
            assert!(self.seen.len() < 50, "they do not come to rest: {:?}", self.seen);
            let registry = &mut self.registries[to];
            let output = self.ends[to].handle(message, registry, now).unwrap();
            let mut answers = output.messages;
            for zone in &output.changed {
                answers.extend(self.ends[to].handle_change(zone, registry, now));
            }
            queue.extend(answers.into_iter().map(|answer| (1 - to, answer)));
        }
    }

    fn agree(&self) -> bool {
        self.registries[0].root_hash() == self.registries[1].root_hash()
    }
}

fn published(zone: u8) -> Registry {
    let mut registry = registry(zone, 3);
    registry.publish(draft(zone, 1), NOW).unwrap();
    registry
}

#[test]
fn two_gateways_that_meet_exchange_what_the_other_lacks() {
    let mut pair = Pair::new([published(0), published(1)]);
    pair.open(NOW);
    assert!(pair.agree());
    assert_eq!(pair.seen, ["hello", "hello", "versions", "versions", "items", "items"]);
}

#[test]
fn two_gateways_that_agree_exchange_hashes_only() {
    let mut pair = Pair::new([published(0), published(1)]);
    pair.open(NOW);
    pair.seen.clear();
    pair.ends = [session(1), session(0)];
    pair.open(NOW.plus(1_000));
    assert_eq!(pair.seen, ["hello", "hello", "digest", "digest"]);
}

#[test]
fn a_change_is_pushed_once_and_not_sent_back() {
    let mut pair = Pair::new([published(0), published(1)]);
    pair.open(NOW);
    pair.seen.clear();
    pair.registries[0].publish(draft(0, 2), NOW).unwrap();
    let push = |pair: &mut Pair| pair.ends[0].handle_change(&gateway(0), &pair.registries[0], NOW);
    let message = push(&mut pair).unwrap();
    assert!(push(&mut pair).is_none(), "it was sent already");
    pair.exchange(vec![(1, message)], NOW);
    assert!(pair.agree());
    assert_eq!(pair.seen, ["items"]);
}

#[test]
fn what_was_lost_is_found_by_the_next_digest() {
    let mut pair = Pair::new([published(0), published(1)]);
    pair.open(NOW);
    pair.registries[0].publish(draft(0, 2), NOW).unwrap();
    pair.ends[0].handle_change(&gateway(0), &pair.registries[0], NOW).unwrap();
    assert!(!pair.agree(), "the push was lost");
    let early = NOW.plus(DIGEST_INTERVAL_MS - 1);
    assert!(pair.ends[0].handle_timeout(&pair.registries[0], early).is_none());
    let due = pair.ends[0].poll_timeout();
    assert_eq!(due, NOW.plus(DIGEST_INTERVAL_MS));
    let digest = pair.ends[0].handle_timeout(&pair.registries[0], due).unwrap();
    pair.exchange(vec![(1, digest)], due);
    assert!(pair.agree());
}

#[test]
fn a_digest_of_one_end_heals_both_directions() {
    let mut pair = Pair::new([published(0), published(1)]);
    pair.open(NOW);
    for (registry, zone) in pair.registries.iter_mut().zip(0..) {
        registry.publish(draft(zone, 2), NOW).unwrap();
    }
    let due = pair.ends[0].poll_timeout();
    let digest = pair.ends[0].handle_timeout(&pair.registries[0], due).unwrap();
    pair.exchange(vec![(1, digest)], due);
    assert!(pair.agree());
}

#[test]
fn lost_version_vectors_are_asked_for_again_by_the_next_digest() {
    let mut pair = Pair::new([published(0), published(1)]);
    let hellos = [0, 1].map(|end| pair.ends[end].open(&pair.registries[end], NOW));
    for (hello, to) in hellos.into_iter().zip([1, 0]) {
        let registry = &mut pair.registries[to];
        let answer = pair.ends[to].handle(hello, registry, NOW).unwrap();
        assert!(matches!(answer.messages[0].body, StreamBody::Versions(_)), "lost");
    }
    let due = pair.ends[0].poll_timeout();
    for end in [0, 1] {
        let digest = pair.ends[end].handle_timeout(&pair.registries[end], due);
        pair.exchange(vec![(1 - end, digest.unwrap())], due);
    }
    assert!(pair.agree());
}

#[test]
fn a_full_queue_is_replaced_by_one_digest() {
    let mut pair = Pair::new([published(0), published(1)]);
    pair.open(NOW);
    pair.registries[0].publish(draft(0, 2), NOW).unwrap();
    pair.ends[0].handle_change(&gateway(0), &pair.registries[0], NOW).unwrap();
    let digest = pair.ends[0].handle_loss(&pair.registries[0], NOW);
    pair.exchange(vec![(1, digest)], NOW);
    assert!(pair.agree());
}

#[test]
fn a_wiped_gateway_is_told_its_own_record_and_jumps_above_it() {
    let mut pair = Pair::new([published(0), published(1)]);
    pair.registries[1].accept(signed(0, 41, 9), NOW).unwrap();
    pair.open(NOW);
    assert!(pair.agree());
    let own = pair.registries[1].get(&name(0)).unwrap();
    assert_eq!(own.record.version.seq, 42);
    assert_eq!(own.record.content, draft(0, 1));
}

#[test]
fn forged_items_are_told_and_do_not_end_the_stream() {
    let mut pair = Pair::new([published(0), published(1)]);
    pair.open(NOW);
    let clock = pair.ends[1].open(&pair.registries[1], NOW).clock;
    let body = StreamBody::Items(vec![signed(7, 1, 1)]);
    let output =
        pair.ends[0].handle(StreamMessage { clock, body }, &mut pair.registries[0], NOW).unwrap();
    assert_eq!(output.rejected.len(), 1);
    assert!(output.changed.is_empty() && output.messages.is_empty());
}

/// As a gateway sees it that has another key of zone 2 than zone 2 signs with.
#[test]
fn a_neighbour_that_passes_on_a_record_of_a_zone_whose_key_is_wrong_here_is_not_blamed() {
    let mut pair = Pair::new([published(0), published(1)]);
    pair.open(NOW);
    let clock = pair.ends[1].open(&pair.registries[1], NOW).clock;
    let by_another_key = SignedRecord::sign(&record(2, 1, draft(2, 1)), &identity(7));
    let offer = |pair: &mut Pair| {
        let body = StreamBody::Items(vec![by_another_key.clone()]);
        let message = StreamMessage { clock, body };
        pair.ends[0].handle(message, &mut pair.registries[0], NOW).unwrap().rejected
    };
    assert_eq!(offer(&mut pair), [], "its own stream tells");
    let counters = pair.registries[0].counters();
    assert!(counters.rejected().any(|count| count == (RecordRejected::BadSignature, 1)));
    // Where the key is right, as it was good for another record, this one is a forgery.
    pair.registries[0].accept(signed(2, 1, 1), NOW).unwrap();
    assert_eq!(offer(&mut pair), [RecordRejected::BadSignature]);
    // Where the key was right and is another one now, the record in force says whose fault it is.
    let key = identity(2).public_key();
    assert_eq!(pair.registries[0].former_key(&name(2)), None);
    let mut wanted: Vec<_> = pair.registries[0].members().cloned().collect();
    wanted.iter_mut().filter(|one| one.zone == name(2)).for_each(|one| {
        one.key = identity(9).public_key();
    });
    pair.registries[0].set_configured(wanted).unwrap();
    assert_eq!(pair.registries[0].former_key(&name(2)), Some(key));
    assert_eq!(offer(&mut pair), [], "its own stream tells");
}

/// What zone 0 answers to zone 1's hello after `change`.
#[test]
fn many_items_come_in_parts_and_none_is_lost() {
    let items: Vec<_> = (1..=10).map(|seq| signed(1, seq, 1)).collect();
    let clock = session(1).open(&published(0), NOW).clock;
    let message = StreamMessage { clock, body: StreamBody::Items(items.clone()) };
    assert_eq!(message.items(), 10);
    let parts = message.split(4);
    assert_eq!(parts.iter().map(StreamMessage::items).collect::<Vec<_>>(), [4, 4, 2]);
    let joined = parts.into_iter().flat_map(|part| match part.body {
        StreamBody::Items(items) => items,
        other => panic!("{other:?}"),
    });
    assert_eq!(joined.collect::<Vec<_>>(), items);
}

fn greet(change: impl Fn(&mut zonemesh_core::replication::StreamHello)) -> Option<StreamRefused> {
    let (mut ours, theirs) = (registry(0, 3), registry(1, 3));
    let mut message = session(0).open(&theirs, NOW);
    if let StreamBody::Hello(hello) = &mut message.body {
        change(hello);
    }
    let refused = session(1).handle(message, &mut ours, NOW).err();
    let counted: Vec<_> = ours.counters().rejected().filter(|(_, count)| *count > 0).collect();
    let wanted: Vec<_> = refused.iter().map(|refused| (refused.reason(), 1)).collect();
    assert_eq!(counted, wanted);
    refused
}

#[test]
fn other_meshes_other_zones_and_other_protocols_are_refused() {
    assert_eq!(greet(|_| {}), None);
    let mesh = greet(|hello| hello.mesh = MeshId::new("other"));
    assert!(matches!(mesh, Some(StreamRefused::Mesh { .. })));
    let zone = greet(|hello| hello.zone = name(2));
    assert!(matches!(zone, Some(StreamRefused::Zone { .. })));
    let newer = greet(|hello| hello.protocol = ProtocolRange { min: 3, max: 4 });
    let text = newer.unwrap().to_string();
    assert_eq!(text, "the neighbour speaks protocol 3-4, this gateway 2-2: update the older one");
    let first_release = greet(|hello| hello.protocol = ProtocolRange { min: 1, max: 1 });
    assert!(matches!(first_release, Some(StreamRefused::Protocol { .. })));
    assert_eq!(greet(|hello| hello.protocol.max = 9), None, "2 is common to both");
}

#[test]
fn hello_comes_first_and_once() {
    let mut registry = registry(0, 2);
    let clock = session(1).open(&registry, NOW).clock;
    let digest = StreamBody::Digest(RegistryDigest { root_hash: [0; 32], trust_hash: None });
    let message = StreamMessage { clock, body: digest };
    let refused = session(1).handle(message, &mut registry, NOW);
    assert_eq!(refused, Err(StreamRefused::NoHello));
    let mut pair = Pair::new([published(0), published(1)]);
    pair.open(NOW);
    let again = pair.ends[1].open(&pair.registries[1], NOW);
    let refused = pair.ends[0].handle(again, &mut pair.registries[0], NOW);
    assert_eq!(refused, Err(StreamRefused::SecondHello));
    let out_of_turn = |registry: &Registry| {
        registry.counters().rejected().find(|(reason, _)| *reason == RecordRejected::OutOfTurn)
    };
    assert_eq!(out_of_turn(&registry), Some((RecordRejected::OutOfTurn, 1)));
    assert_eq!(out_of_turn(&pair.registries[0]), Some((RecordRejected::OutOfTurn, 1)));
}

#[test]
fn what_is_said_beside_replication_waits_for_hello_and_changes_nothing() {
    assert_eq!(session(1).aside(StreamBody::CountersQuestion, NOW), None);
    let mut pair = Pair::new([published(0), published(1)]);
    pair.open(NOW);
    let question = pair.ends[1].aside(StreamBody::CountersQuestion, NOW).unwrap();
    let before = pair.registries[0].root_hash();
    let output = pair.ends[0].handle(question, &mut pair.registries[0], NOW).unwrap();
    assert!(output.messages.is_empty() && output.changed.is_empty());
    assert_eq!(pair.registries[0].root_hash(), before);
}

#[test]
fn the_offset_of_the_neighbours_clock_is_known_after_the_greeting() {
    let (mut ours, mut theirs) = (registry(0, 2), registry(1, 2));
    let (mut a, mut b) = (session(1), session(0));
    let (one_way, ahead) = (60, 7_000);
    let hello = a.open(&ours, NOW);
    b.open(&theirs, NOW.plus(ahead));
    let arrived = NOW.plus(one_way + ahead);
    let answer = b.handle(hello, &mut theirs, arrived).unwrap().messages.remove(0);
    assert_eq!(b.clock_offset().unwrap().millis, -7_060, "one way, too low by the delay");
    let hello = b.open(&theirs, arrived);
    for message in [hello, answer] {
        a.handle(message, &mut ours, NOW.plus(2 * one_way)).unwrap();
    }
    let offset = a.clock_offset().unwrap();
    assert_eq!((offset.millis, offset.round_trip_ms), (7_000, Some(120)));
}
