//! A registry in a managed mesh: members come and go with trust items, records with them.

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::member::Member;
use zonemesh_core::membership::{self, FederationRight, GrantRequest, TrustItem};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::FederationName;
use zonemesh_core::record::{
    FlowerTransport, ProtocolRange, Readiness, RecordContent, SignedRecord, SuperLink, Version,
    ZoneRecord,
};
use zonemesh_core::registry::{RecordAccepted, RecordRejected, Registry, Standing};
use zonemesh_core::replication::{ReplicationSession, StreamBody, StreamMessage};

use crate::change::{batch, draft, edit};
use crate::mesh::{
    NOW, by, careless, grant, granted, identity, mesh, mesh_of, name, owner, request, revocation,
};

pub(crate) fn content(zone: u8) -> RecordContent {
    RecordContent {
        gateways: Vec::new(),
        prefixes: request(zone).prefixes,
        superlinks: Vec::new(),
        ca_sets: Vec::new(),
        protocol: ProtocolRange::CURRENT,
        ..RecordContent::default()
    }
}

/// A record of zone `zone`, signed by the key of `key`.
fn signed(zone: u8, key: u8, seq: u64) -> SignedRecord {
    let version = Version { incarnation: 1, seq };
    let record = ZoneRecord {
        gateway: format!("{}-gw1", name(zone)),
        certificate: None,
        zone: name(zone),
        version,
        issued_at: NOW,
        content: content(zone),
    };
    SignedRecord::sign(&record, &identity(key))
}

fn registry(own: u8, zones: u8) -> Registry {
    let mut registry =
        Registry::managed(name(own), identity(own), Vec::new(), granted(0..zones), 1).unwrap();
    registry.poll_trust();
    registry
}

fn members(registry: &Registry) -> Vec<String> {
    registry.members().map(|member| member.zone.to_string()).collect()
}

#[test]
fn a_revoked_zone_is_gone_at_once_with_its_record_and_stays_out() {
    let mut registry = registry(0, 3);
    registry.accept(signed(1, 1, 1), NOW).unwrap();
    let item = revocation(registry.membership().unwrap(), 1, 1, 9);
    registry.accept_trust(vec![item.clone()]);
    let news = registry.poll_trust().unwrap();
    assert_eq!(news.stored, [item.id()]);
    assert_eq!(news.members.removed, [name(1)].into());
    assert_eq!(members(&registry), ["z0", "z2"]);
    assert!(registry.get(&name(1)).is_none());
    assert_eq!(registry.accept(signed(1, 1, 9), NOW), Err(RecordRejected::RevokedZone));
    registry.accept_trust(vec![item]);
    assert!(registry.poll_trust().is_none(), "known: nothing to do");
}

/// What `[[peer]]` still says of a zone whose revocation went with the set that it was made under.
#[test]
fn a_zone_that_was_put_out_is_no_member_by_the_configuration_whatever_set_is_followed() {
    let mut membership = mesh_of(2, 1);
    for zone in 0..3 {
        let item = grant(&membership, zone);
        membership.accept(item).unwrap();
    }
    let revocation = membership.draft_revocation(&name(1), "stolen", NOW).unwrap();
    let revoked = by(membership.authority_set().1, &TrustItem::Revocation(revocation), &[1]);
    membership.accept(revoked).unwrap();
    let GrantRequest { zone, zone_key: key, prefixes, tunnel_ips, .. } = request(1);
    let configured = vec![Member { zone, key, prefixes, tunnel_ips }];
    let mut registry =
        Registry::managed(name(0), identity(0), configured, membership.clone(), 1).unwrap();
    registry.poll_trust();
    assert_eq!(members(&registry), ["z0", "z2"]);
    let change = draft(&membership, &edit(&[], &[1], None));
    registry.accept_trust(batch(change, &[owner(0)]));
    registry.poll_trust();
    let now = registry.membership().unwrap();
    assert!(!now.is_revoked(&key), "the revocation went with the set");
    assert_eq!(members(&registry), ["z0", "z2"]);
}

#[test]
fn a_blocked_zone_is_no_member_here_yet_its_record_is_passed_on() {
    let mut registry = registry(0, 3);
    let before = registry.root_hash();
    let change = registry.set_blocked(&name(1), true);
    assert_eq!(change.removed, [name(1)].into());
    assert_eq!(
        registry.accept(signed(1, 1, 1), NOW),
        Ok(RecordAccepted::Stored(GatewayId::assumed(name(1))))
    );
    assert_ne!(registry.root_hash(), before);
    assert_eq!(members(&registry), ["z0", "z2"]);
    let change = registry.set_blocked(&name(1), false);
    assert_eq!(change.added, [name(1)].into());
}

