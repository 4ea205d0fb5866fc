//! One record per gateway: who may write it, and what its zone says as the sum of them.

use std::net::IpAddr;

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::key::GatewayIdentity;
use zonemesh_core::member::Member;
use zonemesh_core::record::{
    GatewayCertificate, RecordContent, SignedGatewayCertificate, SignedRecord, SuperLink,
};
use zonemesh_core::registry::{MAX_ZONE_RECORDS, RecordAccepted, RecordRejected, Registry};
use zonemesh_core::time::UnixMillis;

use crate::zones::{
    NOW, draft, federation, identity, member, name, record, registry, superlink, wireguard,
};

fn id(zone: u8, gateway: &str) -> GatewayId {
    GatewayId::new(name(zone), gateway)
}

/// What gateway `gateway` of zone 1 says, with a WireGuard key of that number.
fn said(gateway: &str, number: u8) -> RecordContent {
    let mut content = draft(1, 51821);
    content.gateways[0].name = gateway.to_owned();
    content.gateways[0].wireguard_key = wireguard(number).public_key();
    content.gateways[0].lanes.clear();
    content.gateways[0].tunnel_ips.clear();
    content
}

fn signed_at(seconds: u64, content: RecordContent) -> SignedRecord {
    let mut record = record(1, 1, content);
    record.issued_at = UnixMillis(NOW.0 + 1000 * seconds);
    SignedRecord::sign(&record, &identity(1))
}

#[test]
fn each_gateway_of_a_zone_has_a_record_of_its_own() {
    let mut registry = registry(0, 3);
    for (gateway, number) in [("z1-gw2", 2), ("z1-gw1", 1)] {
        let outcome = registry.accept(signed_at(1, said(gateway, number)), NOW);
        assert_eq!(outcome, Ok(RecordAccepted::Stored(id(1, gateway))));
    }
    let held: Vec<_> = registry.in_force(&name(1)).map(|held| held.id().to_string()).collect();
    assert_eq!(held, ["z1/z1-gw1", "z1/z1-gw2"]);
    let vector: Vec<_> = registry.version_vector().into_keys().map(|id| id.to_string()).collect();
    assert_eq!(vector, held);
}

#[test]
fn what_a_zone_says_of_its_superlinks_comes_from_the_newest_registration() {
    let at = |port| SuperLink { fleet_port: port, ..superlink(1) };
    for order in [[0, 1, 2], [2, 1, 0]] {
        let mut registry = registry(0, 3);
        let mut older = said("z1-gw1", 1);
        older.superlinks = vec![at(9092)];
        let mut newer = said("z1-gw2", 2);
        newer.superlinks = vec![at(9999)];
        let without = said("z1-gw3", 3);
        let all = [signed_at(1, older), signed_at(2, newer), signed_at(3, without)];
        for index in order {
            let index: usize = index;
            registry.accept(all[index].clone(), NOW).unwrap();
        }
        let found = registry.find_superlink(&federation()).unwrap();
        assert_eq!((found.superlink.fleet_port, found.conflict), (9999, false));
    }
}

#[test]
fn a_superlink_that_has_moved_to_another_gateway_of_its_zone_is_spoken_for() {
    let mut registry = registry(1, 3).named("z1-gw1".to_owned());
    let mut own = said("z1-gw1", 1);
    own.superlinks = vec![superlink(1)];
    registry.publish(own, NOW).unwrap();
    assert!(!registry.is_spoken_for(&federation()));
    registry.accept(signed_at(1, said("z1-gw2", 2)), NOW).unwrap();
    assert!(!registry.is_spoken_for(&federation()), "that one does not speak of it");
    let mut newer = said("z1-gw3", 3);
    newer.superlinks = vec![superlink(1)];
    registry.accept(signed_at(2, newer), NOW).unwrap();
    assert!(registry.is_spoken_for(&federation()));
}

/// Offers a record of gateway z1-gw1 that was signed by a key of its own under `certificate`.
fn under(certificate: &GatewayCertificate, signer: u8, key: u8) -> Result<(), RecordRejected> {
    let certificate = SignedGatewayCertificate::sign(certificate, &identity(signer));
    let gateway = GatewayIdentity::from_seed(&[key; 32]);
    let record = record(1, 1, draft(1, 51821));
    let mut registry = registry(0, 3);
    registry.accept(SignedRecord::sign_as(&record, &gateway, certificate), NOW).map(|_| ())
}

