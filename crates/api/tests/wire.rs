//! What goes over the wire comes back the same; what is not valid comes back with a field's name.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use prost::Message as _;
use zonemesh_api::v1;
use zonemesh_api::wire::local::{AnsweringGateway, FederationAnswer, TrustedCa, federation_view};
use zonemesh_api::wire::{admin, mesh};
use zonemesh_core::invitation::{
    ChannelBinding, Invitation, InvitationId, InvitationSecret, Inviter, Redemption,
};
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::member::Member;
use zonemesh_core::membership::{
    AuthorityIdentity, AuthoritySet, Membership, SignedTrustItem, TrustItem, sign,
};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::record::{
    CaCertificate, CaSet, CaState, CertificateDer, FlowerTransport, ProtocolRange, Readiness,
    RecordContent, SuperLink,
};
use zonemesh_core::registry::Registry;
use zonemesh_core::replication::{
    DropCount, HeldTrust, HeldVersions, MAX_DROP_REASONS, RegistryDigest, ReplicationSession,
    StreamBody, StreamMessage, TunnelCounters,
};
use zonemesh_core::time::UnixMillis;

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

/// As short as can be: a SEQUENCE of one number, of which each letter has its own.
fn pem(letter: &str) -> String {
    let number = usize::from(letter.as_bytes()[0] % 16);
    let last = char::from(b"AEIMQUYcgkosw048"[number]);
    format!("-----BEGIN CERTIFICATE-----\nMAMCAQ{last}=\n-----END CERTIFICATE-----\n")
}

fn federation() -> FederationName {
    "health-eu".parse().unwrap()
}

fn draft() -> RecordContent {
    let certificate = |letter, state| CaCertificate {
        certificate: CertificateDer::from_pem(&pem(letter)).unwrap(),
        state,
    };
    RecordContent {
        gateways: Vec::new(),
        prefixes: vec!["10.10.10.0/24".parse().unwrap()],
        superlinks: vec![SuperLink {
            federation: federation(),
            addresses: vec!["10.10.10.5".parse().unwrap()],
            fleet_port: 9092,
            control_port: 9093,
            flower_version: "1.25.0".to_owned(),
            transport: FlowerTransport::Grpc,
            readiness: Readiness::Ready,
            tls_name: federation().superlink_tls_name(),
            clock_offset_ms: -20,
            admitted: None,
            dns_name: None,
            cas: Vec::new(),
        }],
        ca_sets: vec![CaSet {
            federation: federation(),
            certificates: vec![
                certificate("R", CaState::Retiring),
                certificate("N", CaState::Next),
                certificate("A", CaState::Active),
            ],
        }],
        protocol: ProtocolRange::CURRENT,
        ..RecordContent::default()
    }
}

fn registry() -> Registry {
    let berlin: ZoneName = "berlin".parse().unwrap();
    let identity = ZoneIdentity::from_seed(&[1; 32]);
    let member = Member {
        zone: berlin.clone(),
        key: identity.public_key(),
        prefixes: vec!["10.10.10.0/24".parse().unwrap()],
        tunnel_ips: Vec::new(),
    };
    let mut registry = Registry::new(berlin, identity, vec![member], 7).unwrap();
    registry.publish(draft(), NOW).unwrap();
    registry
}

fn first_set() -> AuthoritySet {
    let keys = std::collections::BTreeSet::from([authority().public_key()]);
    Membership::draft_first(keys.clone(), keys, 1, NOW).unwrap()
}

fn authority() -> AuthorityIdentity {
    AuthorityIdentity::from_seed(&[3; 32])
}

fn trust_item() -> SignedTrustItem {
    let set = first_set();
    sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&authority()])
}

