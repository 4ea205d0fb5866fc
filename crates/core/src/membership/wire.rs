//! The protobuf form of trust items, and the way from it to valid ones.
//!
//! Field numbers are for ever: signed items of older builds are kept and read. Specification: the
//! `prost` tags below.

use bytes::Bytes;
use prost::Message as _;

use super::item::{
    AuthoritySet, AuthoritySignature, Grant, MAX_AUTHORITIES, MAX_ITEM_BYTES, Revocation,
    SignedTrustItem, TrustItem, TrustKind,
};
use super::key::AuthorityPublicKey;
use crate::key::{KeyError, ZonePublicKey};
use crate::mesh::MeshId;
use crate::prefix::{Overlap, check_disjoint, claims};
use crate::record::wire::{WirePrefix, decode, octets};
use crate::record::{DecodeError, Problem};
use crate::time::UnixMillis;

/// Start of a stored item: kind and form.
const FILE_MAGIC: &[u8] = b"zonemesh-trust-1\n";
/// Longest reason of a revocation in characters.
const MAX_REASON: usize = 256;

/// Why bytes are no trust item.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ItemError {
    /// The beginning is missing or belongs to another form.
    #[error("this is no stored trust item (it does not start with \"zonemesh-trust-1\")")]
    Magic,
    /// Larger than an item may be.
    #[error("a trust item has at most 8192 bytes, this one has {0}")]
    TooLarge(usize),
    /// A field is not valid.
    #[error("trust item, {field}")]
    Field {
        /// The field, for example `prefixes[1]`.
        field: String,
        /// What is wrong with it.
        #[source]
        problem: Problem,
    },
    /// A hash or a signature of wrong length.
    #[error("trust item, {field}: {length} bytes are too many or too few")]
    Length {
        /// The field.
        field: &'static str,
        /// Its bytes.
        length: usize,
    },
    /// A threshold that no signature, or more than all, would meet; or too many keys.
    #[error("an authority set has 1 to 16 keys and a threshold of 1 to as many, not {0} of {1}")]
    Threshold(u32, usize),
    /// A first set that is linked, or a later one that is not.
    #[error("an authority set of epoch 0 has none before it, any other has one; this is epoch {0}")]
    Link(u64),
    /// Two of a grant's own prefixes overlap.
    #[error("a grant whose own prefixes overlap")]
    Overlap(#[source] Overlap),
    /// A reason that is too long.
    #[error("a reason has at most 256 characters")]
    Reason,
}