fn certificate() -> GatewayCertificate {
    GatewayCertificate {
        gateway: id(1, "z1-gw1"),
        key: GatewayIdentity::from_seed(&[77; 32]).public_key(),
        tunnel_ips: vec![IpAddr::from([10, 255, 0, 1])],
    }
}

#[test]
fn a_gateway_without_its_zones_key_speaks_under_a_certificate_and_no_other_does() {
    let refused = Err(RecordRejected::BadSignature);
    assert_eq!(under(&certificate(), 1, 77), Ok(()));
    assert_eq!(under(&certificate(), 1, 78), refused, "another key");
    assert_eq!(under(&certificate(), 2, 77), refused, "certified by another zone");
    let of_another = GatewayCertificate { gateway: id(1, "z1-gw2"), ..certificate() };
    assert_eq!(under(&of_another, 1, 77), refused, "of another gateway");
    let of_another = GatewayCertificate { gateway: id(2, "z1-gw1"), ..certificate() };
    assert_eq!(under(&of_another, 1, 77), refused, "of another zone");
    let narrower = GatewayCertificate { tunnel_ips: Vec::new(), ..certificate() };
    assert_eq!(under(&narrower, 1, 77), refused, "without that tunnel address");
}

#[test]
fn the_zones_key_itself_signs_no_record_of_today() {
    let signed = signed_at(1, said("z1-gw1", 1));
    let payload = signed.payload().clone();
    let by_zone = [b"zonemesh gateway record v2\0", payload.as_ref()].concat();
    let forged = SignedRecord::from_parts(payload, &identity(1).sign(&by_zone)).unwrap();
    assert_eq!(registry(0, 3).accept(forged, NOW), Err(RecordRejected::BadSignature));
}

#[test]
fn a_record_names_no_other_gateway_than_its_writer() {
    let mut two = said("z1-gw1", 1);
    two.gateways.push(said("z1-gw2", 2).gateways.remove(0));
    let outcome = registry(0, 3).accept(signed_at(1, two), NOW);
    assert_eq!(outcome, Err(RecordRejected::Malformed));
}

#[test]
fn a_gateway_that_was_renamed_does_not_stand_beside_itself() {
    for order in [[0, 1], [1, 0]] {
        let mut registry = registry(0, 3);
        let all = [signed_at(1, said("z1-gw1", 1)), signed_at(2, said("rhine", 1))];
        for index in order {
            let index: usize = index;
            registry.accept(all[index].clone(), NOW).unwrap();
        }
        let names: Vec<_> =
            registry.in_force(&name(1)).map(|h| h.record.gateway.as_str()).collect();
        assert_eq!(names, ["rhine"]);
    }
}

#[test]
fn a_zone_has_so_many_records_and_the_oldest_goes() {
    let last = u8::try_from(MAX_ZONE_RECORDS).unwrap();
    let gateway = |number: u8| format!("gw{number}");
    let say = |registry: &mut Registry, number: u8| {
        registry.accept(signed_at(number.into(), said(&gateway(number), number)), NOW)
    };
    let mut registry = registry(0, 3);
    for number in 1..=last + 1 {
        say(&mut registry, number).unwrap();
    }
    assert_eq!(registry.of_zone(&name(1)).count(), MAX_ZONE_RECORDS);
    assert!(registry.get_gateway(&id(1, "gw1")).is_none());
    assert_eq!(say(&mut registry, 1), Err(RecordRejected::TooManyGateways));
    let newer = signed_at(100, said("gw1", 1));
    assert_eq!(registry.accept(newer, NOW), Ok(RecordAccepted::Stored(id(1, "gw1"))));
    assert!(registry.get_gateway(&id(1, "gw2")).is_none());
}

#[test]
fn another_gateway_of_this_zone_is_another_writer() {
    let pair = Member { tunnel_ips: Vec::new(), ..member(1) };
    let mut own = Registry::new(name(1), identity(1), vec![pair], 1).unwrap().named("z1-gw2");
    own.publish(said("z1-gw2", 2), NOW).unwrap();
    let outcome = own.accept(signed_at(1, said("z1-gw1", 1)), NOW);
    assert_eq!(outcome, Ok(RecordAccepted::Stored(id(1, "z1-gw1"))));
    assert_eq!(own.in_force(&name(1)).count(), 2);
    assert_eq!(own.own_record().unwrap().record.gateway, "z1-gw2");
    let later = own.publish(said("z1-gw2", 2), NOW).unwrap();
    assert!(!later.changed, "nothing of its own was surpassed");
}
