//! The text form of a founding bundle: base64 of `magic, SHA-256 of the rest (8 bytes), protobuf`.
//!
//! The hash finds damage and truncation; nothing protects it against change, as it is a secret of the
//! one who made it. Specification: the `prost` tags below; field numbers are for ever.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use super::{FoundingBundle, MAX_ZONES, PlannedZone};
use crate::invitation::wire::federations;
use crate::invitation::{IssuedError, IssuedInvitation};
use crate::membership::wire::WireFederationRight;
use crate::membership::{AuthorityIdentity, ItemError, SignedTrustItem};
use crate::not_base64::NotBase64;
use crate::record::wire::{WirePrefix, decode, octets};
use crate::record::{DecodeError, Problem};
use crate::token::known::{self, WireKnownToken};

/// Start of a bundle: kind and form.
const MAGIC: &[u8] = b"zonemesh-founding-1\n";
/// What all forms of bundles start with.
const ANY_MAGIC: &[u8] = b"zonemesh-founding-";
/// Longest text in characters.
const MAX_TEXT: usize = 1 << 20;
const CHECK_BYTES: usize = 8;

/// Why a text is no founding bundle.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FoundingBundleError {
    /// Not base64.
    #[error("a founding bundle is one base64 value; was it copied whole?")]
    Base64(#[source] NotBase64),
    /// Far too long.
    #[error("a founding bundle has at most {MAX_TEXT} characters, this text has {0}")]
    TooLarge(usize),
    /// Base64 of something else.
    #[error("this is no founding bundle; an invitation goes to: zonemesh zone join")]
    Magic,
    /// Of a newer form.
    #[error("this founding bundle has a form that this version does not know: update zonemesh")]
    Newer,
    /// Cut off or changed on its way.
    #[error("this founding bundle is cut off or damaged; was it copied whole?")]
    Damaged,
    /// A field is not valid.
    #[error("founding bundle, {field}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        #[source]
        problem: Problem,
    },
    /// The first set is none.
    #[error("founding bundle, first authority set")]
    FirstSet(#[source] ItemError),
    /// An invitation is none.
    #[error("founding bundle, invitation")]
    Invitation(#[source] IssuedError),
}

impl From<DecodeError> for FoundingBundleError {
    fn from(DecodeError { field, problem }: DecodeError) -> Self {
        Self::Field { field, problem }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireBundle {
    #[prost(bytes = "vec", tag = "1")]
    first_set: Vec<u8>,
    #[prost(string, tag = "2")]
    signing_key: String,
    #[prost(string, tag = "3")]
    zone: String,
    #[prost(message, repeated, tag = "4")]
    prefixes: Vec<WirePrefix>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    tunnel_ips: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    invitations: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "7")]
    federations: Vec<WireFederationRight>,
    #[prost(message, repeated, tag = "8")]
    tokens: Vec<WireKnownToken>,
}

type Result<T> = std::result::Result<T, FoundingBundleError>;

pub(super) fn to_text(bundle: &FoundingBundle) -> Zeroizing<String> {
    let founder = &bundle.founder;
    let mut wire = WireBundle {
        first_set: bundle.first.to_file_bytes(),
        signing_key: bundle.signing_key.to_base64().to_string(),
        zone: founder.zone.to_string(),
        prefixes: founder.prefixes.iter().map(WirePrefix::from).collect(),
        tunnel_ips: founder.tunnel_ips.iter().copied().map(octets).collect(),
        invitations: bundle.invitations.iter().map(|one| one.to_file_bytes().to_vec()).collect(),
        federations: founder.federations.iter().map(WireFederationRight::from).collect(),
        tokens: known::to_wire(&founder.tokens),
    };
    let body = Zeroizing::new(wire.encode_to_vec());
    wire.signing_key.zeroize();
    let check = Sha256::digest(&*body);
    let bytes = Zeroizing::new([MAGIC, &check[..CHECK_BYTES], &body].concat());
    Zeroizing::new(STANDARD.encode(&*bytes))
}

pub(super) fn from_text(text: &str) -> Result<FoundingBundle> {
    if text.len() > MAX_TEXT {
        return Err(FoundingBundleError::TooLarge(text.len()));
    }
    let compact: Zeroizing<String> =
        Zeroizing::new(text.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let bytes = STANDARD
        .decode(compact.as_bytes())
        .map_err(|error| FoundingBundleError::Base64(error.into()))?;
    let bytes = Zeroizing::new(bytes);
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        let newer = bytes.starts_with(ANY_MAGIC);
        return Err(if newer { FoundingBundleError::Newer } else { FoundingBundleError::Magic });
    };
    let (check, body) = rest.split_at_checked(CHECK_BYTES).ok_or(FoundingBundleError::Damaged)?;
    if Sha256::digest(body)[..CHECK_BYTES] != *check {
        return Err(FoundingBundleError::Damaged);
    }
    let bad = |source| decode::bad("payload", Problem::Protobuf(source));
    bundle(WireBundle::decode(body).map_err(bad)?)
}

fn bundle(wire: WireBundle) -> Result<FoundingBundle> {
    if wire.invitations.len() >= MAX_ZONES {
        return Err(FoundingBundleError::Damaged);
    }
    let first = SignedTrustItem::from_file_bytes(&wire.first_set);
    let signing_key = Zeroizing::new(wire.signing_key);
    let signing_key = AuthorityIdentity::from_base64(&signing_key);
    let bad_key = |source| decode::bad("signing_key", Problem::Key(source));
    let invitations = wire.invitations.iter().map(|one| IssuedInvitation::from_file_bytes(one));
    let invitations = invitations.collect::<std::result::Result<_, _>>();
    Ok(FoundingBundle {
        first: first.map_err(FoundingBundleError::FirstSet)?,
        signing_key: signing_key.map_err(bad_key)?,
        founder: PlannedZone {
            zone: decode::name("zone", &wire.zone)?,
            prefixes: decode::each("prefixes", wire.prefixes, decode::prefix)?,
            tunnel_ips: decode::each("tunnel_ips", wire.tunnel_ips, decode::address)?,
            federations: federations(wire.federations)?,
            tokens: known::from_wire(wire.tokens)?,
        },
        invitations: invitations.map_err(FoundingBundleError::Invitation)?,
    })
}
