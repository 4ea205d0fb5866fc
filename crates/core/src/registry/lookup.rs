//! Questions to the registry: what is held, what another one lacks, where a SuperLink is.

use std::collections::BTreeSet;

use crate::membership::{AuthorityPublicKey, Revocation, SignedTrustItem, TrustItem, TrustKind};
use crate::mesh::RootHash;
use crate::name::{FederationName, ZoneName};
use crate::record::{CaSet, SignedRecord, SuperLink};
use crate::time::UnixMillis;

use super::vector::{self, VersionVector};
use super::{HeldRecord, Registry};

/// A federation's SuperLink.
#[derive(Debug, Clone, Copy)]
pub struct FoundSuperLink<'a> {
    /// The zone that it runs in.
    pub zone: &'a ZoneName,
    /// The SuperLink.
    pub superlink: &'a SuperLink,
    /// The federation's CA certificates, from the same zone.
    pub ca_set: Option<&'a CaSet>,
    /// True if more than one zone claims the federation; this is the one that belongs to the mesh
    /// longest.
    pub conflict: bool,
}

/// A revocation, and whose keys stand under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRevocation {
    /// What it says.
    pub revocation: Revocation,
    /// Who has signed it.
    pub signers: Vec<AuthorityPublicKey>,
}

impl Registry {
    /// The record of a zone.
    #[must_use]
    pub fn get(&self, zone: &ZoneName) -> Option<&HeldRecord> {
        self.held.get(zone)
    }

    /// All records, in the order of their zones.
    pub fn records(&self) -> impl Iterator<Item = &HeldRecord> {
        self.held.values()
    }

    /// Since when a zone has left the mesh, by its own clock; `None` if it has not. It is a member
    /// still, and may come back.
    #[must_use]
    pub fn left_since(&self, zone: &ZoneName) -> Option<UnixMillis> {
        let held = self.held.get(zone).filter(|held| held.record.content.is_farewell());
        held.map(|held| held.record.issued_at)
    }

    /// The revocations that hold, in no order, and whose they are.
    #[must_use]
    pub fn signed_revocations(&self) -> Vec<SignedRevocation> {
        let Some(membership) = self.membership() else { return Vec::new() };
        let of = |item: &SignedTrustItem| match item.decode().ok()? {
            TrustItem::Revocation(revocation) if membership.is_revoked(&revocation.zone_key) => {
                let signers = item.signatures().iter().map(|one| one.key).collect();
                Some(SignedRevocation { revocation, signers })
            }
            _ => None,
        };
        let items = membership.items();
        items.iter().filter(|item| item.kind() == TrustKind::Revocation).filter_map(of).collect()
    }

    /// Who has revoked the key of this gateway's own zone, when and why: the first that has.
    #[must_use]
    pub fn own_revocation(&self) -> Option<SignedRevocation> {
        let key = self.own.key();
        if !self.membership()?.is_revoked(&key) {
            return None;
        }
        let all = self.signed_revocations().into_iter();
        let own = all.filter(|one| one.revocation.zone_key == key);
        own.min_by_key(|one| one.revocation.issued_at)
    }

    /// Where the SuperLink of `federation` is. If two zones claim the federation, all gateways
    /// that hold both records choose the same: the zone that was granted first, so that no newcomer
    /// takes a federation over; among zones that are written by hand the one with the lowest name.
    #[must_use]
    pub fn find_superlink(&self, federation: &FederationName) -> Option<FoundSuperLink<'_>> {
        let unblocked = self.held.iter().filter(|(zone, _)| !self.trust.is_blocked(zone));
        let mut claims = unblocked.filter_map(|(zone, held)| {
            let superlink = held.record.superlink(federation)?;
            Some((zone, superlink, held.record.ca_set(federation)))
        });
        let first = claims.next()?;
        let others: Vec<_> = claims.collect();
        let conflict = !others.is_empty();
        let rank = |claim: &(&ZoneName, &SuperLink, Option<&CaSet>)| {
            (self.first_serial(claim.0), claim.0.clone())
        };
        let mut all = std::iter::once(first).chain(others);
        let (zone, superlink, ca_set) = match conflict {
            true => all.min_by_key(rank)?,
            false => all.next()?,
        };
        Some(FoundSuperLink { zone, superlink, ca_set, conflict })
    }

    /// Since when a zone belongs to the mesh; zones that are written by hand come after the others.
    fn first_serial(&self, zone: &ZoneName) -> u64 {
        let serial = self.membership().and_then(|membership| membership.first_serial(zone));
        serial.unwrap_or(u64::MAX)
    }

    /// The federations that some zone has a SuperLink or a CA for.
    #[must_use]
    pub fn federations(&self) -> BTreeSet<&FederationName> {
        let unblocked = self.held.values().filter(|h| !self.trust.is_blocked(&h.record.zone));
        let contents = unblocked.map(|held| &held.record.content);
        let named = contents.flat_map(|content| {
            let superlinks = content.superlinks.iter().map(|s| &s.federation);
            superlinks.chain(content.ca_sets.iter().map(|set| &set.federation))
        });
        named.collect()
    }

    /// What is held, in brief.
    #[must_use]
    pub fn version_vector(&self) -> VersionVector {
        self.present_records().map(|(zone, held)| (zone.clone(), held.head())).collect()
    }

    /// What is held, in one hash.
    #[must_use]
    pub fn root_hash(&self) -> RootHash {
        let heads = || self.present_records().map(|(zone, held)| (zone, held.head()));
        *self.root.get_or_init(|| vector::root_hash(heads()))
    }

    fn present_records(&self) -> impl Iterator<Item = (&ZoneName, &HeldRecord)> {
        self.held.iter().filter(|(_, held)| !held.former)
    }

    /// The records that a registry with the heads `theirs` lacks.
    #[must_use]
    pub fn items_newer_than(&self, theirs: &VersionVector) -> Vec<SignedRecord> {
        let lacks = |(zone, held): &(&ZoneName, &HeldRecord)| {
            let present = theirs.get(*zone);
            present.is_none_or(|present| held.head().supersedes(present))
        };
        let lacking = self.present_records().filter(lacks);
        lacking.map(|(_, held)| held.signed.clone()).collect()
    }

    /// True if a registry with the heads `theirs` holds something that this one lacks and would
    /// take: only zones that are members count.
    #[must_use]
    pub fn lacks_any_of(&self, theirs: &VersionVector) -> bool {
        theirs.iter().any(|(zone, head)| {
            let present = self.present(zone).map(HeldRecord::head);
            self.members.contains_key(zone)
                && present.is_none_or(|present| head.supersedes(&present))
        })
    }
}
