//! The text form of an invitation and the stored form of an issued one.
//!
//! Text: base64 of `magic, SHA-256 of the rest (8 bytes), secret (16 bytes), protobuf`. The hash
//! finds damage and truncation; against change on purpose there is the proof. Specification: the
//! `prost` tags below; field numbers are for ever.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{
    Invitation, InvitationId, InvitationSecret, InvitedAs, Inviter, IssuedInvitation, Joiner,
    RedeemKey,
};
use crate::key::ZonePublicKey;
use crate::membership::wire::{WireFederationRight, federation_right};
use crate::membership::{FederationRight, MAX_CLAIMS};
use crate::mesh::MeshId;
use crate::not_base64::NotBase64;
use crate::record::wire::{WireGateway, WirePrefix, decode, octets};
use crate::record::{DecodeError, Problem};
use crate::time::UnixMillis;
use crate::token::known::{self, WireKnownToken};

/// Start of an invitation: kind and form.
const MAGIC: &[u8] = b"zonemesh-invitation-1\n";
/// What all forms of invitations start with.
const ANY_MAGIC: &[u8] = b"zonemesh-invitation-";
/// Start of a stored one.
const ISSUED_MAGIC: &[u8] = b"zonemesh-issued-1\n";
/// Longest text in characters.
const MAX_TEXT: usize = 32 * 1024;
const CHECK_BYTES: usize = 8;
const SECRET_BYTES: usize = 16;

/// Why a text is no invitation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvitationError {
    /// Not base64.
    #[error("an invitation is one base64 value; was it copied whole?")]
    Base64(#[source] NotBase64),
    /// Far too long.
    #[error("an invitation has at most 32768 characters, this text has {0}")]
    TooLarge(usize),
    /// Base64 of something else.
    #[error("this is no Zonemesh invitation")]
    Magic,
    /// Of a newer form.
    #[error("this invitation has a form that this version does not know: update zonemesh")]
    Newer,
    /// Cut off or changed on its way.
    #[error("this invitation is cut off or damaged; was it copied whole?")]
    Damaged,
    /// A field is not valid.
    #[error("invitation, {field}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        #[source]
        problem: Problem,
    },
    /// A value of wrong length.
    #[error("invitation, {0}: too many or too few bytes")]
    Length(&'static str),
}

impl From<DecodeError> for InvitationError {
    fn from(DecodeError { field, problem }: DecodeError) -> Self {
        Self::Field { field, problem }
    }
}

/// Why bytes are no stored invitation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("this is no stored invitation")]
pub struct IssuedError(#[source] pub InvitationError);

#[derive(Clone, PartialEq, prost::Message)]
struct WireInvitation {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    mesh: String,
    #[prost(bytes = "vec", tag = "3")]
    authority_set: Vec<u8>,
    #[prost(string, tag = "4")]
    inviter: String,
    #[prost(bytes = "vec", tag = "5")]
    inviter_key: Vec<u8>,
    #[prost(string, repeated, tag = "6")]
    join_endpoints: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    gateways: Vec<WireGateway>,
    #[prost(message, repeated, tag = "8")]
    inviter_prefixes: Vec<WirePrefix>,
    #[prost(string, tag = "9")]
    zone: String,
    #[prost(message, repeated, tag = "10")]
    prefixes: Vec<WirePrefix>,
    #[prost(bytes = "vec", repeated, tag = "11")]
    tunnel_ips: Vec<Vec<u8>>,
    #[prost(uint64, tag = "12")]
    expires_at_unix_ms: u64,
    #[prost(message, repeated, tag = "13")]
    federations: Vec<WireFederationRight>,
    #[prost(message, repeated, tag = "14")]
    tokens: Vec<WireKnownToken>,
}

// No Debug: it holds the key of the proofs.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct WireIssued {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    hash: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    key: Vec<u8>,
    #[prost(string, tag = "4")]
    zone: String,
    #[prost(message, repeated, tag = "5")]
    prefixes: Vec<WirePrefix>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    tunnel_ips: Vec<Vec<u8>>,
    #[prost(uint64, tag = "7")]
    expires_at_unix_ms: u64,
    #[prost(bytes = "vec", tag = "8")]
    joiner_key: Vec<u8>,
    // 9 and 10 were what the joiner said of its gateway, which its record says.
    #[prost(bytes = "vec", tag = "11")]
    key_before: Vec<u8>,
    #[prost(uint32, tag = "12")]
    revoked_before: u32,
    #[prost(message, repeated, tag = "13")]
    federations: Vec<WireFederationRight>,
}

