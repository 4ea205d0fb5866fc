//! What a record proves of the WireGuard keys that it names, and what is read of release 0.1.0.

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::record::{Gateway, MAX_PROOFS, ProtocolRange, RecordContent, SignedRecord};
use zonemesh_core::registry::{RecordAccepted, RecordRejected, Registry};

use crate::zones::{
    NOW, draft, gateway, identity, name, proof, record, registry, superlink, wireguard,
};

/// Says for zone `zone` what `change` makes of its gateway with the WireGuard key of that number.
fn say(registry: &mut Registry, zone: u8, seq: u64, change: impl Fn(&mut Gateway)) {
    let mut content = draft(zone, 51821);
    content.gateways[0].lanes.clear();
    change(&mut content.gateways[0]);
    let signed = SignedRecord::sign(&record(zone, seq, content), &identity(zone));
    registry.accept(signed, NOW).unwrap();
}

fn proves(registry: &Registry, zone: u8, number: u8) -> bool {
    registry.get(&name(zone)).unwrap().proves(&wireguard(number).public_key())
}

#[test]
fn a_record_proves_the_keys_that_it_names_and_has_signatures_of() {
    let mut registry = registry(0, 3);
    say(&mut registry, 1, 1, |gateway| {
        gateway.wireguard_key = wireguard(7).public_key();
        gateway.next_wireguard_key = Some(wireguard(8).public_key());
        gateway.proofs = vec![proof(1, 7), proof(1, 8), proof(1, 9)];
    });
    assert_eq!([7, 8, 9].map(|key| proves(&registry, 1, key)), [true, true, false]);
}

#[test]
fn a_proof_of_another_zone_of_another_gateway_or_with_other_bytes_proves_nothing() {
    let mut registry = registry(0, 3);
    let copied = proof(2, 7);
    let mut changed = proof(1, 7);
    changed.signature[40] ^= 1;
    for (seq, bad) in (1..).zip([copied, changed]) {
        say(&mut registry, 1, seq, |gateway| {
            gateway.wireguard_key = wireguard(7).public_key();
            gateway.proofs = vec![bad];
        });
        assert!(!proves(&registry, 1, 7));
    }
    say(&mut registry, 1, 3, |gateway| {
        gateway.name = "z1-gw2".to_owned();
        gateway.wireguard_key = wireguard(7).public_key();
        gateway.proofs = vec![proof(1, 7)];
    });
    let other = GatewayId::new(name(1), "z1-gw2");
    assert!(!registry.get_gateway(&other).unwrap().proves(&wireguard(7).public_key()));
}

#[test]
fn a_key_is_proven_only_as_long_as_the_proof_is_there() {
    let mut registry = registry(0, 2);
    for (seq, proofs) in (1..).zip([vec![proof(1, 7)], vec![proof(1, 7)], Vec::new()]) {
        let expected = !proofs.is_empty();
        say(&mut registry, 1, seq, |gateway| {
            gateway.wireguard_key = wireguard(7).public_key();
            gateway.proofs.clone_from(&proofs);
        });
        assert_eq!(proves(&registry, 1, 7), expected, "record {seq}");
    }
}

#[test]
fn proofs_without_end_and_two_of_one_key_are_refused() {
    let mut content = draft(1, 51821);
    content.gateways[0].proofs = vec![proof(1, 7); MAX_PROOFS + 1];
    let signed = SignedRecord::sign(&record(1, 1, content.clone()), &identity(1));
    assert_eq!(registry(0, 2).accept(signed, NOW), Err(RecordRejected::TooLarge));
    content.gateways[0].proofs.truncate(2);
    let twice = SignedRecord::sign(&record(1, 1, content), &identity(1));
    assert_eq!(registry(0, 2).accept(twice, NOW), Err(RecordRejected::Malformed));
}

/// A record as release 0.1.0 wrote it.
fn of_the_past(zone: u8, seq: u64) -> SignedRecord {
    let protocol = ProtocolRange { min: 1, max: 1 };
    let content = RecordContent { protocol, ..draft(zone, 51821) };
    SignedRecord::sign(&record(zone, seq, content), &identity(zone))
}

#[test]
fn a_record_of_the_first_release_is_read_from_disk_and_refused_from_others() {
    let mut registry = registry(0, 3);
    let empty = registry.root_hash();
    assert_eq!(registry.accept(of_the_past(1, 9), NOW), Err(RecordRejected::NoCommonProtocol));
    assert_eq!(registry.restore(of_the_past(1, 9), NOW), Ok(gateway(1)));
    let held = registry.get(&name(1)).unwrap();
    assert!(held.is_of_the_past() && !held.record.content.gateways.is_empty());
    // It is not passed on, and does not keep two gateways apart.
    assert_eq!(registry.root_hash(), empty);
    assert!(registry.items_newer_than(&registry.version_vector()).is_empty());
    // Whatever its zone says now takes its place.
    let today = SignedRecord::sign(&record(1, 1, draft(1, 1)), &identity(1));
    assert_eq!(registry.accept(today, NOW), Ok(RecordAccepted::Stored(gateway(1))));
    assert!(!registry.get(&name(1)).unwrap().is_of_the_past());
}

#[test]
fn what_this_zone_said_in_the_first_release_is_said_anew_above_it() {
    let mut registry = registry(0, 2);
    registry.restore(of_the_past(0, 9), NOW).unwrap();
    let published = registry.publish(draft(0, 51821), NOW).unwrap();
    assert!(published.changed && published.version.seq == 10);
}

/// What `records/z1.record` was in release 0.1.0, as that wrote it (8da5dfc).
const STORED_BY_THE_FIRST_RELEASE: &str = include_str!("record-0.1.0.hex");

#[test]
fn a_file_of_the_first_release_is_read_as_it_was_written() {
    let digits: String = STORED_BY_THE_FIRST_RELEASE.split_whitespace().collect();
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    let signed = SignedRecord::from_file_bytes(&bytes).unwrap();
    let mut registry = registry(0, 3);
    assert_eq!(registry.accept(signed.clone(), NOW), Err(RecordRejected::NoCommonProtocol));
    assert_eq!(registry.restore(signed, NOW), Ok(gateway(1)));
    let held = registry.get(&name(1)).unwrap();
    assert_eq!(held.record.content.gateways, draft(1, 51821).gateways);
    assert_eq!(held.record.content.superlinks, [superlink(1)]);
    assert!(held.is_of_the_past() && held.record.version.seq == 9);
}
