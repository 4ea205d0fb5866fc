//! A mesh from what a gateway has stored, or from what an inviter has answered.
//!
//! Promises: the set that was followed is followed again, whatever else lies beside it; nothing is
//! believed because it was stored, signatures are checked anew. A folder of release 0.1 says by its sets
//! which one was followed, by the rules of that release.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::chain::{Chain, KnownSet, OperatorPin, is_set};
use super::item::{SetHash, TrustItem};
use super::outcome::{TrustAccepted, TrustRejected};
use super::put_out::PutOut;
use super::shelf::HeldItem;
use super::signed::SignedTrustItem;
use super::{Membership, first_set, mesh_id};
use crate::mesh::MeshId;

/// The authority set that is followed, as it is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    /// SHA-256 of the set.
    pub set: SetHash,
    /// What the operator has said about it.
    pub pinned: OperatorPin,
    /// Who was put out under the sets before it.
    pub put_out: PutOut,
}

/// What a gateway has stored of its mesh.
#[derive(Debug, Clone)]
pub struct StoredTrust {
    /// The authority set that names the mesh.
    pub first: SignedTrustItem,
    /// The set that was followed; `None` in a folder of release 0.1.
    pub head: Option<StoredHead>,
    /// All items, in any order.
    pub items: Vec<SignedTrustItem>,
}

impl Membership {
    /// The mesh `mesh` from items in any order, such as an inviter answers with. Where `pin` names a
    /// set, that one is followed and those before it need only link; otherwise each set has to be
    /// signed by the one before it, from the first on. Items that are refused are left out and counted.
    ///
    /// # Errors
    /// [`TrustRejected::UnknownPredecessor`] if the first set of `mesh`, or the pinned one, is not
    /// among them.
    pub fn from_items(
        mesh: &MeshId,
        pin: Option<SetHash>,
        items: Vec<SignedTrustItem>,
    ) -> Result<Self, TrustRejected> {
        let names_mesh =
            |item: &&SignedTrustItem| is_set(item) && mesh_id(&item.payload_hash()) == *mesh;
        let first = items.iter().find(names_mesh).ok_or(TrustRejected::UnknownPredecessor)?;
        let first = first_set(first.clone())?;
        let chain = match pin {
            Some(pin) => Chain::ending_at(first, pin, sets_of(&items))?,
            None => Chain::new(first)?,
        };
        let mut new = Self::with_chain(chain);
        new.accept_all(items);
        Ok(new)
    }

    /// What a gateway has stored, and what became of each of its items.
    ///
    /// # Errors
    /// [`TrustRejected`] if the first set is none, or the set that was followed is lost.
    pub fn restore(
        stored: StoredTrust,
    ) -> Result<(Self, Vec<Result<TrustAccepted, TrustRejected>>), TrustRejected> {
        let StoredTrust { first, head, items } = stored;
        let first = first_set(first)?;
        let sets = sets_of(&items);
        let StoredHead { set, pinned, put_out } = head.unwrap_or_else(|| StoredHead {
            set: followed_by_release_0_1(&first, &sets),
            pinned: OperatorPin::default(),
            put_out: PutOut::default(),
        });
        let mut chain = Chain::ending_at(first, set, sets)?;
        chain.set_pinned(pinned);
        let mut new = Self { put_out, ..Self::with_chain(chain) };
        let mut outcomes = new.accept_all(items.clone());
        for (item, outcome) in items.into_iter().zip(&mut outcomes) {
            // What the disk has of a set that is not known any more has nothing to wait for.
            if *outcome == Err(TrustRejected::UnknownPredecessor) && !is_set(&item) {
                *outcome = Err(TrustRejected::NotAuthorised);
            }
            let is_void = *outcome == Err(TrustRejected::NotAuthorised);
            if is_void && let Some(id) = new.keep_overtaken(item) {
                *outcome = Ok(TrustAccepted::Stored(id));
            }
        }
        new.apply();
        Ok((new, outcomes))
    }

