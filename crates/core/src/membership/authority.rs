//! Who may sign: the authority sets of a mesh and the one that is in force.
//!
//! Sets form a tree. Its root is the set whose hash names the mesh, so that there is one and no key
//! can make another; each further set is linked to the one before it and signed by as many of that
//! one's keys as that one asks for. Where two follow the same one, the one that removes a key wins
//! over the one that removes none, then the longer chain, then the lower hash: the same on every
//! gateway that holds the same sets, in whatever order they came. With a threshold of 1 a stolen key
//! can still fork the mesh; with m-of-n fewer than m stolen keys cannot, from the first set on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::item::{AuthoritySet, SetHash};
use super::key::AuthorityPublicKey;
use super::outcome::TrustRejected;

/// Most authority sets that are held.
const MAX_SETS: usize = 256;

type Signers = BTreeSet<AuthorityPublicKey>;

#[derive(Clone)]
pub(super) struct Authorities {
    first: SetHash,
    sets: BTreeMap<SetHash, AuthoritySet>,
    in_force: SetHash,
}

impl Authorities {
    pub(super) fn new(hash: SetHash, set: AuthoritySet) -> Result<Self, TrustRejected> {
        if set.previous.is_some() {
            return Err(TrustRejected::UnknownPredecessor);
        }
        Ok(Self { first: hash, sets: BTreeMap::from([(hash, set)]), in_force: hash })
    }

    /// True for the hash that names the mesh.
    pub(super) fn is_first(&self, hash: &SetHash) -> bool {
        self.first == *hash
    }

    /// The set in force, and its hash.
    pub(super) fn current(&self) -> (SetHash, &AuthoritySet) {
        // The set in force is one of the sets: only `insert` and `new` write either.
        (self.in_force, &self.sets[&self.in_force])
    }

    /// A set that is held.
    pub(super) fn get(&self, hash: &SetHash) -> Option<&AuthoritySet> {
        self.sets.get(hash)
    }

    /// How many sets are held.
    pub(super) fn count(&self) -> usize {
        self.sets.len()
    }

    /// The set in force and those before it, the newest first.
    pub(super) fn chain(&self) -> impl Iterator<Item = SetHash> {
        std::iter::successors(Some(self.in_force), |hash| self.sets.get(hash)?.previous)
    }

    /// True if some set of this mesh lets these keys sign, be it in force or not.
    pub(super) fn ever_entitled(&self, signers: &Signers) -> bool {
        self.sets.values().any(|set| meets(set, signers))
    }

    /// True if enough of these keys belong to the set in force.
    pub(super) fn entitled(&self, signers: &Signers) -> bool {
        let (_, set) = self.current();
        signers.intersection(&set.keys).count() as u64 >= u64::from(set.threshold)
    }

    pub(super) fn check(
        &self,
        hash: SetHash,
        set: &AuthoritySet,
        signers: &Signers,
    ) -> Result<(), TrustRejected> {
        // A first set that is not this mesh's own.
        let previous = set.previous.ok_or(TrustRejected::OtherMesh)?;
        let before = self.sets.get(&previous).ok_or(TrustRejected::UnknownPredecessor)?;
        if before.epoch.checked_add(1) != Some(set.epoch) {
            return Err(TrustRejected::Malformed);
        }
        if !meets(before, signers) {
            return Err(TrustRejected::NotAuthorised);
        }
        if self.sets.len() >= MAX_SETS && !self.sets.contains_key(&hash) {
            return Err(TrustRejected::Full);
        }
        Ok(())
    }

    /// Adds a set that was checked.
    pub(super) fn insert(&mut self, hash: SetHash, set: AuthoritySet) {
        self.sets.insert(hash, set);
        self.in_force = self.last_of_best_chain();
    }

    fn last_of_best_chain(&self) -> SetHash {
        let mut depths: BTreeMap<SetHash, usize> = BTreeMap::new();
        let mut by_epoch: Vec<_> = self.sets.iter().collect();
        by_epoch.sort_by_key(|(_, set)| Reverse(set.epoch));
        for (hash, set) in by_epoch {
            let depth = *depths.entry(*hash).or_default();
            if let Some(previous) = set.previous {
                let before = depths.entry(previous).or_default();
                *before = (*before).max(depth + 1);
            }
        }
        let mut last = self.first;
        loop {
            let keys = &self.sets[&last].keys;
            let followers = self.sets.iter().filter(|(_, set)| set.previous == Some(last));
            let best = followers.max_by_key(|(hash, set)| {
                (!keys.is_subset(&set.keys), depths.get(*hash).copied(), Reverse(**hash))
            });
            match best {
                Some((hash, _)) => last = *hash,
                None => return last,
            }
        }
    }
}

/// Exactly as many as it takes: so that nobody can make new items by leaving signatures out.
pub(super) fn meets(set: &AuthoritySet, signers: &Signers) -> bool {
    signers.is_subset(&set.keys) && signers.len() as u64 == u64::from(set.threshold)
}
