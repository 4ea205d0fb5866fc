//! Which zones this gateway deals with: granted, written by hand, or blocked here.
//!
//! Promises: who is a member follows from the trust items, the configuration and the block list
//! alone; a zone that is revoked is gone at once, with its record. A zone that is blocked here is no
//! member here, yet its record is passed on: others decide for themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::member::{self, Member, MembershipError};
use crate::membership::{
    self, ContentId, ItemId, Membership, OvertakenRevocation, SignedTrustItem,
};
use crate::mesh::{MeshId, RootHash};
use crate::name::ZoneName;
use crate::prefix::{Claims, claims};

use super::{RecordRejected, Registry};

/// Refusals that wait to be logged; further ones are only counted.
const MAX_NEWS: usize = 64;

/// How the members have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MembershipChange {
    /// Zones that are members now: set up their tunnels.
    pub added: BTreeSet<ZoneName>,
    /// Zones that are no members any more: close their streams, remove peers and routes.
    pub removed: BTreeSet<ZoneName>,
    /// Members with another key, other prefixes or other tunnel IPs.
    pub changed: BTreeSet<ZoneName>,
}

impl MembershipChange {
    /// True if nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// Adds what changed after this.
    fn then(&mut self, later: Self) {
        for zone in later.added {
            match self.removed.remove(&zone) {
                true => self.changed.insert(zone),
                false => self.added.insert(zone),
            };
        }
        for zone in later.removed {
            self.changed.remove(&zone);
            if !self.added.remove(&zone) {
                self.removed.insert(zone);
            }
        }
        let known = |zone: &ZoneName| !self.added.contains(zone);
        let changed: Vec<_> = later.changed.into_iter().filter(known).collect();
        self.changed.extend(changed);
    }
}

/// What trust items have brought since the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustNews {
    /// Items to be stored, then to be sent on by `Session::handle_trust` of every session.
    pub stored: Vec<ItemId>,
    /// How the members have changed.
    pub members: MembershipChange,
    /// Another authority set is followed: to be stored after the items.
    pub is_head_moved: bool,
    /// Items that are held no more: to be taken off the disk after that.
    pub dropped: BTreeSet<ContentId>,
    /// Items that were refused, for the log; they are counted already.
    pub rejected: Vec<membership::TrustRejected>,
}

/// What this gateway's own zone is in its mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A member, with this gateway's key.
    Member,
    /// Not granted, or not any more.
    Stranger,
    /// This gateway's key was revoked: make a new one and join again.
    Revoked,
    /// Granted with another key than this gateway's.
    OtherKey,
}

pub(super) struct Trust {
    configured: BTreeMap<ZoneName, Member>,
    membership: Option<Membership>,
    blocked: BTreeSet<ZoneName>,
    news: TrustNews,
}

impl Trust {
    pub(super) fn configured(configured: BTreeMap<ZoneName, Member>) -> Self {
        let (membership, blocked) = (None, BTreeSet::new());
        Self { configured, membership, blocked, news: TrustNews::default() }
    }

    /// True for zones that were blocked here, and for those that a revocation keeps out here which the
    /// authority set in force has overtaken.
    pub(super) fn is_blocked(&self, zone: &ZoneName) -> bool {
        self.blocked.contains(zone)
            || self.overtaken().any(|kept_out| kept_out.revocation.zone == *zone)
    }

    fn overtaken(&self) -> impl Iterator<Item = &OvertakenRevocation> {
        self.membership.iter().flat_map(Membership::overtaken)
    }

    /// Why a zone that is no member is refused.
    pub(super) fn stranger(&self, zone: &ZoneName) -> RecordRejected {
        let mut revocations = self.membership.iter().flat_map(Membership::revocations);
        match revocations.any(|revocation| revocation.zone == *zone) {
            true => RecordRejected::RevokedZone,
            false => RecordRejected::UnknownZone,
        }
    }

