//! Who may take part in a federation: SuperNodes of zones whose grant lets them train, for as long as
//! the zone is in.

use zonemesh_core::membership::{FederationRight, GrantRequest, TrustItem};
use zonemesh_core::name::FederationName;
use zonemesh_core::record::{RecordContent, SignedRecord, Version, ZoneRecord, ZoneSuperNode};
use zonemesh_core::registry::Registry;

use crate::mesh::{NOW, by, granted, identity, name, request, revocation};
use crate::registry::content;

fn federation() -> FederationName {
    "health-eu".parse().unwrap()
}

fn node(key: u8, federation: &str) -> ZoneSuperNode {
    ZoneSuperNode {
        federation: federation.parse().unwrap(),
        public_key: vec![key; 91],
        ca: None,
        is_online: true,
        is_connecting: key.is_multiple_of(2),
    }
}

/// The zone says these SuperNodes, at one of its gateways.
fn says(registry: &mut Registry, zone: u8, seq: u64, nodes: Vec<ZoneSuperNode>) {
    let record = ZoneRecord {
        gateway: format!("{}-gw1", name(zone)),
        certificate: None,
        zone: name(zone),
        version: Version { incarnation: 1, seq },
        issued_at: NOW,
        content: RecordContent { supernodes: nodes, ..content(zone) },
    };
    registry.accept(SignedRecord::sign(&record, &identity(zone)), NOW).unwrap();
}

fn keys(registry: &Registry) -> Vec<u8> {
    let members = registry.members_of(&federation());
    members.iter().map(|member| member.public_key[0]).collect()
}

/// Zone 0 may all, 1 trains in the federation, 2 hosts it only, 3 trains in another one.
fn mesh() -> Registry {
    let mut membership = granted(0..1);
    let right = |federation: &str, host, train| FederationRight {
        federation: federation.parse().unwrap(),
        host,
        train,
    };
    for (zone, right) in [
        (1, right("health-eu", false, true)),
        (2, right("health-eu", true, false)),
        (3, right("weather-eu", false, true)),
    ] {
        let request = GrantRequest { federations: vec![right], ..request(zone) };
        let grant = TrustItem::Grant(membership.draft_grant(request, NOW).unwrap());
        membership.accept(by(membership.authority_set().1, &grant, &[0])).unwrap();
    }
    Registry::managed(name(0), identity(0), Vec::new(), membership, 1).unwrap()
}

#[test]
fn only_zones_whose_grant_lets_them_train_take_part_and_only_while_they_are_in() {
    let mut registry = mesh();
    for zone in 1..4 {
        let nodes = vec![node(10 * zone, "health-eu"), node(10 * zone + 1, "weather-eu")];
        says(&mut registry, zone, 1, nodes);
    }
    assert_eq!(keys(&registry), [10]);
    registry.set_blocked(&name(1), true);
    assert_eq!(keys(&registry), [0_u8; 0]);
    registry.set_blocked(&name(1), false);
    assert_eq!(keys(&registry), [10]);
    let revoked = revocation(registry.membership().unwrap(), 1, 1, 9);
    registry.accept_trust(vec![revoked]);
    assert_eq!(keys(&registry), [0_u8; 0]);
}

#[test]
fn a_supernode_that_leaves_its_zones_record_is_named_no_more() {
    let mut registry = mesh();
    says(&mut registry, 1, 1, vec![node(10, "health-eu"), node(12, "health-eu")]);
    assert_eq!(keys(&registry), [10, 12]);
    let members = registry.members_of(&federation());
    assert!(members.iter().all(|member| member.is_online && member.is_connecting));
    let away = ZoneSuperNode { is_online: false, ..node(12, "health-eu") };
    says(&mut registry, 1, 2, vec![away]);
    let members = registry.members_of(&federation());
    assert_eq!((members.len(), members[0].is_online, members[0].is_connecting), (1, false, false));
}
