//! Accept against a slow, obvious model: whatever the order, the newest valid record is held.

use std::collections::BTreeMap;

use proptest::prelude::*;
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::SignedRecord;
use zonemesh_core::registry::Registry;

use crate::zones::{NOW, draft, identity, name, record, registry, signed};

const ZONES: u8 = 4;

/// What can happen to a gateway.
#[derive(Debug, Clone)]
enum Event {
    /// A record that its zone has rightly signed.
    Valid { zone: u8, seq: u64, port: u16 },
    /// A record signed by another member.
    Forged { zone: u8, by: u8, seq: u64 },
    /// A record that claims the prefix of another zone.
    Greedy { zone: u8, victim: u8, seq: u64 },
    /// The daemon starts anew with what it has stored.
    Restart,
    /// The store is lost.
    Wipe,
}

fn event() -> impl Strategy<Value = Event> {
    // Zone 0 is the gateway's own. Few versions and ports: duplicates and clones are wanted.
    let (zone, seq) = (1..ZONES, 0..6_u64);
    prop_oneof![
        12 => (zone.clone(), seq.clone(), 1..3_u16)
            .prop_map(|(zone, seq, port)| Event::Valid { zone, seq, port }),
        3 => (zone.clone(), 0..ZONES, seq.clone())
            .prop_filter("another's key", |(zone, by, _)| zone != by)
            .prop_map(|(zone, by, seq)| Event::Forged { zone, by, seq: seq + 10 }),
        3 => (zone.clone(), 0..ZONES, seq)
            .prop_filter("another's prefix", |(zone, victim, _)| zone != victim)
            .prop_map(|(zone, victim, seq)| Event::Greedy { zone, victim, seq: seq + 10 }),
        2 => Just(Event::Restart),
        1 => Just(Event::Wipe),
    ]
}

fn greedy(zone: u8, victim: u8, seq: u64) -> SignedRecord {
    let mut content = draft(zone, 1);
    content.prefixes.extend(draft(victim, 1).prefixes);
    SignedRecord::sign(&record(zone, seq, content), &identity(zone))
}

fn restarted(old: &Registry) -> Registry {
    let mut new = registry(0, ZONES);
    for held in old.records() {
        let file = held.signed.to_file_bytes();
        let stored = SignedRecord::from_file_bytes(&file).unwrap();
        new.restore(stored, held.received_at).unwrap();
    }
    new
}

/// The model: all valid records since the last wipe; the newest of each zone, of two with the
/// same version the one with the lower hash.
#[derive(Default)]
struct Model(Vec<(u8, u64, SignedRecord)>);

impl Model {
    fn expected(&self) -> BTreeMap<ZoneName, SignedRecord> {
        let best = |zone: u8| {
            let of_zone = self.0.iter().filter(|(other, ..)| *other == zone);
            of_zone.max_by_key(|(_, seq, signed)| (*seq, std::cmp::Reverse(signed.digest())))
        };
        let all = (0..ZONES).filter_map(best);
        all.map(|(zone, _, signed)| (name(*zone), signed.clone())).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_leaves_the_newest_valid_records(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut gateway = registry(0, ZONES);
        let mut model = Model::default();
        for event in events {
            match event {
                Event::Valid { zone, seq, port } => {
                    let signed = signed(zone, seq, port);
                    let _new_or_not = gateway.accept(signed.clone(), NOW);
                    model.0.push((zone, seq, signed));
                }
                Event::Forged { zone, by, seq } => {
                    let forged = SignedRecord::sign(&record(zone, seq, draft(zone, 1)), &identity(by));
                    prop_assert!(gateway.accept(forged, NOW).is_err());
                }
                Event::Greedy { zone, victim, seq } => {
                    prop_assert!(gateway.accept(greedy(zone, victim, seq), NOW).is_err());
                }
                Event::Restart => gateway = restarted(&gateway),
                Event::Wipe => {
                    gateway = registry(0, ZONES);
                    model = Model::default();
                }
            }
            let held = gateway.records();
            let held: BTreeMap<_, _> = held
                .map(|held| (held.record.zone.clone(), held.signed.clone()))
                .collect();
            prop_assert_eq!(held, model.expected());
        }
    }

    #[test]
    fn two_gateways_that_saw_the_same_records_hold_the_same(
        records in prop::collection::vec((1..ZONES, 0..6_u64, 1..3_u16), 0..30),
        order in any::<prop::sample::Selector>(),
    ) {
        let (mut one, mut other) = (registry(0, ZONES), registry(0, ZONES));
        for (zone, seq, port) in &records {
            let _new_or_not = one.accept(signed(*zone, *seq, *port), NOW);
        }
        let mut left = records;
        while !left.is_empty() {
            let index = order.select(0..left.len());
            let (zone, seq, port) = left.swap_remove(index);
            let _new_or_not = other.accept(signed(zone, seq, port), NOW);
        }
        prop_assert_eq!(one.root_hash(), other.root_hash());
        prop_assert!(one.items_newer_than(&other.version_vector()).is_empty());
        prop_assert!(!one.lacks_any_of(&other.version_vector()));
    }
}
