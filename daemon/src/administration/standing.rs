//! What the mesh has decided about a zone key, for whoever asks at the join port.
//!
//! Promises: nothing but what revokes that very key, and the authority sets that say who may: the
//! answer of a key that was not revoked is empty, whether it is a member's or nobody's.

use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::{SignedTrustItem, TrustItem, TrustKind};

use super::Administration;

/// Most revocations of one key in an answer: one is enough, and some may be of lost authorities.
const MOST: usize = 16;

impl Administration {
    /// The authority sets and the revocations of `key`; nothing if it was not revoked.
    pub(crate) fn decided(&self, key: &ZonePublicKey) -> Vec<SignedTrustItem> {
        let items = self.ledger.read(|registry| {
            let revoking = registry.membership().filter(|membership| membership.is_revoked(key));
            revoking.map(|membership| membership.items()).unwrap_or_default()
        });
        let (sets, others): (Vec<_>, Vec<_>) =
            items.into_iter().partition(|item| item.kind() == TrustKind::AuthoritySet);
        let revokes = |item: &SignedTrustItem| {
            item.kind() == TrustKind::Revocation
                && matches!(item.decode(), Ok(TrustItem::Revocation(one)) if one.zone_key == *key)
        };
        sets.into_iter().chain(others.into_iter().filter(revokes).take(MOST)).collect()
    }
}
