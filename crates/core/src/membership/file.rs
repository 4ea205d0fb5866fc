//! The form in which a trust item is kept on disk and carried by hand: kind, payload, signatures.

use bytes::Bytes;
use prost::Message as _;

use super::item::{MAX_ITEM_BYTES, TrustKind};
use super::key::AuthorityPublicKey;
use super::signed::{AuthoritySignature, SignedTrustItem};
use super::wire::{ItemError, array, key, protobuf};
use crate::record::Problem;
use crate::record::wire::decode;

/// Start of a stored item: kind and form.
const FILE_MAGIC: &[u8] = b"zonemesh-trust-1\n";

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
            TrustKind::GrantPage => 4,
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
        4 => TrustKind::GrantPage,
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
