//! Which items of a file a key has to sign.
//!
//! A grant or a revocation takes as many signatures as the set that it names asks for, an authority set
//! those of a majority of the owners before it and of each key that it adds. The sets that stand in the
//! file say so; without the one that counts, whoever signs is trusted to know.

use std::collections::BTreeSet;

use zonemesh_core::membership::{
    AuthorityIdentity, AuthorityPublicKey, AuthoritySet, SetHash, SignedTrustItem, TrustItem,
    TrustKind, add_signatures, sign_set, signatures_missing, still_to_sign,
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

    fn get(&self, hash: SetHash) -> Option<&AuthoritySet> {
        self.0.iter().find(|(known, _)| *known == hash).map(|(_, set)| set)
    }

    /// True for the last authority set, if there is one before it: a draft puts the change behind the
    /// sets that there are.
    pub(super) fn is_next(&self, item: &SignedTrustItem) -> bool {
        let last = self.0.last();
        last.is_some_and(|(hash, set)| set.epoch > 0 && *hash == item.payload_hash())
    }

    /// True for an authority set that lacks signatures.
    pub(super) fn awaits(&self, item: &SignedTrustItem) -> bool {
        item.kind() == TrustKind::AuthoritySet && self.missing(item) > 0
    }

    /// How many signatures an item lacks, as far as the file says.
    pub(super) fn missing(&self, item: &SignedTrustItem) -> u32 {
        match item.decode() {
            Ok(TrustItem::AuthoritySet(next)) => {
                let parent = next.previous.and_then(|previous| self.get(previous));
                let lacks = parent.map(|parent| still_to_sign(parent, &next, item).count());
                u32::try_from(lacks.unwrap_or_default()).unwrap_or(u32::MAX)
            }
            _ => self.named_by(item).map_or(0, |set| signatures_missing(set, item)),
        }
    }

    /// Who may sign items that lack signatures; `None` if one of them does not say it here.
    pub(super) fn entitled(
        &self,
        items: &[SignedTrustItem],
    ) -> Option<BTreeSet<AuthorityPublicKey>> {
        let mut all = BTreeSet::new();
        for item in items {
            match item.decode() {
                Ok(TrustItem::AuthoritySet(next)) => {
                    let parent = next.previous.and_then(|previous| self.get(previous));
                    let Some(parent) = parent else { continue };
                    let lacks = still_to_sign(parent, &next, item);
                    let owners = parent.owners().iter().filter(|_| lacks.owners > 0);
                    all.extend(owners.chain(&lacks.added).copied());
                }
                Ok(TrustItem::Grant(_) | TrustItem::Revocation(_)) => {
                    let set = self.named_by(item)?;
                    if signatures_missing(set, item) > 0 {
                        all.extend(set.keys.iter().copied());
                    }
                }
                Ok(TrustItem::GrantPage(_)) | Err(_) => {}
            }
        }
        Some(all)
    }

    /// Adds a signature if the item lacks one of this key.
    pub(super) fn sign(&self, item: &mut SignedTrustItem, identity: &AuthorityIdentity) {
        match item.decode() {
            Ok(TrustItem::AuthoritySet(next)) => {
                if let Some(parent) = next.previous.and_then(|previous| self.get(previous)) {
                    sign_set(parent, &next, item, &[identity]);
                }
            }
            Ok(TrustItem::Grant(_) | TrustItem::Revocation(_)) => match self.named_by(item) {
                Some(set) => add_signatures(set, item, &[identity]),
                None => item.sign(identity),
            },
            // What a set lists needs no signature.
            Ok(TrustItem::GrantPage(_)) | Err(_) => {}
        }
    }

    fn named_by(&self, item: &SignedTrustItem) -> Option<&AuthoritySet> {
        let set = match item.decode() {
            Ok(TrustItem::Grant(grant)) => grant.set,
            Ok(TrustItem::Revocation(revocation)) => revocation.set,
            _ => None,
        };
        set.and_then(|set| self.get(set))
    }
}
