//! A gateway's record as it travels and is kept: the bytes that were signed, and the signature.
//!
//! Promises: what is signed is never encoded again, so that records of newer builds pass through
//! older ones unharmed; the signature covers a domain text, so that it holds for nothing else.
//! Refuses to know whose key is right (`registry`).

use std::fmt;

use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::wire::{self, DecodeError};
use super::{GatewayCertificate, SignedGatewayCertificate, ZoneRecord};
use crate::key::{GatewayIdentity, ZoneIdentity, ZonePublicKey};

/// Largest payload of a zone record.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Bytes of an Ed25519 signature.
pub const SIGNATURE_BYTES: usize = 64;
/// What the signature covers besides the payload, so that it cannot be taken for anything else.
const DOMAIN: &[u8] = b"zonemesh gateway record v2\0";
/// The same in release 0.1.0, where the zone's key signed.
const DOMAIN_OF_THE_PAST: &[u8] = b"zonemesh zone record v1\0";
/// Start of a stored record: kind and form.
const FILE_MAGIC: &[u8] = b"zonemesh-record-1\n";

/// Why bytes are no stored record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedRecordError {
    /// The beginning is missing or belongs to another form.
    #[error("this is no stored zone record (it does not start with \"zonemesh-record-1\")")]
    Magic,
    /// Cut off.
    #[error("the stored zone record is cut off: {0} bytes")]
    Truncated(usize),
    /// A signature of wrong length.
    #[error("a signature has 64 bytes, this one has {0}")]
    SignatureLength(usize),
    /// Larger than a record may be.
    #[error("a zone record has at most 65536 bytes, this one has {0}")]
    TooLarge(usize),
}

/// A zone record with its signature. Equal if both are.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedRecord {
    payload: Bytes,
    signature: [u8; SIGNATURE_BYTES],
}

impl SignedRecord {
    /// Encodes and signs a record of a gateway that has its zone's key: its own key and certificate
    /// follow from that one, so that the same record has the same bytes each time.
    #[must_use]
    pub fn sign(record: &ZoneRecord, zone: &ZoneIdentity) -> Self {
        if record.is_of_the_past() {
            let payload = encode(record.clone());
            let signature = zone.sign(&[DOMAIN_OF_THE_PAST, &payload].concat());
            return Self { payload, signature };
        }
        let gateway = zone.of_gateway(&record.gateway);
        let own = record.content.gateways.iter().flat_map(|gateway| &gateway.tunnel_ips);
        let certificate = GatewayCertificate {
            gateway: record.id(),
            key: gateway.public_key(),
            tunnel_ips: own.copied().collect(),
        };
        let certificate = SignedGatewayCertificate::sign(&certificate, zone);
        Self::sign_as(record, &gateway, certificate)
    }

    /// Encodes and signs a record of a gateway that its zone has certified.
    #[must_use]
    pub fn sign_as(
        record: &ZoneRecord,
        gateway: &GatewayIdentity,
        certificate: SignedGatewayCertificate,
    ) -> Self {
        let payload = encode(ZoneRecord { certificate: Some(certificate), ..record.clone() });
        let signature = gateway.sign(&[DOMAIN, &payload].concat());
        Self { payload, signature }
    }

    /// Takes a record as it came from elsewhere; nothing is believed yet.
    ///
    /// # Errors
    /// [`SignedRecordError::SignatureLength`] if the signature has not 64 bytes.
    pub fn from_parts(payload: Bytes, signature: &[u8]) -> Result<Self, SignedRecordError> {
        let wrong_length =
            |_: std::array::TryFromSliceError| SignedRecordError::SignatureLength(signature.len());
        let signature = signature.try_into().map_err(wrong_length)?;
        Ok(Self { payload, signature })
    }

    /// The bytes that were signed.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The signature.
    #[must_use]
    pub fn signature(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.signature
    }

    /// Bytes of payload and signature.
    #[must_use]
    pub fn size(&self) -> usize {
        self.payload.len() + SIGNATURE_BYTES
    }

    /// First eight bytes of the payload's SHA-256: tells apart two records of one version.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let hash = Sha256::digest(&self.payload);
        let first = hash.iter().take(8);
        first.fold(0, |digest, byte| digest << 8 | u64::from(*byte))
    }

    /// True if a gateway of the zone with this key signed this.
    #[must_use]
    pub fn verify(&self, zone: &ZonePublicKey) -> bool {
        self.decode().is_ok_and(|record| self.verify_decoded(&record, zone, None))
    }

    /// As [`SignedRecord::verify`], of the record inside. A certificate that is `known` to hold is not
    /// verified again.
    pub(crate) fn verify_decoded(
        &self,
        record: &ZoneRecord,
        zone: &ZonePublicKey,
        known: Option<&SignedGatewayCertificate>,
    ) -> bool {
        if record.is_of_the_past() {
            let signed = [DOMAIN_OF_THE_PAST, &self.payload].concat();
            return zone.verify_strict(&signed, &self.signature);
        }
        let Some(signed) = &record.certificate else { return false };
        let Ok(certificate) = signed.decode() else { return false };
        let mut used = record.content.gateways.iter().flat_map(|gateway| &gateway.tunnel_ips);
        certificate.gateway == record.id()
            && used.all(|ip| certificate.tunnel_ips.contains(ip))
            && (known == Some(signed) || signed.verify(zone))
            && certificate.key.verify_strict(&[DOMAIN, &self.payload].concat(), &self.signature)
    }

    /// The record inside. Says nothing about the signature.
    ///
    /// # Errors
    /// [`DecodeError`] names the field.
    pub fn decode(&self) -> Result<ZoneRecord, DecodeError> {
        wire::decode(&self.payload)
    }

    /// The form in which a record is kept on disk.
    #[must_use]
    pub fn to_file_bytes(&self) -> Vec<u8> {
        [FILE_MAGIC, &self.signature, &self.payload].concat()
    }

    /// Reads the form in which a record is kept on disk; the signature is not checked here.
    ///
    /// # Errors
    /// [`SignedRecordError`] if the bytes are something else, or cut off.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self, SignedRecordError> {
        let rest = bytes.strip_prefix(FILE_MAGIC).ok_or(SignedRecordError::Magic)?;
        let (signature, payload) = rest
            .split_first_chunk::<SIGNATURE_BYTES>()
            .ok_or(SignedRecordError::Truncated(bytes.len()))?;
        if payload.len() > MAX_RECORD_BYTES {
            return Err(SignedRecordError::TooLarge(payload.len()));
        }
        Self::from_parts(Bytes::copy_from_slice(payload), signature)
    }
}

fn encode(record: ZoneRecord) -> Bytes {
    Bytes::from(wire::WireRecord::from(&record).encode_to_vec())
}

impl fmt::Debug for SignedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRecord")
            .field("bytes", &self.payload.len())
            .field("digest", &format_args!("{:016x}", self.digest()))
            .finish()
    }
}