#[test]
fn a_zone_with_a_new_key_keeps_its_old_record_until_the_new_key_speaks() {
    let mut registry = registry(0, 2);
    registry.accept(signed(1, 1, 50), NOW).unwrap();
    let mut rotated = request(1);
    rotated.zone_key = identity(7).public_key();
    let set = registry.membership().unwrap().authority_set().1.clone();
    let item = careless(&registry.mesh(), rotated, 9);
    registry.accept_trust(vec![by(&set, &item, &[0])]);
    assert_eq!(registry.poll_trust().unwrap().members.changed, [name(1)].into());
    assert_eq!(registry.get(&name(1)).unwrap().record.version.seq, 50);
    assert!(registry.version_vector().is_empty(), "but it is not passed on");
    assert_eq!(registry.accept(signed(1, 1, 51), NOW), Err(RecordRejected::BadSignature));
    registry.accept(signed(1, 7, 1), NOW).unwrap();
    assert_eq!(registry.get(&name(1)).unwrap().record.version.seq, 1);
    let old_key = revocation(registry.membership().unwrap(), 1, 1, 10);
    registry.accept_trust(vec![old_key]);
    assert!(registry.get(&name(1)).is_some(), "the new key is not revoked");
}

#[test]
fn what_an_old_key_said_goes_when_that_key_is_revoked() {
    let mut registry = registry(0, 2);
    registry.accept(signed(1, 1, 50), NOW).unwrap();
    let mut rotated = request(1);
    rotated.zone_key = identity(7).public_key();
    let set = registry.membership().unwrap().authority_set().1.clone();
    let grant = by(&set, &careless(&registry.mesh(), rotated, 9), &[0]);
    let revoked = revocation(registry.membership().unwrap(), 1, 1, 10);
    registry.accept_trust(vec![grant, revoked]);
    assert!(registry.get(&name(1)).is_none());
    assert_eq!(members(&registry), ["z0", "z1"]);
}

#[test]
fn a_record_outside_a_narrower_grant_says_no_more_than_where_its_gateway_is() {
    let mut registry = registry(0, 2);
    registry.accept(signed(1, 1, 1), NOW).unwrap();
    let mut narrower = request(1);
    narrower.prefixes = vec!["10.10.1.0/25".parse().unwrap()];
    let set = registry.membership().unwrap().authority_set().1.clone();
    registry.accept_trust(vec![by(&set, &careless(&registry.mesh(), narrower, 9), &[0])]);
    assert!(registry.get(&name(1)).is_some(), "or the zone could not say what it may");
    assert!(registry.version_vector().is_empty(), "nobody is told of it any more");
    assert_eq!(registry.accept(signed(1, 1, 2), NOW), Err(RecordRejected::ForeignPrefix));
}

#[test]
fn a_static_mesh_becomes_a_managed_one_zone_by_zone() {
    let member = |zone: u8| {
        let request = request(zone);
        let (prefixes, tunnel_ips) = (request.prefixes, request.tunnel_ips);
        Member { zone: request.zone, key: request.zone_key, prefixes, tunnel_ips }
    };
    let configured = vec![member(0), member(1), member(2)];
    let mut registry = Registry::new(name(0), identity(0), configured, 1).unwrap();
    registry.accept(signed(1, 1, 1), NOW).unwrap();
    assert_eq!(registry.mesh(), MeshId::static_peers());
    assert!(registry.manage(granted(0..1)).is_empty(), "nobody is cut off");
    assert_eq!(members(&registry), ["z0", "z1", "z2"]);
    let item = grant(registry.membership().unwrap(), 1);
    registry.accept_trust(vec![item]);
    assert!(registry.poll_trust().unwrap().members.is_empty());
    assert!(registry.get(&name(1)).is_some());
}

#[test]
fn a_configured_zone_cannot_take_what_another_was_granted() {
    let thief = Member {
        zone: name(9),
        key: identity(9).public_key(),
        prefixes: request(1).prefixes,
        tunnel_ips: Vec::new(),
    };
    let registry = Registry::managed(name(0), identity(0), vec![thief], granted(0..2), 1).unwrap();
    assert_eq!(members(&registry), ["z0", "z1"]);
}