    /// Keeps a stored revocation that counts no more and was overtaken.
    fn keep_overtaken(&mut self, signed: SignedTrustItem) -> Option<super::ItemId> {
        let item = signed.decode().ok()?;
        let TrustItem::Revocation(revocation) = &item else { return None };
        if revocation.mesh != self.mesh {
            return None;
        }
        let signers = signed.signers()?;
        let (id, content) = (signed.id(), signed.content_id());
        let held = HeldItem { id, content, signed, item, signers };
        self.overtaken.keep(held, &self.chain, &mut self.shelf);
        self.overtaken.holds(&content).then_some(id)
    }

    /// Follows a set because the operator says so, whoever has signed it; `items` are offered first.
    ///
    /// # Errors
    /// [`PinError`]: nothing has changed.
    pub fn pin(&mut self, hash: &SetHash, items: &[SignedTrustItem]) -> Result<(), PinError> {
        let offered = sets_of(items);
        let known = self.chain.get(hash).or_else(|| offered.get(hash)).cloned();
        let known = known.ok_or(PinError::Unknown)?;
        if known.set.previous.is_none() && known.hash != self.chain.first().hash {
            return Err(PinError::OtherMesh);
        }
        let mut then = self.clone();
        let mut chain = then.chain.clone();
        chain.pin(known.clone(), offered);
        then.change_head_to(chain, items);
        match then.shelf.lacks(&known) {
            0 => *self = then,
            missing => return Err(PinError::Incomplete { missing }),
        }
        Ok(())
    }

    fn change_head_to(&mut self, chain: Chain, items: &[SignedTrustItem]) {
        // What was let go with an earlier head may be among what is held for another one.
        let held: Vec<_> = self.shelf.items().map(|held| held.signed.clone()).collect();
        self.change_head(chain);
        self.accept_all(held.into_iter().chain(items.iter().cloned()).collect());
        self.settle();
    }
}

/// Why a set cannot be followed by order of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// No such set is here.
    #[error("no authority set of this hash is here")]
    Unknown,
    /// It is the first set of another mesh.
    #[error("it names another mesh")]
    OtherMesh,
    /// Parts of its list are not here.
    #[error("{missing} parts of its list of grants are not here")]
    Incomplete {
        /// Pages and grants.
        missing: usize,
    },
}

fn sets_of(items: &[SignedTrustItem]) -> BTreeMap<SetHash, KnownSet> {
    let sets = items.iter().filter(|item| is_set(item));
    let sets = sets.filter_map(|item| KnownSet::read(item.clone()).ok());
    sets.map(|known| (known.hash, known)).collect()
}

/// Which set a gateway of release 0.1 with these sets followed: where two follow the same one, the one
/// that removes a key wins, then the longer chain, then the lower hash.
fn followed_by_release_0_1(first: &KnownSet, sets: &BTreeMap<SetHash, KnownSet>) -> SetHash {
    let older = || sets.values().filter(|known| known.set.is_older_form());
    let mut depths: BTreeMap<SetHash, usize> = BTreeMap::new();
    let mut by_epoch: Vec<_> = older().collect();
    by_epoch.sort_by_key(|known| Reverse(known.set.epoch));
    for known in by_epoch {
        let depth = *depths.entry(known.hash).or_default();
        if let Some(previous) = known.set.previous {
            let before = depths.entry(previous).or_default();
            *before = (*before).max(depth + 1);
        }
    }
    let mut last = first;
    loop {
        // Epochs only grow, so that this ends.
        let follows = |known: &&KnownSet| {
            known.set.previous == Some(last.hash) && known.set.epoch > last.set.epoch
        };
        let best = older().filter(follows).max_by_key(|known| {
            let removes = !last.set.keys.is_subset(&known.set.keys);
            (removes, depths.get(&known.hash).copied(), Reverse(known.hash))
        });
        match best {
            Some(next) => last = next,
            None => return last.hash,
        }
    }
}
