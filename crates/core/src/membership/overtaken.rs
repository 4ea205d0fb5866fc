//! What a new authority set has overtaken here: revocations its author had not heard of, grants that
//! it does not list.
//!
//! Promises: a key that was revoked here and that a new list grants stays out here until somebody
//! confirms the revocation or lifts it, unless the key that revoked it was removed as stolen; a zone
//! that is out because the list lacks it is told. Refuses to decide which of the two was meant.

use std::collections::{BTreeMap, BTreeSet};

use super::Membership;
use super::applied::Applied;
use super::chain::{Chain, KnownSet};
use super::item::{AuthoritySet, ContentId, Grant, Revocation, TrustItem};
use super::shelf::{HeldItem, Shelf};
use crate::key::ZonePublicKey;
use crate::name::ZoneName;

/// A revocation that was in force here and that the set which is followed has overtaken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OvertakenRevocation {
    /// What it says.
    pub revocation: Revocation,
    content: ContentId,
}

/// What was in force before a set was followed.
pub(super) struct InForce {
    grants: Vec<Grant>,
    revocations: Vec<HeldItem>,
}

impl InForce {
    pub(super) fn of(membership: &Membership) -> Self {
        let zones = membership.applied.chosen.keys();
        Self {
            grants: zones.filter_map(|zone| membership.grant(zone).cloned()).collect(),
            revocations: membership.revocations_in_force().map(|(held, _)| held.clone()).collect(),
        }
    }

    pub(super) fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.grants.iter()
    }

    pub(super) fn revocations(&self) -> impl Iterator<Item = &Revocation> {
        self.revocations.iter().filter_map(|held| match &held.item {
            TrustItem::Revocation(revocation) => Some(revocation),
            _ => None,
        })
    }
}

#[derive(Clone, Default)]
pub(super) struct Overtaken {
    revocations: BTreeMap<ContentId, OvertakenRevocation>,
    not_listed: BTreeMap<ZoneName, Grant>,
}

impl Overtaken {
    pub(super) fn revocations(&self) -> impl Iterator<Item = &OvertakenRevocation> {
        self.revocations.values()
    }

    pub(super) fn not_listed(&self) -> impl Iterator<Item = &Grant> {
        self.not_listed.values()
    }

    pub(super) fn contents(&self) -> BTreeSet<ContentId> {
        self.revocations.keys().copied().collect()
    }

    pub(super) fn holds(&self, content: &ContentId) -> bool {
        self.revocations.contains_key(content)
    }

    pub(super) fn lift(&mut self, zone: &ZoneName) -> Vec<ContentId> {
        let of_zone = |(_, one): &(&ContentId, &OvertakenRevocation)| one.revocation.zone == *zone;
        let lifted: Vec<_> = self.revocations.iter().filter(of_zone).map(|(id, _)| *id).collect();
        lifted.iter().for_each(|content| drop(self.revocations.remove(content)));
        lifted
    }

    /// A set is followed now: compares what was in force with what is held.
    pub(super) fn look(&mut self, before: &InForce, chain: &Chain, shelf: &mut Shelf) {
        let kept: Vec<_> =
            self.revocations.keys().filter_map(|id| shelf.get(id).cloned()).collect();
        self.revocations.clear();
        for held in kept.into_iter().chain(before.revocations.iter().cloned()) {
            self.keep(held, chain, shelf);
        }
        for grant in &before.grants {
            self.not_listed.insert(grant.zone.clone(), grant.clone());
        }
    }

    /// Keeps a revocation that counts no more, if its key is granted and nobody said that those who
    /// signed it were thieves.
    pub(super) fn keep(&mut self, held: HeldItem, chain: &Chain, shelf: &mut Shelf) {
        let TrustItem::Revocation(revocation) = &held.item else { return };
        if shelf.standing(chain, &held).is_some() {
            return;
        }
        let content = held.content;
        if is_granted(shelf, &revocation.zone_key) && holds_still(chain, revocation, &held) {
            let revocation = revocation.clone();
            self.revocations.insert(content, OvertakenRevocation { revocation, content });
            shelf.insert(held);
        } else {
            shelf.remove(&content);
        }
    }

    /// What is settled is told no more: a zone that is granted again or revoked, a revocation that was
    /// confirmed. Returns what need not be held.
    pub(super) fn forget_settled(
        &mut self,
        applied: &Applied,
        revoked: &BTreeSet<ZonePublicKey>,
    ) -> Vec<ContentId> {
        self.not_listed.retain(|zone, grant| {
            !applied.chosen.contains_key(zone) && !revoked.contains(&grant.zone_key)
        });
        let confirmed =
            self.revocations.values().filter(|o| revoked.contains(&o.revocation.zone_key));
        let confirmed: Vec<_> = confirmed.map(|one| one.content).collect();
        confirmed.iter().for_each(|content| drop(self.revocations.remove(content)));
        confirmed
    }
}

fn is_granted(shelf: &Shelf, key: &ZonePublicKey) -> bool {
    let grants = |held: &HeldItem| match &held.item {
        TrustItem::Grant(grant) => grant.zone_key == *key,
        _ => false,
    };
    shelf.listed().iter().filter_map(|content| shelf.get(content)).any(grants)
}

/// True if those who have signed it, without those who were called thieves later, were enough once.
fn holds_still(chain: &Chain, revocation: &Revocation, held: &HeldItem) -> bool {
    let mut stolen = BTreeSet::new();
    let entitles = |set: &AuthoritySet, stolen: &BTreeSet<_>| {
        set.entitles(&held.signers.difference(stolen).copied().collect())
    };
    for KnownSet { hash, set, .. } in chain.newest_first() {
        let is_named = revocation.set.map_or(set.is_older_form(), |named| named == *hash);
        if is_named && entitles(set, &stolen) {
            return true;
        }
        stolen.extend(&set.stolen);
    }
    false
}