#[test]
fn a_gateway_knows_what_its_own_zone_is() {
    let mut registry = registry(1, 1);
    assert_eq!(registry.standing(), Standing::Stranger);
    let item = grant(registry.membership().unwrap(), 1);
    registry.accept_trust(vec![item]);
    assert_eq!(registry.standing(), Standing::Member);
    let item = revocation(registry.membership().unwrap(), 1, 1, 9);
    registry.accept_trust(vec![item]);
    assert_eq!(registry.standing(), Standing::Revoked);
}

/// Delivers messages between two gateways until both are silent.
fn talk(
    registries: &mut [Registry; 2],
    ends: &mut [ReplicationSession; 2],
    mut queue: Vec<(usize, StreamMessage)>,
) {
    let mut delivered = 0;
    while !queue.is_empty() {
        let (to, message) = queue.remove(0);
        delivered += 1;
        assert!(delivered < 50, "they do not come to rest");
        let output = ends[to].handle(message, &mut registries[to], NOW).unwrap();
        assert_eq!(output.rejected, [], "trust items come first");
        let mut answers = Vec::new();
        if let Some(news) = registries[to].poll_trust() {
            answers.extend(ends[to].handle_trust(&news.stored, &registries[to], NOW));
        }
        answers.extend(output.messages);
        queue.extend(answers.into_iter().map(|answer| (1 - to, answer)));
    }
}

pub(crate) fn meet(registries: &mut [Registry; 2]) -> [ReplicationSession; 2] {
    let mut ends = [0, 1]
        .map(|i| ReplicationSession::new(registries[i].mesh(), registries[1 - i].zone().clone()));
    let hellos = [0, 1].map(|i| (1 - i, ends[i].open(&registries[i], NOW)));
    talk(registries, &mut ends, hellos.into());
    ends
}

#[test]
fn two_gateways_exchange_trust_items_before_the_records_that_need_them() {
    let mut registries = [registry(0, 5), registry(1, 2)];
    for zone in 2..5 {
        registries[0].accept(signed(zone, zone, 1), NOW).unwrap();
    }
    let revoked = revocation(registries[1].membership().unwrap(), 4, 4, 9);
    registries[1].accept_trust(vec![revoked]);
    registries[1].publish(content(1), NOW).unwrap();
    meet(&mut registries);
    let [one, other] = &registries;
    assert_eq!(one.trust_hash(), other.trust_hash());
    assert_eq!(one.root_hash(), other.root_hash());
    assert_eq!(members(other), ["z0", "z1", "z2", "z3"]);
    assert_eq!(other.records().count(), 3);
}

#[test]
fn a_new_grant_is_pushed_once_and_not_sent_back() {
    let mut registries = [registry(0, 2), registry(1, 2)];
    let mut ends = meet(&mut registries);
    let item = grant(registries[0].membership().unwrap(), 2);
    registries[0].accept_trust(vec![item]);
    let stored = registries[0].poll_trust().unwrap().stored;
    let push = ends[0].handle_trust(&stored, &registries[0], NOW);
    assert_eq!(push.len(), 1);
    assert!(ends[0].handle_trust(&stored, &registries[0], NOW).is_empty());
    let StreamBody::Trust(items) = &push[0].body else { panic!("{push:?}") };
    assert_eq!(items.len(), 1);
    let message = push.into_iter().next().unwrap();
    ends[1].handle(message, &mut registries[1], NOW).unwrap();
    let news = registries[1].poll_trust().unwrap();
    assert!(ends[1].handle_trust(&news.stored, &registries[1], NOW).is_empty());
    assert_eq!(members(&registries[1]), ["z0", "z1", "z2"]);
}

#[test]
fn a_gateway_that_is_not_managed_yet_takes_part_with_its_records() {
    let member = |zone: u8| {
        let request = request(zone);
        let (prefixes, tunnel_ips) = (request.prefixes, request.tunnel_ips);
        Member { zone: request.zone, key: request.zone_key, prefixes, tunnel_ips }
    };
    let fixed = vec![member(0), member(1)];
    let late = Registry::new(name(1), identity(1), fixed, 1).unwrap();
    let mut registries = [registry(0, 2), late];
    registries[0].publish(content(0), NOW).unwrap();
    registries[1].publish(content(1), NOW).unwrap();
    meet(&mut registries);
    assert_eq!(registries[0].root_hash(), registries[1].root_hash());
    assert_eq!(registries[0].records().count(), 2);
    assert_eq!(registries[1].trust_hash(), None);
}

