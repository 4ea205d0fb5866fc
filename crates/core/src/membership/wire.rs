//! The protobuf form of trust items, and the way from it to valid ones.
//!
//! Field numbers are for ever: signed items of older builds are kept and read. Specification: the
//! `prost` tags below.

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message as _;

use super::item::{
    AuthoritySet, ContentId, FederationRight, Grant, GrantPage, MAX_AUTHORITIES, MAX_CLAIMS,
    MAX_ITEM_BYTES, MAX_PAGES, MAX_TUNNEL_IPS, PAGE_GRANTS, Revocation, TrustItem, TrustKind,
};
use super::key::AuthorityPublicKey;
use crate::key::{KeyError, ZonePublicKey};
use crate::mesh::MeshId;
use crate::prefix::{Overlap, check_disjoint, claims};
use crate::record::wire::{WirePrefix, decode, octets};
use crate::record::{DecodeError, Problem};
use crate::time::UnixMillis;

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
    /// More pages than a list may have, or grants on a page that are none or out of order.
    #[error("a list has at most 128 pages of 1 to 128 grants each, in order")]
    Page,
    /// More prefixes, tunnel IPs or federations than a grant may have.
    #[error("a grant has at most 64 prefixes and federations and 4 tunnel IPs of each family")]
    Claims,
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
    /// None of them: a set of release 0.1.
    #[prost(bytes = "vec", repeated, tag = "6")]
    owner_keys: Vec<Vec<u8>>,
    /// 32 bytes for each page, in order.
    #[prost(bytes = "vec", tag = "7")]
    pages: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    stolen: Vec<Vec<u8>>,
}

