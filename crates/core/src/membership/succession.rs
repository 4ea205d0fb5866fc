//! From one authority set to the next, so that nobody is put out by the way.
//!
//! Promises: a change names exactly what an operator asked for, or says why not; with it comes the list
//! of the grants that stay, built from what is in force. What is offered can be looked at before it is
//! taken: which zones it would put out, what it lacks.

use std::collections::BTreeSet;

use super::applied::{self, GrantInForce};
use super::draft::{DraftError, checked};
use super::item::{AuthoritySet, ContentId, Grant, TrustItem};
use super::key::AuthorityPublicKey;
use super::signed::SignedTrustItem;
use super::signing::{signatures_missing, still_to_sign};
use super::{MAX_LISTED, MAX_LISTED_BYTES, Membership, list};
use crate::key::ZonePublicKey;
use crate::name::ZoneName;
use crate::time::UnixMillis;

/// What is to change about who may sign.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorityEdit {
    /// Signing keys that are added.
    pub add: BTreeSet<AuthorityPublicKey>,
    /// Signing keys that are removed.
    pub remove: BTreeSet<AuthorityPublicKey>,
    /// Owner keys that are added.
    pub add_owners: BTreeSet<AuthorityPublicKey>,
    /// Owner keys that are removed.
    pub remove_owners: BTreeSet<AuthorityPublicKey>,
    /// How many signing keys must sign; `None` leaves it.
    pub threshold: Option<u32>,
    /// The removed keys were stolen: their revocations end.
    pub stolen: bool,
    /// Zones that are not to stay.
    pub leave_out: BTreeSet<ZoneName>,
    /// Zones that are to come back although a stolen key has signed their grant, too: it has revoked
    /// them and may have made them itself.
    pub bring_back: BTreeSet<ZoneName>,
    /// Make the set anew even if nothing else changes: a new list, fresh serials and room.
    pub renew: bool,
}

/// A change before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetDraft {
    /// The next set.
    pub next: AuthoritySet,
    /// The pages of its list.
    pub pages: Vec<SignedTrustItem>,
    /// The grants that it lists, which need no signatures then: with them a file is whole.
    pub grants: Vec<SignedTrustItem>,
    /// What it does.
    pub summary: ChangeSummary,
}

