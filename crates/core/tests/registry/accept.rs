//! Which records a registry takes, and why it refuses the others.

use std::net::IpAddr;

use bytes::Bytes;
use zonemesh_core::member::{Member, MembershipError};
use zonemesh_core::record::{MAX_ENDPOINTS, RecordContent, SignedRecord};
use zonemesh_core::registry::{RecordAccepted, RecordRejected, Registry};

use crate::zones::{
    NOW, count, draft, federation, gateway, identity, member, members, name, record, registry,
    signed, superlink,
};

/// Offers what zone 1 signed to zone 0.
fn offer(change: impl Fn(&mut RecordContent)) -> Result<RecordAccepted, RecordRejected> {
    let mut content = draft(1, 51821);
    change(&mut content);
    let signed = SignedRecord::sign(&record(1, 1, content), &identity(1));
    let mut registry = registry(0, 2);
    let outcome = registry.accept(signed, NOW);
    if let Err(reason) = outcome {
        assert_eq!(count(&registry, reason), 1);
        assert!(registry.get(&name(1)).is_none(), "a refused record is not held");
    }
    outcome
}

#[test]
fn a_record_within_its_zones_bounds_is_stored() {
    let within = |content: &mut RecordContent| {
        content.prefixes = vec!["10.10.1.128/25".parse().unwrap()];
        content.superlinks = vec![superlink(1)];
        content.superlinks[0].addresses.push(IpAddr::from([10, 255, 0, 1]));
    };
    assert_eq!(offer(within), Ok(RecordAccepted::Stored(gateway(1))));
}

#[test]
fn record_of_zone_a_cannot_be_published_by_zone_b() {
    let mut registry = registry(0, 3);
    let forged = SignedRecord::sign(&record(1, 9, draft(1, 1)), &identity(2));
    assert_eq!(registry.accept(forged, NOW), Err(RecordRejected::BadSignature));
    assert_eq!(count(&registry, RecordRejected::BadSignature), 1);
}

#[test]
fn a_signature_over_other_bytes_does_not_hold() {
    let mut registry = registry(0, 2);
    let (old, new) = (signed(1, 1, 1), signed(1, 2, 2));
    let moved = SignedRecord::from_parts(new.payload().clone(), old.signature()).unwrap();
    assert_eq!(registry.accept(moved, NOW), Err(RecordRejected::BadSignature));
}

#[test]
fn a_signature_made_for_another_purpose_does_not_hold() {
    let mut registry = registry(0, 2);
    let payload = signed(1, 1, 1).payload().clone();
    let bare = identity(1).sign(&payload);
    let bare = SignedRecord::from_parts(payload, &bare).unwrap();
    assert_eq!(registry.accept(bare, NOW), Err(RecordRejected::BadSignature));
}

#[test]
fn prefixes_and_addresses_of_other_zones_are_refused() {
    let foreign_prefix = offer(|c| c.prefixes.push("10.10.2.0/24".parse().unwrap()));
    assert_eq!(foreign_prefix, Err(RecordRejected::ForeignPrefix));
    let wider_prefix = offer(|c| c.prefixes = vec!["10.10.0.0/16".parse().unwrap()]);
    assert_eq!(wider_prefix, Err(RecordRejected::ForeignPrefix));
    let tunnel_ip = offer(|c| c.gateways[0].tunnel_ips = vec![IpAddr::from([10, 255, 0, 2])]);
    assert_eq!(tunnel_ip, Err(RecordRejected::ForeignTunnelIp));
    let address = offer(|c| c.superlinks = vec![superlink(2)]);
    assert_eq!(address, Err(RecordRejected::ForeignSuperLinkAddress));
}

#[test]
fn strangers_and_nonsense_are_refused() {
    let mut registry = registry(0, 2);
    assert_eq!(registry.accept(signed(7, 1, 1), NOW), Err(RecordRejected::UnknownZone));
    let parts = |payload: Vec<u8>| SignedRecord::from_parts(Bytes::from(payload), &[0; 64]);
    let nonsense = parts(vec![0xff; 100]).unwrap();
    assert_eq!(registry.accept(nonsense, NOW), Err(RecordRejected::Malformed));
    let large = parts(vec![0; 64 * 1024 + 1]).unwrap();
    assert_eq!(registry.accept(large, NOW), Err(RecordRejected::TooLarge));
}

#[test]
fn a_gateway_with_more_endpoints_than_others_follow_is_too_large() {
    let named = |count: usize| {
        move |content: &mut RecordContent| {
            let names = (0..count).map(|n| format!("gw{n}.paris.example:51820"));
            content.gateways[0].endpoints = names.collect();
        }
    };
    assert_eq!(offer(named(MAX_ENDPOINTS)), Ok(RecordAccepted::Stored(gateway(1))));
    for count in [MAX_ENDPOINTS + 1, 2500] {
        assert_eq!(offer(named(count)), Err(RecordRejected::TooLarge), "{count}");
    }
}

