//! Zones to test with: zone `i` is named `z<i>`, has prefix 10.10.<i>.0/24 and tunnel IP
//! 10.255.0.<i>.

use std::net::IpAddr;

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey, ZoneIdentity};
use zonemesh_core::member::Member;
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::record::{
    FlowerTransport, Gateway, KeyProof, Lane, ProtocolRange, Readiness, RecordContent,
    SignedRecord, SuperLink, Version, ZoneRecord,
};
use zonemesh_core::registry::Registry;
use zonemesh_core::time::UnixMillis;

pub(crate) const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

pub(crate) fn name(zone: u8) -> ZoneName {
    format!("z{zone}").parse().unwrap()
}

/// The only gateway of a zone.
pub(crate) fn gateway(zone: u8) -> GatewayId {
    GatewayId::assumed(name(zone))
}

pub(crate) fn identity(zone: u8) -> ZoneIdentity {
    ZoneIdentity::from_seed(&[zone + 1; 32])
}

pub(crate) fn member(zone: u8) -> Member {
    Member {
        zone: name(zone),
        key: identity(zone).public_key(),
        prefixes: vec![format!("10.10.{zone}.0/24").parse().unwrap()],
        tunnel_ips: vec![IpAddr::from([10, 255, 0, zone])],
    }
}

pub(crate) fn members(count: u8) -> Vec<Member> {
    (0..count).map(member).collect()
}

/// The empty registry of zone `own` in a mesh of `count` zones.
pub(crate) fn registry(own: u8, count: u8) -> Registry {
    Registry::new(name(own), identity(own), members(count), 1).unwrap()
}

pub(crate) fn federation() -> FederationName {
    "health-eu".parse().unwrap()
}

pub(crate) fn superlink(zone: u8) -> SuperLink {
    SuperLink {
        federation: federation(),
        addresses: vec![IpAddr::from([10, 10, zone, 5])],
        fleet_port: 9092,
        control_port: 9093,
        flower_version: "1.25.0".to_owned(),
        transport: FlowerTransport::Grpc,
        readiness: Readiness::Ready,
        tls_name: federation().superlink_tls_name(),
        clock_offset_ms: -3,
        admitted: None,
        dns_name: None,
        cas: Vec::new(),
    }
}

/// What zone `zone` may say; `port` tells apart one content from another.
pub(crate) fn draft(zone: u8, port: u16) -> RecordContent {
    RecordContent {
        gateways: vec![Gateway {
            name: format!("z{zone}-gw1"),
            wireguard_key: WireGuardPublicKey([zone; 32]),
            next_wireguard_key: None,
            lanes: vec![Lane {
                wireguard_key: WireGuardPublicKey([zone ^ 0x80; 32]),
                next_wireguard_key: None,
                port_offset: 11,
            }],
            proofs: Vec::new(),
            further_endpoints: Vec::new(),
            endpoints: vec![format!("203.0.113.{zone}:51820"), "[2001:db8::1]:1".to_owned()],
            tunnel_ips: vec![IpAddr::from([10, 255, 0, zone])],
            registry_port: port,
        }],
        prefixes: vec![format!("10.10.{zone}.0/24").parse().unwrap()],
        superlinks: Vec::new(),
        ca_sets: Vec::new(),
        protocol: ProtocolRange::CURRENT,
        ..RecordContent::default()
    }
}

/// The WireGuard key of that number.
pub(crate) fn wireguard(number: u8) -> WireGuardPrivateKey {
    WireGuardPrivateKey::from_bytes([number; 32])
}

/// What proves that zone `zone` has the WireGuard key of that number.
pub(crate) fn proof(zone: u8, number: u8) -> KeyProof {
    KeyProof::make(&wireguard(number), &identity(zone).public_key(), &format!("z{zone}-gw1"))
}

/// A record of the gateway that `content` names.
pub(crate) fn record(zone: u8, seq: u64, content: RecordContent) -> ZoneRecord {
    let named = content.gateways.first().map(|gateway| gateway.name.clone());
    ZoneRecord {
        zone: name(zone),
        gateway: named.unwrap_or_else(|| gateway(zone).gateway),
        version: Version { incarnation: 1, seq },
        issued_at: NOW,
        content,
        certificate: None,
    }
}

/// A record that zone `zone` has rightly signed.
pub(crate) fn signed(zone: u8, seq: u64, port: u16) -> SignedRecord {
    SignedRecord::sign(&record(zone, seq, draft(zone, port)), &identity(zone))
}

pub(crate) fn count(registry: &Registry, reason: zonemesh_core::registry::RecordRejected) -> u64 {
    let mut counts = registry.counters().rejected();
    counts.find(|(other, _)| *other == reason).unwrap().1
}
