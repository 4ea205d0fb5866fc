//! How a gateway of a managed mesh proves to a VM which key its zone has.
//!
//! A gateway shows the authority sets from the mesh's first one and the grant of its zone; a VM that
//! knows mesh, zone and one set from its token finds the zone's key in them, or why there is none.
//! Promises that nothing older counts than the set in the token and the newest one that the VM has
//! seen, so that a removed signing key cannot pose as a zone. It refuses to know which grants and
//! sets count (`membership`), how they travel, and how the gateway then proves that it has the key.

use crate::membership::{
    Attestation, AttestationError, AttestedZone, MAX_AUTHORITIES, MAX_ITEM_BYTES, Membership,
    SetHash, SignedTrustItem, TrustRejected,
};
use crate::name::ZoneName;
use crate::token::MeshPin;

/// Most items that are looked at: every authority set, and what is said about one zone.
pub const MAX_ITEMS: usize = 512;
/// Most bytes of them.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The sets that a gateway keeps and the first one, each as long as one can be, fit with room for the
/// page and the grant: else an old mesh of many zones and keys would be taken for a false one.
const _: () = {
    let signatures = 4 * MAX_AUTHORITIES * (KEY_BYTES + SIGNATURE_BYTES);
    assert!((256 + 3) * (MAX_ITEM_BYTES + signatures) <= MAX_BYTES);
};
const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;

/// Why a gateway is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayDoubt {
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
    /// Nobody can say which set counts.
    #[error("the authority sets that it shows contradict each other")]
    Conflict,
    /// The mesh has no such zone.
    #[error("it shows no grant of the zone {0} that is in force")]
    NoGrant(ZoneName),
}

/// What a gateway shows about `zone`; nothing if it is no member. No key that signs can make that
/// much.
#[must_use]
pub fn about(membership: &Membership, zone: &ZoneName) -> Vec<SignedTrustItem> {
    membership.attestation(zone).map_or_else(Vec::new, |attestation| attestation.items)
}

/// The key of the zone that a token pins, from what a gateway has shown. `seen` is the newest set
/// that the VM knows of this mesh.
///
/// # Errors
/// [`GatewayDoubt`]: why the gateway is not believed.
pub fn verify(
    pin: &MeshPin,
    seen: Option<&SetHash>,
    shown: Vec<SignedTrustItem>,
) -> Result<AttestedZone, GatewayDoubt> {
    let bytes: usize = shown.iter().map(SignedTrustItem::size).sum();
    if shown.len() > MAX_ITEMS || bytes > MAX_BYTES {
        return Err(GatewayDoubt::TooMuch);
    }
    // As a gateway answers whose zone is not granted, or was revoked.
    if shown.is_empty() {
        return Err(GatewayDoubt::NoGrant(pin.zone.clone()));
    }
    let shown = Attestation { items: shown };
    let by_token = verify_over(&shown, pin, pin.head, GatewayDoubt::OlderThanToken)?;
    if let Some(seen) = seen.filter(|seen| **seen != pin.head) {
        let by_seen = verify_over(&shown, pin, *seen, GatewayDoubt::OlderThanSeen)?;
        // Two branches, each of which has one of the two sets.
        if by_seen != by_token {
            return Err(GatewayDoubt::Conflict);
        }
    }
    Ok(by_token)
}

/// As `verify`, over a chain that leads through `known`, which is called `older` where it is not there.
fn verify_over(
    shown: &Attestation,
    pin: &MeshPin,
    known: SetHash,
    older: impl Fn(SetHash) -> GatewayDoubt,
) -> Result<AttestedZone, GatewayDoubt> {
    shown.verify(&pin.mesh, known, &pin.zone).map_err(|error| match error {
        // Where the mesh's first set is there, it is the known one that is not.
        AttestationError::Chain(_) => {
            match Membership::from_items(&pin.mesh, None, shown.items.clone()) {
                Ok(_) => older(known),
                Err(rejected) => GatewayDoubt::OtherMesh(rejected),
            }
        }
        AttestationError::Conflict => GatewayDoubt::Conflict,
        AttestationError::NotGranted => GatewayDoubt::NoGrant(pin.zone.clone()),
    })
}

/// The first digits, as people compare them.
fn short(set: &SetHash) -> String {
    set.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
