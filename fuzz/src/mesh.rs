//! Zones, authorities and records to fuzz with: zone `i` is named `z<i>`, has prefix 10.10.<i>.0/24
//! and tunnel IP 10.255.0.<i>.

use std::net::IpAddr;

use zonemesh_core::key::{WireGuardPublicKey, ZoneIdentity};
use zonemesh_core::member::Member;
use zonemesh_core::membership::{
    AuthorityIdentity, GrantRequest, Membership, SignedTrustItem, TrustItem, sign,
};
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::{
    CaCertificate, CaSet, CaState, CertificateDer, FlowerTransport, Gateway, ProtocolRange,
    Readiness, RecordContent, SuperLink,
};
use zonemesh_core::registry::Registry;
use zonemesh_core::time::UnixMillis;

/// The time of every input.
pub const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

/// The name of a zone.
#[must_use]
pub fn name(zone: u8) -> ZoneName {
    format!("z{zone}").parse().expect("a zone name")
}

/// The key of a zone.
#[must_use]
pub fn identity(zone: u8) -> ZoneIdentity {
    ZoneIdentity::from_seed(&[zone + 1; 32])
}

/// The only authority of the managed mesh.
#[must_use]
pub fn authority() -> AuthorityIdentity {
    AuthorityIdentity::from_seed(&[100; 32])
}

/// The registry of zone 0 in a mesh of three zones, which has published.
#[must_use]
pub fn registry(own: u8) -> Registry {
    let member = |zone| Member {
        zone: name(zone),
        key: identity(zone).public_key(),
        prefixes: vec![format!("10.10.{zone}.0/24").parse().expect("a prefix")],
        tunnel_ips: vec![IpAddr::from([10, 255, 0, zone])],
    };
    let members = (0..3).map(member).collect();
    let mut registry =
        Registry::new(name(own), identity(own), members, 1).expect("a mesh without contradictions");
    registry.publish(draft(own), NOW).expect("the first record");
    registry
}

/// What a zone says.
#[must_use]
pub fn draft(zone: u8) -> RecordContent {
    RecordContent {
        gateways: vec![Gateway {
            name: format!("z{zone}-gw1"),
            wireguard_key: WireGuardPublicKey([zone; 32]),
            next_wireguard_key: None,
            lanes: Vec::new(),
            proofs: Vec::new(),
            further_endpoints: Vec::new(),
            endpoints: vec![format!("203.0.113.{zone}:51820"), "[2001:db8::1]:1".to_owned()],
            tunnel_ips: vec![IpAddr::from([10, 255, 0, zone])],
            registry_port: 51_821,
        }],
        prefixes: vec![format!("10.10.{zone}.0/24").parse().expect("a prefix")],
        superlinks: vec![superlink(zone)],
        ca_sets: vec![CaSet {
            federation: "health-eu".parse().expect("a federation name"),
            certificates: vec![CaCertificate {
                certificate: CertificateDer::new(vec![0x30, 3, 2, 1, 0].into())
                    .expect("a certificate"),
                state: CaState::Active,
            }],
        }],
        protocol: ProtocolRange::CURRENT,
        ..RecordContent::default()
    }
}

fn superlink(zone: u8) -> SuperLink {
    let federation: zonemesh_core::name::FederationName =
        "health-eu".parse().expect("a federation name");
    SuperLink {
        addresses: vec![IpAddr::from([10, 10, zone, 5])],
        fleet_port: 9092,
        control_port: 9093,
        flower_version: "1.25.0".to_owned(),
        transport: FlowerTransport::Grpc,
        readiness: Readiness::Ready,
        tls_name: federation.superlink_tls_name(),
        clock_offset_ms: -3,
        admitted: None,
        dns_name: None,
        cas: Vec::new(),
        federation,
    }
}

/// A managed mesh of [`authority`], with zone 1 as its member.
#[must_use]
pub fn membership() -> Membership {
    let keys = std::collections::BTreeSet::from([authority().public_key()]);
    let set = Membership::draft_first(keys.clone(), keys, 1, NOW).expect("a first set");
    let item = sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&authority()]);
    let mut membership = Membership::new(item).expect("its own authority signed it");
    let granted = grant(&membership, 1);
    membership.accept(granted).expect("a grant without contradictions");
    membership
}

/// A grant that the authority would write.
#[must_use]
pub fn grant(membership: &Membership, zone: u8) -> SignedTrustItem {
    let request = GrantRequest {
        zone: name(zone),
        zone_key: identity(zone).public_key(),
        prefixes: vec![format!("10.10.{zone}.0/24").parse().expect("a prefix")],
        tunnel_ips: vec![IpAddr::from([10, 255, 0, zone])],
        federations: Vec::new(),
    };
    let grant = membership.draft_grant(request, NOW).expect("nothing overlaps");
    sign(membership.authority_set().1, &TrustItem::Grant(grant), &[&authority()])
}
