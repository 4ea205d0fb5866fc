//! From one authority set to the next, so that nobody is put out by the way.
//!
//! Promises: a change names exactly what an operator asked for, or says why not; with it come the
//! grants that it would leave without enough signatures, as they are, to be signed by the new set. The
//! serials of grants stay, and with them who came first. What is offered can be looked at before it is
//! taken: which zones it would put out, what it lacks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::authority::meets;
use super::draft::{DraftError, signatures_missing};
use super::item::{AuthoritySet, SetHash, SignedTrustItem, TrustItem, TrustKind};
use super::key::AuthorityPublicKey;
use super::{HeldItem, Membership};
use crate::name::ZoneName;
use crate::time::UnixMillis;

/// What is to change about who may sign.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorityEdit {
    /// Keys that may sign from then on.
    pub add: BTreeSet<AuthorityPublicKey>,
    /// Keys that may sign no more.
    pub remove: BTreeSet<AuthorityPublicKey>,
    /// How many must sign; `None` leaves it.
    pub threshold: Option<u32>,
}

/// What an item lacks to have an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking {
    /// Signatures that are missing.
    pub missing: u32,
    /// Signatures that it takes.
    pub needed: u32,
}

impl Membership {
    /// The authority set that follows the one in force with this change.
    ///
    /// # Errors
    /// [`DraftError`] says what is wrong with the change.
    pub fn draft_change(
        &self,
        edit: &AuthorityEdit,
        now: UnixMillis,
    ) -> Result<AuthoritySet, DraftError> {
        let (_, present) = self.authority_set();
        if let Some(stranger) = edit.remove.difference(&present.keys).next() {
            return Err(DraftError::UnknownAuthority(*stranger));
        }
        if let Some(known) = edit.add.intersection(&present.keys).next() {
            return Err(DraftError::KnownAuthority(*known));
        }
        let keys: BTreeSet<_> =
            present.keys.difference(&edit.remove).chain(&edit.add).copied().collect();
        let threshold = edit.threshold.unwrap_or(present.threshold);
        if keys.is_empty() {
            return Err(DraftError::LastAuthority);
        }
        if !edit.remove.is_empty() && keys.len() < usize::try_from(threshold).unwrap_or(usize::MAX)
        {
            return Err(DraftError::TooFewLeft { left: keys.len(), threshold });
        }
        if keys == present.keys && threshold == present.threshold {
            return Err(DraftError::SameAuthorities);
        }
        self.draft_authorities(keys, threshold, now)
    }

    /// The grants that hold now and would not hold under `next`, each as it is, with those of its
    /// signatures that still count: to be signed by keys of `next` and offered together with it.
    #[must_use]
    pub fn draft_regrants(&self, next: &AuthoritySet) -> Vec<SignedTrustItem> {
        let mut signatures: BTreeMap<(u64, &Bytes), BTreeMap<_, _>> = BTreeMap::new();
        for held in self.items.values().filter(|held| self.authorities.entitled(&held.signers)) {
            if let HeldItem { item: TrustItem::Grant(grant), signed, .. } = held.as_ref() {
                let all = signatures.entry((grant.serial, signed.payload())).or_default();
                let still = signed.signatures().iter().filter(|s| next.keys.contains(&s.key));
                all.extend(still.map(|signature| (signature.key, signature.clone())));
            }
        }
        let threshold = usize::try_from(next.threshold).unwrap_or(usize::MAX);
        let lacking = signatures.into_iter().filter(|(_, still)| still.len() < threshold);
        lacking
            .map(|((_, payload), still)| {
                let still = still.into_values().collect();
                SignedTrustItem::from_parts(TrustKind::Grant, payload.clone(), still)
            })
            .collect()
    }

    /// The members that would be members no more if these items were taken, although nobody revokes
    /// them: their grants are not signed by the authorities that would be in force then.
    #[must_use]
    pub fn put_out_by(&self, items: &[SignedTrustItem]) -> Vec<ZoneName> {
        let mut then = self.clone();
        then.accept_all(items.to_vec());
        let is_put_out = |member: &&crate::member::Member| {
            then.member(&member.zone).is_none() && !then.is_revoked(&member.key)
        };
        self.members().filter(is_put_out).map(|member| member.zone.clone()).collect()
    }

    /// What an item lacks, if it has no effect here for want of signatures of those in force. A grant
    /// that a newer one has replaced lacks nothing.
    #[must_use]
    pub fn lacking(&self, item: &SignedTrustItem) -> Option<Lacking> {
        let signers = item.signers()?;
        let (_, present) = self.authority_set();
        let set = match item.decode().ok()? {
            TrustItem::AuthoritySet(set) => {
                let before = self.authorities.get(&set.previous?)?;
                if meets(before, &signers) {
                    return None;
                }
                before
            }
            TrustItem::Grant(grant) => {
                let is_replaced = |newest: &super::Grant| newest.serial >= grant.serial;
                if self.authorities.entitled(&signers)
                    || self.grant(&grant.zone).is_some_and(is_replaced)
                {
                    return None;
                }
                present
            }
            TrustItem::Revocation(_) if self.authorities.ever_entitled(&signers) => return None,
            TrustItem::Revocation(_) => present,
        };
        // Strangers' signatures are refused; that more are needed would say too little.
        let is_strange = !signers.is_empty()
            && signers.is_disjoint(&set.keys)
            && !self.authorities.ever_entitled(&signers);
        let missing = signatures_missing(set, item);
        (missing > 0 && !is_strange).then_some(Lacking { missing, needed: set.threshold })
    }

    /// True if this authority set is the one in force, or one that it follows.
    #[must_use]
    pub fn follows(&self, set: &SetHash) -> bool {
        self.authorities.chain().any(|hash| hash == *set)
    }

    /// How many authority sets are held that lost against another change.
    #[must_use]
    pub fn lost_changes(&self) -> usize {
        self.authorities.count() - self.authorities.chain().count()
    }
}
