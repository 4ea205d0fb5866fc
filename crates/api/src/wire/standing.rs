//! Whether a zone key was revoked, as a gateway asks another one outside of the tunnels.

use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::SignedTrustItem;

use super::trust::trust_items;
use super::{WireError, WireProblem, hash};
use crate::v1;

impl From<&ZonePublicKey> for v1::StandingRequest {
    fn from(key: &ZonePublicKey) -> Self {
        Self { zone_key: key.as_bytes().to_vec() }
    }
}

/// The key that is asked about.
///
/// # Errors
/// [`WireError`] if it is none.
pub fn asked_key(wire: &v1::StandingRequest) -> Result<ZonePublicKey, WireError> {
    let key = hash("zone_key", &wire.zone_key)?;
    let not_a_key = |source| WireError::new("zone_key", WireProblem::Key(source));
    ZonePublicKey::from_bytes(key).map_err(not_a_key)
}

/// The answer with these items.
#[must_use]
pub fn standing_reply(items: &[SignedTrustItem]) -> v1::StandingReply {
    v1::StandingReply { trust: items.iter().map(v1::TrustItem::from).collect() }
}

/// The items of an answer; nothing of them is believed yet.
///
/// # Errors
/// [`WireError`] names the field.
pub fn told_items(wire: v1::StandingReply) -> Result<Vec<SignedTrustItem>, WireError> {
    trust_items("trust", wire.trust)
}