/// All kinds of messages that a session sends.
fn messages() -> Vec<StreamMessage> {
    let registry = registry();
    let held = registry.records().next().unwrap();
    let madrid = "madrid".parse().unwrap();
    let mut session = ReplicationSession::new(MeshId::static_peers(), madrid);
    let hello = session.open(&registry, NOW);
    let clock = hello.clock;
    let say = |body| StreamMessage { clock, body };
    let versions = HeldVersions { records: registry.version_vector(), trust: None };
    vec![
        hello,
        say(StreamBody::Versions(versions.clone())),
        say(StreamBody::Items(vec![held.signed.clone()])),
        say(StreamBody::Versions(HeldVersions {
            trust: Some(HeldTrust::whole([trust_item().id()].into())),
            ..versions.clone()
        })),
        say(StreamBody::TrustIds(HeldTrust::whole([trust_item().id()].into()))),
        say(StreamBody::Trust(vec![trust_item()])),
        say(StreamBody::Digest(RegistryDigest { root_hash: [1; 32], trust_hash: Some([2; 32]) })),
        say(StreamBody::Digest(RegistryDigest {
            root_hash: registry.root_hash(),
            trust_hash: None,
        })),
        say(StreamBody::CountersQuestion),
        say(StreamBody::Counters(TunnelCounters::default())),
        say(StreamBody::Counters(counters(MAX_DROP_REASONS))),
    ]
}

/// What a gateway has counted, with so many reasons for what it has dropped.
fn counters(reasons: usize) -> TunnelCounters {
    let dropped = |n: usize| DropCount { reason: format!("reason_{n}"), count: n as u64 };
    TunnelCounters {
        rx_bytes: 1,
        tx_bytes: u64::MAX,
        latest_handshake: Some(NOW),
        unanswered_initiations: 2,
        dropped: (0..reasons).map(dropped).collect(),
    }
}

#[test]
fn of_the_reasons_that_a_neighbour_tells_so_many_are_read_and_no_endless_names() {
    let mut told = v1::TunnelCounters {
        dropped: vec![v1::DropCount { reason: "x".repeat(5000), count: 1 }; 500],
        ..v1::TunnelCounters::default()
    };
    let clock = Some(v1::Clock::default());
    let mut read = || {
        let kind = v1::registry_message::Kind::Counters(std::mem::take(&mut told));
        let message = v1::RegistryMessage { clock, kind: Some(kind) };
        StreamMessage::try_from(message).unwrap().body
    };
    let StreamBody::Counters(counters) = read() else { panic!("counters") };
    assert_eq!(counters.dropped.len(), MAX_DROP_REASONS);
    assert!(counters.dropped.iter().all(|one| one.reason.len() == 64));
    assert_eq!(read(), StreamBody::Counters(TunnelCounters::default()));
}

#[test]
fn each_registry_message_comes_back_as_it_was_sent() {
    for message in messages() {
        let bytes = v1::RegistryMessage::from(message.clone()).encode_to_vec();
        let wire = v1::RegistryMessage::decode(bytes.as_slice()).unwrap();
        assert_eq!(StreamMessage::try_from(wire).unwrap(), message);
    }
}

#[test]
fn a_cut_hash_and_a_bad_zone_are_named() {
    let clock = Some(v1::Clock::default());
    let say = |kind| v1::RegistryMessage { clock, kind };
    let field = |kind| StreamMessage::try_from(say(kind)).unwrap_err().field;
    use v1::registry_message::Kind;
    let root_hash = vec![0; 31];
    assert_eq!(
        field(Some(Kind::Digest(v1::Digest { root_hash, ..Default::default() }))),
        "digest.root_hash"
    );
    let item = |zone: &str| v1::ItemVersion {
        zone: zone.to_owned(),
        gateway: "gw1".to_owned(),
        ..Default::default()
    };
    let items = vec![item("berlin"), item("../etc")];
    assert_eq!(
        field(Some(Kind::Versions(v1::Versions { items, trust: None }))),
        "versions.items[1].zone"
    );
    let other = v1::ItemVersion { gateway: "../gw1".to_owned(), ..item("berlin") };
    for items in [vec![item("berlin"), item("berlin")], vec![item("berlin"), other]] {
        assert_eq!(
            field(Some(Kind::Versions(v1::Versions { items, trust: None }))),
            "versions.items[1].gateway"
        );
    }
    let items = vec![v1::SignedItem::default()];
    assert_eq!(field(Some(Kind::Items(v1::Items { items }))), "items.items[0].signature");
    let without_clock = v1::RegistryMessage::default();
    assert_eq!(StreamMessage::try_from(without_clock).unwrap_err().field, "clock");
}