#[test]
fn only_a_newer_version_replaces_what_is_held() {
    let mut registry = registry(0, 2);
    let stored = Ok(RecordAccepted::Stored(gateway(1)));
    assert_eq!(registry.accept(signed(1, 2, 2), NOW), stored);
    assert_eq!(registry.accept(signed(1, 2, 2), NOW), Ok(RecordAccepted::Known));
    assert_eq!(registry.accept(signed(1, 1, 1), NOW), Err(RecordRejected::Outdated));
    assert_eq!(registry.accept(signed(1, 3, 3), NOW), stored);
    assert_eq!(registry.get(&name(1)).unwrap().record.version.seq, 3);
}

#[test]
fn a_record_dated_far_ahead_orders_nothing() {
    let mut registry = registry(0, 2);
    let mut ahead = record(1, 1, draft(1, 1));
    ahead.issued_at = NOW.plus(u64::MAX);
    registry.accept(SignedRecord::sign(&ahead, &identity(1)), NOW).unwrap();
    assert_eq!(registry.accept(signed(1, 2, 2), NOW), Ok(RecordAccepted::Stored(gateway(1))));
    let replayed = SignedRecord::sign(&ahead, &identity(1));
    assert_eq!(registry.accept(replayed, NOW), Err(RecordRejected::Outdated));
}

#[test]
fn two_records_of_one_version_raise_an_alarm_and_the_lower_hash_stays_everywhere() {
    let (a, b) = (signed(1, 1, 1), signed(1, 1, 2));
    let (mut first, mut second) = (registry(0, 2), registry(0, 2));
    for record in [&a, &b] {
        let _one_is_refused = first.accept(record.clone(), NOW);
    }
    for record in [&b, &a] {
        let _one_is_refused = second.accept(record.clone(), NOW);
    }
    assert_eq!(first.root_hash(), second.root_hash());
    let lower = if a.digest() < b.digest() { &a } else { &b };
    assert_eq!(first.get(&name(1)).unwrap().signed, *lower);
    assert_eq!(first.counters().clone_alarms(), 1);
    assert_eq!(second.counters().clone_alarms(), 1);
    let refused =
        count(&first, RecordRejected::CloneRefused) + count(&second, RecordRejected::CloneRefused);
    assert_eq!(refused, 1, "the order decides who sees the lower one first");
}

#[test]
fn a_damaged_or_forged_file_is_not_restored() {
    let mut registry = registry(0, 3);
    let mut bytes = signed(1, 1, 1).to_file_bytes();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = SignedRecord::from_file_bytes(&bytes).unwrap();
    assert!(registry.restore(damaged, NOW).is_err());
    let forged = SignedRecord::sign(&record(1, 1, draft(1, 1)), &identity(2));
    assert_eq!(registry.restore(forged, NOW), Err(RecordRejected::BadSignature));
    assert_eq!(registry.restore(signed(1, 1, 1), NOW), Ok(gateway(1)));
    assert_eq!(registry.restore(signed(2, 1, 1), NOW), Ok(gateway(2)));
    assert_eq!(registry.records().count(), 2);
}

#[test]
fn if_two_zones_claim_a_federation_all_choose_the_lowest_name_and_say_so() {
    let mut registry = registry(0, 3);
    assert!(registry.find_superlink(&federation()).is_none());
    for zone in [2, 1] {
        let mut content = draft(zone, 1);
        content.superlinks = vec![superlink(zone)];
        let signed = SignedRecord::sign(&record(zone, 1, content), &identity(zone));
        registry.accept(signed, NOW).unwrap();
        let found = registry.find_superlink(&federation()).unwrap();
        assert_eq!(*found.zone, name(zone));
        assert_eq!(found.conflict, zone == 1);
    }
}

#[test]
fn members_that_contradict_each_other_are_refused() {
    let with = |change: fn(&mut Vec<Member>)| {
        let mut members = members(3);
        change(&mut members);
        Registry::new(name(0), identity(0), members, 1).err()
    };
    assert_eq!(with(|_| {}), None);
    let twice = with(|m| m[2].zone = name(1));
    assert_eq!(twice, Some(MembershipError::DuplicateZone(name(1))));
    let key = with(|m| m[2].key = member(1).key);
    assert!(matches!(key, Some(MembershipError::DuplicateKey { .. })));
    let prefix = with(|m| m[2].prefixes = vec!["10.10.0.0/16".parse().unwrap()]);
    assert!(matches!(prefix, Some(MembershipError::Overlap(_))));
    let tunnel_ip = with(|m| m[2].tunnel_ips = member(1).tunnel_ips);
    assert!(matches!(tunnel_ip, Some(MembershipError::Overlap(_))));
    let inside = with(|m| m[2].tunnel_ips = vec![IpAddr::from([10, 10, 2, 1])]);
    assert_eq!(inside, None, "a tunnel IP may lie in its own zone's prefix");
    let missing = with(|m| drop(m.remove(0)));
    assert_eq!(missing, Some(MembershipError::OwnZoneMissing(name(0))));
    let other = with(|m| m[0].key = identity(9).public_key());
    assert_eq!(other, Some(MembershipError::OtherIdentity(name(0))));
}
