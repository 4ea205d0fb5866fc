//! How a gateway of a managed mesh proves to a VM which key its zone has.
//!
//! A gateway shows the authority sets from the mesh's first one and the grant of its zone; a VM that
//! knows mesh, zone and one set from its token finds the zone's key in them, or why there is none.
//! Promises that nothing older counts than the set in the token and the newest one that the VM has
//! seen, so that a removed signing key cannot pose as a zone. It refuses to know which grants and
//! sets count (`membership`), how they travel, and how the gateway then proves that it has the key.

use crate::key::ZonePublicKey;
use crate::membership::{
    Membership, SetHash, SignedTrustItem, TrustItem, TrustKind, TrustRejected,
};
use crate::name::ZoneName;
use crate::token::MeshPin;

/// Most items that are looked at: every authority set, and what is said about one zone.
pub const MAX_ITEMS: usize = 512;
/// Most bytes of them.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;

/// A zone whose key follows from what its gateway has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestedZone {
    /// The zone's key.
    pub zone_key: ZonePublicKey,
    /// The authority set that is followed there: nothing older is to be taken from now on.
    pub head: SetHash,
}

/// Why a gateway is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// More than any mesh has.
    #[error("it shows more than {MAX_ITEMS} trust items or {MAX_BYTES} bytes of them")]
    TooMuch,
    /// Nothing leads to the mesh of the token.
    #[error("it is not of the mesh that the token pins ({0})")]
    OtherMesh(TrustRejected),
    /// The chain ends before the set that was followed when the token was made.
    #[error(
        "it does not know the authority set {} that was in force when the token was made",
        short(.0)
    )]
    OlderThanToken(SetHash),
    /// The chain ends before a set that was shown here before.
    #[error("it does not know the authority set {} that a gateway has shown before", short(.0))]
    OlderThanSeen(SetHash),
    /// The mesh has no such zone.
    #[error("it shows no grant of the zone {0} that is in force")]
    NoGrant(ZoneName),
}

/// What a gateway shows about `zone`: the authority sets that led to the one in force, the grant in
/// force, and whatever revokes its key. No key that signs can make that much.
#[must_use]
pub fn about(membership: &Membership, zone: &ZoneName) -> Vec<SignedTrustItem> {
    let grant = membership.grant(zone);
    let is_about = |item: &SignedTrustItem| match item.kind() {
        TrustKind::AuthoritySet => membership.follows(&item.payload_hash()),
        TrustKind::Grant => {
            matches!((item.decode(), grant), (Ok(TrustItem::Grant(one)), Some(grant)) if one == *grant)
        }
        TrustKind::Revocation => match (item.decode(), grant) {
            (Ok(TrustItem::Revocation(one)), Some(grant)) => one.zone_key == grant.zone_key,
            _ => false,
        },
    };
    membership.items().into_iter().filter(is_about).collect()
}

/// The key of the zone that a token pins, from what a gateway has shown. `seen` is the newest set
/// that the VM knows of this mesh.
///
/// # Errors
/// [`AttestationError`]: why the gateway is not believed.
pub fn verify(
    pin: &MeshPin,
    seen: Option<&SetHash>,
    shown: Vec<SignedTrustItem>,
) -> Result<AttestedZone, AttestationError> {
    let bytes: usize = shown.iter().map(SignedTrustItem::size).sum();
    if shown.len() > MAX_ITEMS || bytes > MAX_BYTES {
        return Err(AttestationError::TooMuch);
    }
    let membership =
        Membership::from_items(&pin.mesh, shown).map_err(AttestationError::OtherMesh)?;
    if !membership.follows(&pin.head) {
        return Err(AttestationError::OlderThanToken(pin.head));
    }
    if let Some(seen) = seen.filter(|seen| !membership.follows(seen)) {
        return Err(AttestationError::OlderThanSeen(*seen));
    }
    let member = membership.member(&pin.zone);
    let member = member.ok_or_else(|| AttestationError::NoGrant(pin.zone.clone()))?;
    let (head, _) = membership.authority_set();
    Ok(AttestedZone { zone_key: member.key, head })
}

/// The first digits, as people compare them.
fn short(set: &SetHash) -> String {
    set.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
