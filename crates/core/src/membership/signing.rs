//! Who still has to sign an item, and signing it.

use std::collections::BTreeSet;

use super::item::{AuthoritySet, TrustItem};
use super::key::{AuthorityIdentity, AuthorityPublicKey};
use super::signed::SignedTrustItem;

/// What an authority set lacks to be valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StillToSign {
    /// How many owner keys of the set before it.
    pub owners: usize,
    /// Keys that it adds and that have not signed it.
    pub added: BTreeSet<AuthorityPublicKey>,
}

impl StillToSign {
    /// Signatures that are missing.
    #[must_use]
    pub fn count(&self) -> usize {
        self.owners + self.added.len()
    }
}

/// Who still has to sign the set `next`, which follows `parent`.
#[must_use]
pub fn still_to_sign(
    parent: &AuthoritySet,
    next: &AuthoritySet,
    item: &SignedTrustItem,
) -> StillToSign {
    let signers = item.signers().unwrap_or_default();
    let owners = signers.intersection(parent.owners()).count();
    StillToSign {
        owners: parent.majority().saturating_sub(owners),
        added: parent.added_by(next).filter(|key| !signers.contains(key)).copied().collect(),
    }
}

/// How many signatures a grant or a revocation still needs under `set`.
#[must_use]
pub fn signatures_missing(set: &AuthoritySet, item: &SignedTrustItem) -> u32 {
    let signers = item.signers().unwrap_or_default();
    let present = signers.intersection(&set.keys).count();
    set.threshold.saturating_sub(u32::try_from(present).unwrap_or(u32::MAX))
}

/// Signs a grant or a revocation with as many of `identities` as `set` asks for. With fewer it stays
/// incomplete ([`signatures_missing`]), to be signed elsewhere.
#[must_use]
pub fn sign(
    set: &AuthoritySet,
    item: &TrustItem,
    identities: &[&AuthorityIdentity],
) -> SignedTrustItem {
    let mut signed = SignedTrustItem::unsigned(item);
    add_signatures(set, &mut signed, identities);
    signed
}

/// Adds signatures of signing keys of `set` to an item until it has as many as it takes.
pub fn add_signatures(
    set: &AuthoritySet,
    item: &mut SignedTrustItem,
    identities: &[&AuthorityIdentity],
) {
    for identity in identities {
        let entitled = set.keys.contains(&identity.public_key());
        if entitled && signatures_missing(set, item) > 0 {
            item.sign(identity);
        }
    }
}

/// Signs the set `next`, which follows `parent`, with those of `identities` that it still lacks.
pub fn sign_set(
    parent: &AuthoritySet,
    next: &AuthoritySet,
    item: &mut SignedTrustItem,
    identities: &[&AuthorityIdentity],
) {
    for identity in identities {
        let key = identity.public_key();
        let lacks = still_to_sign(parent, next, item);
        let is_asked = lacks.owners > 0 && parent.owners().contains(&key);
        if is_asked || lacks.added.contains(&key) {
            item.sign(identity);
        }
    }
}