/// 32 bytes for each grant.
#[derive(Clone, PartialEq, prost::Message)]
struct WireGrantPage {
    #[prost(bytes = "vec", tag = "1")]
    grants: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WireFederationRight {
    #[prost(string, tag = "1")]
    federation: String,
    #[prost(bool, tag = "2")]
    host: bool,
    #[prost(bool, tag = "3")]
    train: bool,
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
    /// Empty in grants of release 0.1.
    #[prost(bytes = "vec", tag = "8")]
    set: Vec<u8>,
    #[prost(uint64, tag = "9")]
    since: u64,
    #[prost(message, repeated, tag = "10")]
    federations: Vec<WireFederationRight>,
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
    /// Empty in revocations of release 0.1.
    #[prost(bytes = "vec", tag = "7")]
    set: Vec<u8>,
}

pub(super) fn encode(item: &TrustItem) -> Bytes {
    let bytes = match item {
        TrustItem::AuthoritySet(set) => wire_set(set).encode_to_vec(),
        TrustItem::Grant(grant) => wire_grant(grant).encode_to_vec(),
        TrustItem::Revocation(revocation) => wire_revocation(revocation).encode_to_vec(),
        TrustItem::GrantPage(page) => {
            let grants = page.grants.iter().flat_map(|id| id.0).collect();
            WireGrantPage { grants }.encode_to_vec()
        }
    };
    Bytes::from(bytes)
}

fn wire_set(set: &AuthoritySet) -> WireAuthoritySet {
    let bytes = |key: &AuthorityPublicKey| key.as_bytes().to_vec();
    WireAuthoritySet {
        epoch: set.epoch,
        previous: optional(set.previous),
        keys: set.keys.iter().map(bytes).collect(),
        threshold: set.threshold,
        issued_at_unix_ms: set.issued_at.0,
        owner_keys: set.owner_keys.iter().flatten().map(bytes).collect(),
        pages: set.pages.iter().flat_map(|page| page.0).collect(),
        stolen: set.stolen.iter().map(bytes).collect(),
    }
}

impl From<&FederationRight> for WireFederationRight {
    fn from(right: &FederationRight) -> Self {
        let federation = right.federation.to_string();
        Self { federation, host: right.host, train: right.train }
    }
}

fn wire_grant(grant: &Grant) -> WireGrant {
    WireGrant {
        mesh: grant.mesh.to_string(),
        zone: grant.zone.to_string(),
        zone_key: grant.zone_key.as_bytes().to_vec(),
        prefixes: grant.prefixes.iter().map(WirePrefix::from).collect(),
        tunnel_ips: grant.tunnel_ips.iter().copied().map(octets).collect(),
        serial: grant.serial,
        issued_at_unix_ms: grant.issued_at.0,
        set: optional(grant.set),
        since: grant.since,
        federations: grant.federations.iter().map(WireFederationRight::from).collect(),
    }
}

fn wire_revocation(revocation: &Revocation) -> WireRevocation {
    WireRevocation {
        mesh: revocation.mesh.to_string(),
        zone: revocation.zone.to_string(),
        zone_key: revocation.zone_key.as_bytes().to_vec(),
        serial: revocation.serial,
        reason: revocation.reason.clone(),
        issued_at_unix_ms: revocation.issued_at.0,
        set: optional(revocation.set),
    }
}

fn optional(hash: Option<[u8; 32]>) -> Vec<u8> {
    hash.map(Vec::from).unwrap_or_default()
}

pub(super) fn decode(kind: TrustKind, payload: &[u8]) -> Result<TrustItem, ItemError> {
    if payload.len() > MAX_ITEM_BYTES {
        return Err(ItemError::TooLarge(payload.len()));
    }
    match kind {
        TrustKind::AuthoritySet => authority_set(protobuf(payload)?).map(TrustItem::AuthoritySet),
        TrustKind::Grant => grant(protobuf(payload)?).map(TrustItem::Grant),
        TrustKind::Revocation => revocation(protobuf(payload)?).map(TrustItem::Revocation),
        TrustKind::GrantPage => grant_page(&protobuf(payload)?).map(TrustItem::GrantPage),
    }
}

pub(super) fn protobuf<T: prost::Message + Default>(bytes: &[u8]) -> Result<T, ItemError> {
    let bad = |source| decode::bad("payload", Problem::Protobuf(source)).into();
    T::decode(bytes).map_err(bad)
}

pub(super) fn array<const N: usize>(
    field: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], ItemError> {
    let length = bytes.len();
    let wrong_length = |_: std::array::TryFromSliceError| ItemError::Length { field, length };
    bytes.try_into().map_err(wrong_length)
}

pub(super) fn key<K>(
    field: &'static str,
    bytes: &[u8],
    make: fn([u8; 32]) -> Result<K, KeyError>,
) -> Result<K, ItemError> {
    let bad = |source| decode::bad(field, Problem::Key(source)).into();
    make(array(field, bytes)?).map_err(bad)
}

fn authority_set(wire: WireAuthoritySet) -> Result<AuthoritySet, ItemError> {
    let keys = keys("keys", &wire.keys)?;
    let owner_keys = keys_or_none("owner_keys", &wire.owner_keys)?;
    let most = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    if keys.is_empty() || wire.threshold == 0 || wire.threshold > most {
        return Err(ItemError::Threshold(wire.threshold, wire.keys.len()));
    }
    let previous = hash("previous", &wire.previous)?;
    if previous.is_none() != (wire.epoch == 0) {
        return Err(ItemError::Link(wire.epoch));
    }
    let pages = contents("pages", &wire.pages)?;
    if pages.len() > MAX_PAGES {
        return Err(ItemError::Page);
    }
    Ok(AuthoritySet {
        epoch: wire.epoch,
        previous,
        owner_keys,
        keys,
        threshold: wire.threshold,
        pages,
        stolen: self::keys("stolen", &wire.stolen)?,
        issued_at: UnixMillis(wire.issued_at_unix_ms),
    })
}

/// Distinct keys, and no more than a set may have.
fn keys(field: &'static str, wire: &[Vec<u8>]) -> Result<BTreeSet<AuthorityPublicKey>, ItemError> {
    let keys = wire.iter().map(|bytes| key(field, bytes, AuthorityPublicKey::from_bytes));
    let keys = keys.collect::<Result<BTreeSet<_>, _>>()?;
    match keys.len() == wire.len() && keys.len() <= MAX_AUTHORITIES {
        true => Ok(keys),
        false => Err(ItemError::Threshold(0, wire.len())),
    }
}

fn keys_or_none(
    field: &'static str,
    wire: &[Vec<u8>],
) -> Result<Option<BTreeSet<AuthorityPublicKey>>, ItemError> {
    Ok(Some(keys(field, wire)?).filter(|keys| !keys.is_empty()))
}

fn hash(field: &'static str, bytes: &[u8]) -> Result<Option<[u8; 32]>, ItemError> {
    if bytes.is_empty() { Ok(None) } else { array(field, bytes).map(Some) }
}

fn contents(field: &'static str, bytes: &[u8]) -> Result<Vec<ContentId>, ItemError> {
    bytes.chunks(32).map(|chunk| array(field, chunk).map(ContentId)).collect()
}

fn grant_page(wire: &WireGrantPage) -> Result<GrantPage, ItemError> {
    let listed = contents("grants", &wire.grants)?;
    let in_order = listed.is_sorted_by(|a, b| a < b);
    if !in_order || listed.is_empty() || listed.len() > PAGE_GRANTS {
        return Err(ItemError::Page);
    }
    Ok(GrantPage { grants: listed.into_iter().collect() })
}

fn grant(wire: WireGrant) -> Result<Grant, ItemError> {
    let prefixes = decode::each("prefixes", wire.prefixes, decode::prefix)?;
    let tunnel_ips = decode::each("tunnel_ips", wire.tunnel_ips, decode::address)?;
    let federations = decode::each("federations", wire.federations, federation_right)?;
    let of_family = |v4| tunnel_ips.iter().filter(|ip| ip.is_ipv4() == v4).count();
    let set = hash("set", &wire.set)?;
    let too_many = prefixes.len().max(federations.len()) > MAX_CLAIMS
        || of_family(true).max(of_family(false)) > MAX_TUNNEL_IPS;
    // Release 0.1 had no such bounds.
    if too_many && set.is_some() {
        return Err(ItemError::Claims);
    }
    let claimed = claims(&prefixes, &tunnel_ips).map(|net| (wire.zone.as_str(), net));
    check_disjoint(claimed).map_err(ItemError::Overlap)?;
    Ok(Grant {
        mesh: MeshId::new(wire.mesh),
        zone: decode::name("zone", &wire.zone)?,
        zone_key: key("zone_key", &wire.zone_key, ZonePublicKey::from_bytes)?,
        prefixes,
        tunnel_ips,
        federations,
        // Serials of release 0.1 counted for the whole mesh: they say who came first.
        since: if set.is_some() { wire.since } else { wire.serial },
        set,
        serial: wire.serial,
        issued_at: UnixMillis(wire.issued_at_unix_ms),
    })
}

pub(crate) fn federation_right(wire: WireFederationRight) -> Result<FederationRight, DecodeError> {
    let federation = decode::name("federation", &wire.federation)?;
    Ok(FederationRight { federation, host: wire.host, train: wire.train })
}

fn revocation(wire: WireRevocation) -> Result<Revocation, ItemError> {
    if wire.reason.chars().count() > MAX_REASON {
        return Err(ItemError::Reason);
    }
    Ok(Revocation {
        mesh: MeshId::new(wire.mesh),
        zone: decode::name("zone", &wire.zone)?,
        zone_key: key("zone_key", &wire.zone_key, ZonePublicKey::from_bytes)?,
        set: hash("set", &wire.set)?,
        serial: wire.serial,
        reason: wire.reason,
        issued_at: UnixMillis(wire.issued_at_unix_ms),
    })
}