type Result<T> = std::result::Result<T, InvitationError>;

fn prefixes(nets: &[IpNet]) -> Vec<WirePrefix> {
    nets.iter().map(WirePrefix::from).collect()
}

pub(super) fn public_bytes(invitation: &Invitation) -> Cow<'_, [u8]> {
    match &invitation.read_from {
        Some(bytes) => bytes.into(),
        None => to_wire(invitation).encode_to_vec().into(),
    }
}

fn to_wire(invitation: &Invitation) -> WireInvitation {
    let Invitation { inviter, .. } = invitation;
    WireInvitation {
        id: invitation.id.0.to_vec(),
        mesh: invitation.mesh.to_string(),
        authority_set: invitation.authority_set.to_vec(),
        inviter: inviter.zone.to_string(),
        inviter_key: inviter.zone_key.map(|key| key.as_bytes().to_vec()).unwrap_or_default(),
        join_endpoints: inviter.join_endpoints.clone(),
        gateways: inviter.gateways.iter().map(WireGateway::from).collect(),
        inviter_prefixes: prefixes(&inviter.prefixes),
        zone: invitation.zone.to_string(),
        prefixes: prefixes(&invitation.prefixes),
        tunnel_ips: invitation.tunnel_ips.iter().copied().map(octets).collect(),
        expires_at_unix_ms: invitation.expires_at.0,
        federations: invitation.federations.iter().map(WireFederationRight::from).collect(),
        tokens: known::to_wire(&invitation.tokens),
    }
}

pub(super) fn to_text(invitation: &Invitation) -> Zeroizing<String> {
    let secret: &[u8] = &*invitation.secret.0;
    let body = Zeroizing::new([secret, &public_bytes(invitation)].concat());
    let check = Sha256::digest(&*body);
    let bytes = Zeroizing::new([MAGIC, &check[..CHECK_BYTES], &body].concat());
    Zeroizing::new(STANDARD.encode(&*bytes))
}

pub(super) fn from_text(text: &str) -> Result<Invitation> {
    if text.len() > MAX_TEXT {
        return Err(InvitationError::TooLarge(text.len()));
    }
    let compact: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let bytes = STANDARD
        .decode(compact.as_bytes())
        .map_err(|error| InvitationError::Base64(error.into()))?;
    let bytes = Zeroizing::new(bytes);
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        let newer = bytes.starts_with(ANY_MAGIC);
        return Err(if newer { InvitationError::Newer } else { InvitationError::Magic });
    };
    let (check, body) = rest.split_at_checked(CHECK_BYTES).ok_or(InvitationError::Damaged)?;
    if Sha256::digest(body)[..CHECK_BYTES] != *check {
        return Err(InvitationError::Damaged);
    }
    let (secret, public) =
        body.split_first_chunk::<SECRET_BYTES>().ok_or(InvitationError::Damaged)?;
    let mut read = invitation(protobuf(public)?, InvitationSecret::from_bytes(*secret))?;
    read.read_from = Some(public.to_vec());
    Ok(read)
}

fn protobuf<T: prost::Message + Default>(bytes: &[u8]) -> Result<T> {
    let bad = |source| decode::bad("payload", Problem::Protobuf(source)).into();
    T::decode(bytes).map_err(bad)
}

fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N]> {
    let wrong_length = |_: std::array::TryFromSliceError| InvitationError::Length(field);
    bytes.try_into().map_err(wrong_length)
}

fn zone_key(field: &'static str, bytes: &[u8]) -> Result<ZonePublicKey> {
    let bad = |source| decode::bad(field, Problem::Key(source)).into();
    ZonePublicKey::from_bytes(array(field, bytes)?).map_err(bad)
}

