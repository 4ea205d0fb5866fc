//! The protobuf form of a zone record, and the way from it to a valid record.
//!
//! Field numbers are for ever: signed records of older builds are kept and read. What this build
//! does not know is passed over and stays in the signed bytes, be it a field or a value of a list:
//! it never refuses the rest. Specification: the `prost` tags below.

use bytes::Bytes;
use prost::Message as _;

use super::certificate::WireSignedCertificate;
use super::text::TextProblem;
use super::{
    CaCertificate, CaSet, CaState, FlowerTransport, Gateway, KeyProof, Lane, ProtocolRange,
    Readiness, RecordContent, SuperLink, Version, ZoneRecord,
};
use crate::key::{KeyError, WireGuardPublicKey};
use crate::name::NameError;
use crate::time::UnixMillis;

use slots::{WireAdmittedNode, WireFurtherEndpoint, WireHeldCa, WireSuperNode, WireTransitOffer};

pub(crate) mod decode;
mod slots;

/// A field of a record that is not valid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("zone record, {field}")]
pub struct DecodeError {
    /// The field, for example `superlinks[0].addresses[1]`.
    pub field: String,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What can be wrong with a field.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    /// The bytes are no protobuf of the expected form.
    #[error("not a protobuf message of the expected form")]
    Protobuf(#[source] prost::DecodeError),
    /// A name that is none.
    #[error("not a valid name")]
    Name(#[source] NameError),
    /// A key that is none.
    #[error("not a valid key")]
    Key(#[source] KeyError),
    /// A text of another form.
    #[error("not a valid text")]
    Text(#[source] TextProblem),
    /// An address of neither family.
    #[error("an IP address has 4 or 16 bytes, this one has {0}")]
    AddressLength(usize),
    /// A prefix length beyond the family's.
    #[error("a prefix length of {0} is too long")]
    PrefixLength(u32),
    /// A prefix that is an address with a length.
    #[error("the prefix has bits set behind its length")]
    HostBits,
    /// Not a port.
    #[error("a port is 1 to 65535, this one is {0}")]
    Port(u32),
    /// A value that this build does not know, of a list where that cannot be passed over.
    #[error("unknown value {0}")]
    UnknownValue(i32),
    /// A signature of wrong length.
    #[error("a signature has 64 bytes, this one has {0}")]
    SignatureLength(usize),
    /// Another gateway's.
    #[error("a record names its writer and no other gateway")]
    OtherGateway,
    /// A hash of another kind.
    #[error("a hash has 32 bytes, this one has {0}")]
    HashLength(usize),
    /// A digest of a key of another kind.
    #[error("a digest of a key has 16 bytes, this one has {0}")]
    DigestLength(usize),
    /// Required and absent.
    #[error("missing")]
    Missing,
    /// More than others would follow.
    #[error("{found} of at most {most}")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// Stands twice where it may stand once.
    #[error("stands twice")]
    Duplicate,
    /// `min` above `max`.
    #[error("the lowest version is above the highest")]
    EmptyRange,
}

/// Reads a payload.
pub(super) fn decode(payload: &Bytes) -> Result<ZoneRecord, DecodeError> {
    let record = WireRecord::decode(payload.clone()).map_err(|source| DecodeError {
        field: "payload".to_owned(),
        problem: Problem::Protobuf(source),
    })?;
    ZoneRecord::try_from(record)
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireRecord {
    #[prost(string, tag = "1")]
    zone: String,
    #[prost(uint64, tag = "2")]
    incarnation: u64,
    #[prost(uint64, tag = "3")]
    seq: u64,
    #[prost(uint64, tag = "4")]
    issued_at_unix_ms: u64,
    #[prost(uint32, tag = "5")]
    protocol_min: u32,
    #[prost(uint32, tag = "6")]
    protocol_max: u32,
    #[prost(message, repeated, tag = "7")]
    gateways: Vec<WireGateway>,
    #[prost(message, repeated, tag = "8")]
    prefixes: Vec<WirePrefix>,
    #[prost(message, repeated, tag = "9")]
    superlinks: Vec<WireSuperLink>,
    #[prost(message, repeated, tag = "10")]
    ca_sets: Vec<WireCaSet>,
    /// Empty if it is not said.
    #[prost(string, tag = "11")]
    release: String,
    #[prost(message, optional, tag = "12")]
    transit: Option<WireTransitOffer>,
    #[prost(message, repeated, tag = "13")]
    supernodes: Vec<WireSuperNode>,
    /// The writer. Empty in a record of release 0.1.0.
    #[prost(string, tag = "14")]
    gateway: String,
    #[prost(message, optional, tag = "15")]
    certificate: Option<WireSignedCertificate>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WireGateway {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    wireguard_key: Vec<u8>,
    #[prost(string, repeated, tag = "3")]
    endpoints: Vec<String>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    tunnel_ips: Vec<Vec<u8>>,
    #[prost(uint32, tag = "5")]
    registry_port: u32,
    /// Empty if there is none.
    #[prost(bytes = "vec", tag = "6")]
    next_wireguard_key: Vec<u8>,
    #[prost(message, repeated, tag = "7")]
    lanes: Vec<WireLane>,
    #[prost(message, repeated, tag = "8")]
    proofs: Vec<WireKeyProof>,
    #[prost(message, repeated, tag = "9")]
    further_endpoints: Vec<WireFurtherEndpoint>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WireKeyProof {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WireLane {
    #[prost(bytes = "vec", tag = "1")]
    wireguard_key: Vec<u8>,
    /// Empty if there is none.
    #[prost(bytes = "vec", tag = "2")]
    next_wireguard_key: Vec<u8>,
    #[prost(uint32, tag = "3")]
    port_offset: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WirePrefix {
    #[prost(bytes = "vec", tag = "1")]
    address: Vec<u8>,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireSuperLink {
    #[prost(string, tag = "1")]
    federation: String,
    #[prost(bytes = "vec", repeated, tag = "2")]
    addresses: Vec<Vec<u8>>,
    #[prost(uint32, tag = "3")]
    fleet_port: u32,
    #[prost(uint32, tag = "4")]
    control_port: u32,
    #[prost(string, tag = "5")]
    flower_version: String,
    #[prost(int32, tag = "6")]
    transport: i32,
    #[prost(int32, tag = "7")]
    readiness: i32,
    #[prost(string, tag = "8")]
    tls_name: String,
    #[prost(sint64, tag = "9")]
    clock_offset_ms: i64,
    /// Empty if there is none.
    #[prost(string, tag = "10")]
    dns_name: String,
    #[prost(message, repeated, tag = "11")]
    cas: Vec<WireHeldCa>,
    /// That it admits by key only.
    #[prost(bool, tag = "12")]
    authenticates: bool,
    #[prost(message, repeated, tag = "13")]
    admitted: Vec<WireAdmittedNode>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireCaSet {
    #[prost(string, tag = "1")]
    federation: String,
    #[prost(message, repeated, tag = "2")]
    certificates: Vec<WireCaCertificate>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireCaCertificate {
    /// As release 0.1.0 wrote it: only ever read from this gateway's own disk.
    #[prost(string, tag = "1")]
    pem: String,
    #[prost(int32, tag = "2")]
    state: i32,
    #[prost(bytes = "bytes", tag = "3")]
    der: Bytes,
}

pub(crate) fn octets(address: std::net::IpAddr) -> Vec<u8> {
    match address {
        std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
        std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

impl From<&ZoneRecord> for WireRecord {
    fn from(record: &ZoneRecord) -> Self {
        let content = &record.content;
        let protocol = content.protocol;
        Self {
            zone: record.zone.to_string(),
            incarnation: record.version.incarnation,
            seq: record.version.seq,
            issued_at_unix_ms: record.issued_at.0,
            protocol_min: protocol.min,
            protocol_max: protocol.max,
            gateways: content.gateways.iter().map(WireGateway::from).collect(),
            prefixes: content.prefixes.iter().map(WirePrefix::from).collect(),
            superlinks: content.superlinks.iter().map(WireSuperLink::from).collect(),
            ca_sets: content.ca_sets.iter().map(WireCaSet::from).collect(),
            release: content.release.clone().unwrap_or_default(),
            transit: content.transit.as_ref().map(WireTransitOffer::from),
            supernodes: content.supernodes.iter().map(WireSuperNode::from).collect(),
            gateway: record.gateway.clone(),
            certificate: record.certificate.as_ref().map(WireSignedCertificate::from),
        }
    }
}

impl From<&ipnet::IpNet> for WirePrefix {
    fn from(net: &ipnet::IpNet) -> Self {
        Self { address: octets(net.addr()), length: u32::from(net.prefix_len()) }
    }
}

impl From<&Gateway> for WireGateway {
    fn from(gateway: &Gateway) -> Self {
        Self {
            name: gateway.name.clone(),
            wireguard_key: gateway.wireguard_key.0.to_vec(),
            endpoints: gateway.endpoints.clone(),
            tunnel_ips: gateway.tunnel_ips.iter().copied().map(octets).collect(),
            registry_port: u32::from(gateway.registry_port),
            next_wireguard_key: octets_of(gateway.next_wireguard_key),
            lanes: gateway.lanes.iter().map(WireLane::from).collect(),
            proofs: gateway.proofs.iter().map(WireKeyProof::from).collect(),
            further_endpoints: gateway
                .further_endpoints
                .iter()
                .map(WireFurtherEndpoint::from)
                .collect(),
        }
    }
}

impl From<&Lane> for WireLane {
    fn from(lane: &Lane) -> Self {
        Self {
            wireguard_key: lane.wireguard_key.0.to_vec(),
            next_wireguard_key: octets_of(lane.next_wireguard_key),
            port_offset: u32::from(lane.port_offset),
        }
    }
}

impl From<&KeyProof> for WireKeyProof {
    fn from(proof: &KeyProof) -> Self {
        Self { key: proof.key.0.to_vec(), signature: proof.signature.to_vec() }
    }
}

fn octets_of(key: Option<WireGuardPublicKey>) -> Vec<u8> {
    key.map_or(Vec::new(), |key| key.0.to_vec())
}

impl From<&SuperLink> for WireSuperLink {
    fn from(superlink: &SuperLink) -> Self {
        Self {
            federation: superlink.federation.to_string(),
            addresses: superlink.addresses.iter().copied().map(octets).collect(),
            fleet_port: u32::from(superlink.fleet_port),
            control_port: u32::from(superlink.control_port),
            flower_version: superlink.flower_version.clone(),
            transport: superlink.transport.number(),
            readiness: superlink.readiness.number(),
            tls_name: superlink.tls_name.clone(),
            clock_offset_ms: superlink.clock_offset_ms,
            dns_name: superlink.dns_name.clone().unwrap_or_default(),
            cas: superlink.cas.iter().map(WireHeldCa::from).collect(),
            authenticates: superlink.admitted.is_some(),
            admitted: superlink.admitted.iter().flatten().map(WireAdmittedNode::from).collect(),
        }
    }
}

impl From<&CaSet> for WireCaSet {
    fn from(set: &CaSet) -> Self {
        let certificate = |certificate: &CaCertificate| WireCaCertificate {
            pem: String::new(),
            state: certificate.state.number(),
            der: certificate.certificate.bytes().clone(),
        };
        Self {
            federation: set.federation.to_string(),
            certificates: set.certificates.iter().map(certificate).collect(),
        }
    }
}
