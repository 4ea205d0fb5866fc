//! Which items of a file an authority key has to sign.
//!
//! An item takes exactly as many signatures as its authority set asks for, of that set's keys: one too
//! many makes it void. The sets that stand in the file say so; without any, whoever signs is trusted to
//! know.

use zonemesh_core::membership::{
    AuthorityIdentity, AuthoritySet, SetHash, SignedTrustItem, TrustItem, TrustKind,
    add_signatures, signatures_missing,
};

/// The authority sets of a file.
pub(super) struct Sets(Vec<(SetHash, AuthoritySet)>);

impl Sets {
    pub(super) fn of(items: &[SignedTrustItem]) -> Self {
        let set = |item: &SignedTrustItem| match item.decode() {
            Ok(TrustItem::AuthoritySet(set)) => Some((item.payload_hash(), set)),
            _ => None,
        };
        Self(items.iter().filter_map(set).collect())
    }

    /// True for an authority set that lacks signatures of the one before it.
    pub(super) fn awaits(&self, item: &SignedTrustItem) -> bool {
        item.kind() == TrustKind::AuthoritySet
            && self.of_signers(item).is_some_and(|set| signatures_missing(set, item) > 0)
    }

    /// Adds a signature if the item lacks one of this key.
    pub(super) fn sign(&self, item: &mut SignedTrustItem, identity: &AuthorityIdentity) {
        match self.of_signers(item) {
            Some(set) => add_signatures(set, item, &[identity]),
            None if self.0.is_empty() => item.sign(identity),
            // A first authority set, which needs no signature.
            None => {}
        }
    }

    /// The set whose keys sign this item: for an authority set the one before it, for all else the
    /// newest one.
    fn of_signers(&self, item: &SignedTrustItem) -> Option<&AuthoritySet> {
        match item.decode() {
            Ok(TrustItem::AuthoritySet(set)) => {
                let before = self.0.iter().find(|(hash, _)| Some(*hash) == set.previous);
                before.map(|(_, before)| before)
            }
            _ => {
                let newest = self.0.iter().map(|(_, set)| set).max_by_key(|set| set.epoch)?;
                // What others have signed is whole as it is, or of no use.
                let signers = item.signers().unwrap_or_default();
                signers.is_subset(&newest.keys).then_some(newest)
            }
        }
    }
}
