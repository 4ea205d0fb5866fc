//! A gateway's certificate: its zone says which key signs the gateway's record.
//!
//! Promises: it holds for one zone key, one gateway and the tunnel addresses that it names; the
//! signature covers a domain text, so that it holds for nothing else. It has no end: the newest record
//! under it counts, and a zone that is revoked takes its gateways along. Refuses to know grants
//! (`registry`).

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use prost::Message as _;

use super::wire::decode::{self, Result};
use super::wire::{Problem, octets};
use super::{MAX_TUNNEL_IPS, SIGNATURE_BYTES, text};
use crate::gateway::GatewayId;
use crate::key::{GatewayPublicKey, ZoneIdentity, ZonePublicKey};

/// What the signature covers besides, so that it cannot be taken for anything else.
const DOMAIN: &[u8] = b"zonemesh gateway certificate v1\0";

/// What a zone says of one of its gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayCertificate {
    /// Which gateway, of which zone.
    pub gateway: GatewayId,
    /// The key that signs its record.
    pub key: GatewayPublicKey,
    /// The tunnel addresses that it may use, of those that its zone was granted.
    pub tunnel_ips: Vec<IpAddr>,
}

/// A certificate as it was signed.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedGatewayCertificate {
    payload: Bytes,
    signature: [u8; SIGNATURE_BYTES],
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireCertificate {
    #[prost(string, tag = "1")]
    zone: String,
    #[prost(string, tag = "2")]
    gateway: String,
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    tunnel_ips: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WireSignedCertificate {
    #[prost(bytes = "bytes", tag = "1")]
    payload: Bytes,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

impl SignedGatewayCertificate {
    /// Encodes and signs a certificate.
    #[must_use]
    pub fn sign(certificate: &GatewayCertificate, zone: &ZoneIdentity) -> Self {
        let wire = WireCertificate {
            zone: certificate.gateway.zone.to_string(),
            gateway: certificate.gateway.gateway.clone(),
            key: certificate.key.as_bytes().to_vec(),
            tunnel_ips: certificate.tunnel_ips.iter().copied().map(octets).collect(),
        };
        let payload = Bytes::from(wire.encode_to_vec());
        let signature = zone.sign(&[DOMAIN, &payload].concat());
        Self { payload, signature }
    }

    /// True if the zone with this key signed it.
    #[must_use]
    pub fn verify(&self, zone: &ZonePublicKey) -> bool {
        zone.verify_strict(&[DOMAIN, &self.payload].concat(), &self.signature)
    }

    /// The certificate inside. Says nothing about the signature.
    ///
    /// # Errors
    /// [`super::DecodeError`] names the field.
    pub fn decode(&self) -> Result<GatewayCertificate> {
        let wire = WireCertificate::decode(self.payload.clone())
            .map_err(|source| decode::bad("certificate", Problem::Protobuf(source)))?;
        text::dns_name(&wire.gateway)
            .map_err(|source| decode::bad("certificate.gateway", Problem::Text(source)))?;
        let bytes = <[u8; 32]>::try_from(wire.key.as_slice());
        let length = crate::key::KeyError::Length(wire.key.len());
        let key = bytes.map_err(|_wrong| length).and_then(GatewayPublicKey::from_bytes);
        let zone = decode::name("certificate.zone", &wire.zone)?;
        Ok(GatewayCertificate {
            gateway: GatewayId::new(zone, wire.gateway),
            key: key.map_err(|source| decode::bad("certificate.key", Problem::Key(source)))?,
            tunnel_ips: decode::at_most(
                MAX_TUNNEL_IPS,
                "certificate.tunnel_ips",
                wire.tunnel_ips,
                decode::address,
            )?,
        })
    }
}

impl From<&SignedGatewayCertificate> for WireSignedCertificate {
    fn from(signed: &SignedGatewayCertificate) -> Self {
        Self { payload: signed.payload.clone(), signature: signed.signature.to_vec() }
    }
}

pub(super) fn signed_certificate(wire: WireSignedCertificate) -> Result<SignedGatewayCertificate> {
    let length = wire.signature.len();
    let signature = wire.signature.try_into();
    let signature = signature
        .map_err(|_wrong| decode::bad("certificate.signature", Problem::SignatureLength(length)))?;
    Ok(SignedGatewayCertificate { payload: wire.payload, signature })
}

impl fmt::Debug for SignedGatewayCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedGatewayCertificate").field("bytes", &self.payload.len()).finish()
    }
}
