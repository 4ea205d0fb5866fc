//! Trust items: grants, revocations, authority sets.

use zonemesh_core::membership::{
    AuthorityPublicKey, AuthoritySignature, ItemId, SignedTrustItem, TrustKind,
};
use zonemesh_core::mesh::RootHash;
use zonemesh_core::replication::HeldTrust;

use super::{WireError, WireProblem, hash};
use crate::v1;

impl From<&SignedTrustItem> for v1::TrustItem {
    fn from(item: &SignedTrustItem) -> Self {
        let kind = match item.kind() {
            TrustKind::AuthoritySet => v1::TrustKind::AuthoritySet,
            TrustKind::Grant => v1::TrustKind::Grant,
            TrustKind::Revocation => v1::TrustKind::Revocation,
            TrustKind::GrantPage => v1::TrustKind::GrantPage,
        };
        let signature = |s: &AuthoritySignature| v1::TrustSignature {
            key: s.key.as_bytes().to_vec(),
            signature: s.signature.to_vec(),
        };
        Self {
            kind: kind.into(),
            payload: item.payload().clone(),
            signatures: item.signatures().iter().map(signature).collect(),
        }
    }
}

impl TryFrom<v1::TrustItem> for SignedTrustItem {
    type Error = WireError;

    fn try_from(wire: v1::TrustItem) -> Result<Self, WireError> {
        let kind = match v1::TrustKind::try_from(wire.kind) {
            Ok(v1::TrustKind::AuthoritySet) => TrustKind::AuthoritySet,
            Ok(v1::TrustKind::Grant) => TrustKind::Grant,
            Ok(v1::TrustKind::Revocation) => TrustKind::Revocation,
            Ok(v1::TrustKind::GrantPage) => TrustKind::GrantPage,
            Ok(v1::TrustKind::Unspecified) => {
                return Err(WireError::new("kind", WireProblem::Missing));
            }
            Err(_) => return Err(WireError::new("kind", WireProblem::UnknownValue(wire.kind))),
        };
        let signatures = wire.signatures.iter().enumerate();
        let signatures = signatures.map(|(index, one)| signature(index, one));
        let signatures = signatures.collect::<Result<_, _>>()?;
        Ok(Self::from_parts(kind, wire.payload, signatures))
    }
}

fn signature(index: usize, wire: &v1::TrustSignature) -> Result<AuthoritySignature, WireError> {
    let field = |name: &str| format!("signatures[{index}].{name}");
    let key = hash(&field("key"), &wire.key)?;
    let not_a_key = |source| WireError::new(field("key"), WireProblem::Key(source));
    let wrong_length = |_: std::array::TryFromSliceError| {
        WireError::new(field("signature"), WireProblem::SignatureLength(wire.signature.len()))
    };
    Ok(AuthoritySignature {
        key: AuthorityPublicKey::from_bytes(key).map_err(not_a_key)?,
        signature: wire.signature.as_slice().try_into().map_err(wrong_length)?,
    })
}

/// A list of trust items; an error names the element. Kinds that this build does not know are passed
/// over.
pub(super) fn trust_items(
    field: &str,
    items: Vec<v1::TrustItem>,
) -> Result<Vec<SignedTrustItem>, WireError> {
    let item = |(index, wire): (usize, v1::TrustItem)| {
        SignedTrustItem::try_from(wire).map_err(|error: WireError| WireError {
            field: format!("{field}[{index}].{}", error.field),
            ..error
        })
    };
    let is_known = |(_, wire): &(usize, v1::TrustItem)| v1::TrustKind::try_from(wire.kind).is_ok();
    items.into_iter().enumerate().filter(is_known).map(item).collect()
}

impl From<&HeldTrust> for v1::TrustIds {
    fn from(held: &HeldTrust) -> Self {
        Self {
            ids: held.ids.iter().map(|id| id.0.to_vec()).collect(),
            from: held.from.0.to_vec(),
            to: held.to.0.to_vec(),
        }
    }
}

impl TryFrom<v1::TrustIds> for HeldTrust {
    type Error = WireError;

    fn try_from(wire: v1::TrustIds) -> Result<Self, WireError> {
        let id = |(index, bytes): (usize, Vec<u8>)| {
            hash(&format!("trust.ids[{index}]"), &bytes).map(ItemId)
        };
        let all = Self::whole(wire.ids.into_iter().enumerate().map(id).collect::<Result<_, _>>()?);
        let end = |field: &str, bytes: &[u8], otherwise: ItemId| match bytes {
            [] => Ok(otherwise),
            bytes => hash(field, bytes).map(ItemId),
        };
        let from = end("trust.from", &wire.from, all.from)?;
        let to = end("trust.to", &wire.to, all.to)?;
        Ok(Self { from, to, ..all })
    }
}

/// Empty in a mesh whose members are written by hand.
pub(super) fn trust_hash(field: &str, bytes: &[u8]) -> Result<Option<RootHash>, WireError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    hash(field, bytes).map(Some)
}