#[test]
fn a_companion_reads_what_the_registry_knows() {
    let registry = registry();
    let seen = AnsweringGateway {
        now: NOW,
        revision: 3,
        zone_reachable: true,
        superlink_gateway_offset_ms: Some(120),
        asks_about: None,
    };
    let view = federation_view(&federation(), registry.find_superlink(&federation()), seen);
    let superlink = FederationAnswer::try_from(view).unwrap().superlink.unwrap();
    assert_eq!(superlink.zone.as_str(), "berlin");
    assert_eq!((superlink.fleet_port, superlink.control_port), (9092, 9093));
    let order = [("A", CaState::Active), ("N", CaState::Next), ("R", CaState::Retiring)];
    let cas = order.map(|(letter, state)| TrustedCa { pem: pem(letter), state });
    assert_eq!(superlink.cas, cas);
    assert_eq!(superlink.ca_pems(), ["A", "N", "R"].map(pem));
    assert_eq!(superlink.clock_offset_ms, Some(100));
    let unknown = "other".parse().unwrap();
    let view = federation_view(&unknown, registry.find_superlink(&unknown), seen);
    assert_eq!(FederationAnswer::try_from(view).unwrap().superlink, None);
}

#[test]
fn an_answer_that_cannot_be_used_is_refused_with_its_field() {
    let registry = registry();
    let seen = AnsweringGateway {
        now: NOW,
        revision: 3,
        zone_reachable: true,
        superlink_gateway_offset_ms: None,
        asks_about: None,
    };
    let good = federation_view(&federation(), registry.find_superlink(&federation()), seen);
    let refused = |change: &dyn Fn(&mut v1::FederationView)| {
        let mut view = good.clone();
        change(&mut view);
        FederationAnswer::try_from(view).unwrap_err().to_line()
    };
    assert_eq!(refused(&|v| v.addresses.clear()), "field addresses: missing");
    let none = refused(&|v| v.addresses[0] = "x".into());
    assert!(none.starts_with("field addresses[0]: \"x\" is no IP address"), "{none}");
    for port in [0, 70_000] {
        let said = format!("field fleet_port: a port is 1 to 65535, this one is {port}");
        assert_eq!(refused(&|v| v.fleet_port = port), said);
    }
    assert_eq!(refused(&|v| v.readiness = 0), "field readiness: missing");
    assert_eq!(refused(&|v| v.transport = 0), "field transport: missing");
}

