//! Questions to the registry: what is held, what another one lacks, where a SuperLink is.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::gateway::GatewayId;
use crate::key::ZonePublicKey;
use crate::membership::{
    AuthorityPublicKey, Grant, Revocation, SignedTrustItem, TrustItem, TrustKind,
};
use crate::mesh::RootHash;
use crate::name::{FederationName, ZoneName};
use crate::record::{CaSet, Gateway, SignedRecord, SuperLink, ZoneRecord};
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
    /// The newest record of a zone, whichever of its gateways wrote it.
    #[must_use]
    pub fn get(&self, zone: &ZoneName) -> Option<&HeldRecord> {
        self.of_zone(zone).max_by_key(|held| held.age_in_zone())
    }

    /// The record of a gateway.
    #[must_use]
    pub fn get_gateway(&self, gateway: &GatewayId) -> Option<&HeldRecord> {
        self.held.get(gateway).map(Box::as_ref)
    }

    /// This gateway's own record; what this zone said in release 0.1.0 until it is said anew.
    #[must_use]
    pub fn own_record(&self) -> Option<&HeldRecord> {
        let mut past = self.of_zone(self.zone()).filter(|held| held.is_of_the_past());
        self.get_gateway(self.id()).or_else(|| past.next())
    }

    /// The records of a zone, in the order of its gateways' names.
    pub fn of_zone(&self, zone: &ZoneName) -> impl Iterator<Item = &HeldRecord> + Clone {
        let from = GatewayId::new(zone.clone(), "");
        let of_zone = self.held.range(from..).map(|(_, held)| held.as_ref());
        let zone = zone.clone();
        of_zone.take_while(move |held| held.record.zone == zone)
    }

    /// The records of a zone without those of a gateway that has another name by now: a newer one
    /// names its key. Nobody deletes what such a gateway has said under its old name.
    pub fn in_force(&self, zone: &ZoneName) -> impl Iterator<Item = &HeldRecord> {
        let of_zone: Vec<_> = self.of_zone(zone).collect();
        let names_keys_of = |newer: &HeldRecord, held: &HeldRecord| {
            let mut keys = held.record.content.gateways.iter().map(|gateway| gateway.wireguard_key);
            let named = newer.record.content.gateways.iter().flat_map(Gateway::wireguard_keys);
            let named: BTreeSet<_> = named.collect();
            keys.any(|key| named.contains(&key))
        };
        let is_renamed = |held: &HeldRecord| {
            let mut newer = of_zone.iter().filter(|other| other.age_in_zone() > held.age_in_zone());
            newer.any(|newer| names_keys_of(newer, held))
        };
        let left: Vec<_> = of_zone.iter().copied().filter(|held| !is_renamed(held)).collect();
        left.into_iter()
    }

    /// The key of this zone, as this gateway has it.
    #[must_use]
    pub fn own_key(&self) -> ZonePublicKey {
        self.own.key()
    }

    /// The key by which what a zone has said is valid, where that is not the one that it has here now.
    #[must_use]
    pub fn former_key(&self, zone: &ZoneName) -> Option<ZonePublicKey> {
        let now = self.members.get(zone)?.key;
        let mut keys = self.of_zone(zone).map(|held| held.key);
        let first = keys.next()?;
        (first != now && keys.all(|key| key != now)).then_some(first)
    }

    /// All records, in the order of their zones and gateways.
    pub fn records(&self) -> impl Iterator<Item = &HeldRecord> {
        self.held.values().map(Box::as_ref)
    }

    /// True for a tunnel address of a member's gateway: one that its zone is granted, or that it still
    /// says that it has.
    #[must_use]
    pub fn is_a_gateways(&self, address: &IpAddr) -> bool {
        let granted = self.members().any(|member| member.tunnel_ips.contains(address));
        let mut said = self.records().flat_map(|held| &held.record.content.gateways);
        granted || said.any(|gateway| gateway.tunnel_ips.contains(address))
    }

    /// Since when a zone has left the mesh, by its own clock; `None` if it has not. It is a member
    /// still, and may come back.
    #[must_use]
    pub fn left_since(&self, zone: &ZoneName) -> Option<UnixMillis> {
        let held = self.get(zone).filter(|held| held.record.content.is_farewell());
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
        let zones: BTreeSet<_> = self.held.keys().map(|id| &id.zone).collect();
        let unblocked = zones.into_iter().filter(|zone| !self.trust.is_blocked(zone));
        let allowed = unblocked.filter(|zone| self.may_host(zone, federation));
        let mut claims = allowed.filter_map(|zone| {
            let superlink = self.newest_of(zone, |record| record.superlink(federation))?;
            let member = self.members.get(zone)?;
            if !superlink.addresses.iter().all(|ip| member.holds(ip)) {
                return None;
            }
            Some((zone, superlink, self.newest_of(zone, |record| record.ca_set(federation))))
        });
        let first = claims.next()?;
        let others: Vec<_> = claims.collect();
        let conflict = !others.is_empty();
        let rank = |claim: &(&ZoneName, &SuperLink, Option<&CaSet>)| {
            (self.since(claim.0), claim.0.clone())
        };
        let mut all = std::iter::once(first).chain(others);
        let (zone, superlink, ca_set) = match conflict {
            true => all.min_by_key(rank)?,
            false => all.next()?,
        };
        Some(FoundSuperLink { zone, superlink, ca_set, conflict })
    }

    /// True if another gateway of this zone has spoken of the SuperLink of `federation` later than
    /// this one: it has moved there.
    #[must_use]
    pub fn is_spoken_for(&self, federation: &FederationName) -> bool {
        let speaks = |held: &&HeldRecord| held.record.superlink(federation).is_some();
        let newest =
            self.in_force(self.zone()).filter(speaks).max_by_key(|held| held.age_in_zone());
        newest.is_some_and(|held| held.record.id() != *self.id())
    }

    /// What the newest record of a zone says that says it.
    fn newest_of<'a, T>(
        &'a self,
        zone: &ZoneName,
        said: impl Fn(&'a ZoneRecord) -> Option<T>,
    ) -> Option<T> {
        let mut of_zone: Vec<_> = self.in_force(zone).collect();
        of_zone.sort_by(|a, b| b.age_in_zone().cmp(&a.age_in_zone()));
        of_zone.into_iter().find_map(|held| said(&held.record))
    }

    /// Since when a zone belongs to the mesh; zones that are written by hand come after the others.
    fn since(&self, zone: &ZoneName) -> u64 {
        self.membership().and_then(|membership| membership.since(zone)).unwrap_or(u64::MAX)
    }

    /// True if the zone's grant lets it run this federation's SuperLink, or names no federation. Zones
    /// that are written by hand may run any.
    #[must_use]
    pub fn may_host(&self, zone: &ZoneName, federation: &FederationName) -> bool {
        self.grant_of(zone).is_none_or(|grant| grant.may_host(federation))
    }

    /// True if the zone's grant lets its SuperNodes take part in this federation; as above.
    #[must_use]
    pub fn may_train(&self, zone: &ZoneName, federation: &FederationName) -> bool {
        self.grant_of(zone).is_none_or(|grant| grant.may_train(federation))
    }

    fn grant_of(&self, zone: &ZoneName) -> Option<&Grant> {
        self.membership()?.grant(zone)
    }

    /// The federations that some zone has a SuperLink or a CA for.
    #[must_use]
    pub fn federations(&self) -> BTreeSet<&FederationName> {
        let zones: BTreeSet<_> = self.held.keys().map(|id| &id.zone).collect();
        let unblocked = zones.into_iter().filter(|zone| !self.trust.is_blocked(zone));
        unblocked.flat_map(|zone| self.hosted_by(zone)).collect()
    }

    /// The federations that this zone says it has a SuperLink or a CA for, whether it may or not.
    #[must_use]
    pub fn hosted_by(&self, zone: &ZoneName) -> BTreeSet<&FederationName> {
        let contents = self.in_force(zone).map(|held| &held.record.content);
        let named = contents.flat_map(|content| {
            let superlinks = content.superlinks.iter().map(|s| &s.federation);
            superlinks.chain(content.ca_sets.iter().map(|set| &set.federation))
        });
        named.collect()
    }

    /// What is held, in brief.
    #[must_use]
    pub fn version_vector(&self) -> VersionVector {
        self.present_records().map(|(id, held)| (id.clone(), held.head())).collect()
    }

    /// What is held, in one hash.
    #[must_use]
    pub fn root_hash(&self) -> RootHash {
        let heads = || self.present_records().map(|(id, held)| (id, held.head()));
        *self.root.get_or_init(|| vector::root_hash(heads()))
    }

    fn present_records(&self) -> impl Iterator<Item = (&GatewayId, &HeldRecord)> {
        let all = self.held.iter().map(|(id, held)| (id, held.as_ref()));
        all.filter(|(_, held)| held.counts())
    }

    /// The records that a registry with the heads `theirs` lacks.
    #[must_use]
    pub fn items_newer_than(&self, theirs: &VersionVector) -> Vec<SignedRecord> {
        let lacks = |(id, held): &(&GatewayId, &HeldRecord)| {
            let present = theirs.get(*id);
            present.is_none_or(|present| held.head().supersedes(present))
        };
        let lacking = self.present_records().filter(lacks);
        lacking.map(|(_, held)| held.signed.clone()).collect()
    }

    /// True if a registry with the heads `theirs` holds something that this one lacks and would
    /// take: only zones that are members count.
    #[must_use]
    pub fn lacks_any_of(&self, theirs: &VersionVector) -> bool {
        theirs.iter().any(|(id, head)| {
            let present = self.present(id).map(HeldRecord::head);
            self.members.contains_key(&id.zone)
                && present.is_none_or(|present| head.supersedes(&present))
        })
    }
}
