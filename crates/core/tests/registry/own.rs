//! The zone's own record: one writer, versions that only grow, jumps that cannot storm.

use std::net::IpAddr;

use zonemesh_core::record::{CaCertificate, CaSet, CaState, CertificateDer, SignedRecord, Version};
use zonemesh_core::registry::{PublishError, RecordAccepted, RecordRejected, Registry};
use zonemesh_core::time::UnixMillis;

use crate::zones::{NOW, draft, identity, members, name, record, registry, signed, superlink};

fn version(incarnation: u64, seq: u64) -> Version {
    Version { incarnation, seq }
}

#[test]
fn the_version_grows_only_if_the_content_changed() {
    let mut registry = registry(0, 2);
    let first = registry.publish(draft(0, 1), NOW).unwrap();
    assert_eq!((first.version, first.changed), (version(1, 1), true));
    let again = registry.publish(draft(0, 1), NOW.plus(9)).unwrap();
    assert_eq!((again.version, again.changed), (version(1, 1), false));
    assert_eq!(again.record, first.record);
    let other = registry.publish(draft(0, 2), NOW.plus(9)).unwrap();
    assert_eq!((other.version, other.changed), (version(1, 2), true));
}

#[test]
fn after_a_restart_the_stored_version_goes_on() {
    let mut registry = registry(0, 2);
    registry.restore(signed(0, 7, 1), NOW).unwrap();
    assert!(!registry.publish(draft(0, 1), NOW).unwrap().changed);
    let next = registry.publish(draft(0, 2), NOW).unwrap();
    assert_eq!(next.version, version(1, 8));
}

#[test]
fn after_a_wiped_disk_the_zone_jumps_above_what_others_remember() {
    let mut registry = registry(0, 2);
    registry.publish(draft(0, 2), NOW).unwrap();
    let remembered = registry.accept(signed(0, 41, 1), NOW);
    assert_eq!(remembered, Ok(RecordAccepted::OwnSurpassed));
    let jumped = registry.poll_republish(NOW).unwrap();
    assert_eq!(jumped.version, version(1, 42));
    assert_eq!(registry.get(&name(0)).unwrap().record.content, draft(0, 2));
    assert!(registry.poll_republish(NOW.plus(60_000)).is_none(), "once");
}

#[test]
fn an_own_record_seen_before_the_first_publication_is_surpassed_by_it() {
    let mut registry = registry(0, 2);
    assert_eq!(registry.accept(signed(0, 41, 1), NOW), Ok(RecordAccepted::OwnSurpassed));
    assert!(registry.poll_republish(NOW).is_none(), "nothing to say yet");
    let first = registry.publish(draft(0, 2), NOW).unwrap();
    assert_eq!(first.version, version(1, 42));
}

#[test]
fn an_own_record_with_prefixes_that_are_no_longer_ours_is_surpassed_too() {
    let mut members = members(2);
    members[0].prefixes = vec!["10.10.0.0/25".parse().unwrap()];
    let mut registry = Registry::new(name(0), identity(0), members, 1).unwrap();
    let mut narrow = draft(0, 1);
    narrow.prefixes = vec!["10.10.0.0/25".parse().unwrap()];
    registry.publish(narrow, NOW).unwrap();
    assert_eq!(registry.restore(signed(0, 5, 1), NOW), Err(RecordRejected::ForeignPrefix));
    assert_eq!(registry.accept(signed(0, 9, 1), NOW), Ok(RecordAccepted::OwnSurpassed));
    assert_eq!(registry.poll_republish(NOW).unwrap().version, version(1, 10));
}

#[test]
fn the_same_content_is_published_again_if_it_was_surpassed() {
    let mut registry = registry(0, 2);
    registry.publish(draft(0, 1), NOW).unwrap();
    registry.accept(signed(0, 41, 9), NOW).unwrap();
    let again = registry.publish(draft(0, 1), NOW).unwrap();
    assert_eq!((again.version, again.changed), (version(1, 42), true));
    assert!(registry.poll_republish(NOW).is_none(), "the jump is done");
}

