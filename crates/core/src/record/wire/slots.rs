//! The protobuf form of a record's optional parts (`record::slots`).
//!
//! Promises as its parent: what this build does not know is passed over. An endpoint of an unknown
//! kind and a CA in an unknown state are left out, all else of their list stays.

use super::super::slots::{
    CertificateHash, EndpointKind, FurtherEndpoint, HeldCa, MAX_SUPERNODE_KEY, MAX_TRANSIT_ZONES,
    TransitOffer, ZoneSuperNode,
};
use super::Problem;
use super::decode::{Result, at_most, bad, endpoint, name};
use crate::record::{Admission, AdmissionState, AdmittedNode, CaState};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WireFurtherEndpoint {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    endpoint: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireTransitOffer {
    #[prost(string, repeated, tag = "1")]
    zones: Vec<String>,
    #[prost(uint64, tag = "2")]
    bytes_per_second: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireHeldCa {
    #[prost(bytes = "vec", tag = "1")]
    certificate: Vec<u8>,
    #[prost(int32, tag = "2")]
    state: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireSuperNode {
    #[prost(string, tag = "1")]
    federation: String,
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    /// Empty if it is not known.
    #[prost(bytes = "vec", tag = "3")]
    ca: Vec<u8>,
    #[prost(bool, tag = "4")]
    is_online: bool,
    #[prost(bool, tag = "5")]
    is_connecting: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireAdmittedNode {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(int32, tag = "2")]
    state: i32,
    #[prost(fixed64, tag = "3")]
    node_id: u64,
    #[prost(uint64, tag = "4")]
    online_since: u64,
}

impl From<&FurtherEndpoint> for WireFurtherEndpoint {
    fn from(further: &FurtherEndpoint) -> Self {
        let kind = match further.kind {
            EndpointKind::Udp => 1,
            EndpointKind::Udp443 => 2,
            EndpointKind::Tcp443 => 3,
            EndpointKind::Observed => 4,
        };
        Self { kind, endpoint: further.endpoint.clone() }
    }
}

impl From<&TransitOffer> for WireTransitOffer {
    fn from(offer: &TransitOffer) -> Self {
        let zones = offer.zones.iter().map(ToString::to_string).collect();
        Self { zones, bytes_per_second: offer.bytes_per_second }
    }
}

impl From<&HeldCa> for WireHeldCa {
    fn from(held: &HeldCa) -> Self {
        Self { certificate: held.certificate.to_vec(), state: held.state.number() }
    }
}

impl From<&ZoneSuperNode> for WireSuperNode {
    fn from(node: &ZoneSuperNode) -> Self {
        Self {
            federation: node.federation.to_string(),
            public_key: node.public_key.clone(),
            ca: node.ca.map_or(Vec::new(), Vec::from),
            is_online: node.is_online,
            is_connecting: node.is_connecting,
        }
    }
}

impl From<&AdmittedNode> for WireAdmittedNode {
    fn from(node: &AdmittedNode) -> Self {
        let Admission { state, node_id, online_since } = node.admission;
        Self { key: node.key.to_vec(), state: state.number(), node_id, online_since }
    }
}

/// None of a kind that this build does not know.
pub(super) fn further_endpoint(wire: WireFurtherEndpoint) -> Result<Option<FurtherEndpoint>> {
    let kind = match wire.kind {
        1 => EndpointKind::Udp,
        2 => EndpointKind::Udp443,
        3 => EndpointKind::Tcp443,
        4 => EndpointKind::Observed,
        _ => return Ok(None),
    };
    Ok(Some(FurtherEndpoint { kind, endpoint: endpoint(wire.endpoint)? }))
}

pub(super) fn transit(wire: WireTransitOffer) -> Result<TransitOffer> {
    let zone = |text: String| name("", &text);
    Ok(TransitOffer {
        zones: at_most(MAX_TRANSIT_ZONES, "transit.zones", wire.zones, zone)?,
        bytes_per_second: wire.bytes_per_second,
    })
}

fn certificate_hash(field: &str, bytes: &[u8]) -> Result<CertificateHash> {
    bytes.try_into().map_err(|_wrong_length| bad(field, Problem::HashLength(bytes.len())))
}

/// None in a state that this build does not know.
pub(super) fn held_ca(wire: WireHeldCa) -> Result<Option<HeldCa>> {
    let certificate = certificate_hash("certificate", &wire.certificate)?;
    Ok(CaState::of(wire.state).map(|state| HeldCa { certificate, state }))
}

pub(super) fn supernode(wire: WireSuperNode) -> Result<ZoneSuperNode> {
    let (found, most) = (wire.public_key.len(), MAX_SUPERNODE_KEY);
    if found > most {
        return Err(bad("public_key", Problem::TooMany { found, most }));
    }
    if found == 0 {
        return Err(bad("public_key", Problem::Missing));
    }
    let ca = (!wire.ca.is_empty()).then(|| certificate_hash("ca", &wire.ca)).transpose()?;
    Ok(ZoneSuperNode {
        federation: name("federation", &wire.federation)?,
        public_key: wire.public_key,
        ca,
        is_online: wire.is_online,
        is_connecting: wire.is_connecting,
    })
}

pub(super) fn admitted_node(wire: WireAdmittedNode) -> Result<AdmittedNode> {
    let length = wire.key.len();
    let key = wire.key.try_into();
    let key = key.map_err(|_wrong_length| bad("key", Problem::DigestLength(length)))?;
    let (node_id, online_since) = (wire.node_id, wire.online_since);
    let state = AdmissionState::of(wire.state);
    Ok(AdmittedNode { key, admission: Admission { state, node_id, online_since } })
}