#[test]
fn a_companion_passes_over_what_a_later_gateway_adds() {
    let registry = registry();
    let seen = AnsweringGateway {
        now: NOW,
        revision: 3,
        zone_reachable: true,
        superlink_gateway_offset_ms: None,
        asks_about: None,
    };
    let mut view = federation_view(&federation(), registry.find_superlink(&federation()), seen);
    (view.readiness, view.transport) = (9, 7);
    view.cas[1].state = 9;
    let mut bytes = view.encode_to_vec();
    // Field 4000, three bytes.
    bytes.extend([0x82, 0xfa, 0x01, 3, 1, 2, 3]);
    let view = v1::FederationView::decode(bytes.as_slice()).unwrap();
    let superlink = FederationAnswer::try_from(view).unwrap().superlink.unwrap();
    assert_eq!(superlink.addresses, ["10.10.10.5".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(superlink.readiness, Readiness::Other(9));
    assert_eq!(superlink.transport, FlowerTransport::Other(7));
    assert_eq!(superlink.ca_pems(), ["A", "R"].map(pem), "nobody knows whether to trust the other");
}

#[test]
fn a_message_or_trust_item_of_a_later_kind_is_passed_over() {
    let clock = Some(v1::Clock::default());
    let later = v1::RegistryMessage { clock, kind: None };
    assert_eq!(StreamMessage::try_from(later).unwrap().body, StreamBody::Unknown);
    let known = v1::TrustItem::from(&trust_item());
    let items = vec![v1::TrustItem { kind: 77, ..known.clone() }, known];
    let kind = Some(v1::registry_message::Kind::Trust(v1::TrustItems { items }));
    let read = StreamMessage::try_from(v1::RegistryMessage { clock, kind }).unwrap();
    assert_eq!(read.body, StreamBody::Trust(vec![trust_item()]));
}

#[test]
fn engineers_see_records_and_superlinks() {
    let registry = registry();
    let records = admin::records(&registry);
    let record = &records.records[0];
    assert_eq!((record.incarnation, record.seq, record.own), (7, 1, true));
    assert!(records.missing.is_empty());
    let superlinks = admin::superlinks(&registry, |_pem| "sha256:00".to_owned()).superlinks;
    assert_eq!(superlinks[0].federation, "health-eu");
    assert_eq!(superlinks[0].cas[2].state, "active");
    assert!(!superlinks[0].shadowed);
    let federations = admin::federations(&registry, |name| name == "health-eu");
    assert!(federations[0].held_here);
}

#[test]
fn a_trust_item_without_a_kind_or_with_a_cut_signature_is_named() {
    let mut item = v1::TrustItem::from(&trust_item());
    assert_eq!(SignedTrustItem::try_from(item.clone()).unwrap(), trust_item());
    item.signatures[0].signature.pop();
    let error = SignedTrustItem::try_from(item.clone()).unwrap_err();
    assert_eq!(error.field, "signatures[0].signature");
    item.kind = 0;
    assert_eq!(SignedTrustItem::try_from(item).unwrap_err().field, "kind");
}

#[test]
fn a_request_to_redeem_comes_back_as_it_was_sent() {
    let invitation = Invitation {
        id: InvitationId([1; 16]),
        mesh: Membership::new(trust_item()).unwrap().mesh().clone(),
        authority_set: [0; 32],
        inviter: Inviter {
            zone: "berlin".parse().unwrap(),
            zone_key: Some(ZoneIdentity::from_seed(&[1; 32]).public_key()),
            join_endpoints: Vec::new(),
            gateways: Vec::new(),
            prefixes: Vec::new(),
        },
        zone: "madrid".parse().unwrap(),
        prefixes: Vec::new(),
        tunnel_ips: Vec::new(),
        expires_at: NOW,
        federations: Vec::new(),
        tokens: Vec::new(),
        secret: InvitationSecret::from_bytes([2; 16]),
        read_from: None,
    };
    let record = registry().get(&"berlin".parse().unwrap()).unwrap().signed.clone();
    let joiner = ZoneIdentity::from_seed(&[5; 32]);
    let asked = invitation.redemption(&joiner, record, &ChannelBinding([3; 32]));
    let request = v1::RedeemRequest::from(asked.clone());
    assert_eq!(Redemption::try_from(request.clone()).unwrap(), asked);
    let refused = |change: fn(&mut v1::RedeemRequest)| {
        let mut changed = request.clone();
        change(&mut changed);
        Redemption::try_from(changed).unwrap_err().field
    };
    assert_eq!(refused(|request| request.proof.truncate(31)), "proof");
    assert_eq!(refused(|request| request.signature.truncate(63)), "signature");
    assert_eq!(refused(|request| request.record = None), "record");
    assert_eq!(refused(|request| request.record = Some(v1::SignedItem::default())), "record");
}

#[test]
fn engineers_see_zones_authorities_and_counters() {
    let mut registry = registry();
    assert_eq!(mesh::zones(&registry).mesh, "static");
    registry.manage(Membership::new(trust_item()).unwrap());
    registry.accept_trust(vec![trust_item()]);
    registry.set_blocked(&"berlin".parse().unwrap(), true);
    let reply = mesh::zones(&registry);
    assert_eq!(reply.authority_keys, [authority().public_key().to_string()]);
    assert_eq!(reply.zones[0].state(), v1::ZoneState::Blocked);
    assert!(reply.zones[0].own);
    assert!(reply.accepted.iter().any(|c| c.name == "known" && c.count == 1));
}