/// What a zone may do for federations, as it stands in an invitation and in a founding bundle.
pub(crate) fn federations(wire: Vec<WireFederationRight>) -> decode::Result<Vec<FederationRight>> {
    decode::at_most(MAX_CLAIMS, "federations", wire, federation_right)
}

fn endpoints(field: &str, texts: Vec<String>) -> Result<Vec<String>> {
    Ok(decode::each(field, texts, decode::endpoint)?)
}

fn invitation(wire: WireInvitation, secret: InvitationSecret) -> Result<Invitation> {
    let inviter = Inviter {
        zone: decode::name("inviter", &wire.inviter)?,
        zone_key: match wire.inviter_key.as_slice() {
            [] => None,
            key => Some(zone_key("inviter_key", key)?),
        },
        join_endpoints: endpoints("join_endpoints", wire.join_endpoints)?,
        gateways: decode::each("gateways", wire.gateways, decode::gateway)?,
        prefixes: decode::each("inviter_prefixes", wire.inviter_prefixes, decode::prefix)?,
    };
    Ok(Invitation {
        id: InvitationId(array("id", &wire.id)?),
        mesh: MeshId::new(wire.mesh),
        authority_set: array("authority_set", &wire.authority_set)?,
        inviter,
        zone: decode::name("zone", &wire.zone)?,
        prefixes: decode::each("prefixes", wire.prefixes, decode::prefix)?,
        tunnel_ips: decode::each("tunnel_ips", wire.tunnel_ips, decode::address)?,
        federations: federations(wire.federations)?,
        tokens: known::from_wire(wire.tokens)?,
        expires_at: UnixMillis(wire.expires_at_unix_ms),
        secret,
        read_from: None,
    })
}

pub(super) fn issued_to_bytes(issued: &IssuedInvitation) -> Zeroizing<Vec<u8>> {
    let wire = WireIssued {
        id: issued.id.0.to_vec(),
        hash: issued.hash.to_vec(),
        key: issued.key.as_bytes().to_vec(),
        zone: issued.zone.to_string(),
        prefixes: prefixes(&issued.prefixes),
        tunnel_ips: issued.tunnel_ips.iter().copied().map(octets).collect(),
        expires_at_unix_ms: issued.expires_at.0,
        joiner_key: issued.used_by.map(|j| j.zone_key.as_bytes().to_vec()).unwrap_or_default(),
        key_before: issued.before.key.map(|key| key.as_bytes().to_vec()).unwrap_or_default(),
        revoked_before: issued.before.revoked,
        federations: issued.federations.iter().map(WireFederationRight::from).collect(),
    };
    Zeroizing::new([ISSUED_MAGIC, &wire.encode_to_vec()].concat())
}

pub(super) fn issued_from_bytes(
    bytes: &[u8],
) -> std::result::Result<IssuedInvitation, IssuedError> {
    let rest = bytes.strip_prefix(ISSUED_MAGIC).ok_or(IssuedError(InvitationError::Magic))?;
    protobuf(rest).and_then(issued).map_err(IssuedError)
}

fn issued(wire: WireIssued) -> Result<IssuedInvitation> {
    let used_by = match wire.joiner_key.as_slice() {
        [] => None,
        // It is written with what it has brought.
        key => Some(Joiner { zone_key: zone_key("joiner_key", key)?, is_settled: true }),
    };
    let key_before = match wire.key_before.as_slice() {
        [] => None,
        key => Some(zone_key("key_before", key)?),
    };
    Ok(IssuedInvitation {
        id: InvitationId(array("id", &wire.id)?),
        hash: array("hash", &wire.hash)?,
        key: RedeemKey::from_bytes(array("key", &wire.key)?),
        zone: decode::name("zone", &wire.zone)?,
        prefixes: decode::each("prefixes", wire.prefixes, decode::prefix)?,
        tunnel_ips: decode::each("tunnel_ips", wire.tunnel_ips, decode::address)?,
        federations: federations(wire.federations)?,
        expires_at: UnixMillis(wire.expires_at_unix_ms),
        used_by,
        before: InvitedAs { key: key_before, revoked: wire.revoked_before },
    })
}