/// What a change does to the zones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeSummary {
    /// Zones whose grants stay.
    pub stay: Vec<ZoneName>,
    /// Members that are out afterwards.
    pub out: Vec<ZoneName>,
    /// Zones whose grant came since the last list.
    pub since_last: Vec<ZoneName>,
    /// Those of them whose grant only keys have signed that are removed.
    pub by_removed: Vec<ZoneName>,
    /// Zones that are back, as the key that revoked them was stolen.
    pub back: Vec<ZoneName>,
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
    /// The authority set that follows the one in force with this change, and its list.
    ///
    /// # Errors
    /// [`DraftError`] says what is wrong with the change.
    pub fn draft_change(
        &self,
        edit: &AuthorityEdit,
        now: UnixMillis,
    ) -> Result<SetDraft, DraftError> {
        let (hash, present) = self.authority_set();
        let keys = changed(&present.keys, &edit.add, &edit.remove)?;
        let owners = changed(present.owners(), &edit.add_owners, &edit.remove_owners)?;
        let threshold = edit.threshold.unwrap_or(present.threshold);
        if !edit.remove.is_empty() && keys.len() < usize::try_from(threshold).unwrap_or(usize::MAX)
        {
            return Err(DraftError::TooFewLeft { left: keys.len(), threshold });
        }
        let is_same = keys == present.keys
            && owners == *present.owners()
            && threshold == present.threshold
            && edit.leave_out.is_empty();
        if is_same && !edit.renew {
            return Err(DraftError::SameAuthorities);
        }
        let removed: BTreeSet<_> = edit.remove.union(&edit.remove_owners).copied().collect();
        let stolen = if edit.stolen { removed.clone() } else { BTreeSet::new() };
        let staying = self.staying(&stolen, edit)?;
        let pages = list::pages(&staying.iter().map(|held| held.content).collect());
        let next = AuthoritySet {
            epoch: present.epoch.saturating_add(1),
            previous: Some(hash),
            owner_keys: Some(owners),
            keys,
            threshold,
            pages: pages.iter().map(SignedTrustItem::content_id).collect(),
            stolen,
            issued_at: now,
        };
        let summary = self.summary(&staying, &removed);
        let grants = staying.iter().filter_map(|held| self.shelf.get(&held.content));
        let grants = grants.map(|held| held.signed.clone().signed_only_by(|_| false)).collect();
        Ok(SetDraft { next: checked(next)?, pages, grants, summary })
    }

    /// The grants that stay: those in force, and those of zones that only stolen keys have revoked,
    /// unless only they have granted them.
    fn staying(
        &self,
        stolen: &BTreeSet<AuthorityPublicKey>,
        edit: &AuthorityEdit,
    ) -> Result<Vec<GrantInForce<'_>>, DraftError> {
        let mut staying = applied::chosen(self.grants_in_force(), &self.revoked_without(stolen));
        staying.retain(|held| {
            let zone = &held.grant.zone;
            let is_in = !self.is_revoked(&held.grant.zone_key) || edit.bring_back.contains(zone);
            is_in || !held.names_head || !self.needs(held, stolen)
        });
        let leave_out = &edit.leave_out;
        let is_there = |zone: &&ZoneName| staying.iter().any(|held| held.grant.zone == **zone);
        if let Some(stranger) = leave_out.union(&edit.bring_back).find(|zone| !is_there(zone)) {
            return Err(DraftError::NotAmongThem(stranger.clone()));
        }
        staying.retain(|held| !leave_out.contains(&held.grant.zone));
        let held = staying.iter().filter_map(|held| self.shelf.get(&held.content));
        let bytes: usize = held.map(|held| held.signed.payload().len()).sum();
        match staying.len() > MAX_LISTED || bytes > MAX_LISTED_BYTES {
            true => Err(DraftError::TooManyZones),
            false => Ok(staying),
        }
    }

    /// The keys that are revoked by others than `stolen`, those kept out here only among them.
    fn revoked_without(&self, stolen: &BTreeSet<AuthorityPublicKey>) -> BTreeSet<ZonePublicKey> {
        let (_, present) = self.authority_set();
        let by_others = self.revocations_in_force().filter(|(held, revocation)| {
            let others = held.signers.difference(stolen).copied().collect();
            match revocation.set {
                Some(_) => present.entitles(&others),
                None => self.chain.ever_entitled(&others),
            }
        });
        by_others.map(|(_, revocation)| revocation.zone_key).collect()
    }

    /// True if those who have signed a grant are not enough without `keys`.
    fn needs(&self, held: &GrantInForce<'_>, keys: &BTreeSet<AuthorityPublicKey>) -> bool {
        let signers = self.shelf.get(&held.content).map(|held| &held.signers);
        let others = signers.into_iter().flatten().filter(|key| !keys.contains(key));
        !self.authority_set().1.entitles(&others.copied().collect())
    }

    fn summary(
        &self,
        staying: &[GrantInForce<'_>],
        removed: &BTreeSet<AuthorityPublicKey>,
    ) -> ChangeSummary {
        let mut stay: Vec<_> = staying.iter().map(|held| held.grant.zone.clone()).collect();
        stay.sort();
        let mut fresh: Vec<_> = staying.iter().filter(|held| held.names_head).collect();
        fresh.sort_by_key(|held| &held.grant.zone);
        let only_removed = |held: &&&GrantInForce<'_>| self.needs(held, removed);
        let zone = |held: &&GrantInForce<'_>| held.grant.zone.clone();
        ChangeSummary {
            out: self.members().map(|m| m.zone.clone()).filter(|z| !stay.contains(z)).collect(),
            since_last: fresh.iter().map(zone).collect(),
            by_removed: fresh.iter().filter(only_removed).map(zone).collect(),
            back: stay.iter().filter(|zone| self.grant(zone).is_none()).cloned().collect(),
            stay,
        }
    }

    /// The members that would be members no more if these items were taken, although nobody revokes
    /// them: the set that would be followed then does not list them.
    #[must_use]
    pub fn put_out_by(&self, items: &[SignedTrustItem]) -> Vec<ZoneName> {
        let mut then = self.clone();
        then.accept_all(items.to_vec());
        let is_put_out = |member: &&crate::member::Member| {
            then.member(&member.zone).is_none() && !then.is_revoked(&member.key)
        };
        self.members().filter(is_put_out).map(|member| member.zone.clone()).collect()
    }

    /// What an item lacks, if it has no effect here for want of signatures. A grant that a newer one
    /// has replaced lacks nothing, nor does one that names a set which was left: it is void.
    #[must_use]
    pub fn lacking(&self, item: &SignedTrustItem) -> Option<Lacking> {
        let signers = item.signers()?;
        let (head, present) = self.authority_set();
        let (set, missing, needed) = match item.decode().ok()? {
            TrustItem::AuthoritySet(next) => {
                let before = &self.chain.get(&next.previous?)?.set;
                let missing = still_to_sign(before, &next, item).count();
                let needed = before.majority() + before.added_by(&next).count();
                let strangers = before.owners().union(&next.keys).copied().collect();
                (strangers, missing, needed)
            }
            TrustItem::Grant(Grant { set, .. })
            | TrustItem::Revocation(super::Revocation { set, .. }) => {
                set.filter(|set| *set == head && !self.holds(&item.content_id()))?;
                let missing = signatures_missing(present, item) as usize;
                (present.keys.clone(), missing, present.threshold as usize)
            }
            TrustItem::GrantPage(_) => return None,
        };
        // Strangers' signatures are refused; that more are needed would say too little.
        let is_strange = !signers.is_empty() && signers.is_disjoint(&set);
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let lacking = Lacking { missing: number(missing), needed: number(needed) };
        (missing > 0 && !is_strange).then_some(lacking)
    }

    /// What a grant or a page is known by, if it is held.
    #[must_use]
    pub fn holds(&self, content: &ContentId) -> bool {
        self.shelf.get(content).is_some()
    }
}

fn changed(
    present: &BTreeSet<AuthorityPublicKey>,
    add: &BTreeSet<AuthorityPublicKey>,
    remove: &BTreeSet<AuthorityPublicKey>,
) -> Result<BTreeSet<AuthorityPublicKey>, DraftError> {
    if let Some(stranger) = remove.difference(present).next() {
        return Err(DraftError::UnknownAuthority(*stranger));
    }
    if let Some(known) = add.intersection(present).next() {
        return Err(DraftError::KnownAuthority(*known));
    }
    let keys: BTreeSet<_> = present.difference(remove).chain(add).copied().collect();
    if keys.is_empty() { Err(DraftError::LastAuthority) } else { Ok(keys) }
}