#[test]
fn a_mesh_without_authorities_takes_no_trust_items() {
    let mut registry = registry(0, 1);
    let other = mesh();
    let revocation = revocation(&other, 0, 0, 1);
    let plain = Member {
        zone: name(0),
        key: identity(0).public_key(),
        prefixes: Vec::new(),
        tunnel_ips: Vec::new(),
    };
    let mut fixed = Registry::new(name(0), identity(0), vec![plain], 1).unwrap();
    let outcomes = fixed.accept_trust(vec![revocation]);
    assert_eq!(outcomes, [Err(membership::TrustRejected::Unmanaged)]);
    assert_eq!(fixed.poll_trust().unwrap().rejected, [membership::TrustRejected::Unmanaged]);
    let foreign =
        TrustItem::Grant(registry.membership().unwrap().draft_grant(request(5), NOW).unwrap());
    let forged = by(&crate::mesh::first_set(2, 1), &foreign, &[1]);
    registry.accept_trust(vec![forged]);
    assert_eq!(members(&registry), ["z0"]);
}

fn federation() -> FederationName {
    "health-eu".parse().unwrap()
}

/// The zone says that it runs the federation's SuperLink.
fn claim(zone: u8, registry: &mut Registry) {
    let mut content = content(zone);
    content.superlinks = vec![SuperLink {
        tls_name: federation().superlink_tls_name(),
        federation: federation(),
        addresses: vec![content.prefixes[0].hosts().next().unwrap()],
        fleet_port: 9092,
        control_port: 9093,
        flower_version: "1.25.0".to_owned(),
        transport: FlowerTransport::Grpc,
        readiness: Readiness::Ready,
        clock_offset_ms: 0,
        admitted: None,
        dns_name: None,
        cas: Vec::new(),
    }];
    let record = ZoneRecord {
        gateway: format!("{}-gw1", name(zone)),
        certificate: None,
        zone: name(zone),
        version: Version { incarnation: 1, seq: 1 },
        issued_at: NOW,
        content,
    };
    registry.accept(SignedRecord::sign(&record, &identity(zone)), NOW).unwrap();
}

#[test]
fn a_newcomer_cannot_take_a_federation_over_whatever_its_name() {
    // Zone 1 was granted after zone 2, though its name comes first.
    let mut membership = granted(2..3);
    let set = membership.authority_set().1.clone();
    let late = careless(membership.mesh(), request(1), 50);
    membership.accept(by(&set, &late, &[0])).unwrap();
    let own = careless(membership.mesh(), request(0), 60);
    membership.accept(by(&set, &own, &[0])).unwrap();
    let mut registry = Registry::managed(name(0), identity(0), Vec::new(), membership, 1).unwrap();
    claim(1, &mut registry);
    claim(2, &mut registry);
    let found = registry.find_superlink(&federation()).unwrap();
    assert_eq!((found.zone, found.conflict), (&name(2), true));
}

#[test]
fn a_zone_whose_grant_names_other_federations_is_not_believed_about_this_one() {
    let mut membership = granted(0..1);
    let right = |name: &str, host| FederationRight {
        federation: name.parse().unwrap(),
        host,
        train: !host,
    };
    let rights = [right("weather-eu", true), right("health-eu", false)];
    for (zone, federations) in [(1, rights.to_vec()), (2, vec![right("health-eu", true)])] {
        let request = GrantRequest { federations, ..request(zone) };
        let grant = TrustItem::Grant(membership.draft_grant(request, NOW).unwrap());
        membership.accept(by(membership.authority_set().1, &grant, &[0])).unwrap();
    }
    let mut registry = Registry::managed(name(0), identity(0), Vec::new(), membership, 1).unwrap();
    let may = |zone| {
        let (zone, registry) = (name(zone), &registry);
        (registry.may_host(&zone, &federation()), registry.may_train(&zone, &federation()))
    };
    assert_eq!([0, 1, 2].map(may), [(true, true), (false, true), (true, false)]);
    claim(1, &mut registry);
    assert!(registry.find_superlink(&federation()).is_none());
    claim(2, &mut registry);
    let found = registry.find_superlink(&federation()).unwrap();
    assert_eq!((found.zone, found.conflict), (&name(2), false));
}
