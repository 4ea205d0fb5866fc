//! What proves to somebody who knows only the mesh's name that a key is a zone's.
//!
//! A VM holds a token that names mesh, zone and the head at its making. Its gateway shows the chain of
//! authority sets and its zone's grant; from these the VM finds the zone's key before it says anything.
//! It cannot see revocations that it is not shown: a key that was stolen loses its hold on fresh VMs
//! when the set changes, and a VM that keeps the newest head it saw takes no older one.

use super::item::{ContentId, Grant, SetHash, TrustItem, TrustKind};
use super::shelf::Shelf;
use super::signed::SignedTrustItem;
use super::{Membership, TrustRejected};
use crate::key::ZonePublicKey;
use crate::mesh::MeshId;
use crate::name::ZoneName;

/// The sets from the first to the head, the page that lists the grant if one does, and the grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// Trust items; what they do not prove is not believed.
    pub items: Vec<SignedTrustItem>,
}

/// A zone as an attestation proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestedZone {
    /// The zone's key.
    pub zone_key: ZonePublicKey,
    /// The head of the chain that was shown: take no older one from now on.
    pub head: SetHash,
    /// The grant.
    pub grant: Grant,
}

/// Why an attestation proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// The chain does not begin at the mesh, or lacks the set that has to be in it.
    #[error("its authority sets do not lead from this mesh over the set that is known")]
    Chain(#[source] TrustRejected),
    /// Two sets follow one, so that nobody can say which counts.
    #[error("its authority sets contradict each other")]
    Conflict,
    /// The zone's grant is not among the items, or not in force under the head that was shown.
    #[error("it holds no grant of this zone that is in force")]
    NotGranted,
}

impl Membership {
    /// What proves the key of `zone`, if it is granted here.
    #[must_use]
    pub fn attestation(&self, zone: &ZoneName) -> Option<Attestation> {
        let chosen = self.applied.chosen.get(zone)?;
        let grant = self.shelf.get(chosen)?;
        let lists = |content: &ContentId| match &self.shelf.get(content).map(|held| &held.item) {
            Some(TrustItem::GrantPage(page)) => page.grants.contains(chosen),
            _ => false,
        };
        let page = self.authority_set().1.pages.iter().find(|page| lists(page));
        let page = page.and_then(|page| self.shelf.get(page));
        let sets = self.chain.newest_first().chain([self.chain.first()]);
        let mut items: Vec<_> = sets.map(|known| known.signed.clone()).collect();
        items.extend(page.into_iter().chain([grant]).map(|held| held.signed.clone()));
        Some(Attestation { items })
    }
}

impl Attestation {
    /// The zone `zone` of `mesh`, over a chain that leads through `known`, the newest head seen so far.
    ///
    /// # Errors
    /// [`AttestationError`]: believe nothing of it.
    pub fn verify(
        &self,
        mesh: &MeshId,
        known: SetHash,
        zone: &ZoneName,
    ) -> Result<AttestedZone, AttestationError> {
        let mut membership = Membership::from_items(mesh, Some(known), self.items.clone())
            .map_err(AttestationError::Chain)?;
        let mut chain = membership.chain.clone();
        // Whether the rest of a list is here is no matter to who looks for one zone.
        while chain.follow_next(|_| true) {}
        if chain.ahead().next().is_some() {
            return Err(AttestationError::Conflict);
        }
        membership.shelf = self.shelf_under(&chain);
        membership.chain = chain;
        membership.apply();
        let grant = membership.grant(zone).ok_or(AttestationError::NotGranted)?.clone();
        let head = membership.authority_set().0;
        Ok(AttestedZone { zone_key: grant.zone_key, head, grant })
    }

    fn shelf_under(&self, chain: &super::chain::Chain) -> Shelf {
        let mut shelf = Shelf::default();
        for kind in [TrustKind::GrantPage, TrustKind::Grant] {
            for signed in self.items.iter().filter(|item| item.kind() == kind) {
                if let Ok(item) = signed.decode() {
                    // What counts for nothing is not taken.
                    let _taken_or_not = shelf.take(chain, signed.clone(), item);
                }
            }
            shelf.read_lists(chain);
        }
        shelf
    }
}