    /// Granted zones first; a configured one counts if its zone has no grant, its key was not
    /// put out, under whatever set, and nothing of it is another's.
    fn members(&self) -> BTreeMap<ZoneName, Member> {
        let Some(membership) = &self.membership else {
            return self.configured.clone();
        };
        let mut members: BTreeMap<_, _> =
            membership.members().map(|member| (member.zone.clone(), member.clone())).collect();
        let mut keys: BTreeSet<_> = members.values().map(|member| member.key).collect();
        let mut taken = Claims::default();
        let nets =
            |member: &Member| claims(&member.prefixes, &member.tunnel_ips).collect::<Vec<_>>();
        for member in members.values() {
            // Granted members are disjoint.
            let _claimed = taken.claim_all(&member.zone, &nets(member));
        }
        for member in self.configured.values() {
            let open =
                !membership.was_put_out(&member.key) && membership.grant(&member.zone).is_none();
            let free = open
                && keys.insert(member.key)
                && taken.claim_all(&member.zone, &nets(member)).is_ok();
            if free {
                members.insert(member.zone.clone(), member.clone());
            }
        }
        members
    }
}

impl Registry {
    /// Turns this registry into one of a managed mesh: granted zones take the place of configured
    /// ones, one by one.
    pub fn manage(&mut self, membership: Membership) -> MembershipChange {
        self.change(|trust| trust.membership = Some(membership))
    }

    /// Takes other members that are written by hand. What the others have said stays; a zone that is
    /// written no more is gone at once, with its record, and one that is granted stays what it is.
    ///
    /// # Errors
    /// [`MembershipError`] if they contradict each other or do not know this zone's key; those that
    /// were there stay.
    pub fn set_configured(
        &mut self,
        configured: Vec<Member>,
    ) -> Result<MembershipChange, MembershipError> {
        let configured = member::check(configured)?;
        let zone = self.zone();
        match configured.get(zone) {
            None => return Err(MembershipError::OwnZoneMissing(zone.clone())),
            Some(own) if own.key != self.own.key() => {
                return Err(MembershipError::OtherIdentity(zone.clone()));
            }
            Some(_) => {}
        }
        Ok(self.change(|trust| trust.configured = configured))
    }

    /// Blocks a zone, or lets it in again: here only, at once.
    pub fn set_blocked(&mut self, zone: &ZoneName, blocked: bool) -> MembershipChange {
        self.change(|trust| match blocked {
            true => drop(trust.blocked.insert(zone.clone())),
            false => drop(trust.blocked.remove(zone)),
        })
    }

    /// Lets a zone in again that an overtaken revocation keeps out here.
    pub fn lift(&mut self, zone: &ZoneName) -> MembershipChange {
        let mut dropped = BTreeSet::new();
        let change = self.change(|trust| {
            if let Some(membership) = &mut trust.membership {
                membership.lift(zone);
                dropped = membership.take_dropped();
            }
        });
        self.trust.news.members.then(change.clone());
        self.trust.news.dropped.append(&mut dropped);
        change
    }

    /// True for a zone that has no place here: it was blocked, or an overtaken revocation keeps it out.
    #[must_use]
    pub fn is_blocked(&self, zone: &ZoneName) -> bool {
        self.trust.is_blocked(zone)
    }

    /// The zones that this gateway has blocked.
    #[must_use]
    pub fn blocked(&self) -> &BTreeSet<ZoneName> {
        &self.trust.blocked
    }