#[test]
fn a_forged_own_record_moves_nothing() {
    let mut registry = registry(0, 2);
    registry.publish(draft(0, 1), NOW).unwrap();
    let forged = SignedRecord::sign(&record(0, 99, draft(0, 2)), &identity(1));
    assert_eq!(registry.accept(forged, NOW), Err(RecordRejected::BadSignature));
    assert!(registry.poll_timeout().is_none());
}

#[test]
fn two_live_clones_do_not_storm_the_mesh() {
    let mut clones = [registry(0, 2), registry(0, 2)];
    let mut published = 0;
    let mut latest = [1, 2].map(|port| draft(0, port));
    let hour = 3_600_000;
    for (clone, draft) in clones.iter_mut().zip(&mut latest) {
        clone.publish(draft.clone(), NOW).unwrap();
    }
    for millis in (0..hour).step_by(1_000) {
        let now = NOW.plus(millis);
        let [a, b] = clones.each_ref().map(|c| c.get(&name(0)).unwrap().signed.clone());
        let _known_or_not = clones[0].accept(b, now);
        let _known_or_not = clones[1].accept(a, now);
        for clone in &mut clones {
            published += u32::from(clone.poll_republish(now).is_some());
        }
    }
    assert!((4..60).contains(&published), "{published} jumps in an hour");
    let alarms: u64 = clones.iter().map(|c| c.counters().clone_alarms()).sum();
    assert!(alarms > 0);
}

#[test]
fn a_clock_that_goes_back_does_not_stop_a_jump() {
    let mut registry = registry(0, 2);
    registry.publish(draft(0, 2), NOW).unwrap();
    registry.accept(signed(0, 41, 1), NOW).unwrap();
    registry.poll_republish(NOW).unwrap();
    let earlier = UnixMillis(NOW.0 - 86_400_000);
    registry.accept(signed(0, 50, 1), earlier).unwrap();
    let due = registry.poll_timeout().unwrap();
    assert!(due <= earlier.plus(10_000), "{due} is not within 10 s of {earlier}");
    assert!(registry.poll_republish(due).is_some());
}

#[test]
fn what_others_would_refuse_is_not_published_and_the_earlier_record_stays() {
    let mut registry = registry(0, 2);
    let before = registry.publish(draft(0, 1), NOW).unwrap();
    let mut foreign = draft(0, 2);
    foreign.prefixes.push("10.10.1.0/24".parse().unwrap());
    let error = registry.publish(foreign, NOW).unwrap_err();
    assert!(matches!(error, PublishError::OutOfBounds(_)), "{error:?}");
    let mut invalid = draft(0, 2);
    invalid.gateways[0].endpoints = vec!["nowhere".to_owned()];
    let error = registry.publish(invalid, NOW).unwrap_err();
    let PublishError::Invalid(source) = error else { panic!("{error:?}") };
    assert_eq!(source.field, "gateways[0].endpoints[0]");
    let mut many = draft(0, 2);
    many.gateways[0].endpoints = (1..=17).map(|port| format!("gw.berlin.example:{port}")).collect();
    let error = registry.publish(many, NOW).unwrap_err();
    let PublishError::Invalid(source) = error else { panic!("{error:?}") };
    assert_eq!(source.field, "gateways[0].endpoints");
    assert_eq!(source.problem.to_string(), "17 of at most 16");
    let mut large = draft(0, 2);
    // A SEQUENCE of 5999 bytes.
    let der = [&[0x30, 0x82, 0x17, 0x6f][..], &[0; 5_999]].concat();
    let certificate = CertificateDer::new(der.into()).unwrap();
    let ca = CaCertificate { certificate, state: CaState::Active };
    let of = |federation: &str| CaSet {
        federation: federation.parse().unwrap(),
        certificates: vec![ca.clone(); 6],
    };
    large.ca_sets = vec![of("health-eu"), of("finance-eu")];
    let error = registry.publish(large, NOW).unwrap_err();
    assert!(matches!(error, PublishError::TooLarge(bytes) if bytes > 65_536), "{error:?}");
    assert_eq!(registry.get(&name(0)).unwrap().signed, before.record);
    let mut superlinks = draft(0, 2);
    superlinks.superlinks = vec![superlink(0)];
    superlinks.superlinks[0].addresses.push(IpAddr::from([10, 255, 0, 0]));
    assert_eq!(registry.publish(superlinks, NOW).unwrap().version, version(1, 2));
}
