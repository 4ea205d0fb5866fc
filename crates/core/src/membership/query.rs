//! What a membership says: members, items, what is out of order. Nothing here changes who is a member
//! but [`Membership::lift`].

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::Membership;
use super::applied::Alarm;
use super::chain::{KnownSet, OperatorPin};
use super::item::{AuthoritySet, ContentId, Grant, ItemId, Revocation, SetHash, TrustItem};
use super::outcome::TrustCounters;
use super::overtaken::OvertakenRevocation;
use super::restore::StoredHead;
use super::signed::SignedTrustItem;
use crate::key::ZonePublicKey;
use crate::member::Member;
use crate::mesh::RootHash;
use crate::name::ZoneName;
use crate::prefix::{check_all_ordinary, claims};

impl Membership {
    /// The members, in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.applied.members.values()
    }

    /// The member `zone`.
    #[must_use]
    pub fn member(&self, zone: &ZoneName) -> Option<&Member> {
        self.applied.members.get(zone)
    }

    /// True if `key` is revoked.
    #[must_use]
    pub fn is_revoked(&self, key: &ZonePublicKey) -> bool {
        self.revoked.contains(key)
    }

    /// Grants that contradict each other.
    #[must_use]
    pub fn alarms(&self) -> &[Alarm] {
        &self.applied.alarms
    }

    /// The revocations in force, in no order.
    pub fn revocations(&self) -> impl Iterator<Item = &Revocation> {
        self.revocations_in_force().map(|(_, revocation)| revocation)
    }

    /// The grant of `zone` that holds and is not revoked, applied or not.
    #[must_use]
    pub fn grant(&self, zone: &ZoneName) -> Option<&Grant> {
        let held = self.applied.chosen.get(zone).and_then(|content| self.shelf.get(content))?;
        match &held.item {
            TrustItem::Grant(grant) => Some(grant),
            _ => None,
        }
    }

    /// True if a grant that counts names `zone` and `key`, whether it is the one that holds or not.
    #[must_use]
    pub fn names(&self, zone: &ZoneName, key: &ZonePublicKey) -> bool {
        let mut grants = self.grants_in_force();
        grants.any(|one| one.grant.zone == *zone && one.grant.zone_key == *key)
    }

    /// Since when `zone` belongs to the mesh, under whatever key: orders zones, not for clocks.
    #[must_use]
    pub fn since(&self, zone: &ZoneName) -> Option<u64> {
        self.grant(zone).map(|grant| grant.since)
    }

    /// The authority set that is followed, and its hash.
    #[must_use]
    pub fn authority_set(&self) -> (SetHash, &AuthoritySet) {
        let head = self.chain.head();
        (head.hash, &head.set)
    }

    /// True if this authority set is the one that is followed, or one before it.
    #[must_use]
    pub fn follows(&self, set: &SetHash) -> bool {
        self.chain.is_followed(set)
    }

    /// The same as it is kept on disk.
    #[must_use]
    pub fn stored_head(&self) -> StoredHead {
        StoredHead {
            set: self.chain.head().hash,
            pinned: self.chain.pinned(),
            put_out: self.put_out.clone(),
        }
    }

    /// What the operator has said about which set to follow.
    #[must_use]
    pub fn pinned(&self) -> OperatorPin {
        self.chain.pinned()
    }

    /// Pairs of valid authority sets that follow the same one: somebody signed two.
    pub fn conflicts(&self) -> impl Iterator<Item = (&KnownSet, &KnownSet)> {
        self.chain.conflicts()
    }

    /// A valid set that is not followed yet, and how many items of its list are not here.
    #[must_use]
    pub fn awaited(&self) -> Option<(&KnownSet, usize)> {
        let head = self.chain.head().hash;
        let next = self.chain.ahead().find(|known| known.set.previous == Some(head))?;
        Some((next, self.shelf.lacks(next)))
    }

    /// Revocations that were in force here when a set was followed whose list grants their key.
    pub fn overtaken(&self) -> impl Iterator<Item = &OvertakenRevocation> {
        self.overtaken.revocations()
    }

    /// Grants that were in force here and that the set which is followed does not list.
    pub fn not_listed(&self) -> impl Iterator<Item = &Grant> {
        self.overtaken.not_listed()
    }

    /// Prefixes and tunnel IPs of every zone that is or was granted some, as far as it is known here:
    /// what is meant for one that was put out is nobody else's.
    pub fn ever_claimed(&self) -> impl Iterator<Item = (&ZoneName, IpNet)> {
        let held = self.shelf.items().filter_map(|held| match &held.item {
            TrustItem::Grant(grant) => Some(grant),
            _ => None,
        });
        // Nobody had what no zone may have.
        let had = |grant: &&Grant| check_all_ordinary(&grant.prefixes, &grant.tunnel_ips).is_ok();
        held.chain(self.not_listed()).filter(had).flat_map(|grant| {
            claims(&grant.prefixes, &grant.tunnel_ips).map(|net| (&grant.zone, net))
        })
    }

    /// What is held no more, since this was last asked: to be taken off the disk, after the set that is
    /// followed was stored.
    pub fn take_dropped(&mut self) -> BTreeSet<ContentId> {
        self.shelf.take_dropped()
    }

    /// Lets a zone in again that an overtaken revocation keeps out here. True if there was one.
    pub fn lift(&mut self, zone: &ZoneName) -> bool {
        let lifted = self.overtaken.lift(zone);
        lifted.iter().for_each(|content| self.shelf.remove(content));
        !lifted.is_empty()
    }

    /// Items that a gateway needs to know this mesh, authority sets first.
    #[must_use]
    pub fn items(&self) -> Vec<SignedTrustItem> {
        self.items_except(&BTreeSet::new())
    }

    /// The items that a gateway which holds `theirs` lacks: sets, pages, revocations, grants.
    #[must_use]
    pub fn items_except(&self, theirs: &BTreeSet<ItemId>) -> Vec<SignedTrustItem> {
        let lacking = self.in_order().filter(|(id, _)| !theirs.contains(id));
        lacking.map(|(_, item)| item.clone()).collect()
    }

    /// The names of all items, each behind those without which it counts for nothing.
    #[must_use]
    pub fn ids_in_order(&self) -> Vec<ItemId> {
        self.in_order().map(|(id, _)| id).collect()
    }

    fn in_order(&self) -> impl Iterator<Item = (ItemId, &SignedTrustItem)> {
        let sets = self.chain.sets().map(|known| (known.id, &known.signed));
        let mut held: Vec<_> =
            self.shelf.items().filter(|held| !self.overtaken.holds(&held.content)).collect();
        held.sort_by_key(|held| match &held.item {
            TrustItem::AuthoritySet(_) | TrustItem::GrantPage(_) => 0,
            TrustItem::Revocation(_) => 1,
            TrustItem::Grant(_) => 2,
        });
        sets.chain(held.into_iter().map(|held| (held.id, &held.signed)))
    }

    /// The item `id`.
    #[must_use]
    pub fn get(&self, id: &ItemId) -> Option<&SignedTrustItem> {
        let set = || self.chain.sets().find(|known| known.id == *id).map(|known| &known.signed);
        self.shelf.by_id(id).map(|held| &held.signed).or_else(set)
    }

    /// What is held that says this, with all its signatures that count; sets are looked up by name.
    #[must_use]
    pub fn get_content(&self, content: &ContentId) -> Option<&SignedTrustItem> {
        self.shelf.get(content).map(|held| &held.signed)
    }

    /// The names of all items.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<ItemId> {
        let sets = self.chain.sets().map(|known| known.id);
        let held = self.shelf.items().filter(|held| !self.overtaken.holds(&held.content));
        sets.chain(held.map(|held| held.id)).collect()
    }

    /// What is followed and what is in force, in one hash.
    #[must_use]
    pub fn root_hash(&self) -> RootHash {
        self.root
    }

    /// Bytes of all items but sets.
    #[must_use]
    pub fn size(&self) -> usize {
        self.shelf.bytes()
    }

    /// How often each outcome has happened.
    #[must_use]
    pub fn counters(&self) -> &TrustCounters {
        &self.counters
    }
}