    /// Offers trust items that came from elsewhere, or were signed here. What they bring waits for
    /// [`Registry::poll_trust`].
    pub fn accept_trust(
        &mut self,
        items: Vec<SignedTrustItem>,
    ) -> Vec<Result<membership::TrustAccepted, membership::TrustRejected>> {
        let mut outcomes = Vec::new();
        let (mut is_head_moved, mut dropped) = (false, BTreeSet::new());
        let change = self.change(|trust| {
            let Some(membership) = &mut trust.membership else {
                let refused = Err(membership::TrustRejected::Unmanaged);
                outcomes = vec![refused; items.len()];
                return;
            };
            let before = membership.stored_head();
            outcomes = membership.accept_all(items);
            is_head_moved = membership.stored_head() != before;
            dropped = membership.take_dropped();
        });
        let news = &mut self.trust.news;
        news.members.then(change);
        news.is_head_moved |= is_head_moved;
        news.dropped.append(&mut dropped);
        for outcome in &outcomes {
            match outcome {
                Ok(membership::TrustAccepted::Stored(id)) => news.stored.push(*id),
                Ok(membership::TrustAccepted::Known) => {}
                Err(reason) if news.rejected.len() < MAX_NEWS => news.rejected.push(*reason),
                Err(_) => {}
            }
        }
        outcomes
    }

    /// Counts what was offered as a trust item and could not be read as one.
    pub fn refuse_trust(&mut self, reason: membership::TrustRejected) {
        if let Some(membership) = &mut self.trust.membership {
            membership.refuse(reason);
        }
        if self.trust.news.rejected.len() < MAX_NEWS {
            self.trust.news.rejected.push(reason);
        }
    }

    /// What trust items have brought since this was last asked. Ask after each message of a
    /// neighbour and after [`Registry::accept_trust`].
    pub fn poll_trust(&mut self) -> Option<TrustNews> {
        let news = std::mem::take(&mut self.trust.news);
        (news != TrustNews::default()).then_some(news)
    }

    /// Who belongs to the mesh, if it is a managed one.
    #[must_use]
    pub fn membership(&self) -> Option<&Membership> {
        self.trust.membership.as_ref()
    }

    /// The mesh that this gateway belongs to.
    #[must_use]
    pub fn mesh(&self) -> MeshId {
        self.membership().map_or_else(MeshId::static_peers, |m| m.mesh().clone())
    }

    /// All trust items in one hash, in a managed mesh.
    #[must_use]
    pub fn trust_hash(&self) -> Option<RootHash> {
        self.membership().map(Membership::root_hash)
    }

    /// What this gateway's own zone is in its mesh. In a managed one a grant says it, not the zone's own
    /// configuration.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let key = self.own.key();
        let member = match self.membership() {
            Some(membership) => membership.member(self.zone()),
            None => self.members.get(self.zone()),
        };
        match member {
            Some(member) if member.key == key => Standing::Member,
            _ if self.membership().is_some_and(|m| m.is_revoked(&key)) => Standing::Revoked,
            Some(_) => Standing::OtherKey,
            None => Standing::Stranger,
        }
    }

    /// Changes who is a member, and lets go of what no member may say any more.
    fn change(&mut self, change: impl FnOnce(&mut Trust)) -> MembershipChange {
        let before: BTreeMap<_, _> = self.members().map(|m| (m.zone.clone(), m.clone())).collect();
        change(&mut self.trust);
        self.members = self.trust.members();
        self.review_records();
        let after: BTreeMap<_, _> = self.members().map(|m| (&m.zone, m)).collect();
        let added = after.keys().filter(|zone| !before.contains_key(**zone));
        let removed = before.keys().filter(|zone| !after.contains_key(zone));
        let other = |zone: &&ZoneName| before.get(*zone).is_some_and(|m| m != after[*zone]);
        MembershipChange {
            added: added.map(|zone| (*zone).clone()).collect(),
            removed: removed.cloned().collect(),
            changed: after.keys().copied().filter(other).cloned().collect(),
        }
    }

    fn review_records(&mut self) {
        let membership = self.trust.membership.as_ref();
        self.root.take();
        self.held.retain(|id, held| {
            let Some(member) = self.members.get(&id.zone) else { return false };
            // Its zone has changed its key, or is granted less: what it said stays, so that it is
            // reached, until it speaks again, unless the key was revoked.
            let is_beyond = member.check_bounds(&held.record).is_err();
            held.former = held.key != member.key || is_beyond;
            !membership.is_some_and(|m| m.is_revoked(&held.key))
        });
    }
}