impl From<DecodeError> for ItemError {
    fn from(DecodeError { field, problem }: DecodeError) -> Self {
        Self::Field { field, problem }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireAuthoritySet {
    #[prost(uint64, tag = "1")]
    epoch: u64,
    #[prost(bytes = "vec", tag = "2")]
    previous: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    keys: Vec<Vec<u8>>,
    #[prost(uint32, tag = "4")]
    threshold: u32,
    #[prost(uint64, tag = "5")]
    issued_at_unix_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireGrant {
    #[prost(string, tag = "1")]
    mesh: String,
    #[prost(string, tag = "2")]
    zone: String,
    #[prost(bytes = "vec", tag = "3")]
    zone_key: Vec<u8>,
    #[prost(message, repeated, tag = "4")]
    prefixes: Vec<WirePrefix>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    tunnel_ips: Vec<Vec<u8>>,
    #[prost(uint64, tag = "6")]
    serial: u64,
    #[prost(uint64, tag = "7")]
    issued_at_unix_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireRevocation {
    #[prost(string, tag = "1")]
    mesh: String,
    #[prost(string, tag = "2")]
    zone: String,
    #[prost(bytes = "vec", tag = "3")]
    zone_key: Vec<u8>,
    #[prost(uint64, tag = "4")]
    serial: u64,
    #[prost(string, tag = "5")]
    reason: String,
    #[prost(uint64, tag = "6")]
    issued_at_unix_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireSigned {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "bytes", tag = "2")]
    payload: Bytes,
    #[prost(message, repeated, tag = "3")]
    signatures: Vec<WireSignature>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireSignature {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

pub(super) fn encode(item: &TrustItem) -> Bytes {
    let bytes = match item {
        TrustItem::AuthoritySet(set) => WireAuthoritySet {
            epoch: set.epoch,
            previous: set.previous.map(Vec::from).unwrap_or_default(),
            keys: set.keys.iter().map(|key| key.as_bytes().to_vec()).collect(),
            threshold: set.threshold,
            issued_at_unix_ms: set.issued_at.0,
        }
        .encode_to_vec(),
        TrustItem::Grant(grant) => WireGrant {
            mesh: grant.mesh.to_string(),
            zone: grant.zone.to_string(),
            zone_key: grant.zone_key.as_bytes().to_vec(),
            prefixes: grant.prefixes.iter().map(WirePrefix::from).collect(),
            tunnel_ips: grant.tunnel_ips.iter().copied().map(octets).collect(),
            serial: grant.serial,
            issued_at_unix_ms: grant.issued_at.0,
        }
        .encode_to_vec(),
        TrustItem::Revocation(revocation) => WireRevocation {
            mesh: revocation.mesh.to_string(),
            zone: revocation.zone.to_string(),
            zone_key: revocation.zone_key.as_bytes().to_vec(),
            serial: revocation.serial,
            reason: revocation.reason.clone(),
            issued_at_unix_ms: revocation.issued_at.0,
        }
        .encode_to_vec(),
    };
    Bytes::from(bytes)
}

pub(super) fn decode(kind: TrustKind, payload: &[u8]) -> Result<TrustItem, ItemError> {
    if payload.len() > MAX_ITEM_BYTES {
        return Err(ItemError::TooLarge(payload.len()));
    }
    match kind {
        TrustKind::AuthoritySet => authority_set(protobuf(payload)?).map(TrustItem::AuthoritySet),
        TrustKind::Grant => grant(protobuf(payload)?).map(TrustItem::Grant),
        TrustKind::Revocation => revocation(protobuf(payload)?).map(TrustItem::Revocation),
    }
}

fn protobuf<T: prost::Message + Default>(bytes: &[u8]) -> Result<T, ItemError> {
    let bad = |source| decode::bad("payload", Problem::Protobuf(source)).into();
    T::decode(bytes).map_err(bad)
}

fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], ItemError> {
    let length = bytes.len();
    let wrong_length = |_: std::array::TryFromSliceError| ItemError::Length { field, length };
    bytes.try_into().map_err(wrong_length)
}

fn key<K>(
    field: &'static str,
    bytes: &[u8],
    make: fn([u8; 32]) -> Result<K, KeyError>,
) -> Result<K, ItemError> {
    let bad = |source| decode::bad(field, Problem::Key(source)).into();
    make(array(field, bytes)?).map_err(bad)
}

fn authority_set(wire: WireAuthoritySet) -> Result<AuthoritySet, ItemError> {
    let keys = wire.keys.iter().map(|bytes| key("keys", bytes, AuthorityPublicKey::from_bytes));
    let keys = keys.collect::<Result<std::collections::BTreeSet<_>, _>>()?;
    let most = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    let sane = keys.len() == wire.keys.len() && keys.len() <= MAX_AUTHORITIES;
    if !sane || wire.threshold == 0 || wire.threshold > most {
        return Err(ItemError::Threshold(wire.threshold, wire.keys.len()));
    }
    let previous = match wire.previous.as_slice() {
        [] => None,
        bytes => Some(array("previous", bytes)?),
    };
    if previous.is_none() != (wire.epoch == 0) {
        return Err(ItemError::Link(wire.epoch));
    }
    Ok(AuthoritySet {
        epoch: wire.epoch,
        previous,
        keys,
        threshold: wire.threshold,
        issued_at: UnixMillis(wire.issued_at_unix_ms),
    })
}

fn grant(wire: WireGrant) -> Result<Grant, ItemError> {
    let prefixes = decode::each("prefixes", wire.prefixes, decode::prefix)?;
    let tunnel_ips = decode::each("tunnel_ips", wire.tunnel_ips, decode::address)?;
    let claimed = claims(&prefixes, &tunnel_ips).map(|net| (wire.zone.as_str(), net));
    check_disjoint(claimed).map_err(ItemError::Overlap)?;
    Ok(Grant {
        mesh: MeshId::new(wire.mesh),
        zone: decode::name("zone", &wire.zone)?,
        zone_key: key("zone_key", &wire.zone_key, ZonePublicKey::from_bytes)?,
        prefixes,
        tunnel_ips,
        serial: wire.serial,
        issued_at: UnixMillis(wire.issued_at_unix_ms),
    })
}

fn revocation(wire: WireRevocation) -> Result<Revocation, ItemError> {
    if wire.reason.chars().count() > MAX_REASON {
        return Err(ItemError::Reason);
    }
    Ok(Revocation {
        mesh: MeshId::new(wire.mesh),
        zone: decode::name("zone", &wire.zone)?,
        zone_key: key("zone_key", &wire.zone_key, ZonePublicKey::from_bytes)?,
        serial: wire.serial,
        reason: wire.reason,
        issued_at: UnixMillis(wire.issued_at_unix_ms),
    })
}

pub(super) fn to_file_bytes(item: &SignedTrustItem) -> Vec<u8> {
    let signature = |s: &AuthoritySignature| WireSignature {
        key: s.key.as_bytes().to_vec(),
        signature: s.signature.to_vec(),
    };
    let signed = WireSigned {
        kind: match item.kind() {
            TrustKind::AuthoritySet => 1,
            TrustKind::Grant => 2,
            TrustKind::Revocation => 3,
        },
        payload: item.payload().clone(),
        signatures: item.signatures().iter().map(signature).collect(),
    };
    [FILE_MAGIC, &signed.encode_to_vec()].concat()
}

pub(super) fn from_file_bytes(bytes: &[u8]) -> Result<SignedTrustItem, ItemError> {
    let rest = bytes.strip_prefix(FILE_MAGIC).ok_or(ItemError::Magic)?;
    let signed: WireSigned = protobuf(rest)?;
    if signed.payload.len() > MAX_ITEM_BYTES {
        return Err(ItemError::TooLarge(signed.payload.len()));
    }
    let kind = match signed.kind {
        1 => TrustKind::AuthoritySet,
        2 => TrustKind::Grant,
        3 => TrustKind::Revocation,
        other => return Err(decode::bad("kind", Problem::UnknownValue(other)).into()),
    };
    let signature = |wire: WireSignature| {
        Ok(AuthoritySignature {
            key: key("signatures.key", &wire.key, AuthorityPublicKey::from_bytes)?,
            signature: array("signatures.signature", &wire.signature)?,
        })
    };
    let signatures = signed.signatures.into_iter().map(signature);
    let signatures = signatures.collect::<Result<_, ItemError>>()?;
    Ok(SignedTrustItem::from_parts(kind, signed.payload, signatures))
}
