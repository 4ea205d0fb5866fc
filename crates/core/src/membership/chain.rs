//! The authority sets of a mesh: the one that is followed, those before it, those that are next.
//!
//! A set is valid with the signatures of a strict majority of its parent's owner keys and of each key
//! that it adds. A gateway moves only to a valid child of the set that it follows, once and for ever;
//! where it knows two before it follows either it takes neither. A second valid child of a set that was
//! left is kept as evidence and followed by nobody. Only a pin of the operator moves otherwise.
//! Refuses to know which grants a set lists and whether they are here (`shelf`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::item::{AuthoritySet, ItemId, SetHash, TrustItem, TrustKind};
use super::key::AuthorityPublicKey;
use super::outcome::TrustRejected;
use super::signed::SignedTrustItem;

/// Most sets that are kept of those followed, and of those ahead.
pub(super) const MAX_SETS: usize = 256;
/// Most valid children of one set that are kept: two are a conflict, a third adds nothing.
const MAX_CHILDREN: usize = 2;

/// An authority set with its name and its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSet {
    /// SHA-256 of its payload.
    pub hash: SetHash,
    /// Its name among the items.
    pub id: ItemId,
    /// What it says.
    pub set: AuthoritySet,
    /// The same as it was signed.
    pub signed: SignedTrustItem,
}

impl KnownSet {
    /// Reads an authority set; says nothing about its signatures.
    ///
    /// # Errors
    /// [`TrustRejected::Malformed`] for anything else.
    pub fn read(signed: SignedTrustItem) -> Result<Self, TrustRejected> {
        match signed.decode() {
            Ok(TrustItem::AuthoritySet(set)) => {
                Ok(Self { hash: signed.payload_hash(), id: signed.id(), set, signed })
            }
            _ => Err(TrustRejected::Malformed),
        }
    }
}

impl KnownSet {
    /// Who has signed two sets that follow the same one.
    #[must_use]
    pub fn contradiction(one: &Self, other: &Self) -> String {
        format!("sets {} and {} follow the same one", one.in_brief(), other.in_brief())
    }

    fn in_brief(&self) -> String {
        let hash: String = self.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let signers = self.signed.signatures().iter().map(|signature| signature.key.to_string());
        format!("{hash} (signed by {})", signers.collect::<Vec<_>>().join(", "))
    }
}

/// Where a valid set belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It descends from the set that is followed.
    Ahead,
    /// It is a second child of a set that was left.
    Rival(SetHash),
}

#[derive(Clone)]
pub(super) struct Chain {
    first: Arc<KnownSet>,
    /// From the oldest that is kept to the one that is followed: never empty.
    followed: Vec<Arc<KnownSet>>,
    /// Valid descendants of the one that is followed.
    ahead: BTreeMap<SetHash, Arc<KnownSet>>,
    /// By the parent: a valid child that is not the one that was followed.
    rivals: BTreeMap<SetHash, Arc<KnownSet>>,
    /// What the operator has chosen.
    pinned: OperatorPin,
}

/// What the operator has said about which set to follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperatorPin {
    /// The set that is followed was chosen.
    pub head: bool,
    /// Up to this epoch it is decided which of two sets to follow.
    pub decided: u64,
}

impl Chain {
    pub(super) fn new(first: KnownSet) -> Result<Self, TrustRejected> {
        if first.set.previous.is_some() {
            return Err(TrustRejected::UnknownPredecessor);
        }
        let first = Arc::new(first);
        Ok(Self {
            followed: vec![first.clone()],
            first,
            ahead: BTreeMap::new(),
            rivals: BTreeMap::new(),
            pinned: OperatorPin::default(),
        })
    }

    /// A chain whose head is known to be `head`: those before it need only link.
    pub(super) fn ending_at(
        first: KnownSet,
        head: SetHash,
        mut sets: BTreeMap<SetHash, KnownSet>,
    ) -> Result<Self, TrustRejected> {
        let mut chain = Self::new(first)?;
        if head == chain.first.hash {
            return Ok(chain);
        }
        let mut followed = Vec::new();
        let mut next = Some(head);
        while let Some(set) = next.and_then(|hash| sets.remove(&hash)) {
            next = set.set.previous;
            followed.push(Arc::new(set));
        }
        if followed.is_empty() {
            return Err(TrustRejected::UnknownPredecessor);
        }
        if next.is_some_and(|hash| hash == chain.first.hash) {
            followed.push(chain.first.clone());
        }
        followed.reverse();
        chain.followed = followed;
        chain.forget_oldest();
        Ok(chain)
    }

    /// The set that names the mesh.
    pub(super) fn first(&self) -> &KnownSet {
        &self.first
    }

    pub(super) fn head(&self) -> &KnownSet {
        // Never empty: `new` puts one in and none is taken out before another one is in.
        &self.followed[self.followed.len() - 1]
    }

    pub(super) fn pinned(&self) -> OperatorPin {
        self.pinned
    }

    pub(super) fn set_pinned(&mut self, pinned: OperatorPin) {
        self.pinned = pinned;
    }

    /// True for the set that is followed, and for those before it.
    pub(super) fn is_followed(&self, hash: &SetHash) -> bool {
        self.followed(hash).is_some()
    }

    /// A set of the chain.
    pub(super) fn followed(&self, hash: &SetHash) -> Option<&KnownSet> {
        self.newest_first().find(|known| known.hash == *hash)
    }

    /// The sets of the chain, the newest first.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = &KnownSet> {
        self.followed.iter().rev().map(Arc::as_ref)
    }

    /// True if some set of the chain entitles these keys, as release 0.1 asks of a revocation.
    pub(super) fn ever_entitled(&self, signers: &BTreeSet<AuthorityPublicKey>) -> bool {
        self.newest_first().any(|known| known.set.entitles(signers))
    }

    pub(super) fn ahead(&self) -> impl Iterator<Item = &KnownSet> {
        self.ahead.values().map(Arc::as_ref)
    }

    /// A set that is ahead.
    pub(super) fn ahead_of(&self, hash: &SetHash) -> Option<&KnownSet> {
        self.ahead.get(hash).map(Arc::as_ref)
    }

    /// The sets that are held, each before those that follow it.
    pub(super) fn sets(&self) -> impl Iterator<Item = &KnownSet> {
        let first = (!self.is_followed(&self.first.hash)).then_some(&self.first);
        let mut ahead: Vec<_> = self.ahead.values().collect();
        ahead.sort_by_key(|known| known.set.epoch);
        let all = first.into_iter().chain(&self.followed).chain(self.rivals.values()).chain(ahead);
        all.map(Arc::as_ref)
    }

    pub(super) fn get(&self, hash: &SetHash) -> Option<&KnownSet> {
        self.sets().find(|known| known.hash == *hash)
    }

    /// Pairs of valid sets that follow the same one: those of which none is followed, and those that
    /// came too late, unless the operator has decided since.
    pub(super) fn conflicts(&self) -> impl Iterator<Item = (&KnownSet, &KnownSet)> {
        let open = |(_, rival): &(&SetHash, &Arc<KnownSet>)| rival.set.epoch > self.pinned.decided;
        let late = self.rivals.iter().filter(open).filter_map(|(parent, rival)| {
            let of = |known: &&KnownSet| known.set.previous == Some(*parent);
            self.newest_first().find(of).map(|chosen| (chosen, rival.as_ref()))
        });
        let waiting = self.ahead.values().filter_map(|one| {
            let twin = |other: &&Arc<KnownSet>| {
                other.set.previous == one.set.previous && other.hash > one.hash
            };
            self.ahead.values().find(twin).map(|other| (one.as_ref(), other.as_ref()))
        });
        late.chain(waiting)
    }

    /// Takes a set if it is valid. False if it is known.
    pub(super) fn accept(&mut self, known: KnownSet) -> Result<bool, TrustRejected> {
        if self.get(&known.hash).is_some() || known.hash == self.first.hash {
            return Ok(false);
        }
        // A first set that is not this mesh's own.
        let previous = known.set.previous.ok_or(TrustRejected::OtherMesh)?;
        let place = match () {
            () if previous == self.head().hash || self.ahead.contains_key(&previous) => {
                Place::Ahead
            }
            () if self.is_followed(&previous) => Place::Rival(previous),
            () => return Err(TrustRejected::UnknownPredecessor),
        };
        let parent = self.get(&previous).ok_or(TrustRejected::UnknownPredecessor)?;
        let known = Arc::new(examined(&parent.set, known)?);
        let mut siblings = self.ahead.values().filter(|other| other.set.previous == Some(previous));
        match place {
            Place::Ahead if siblings.nth(MAX_CHILDREN - 1).is_some() => {
                Err(TrustRejected::Contradicted)
            }
            Place::Ahead if self.ahead.len() >= MAX_SETS => Err(TrustRejected::Full),
            Place::Rival(parent) if self.rivals.contains_key(&parent) => {
                Err(TrustRejected::Contradicted)
            }
            Place::Ahead => Ok(self.ahead.insert(known.hash, known).is_none()),
            Place::Rival(parent) => Ok(self.rivals.insert(parent, known).is_none()),
        }
    }

    /// Moves along the only valid children, to the last of them that is ready: its list counts, those
    /// between need not be here.
    pub(super) fn follow_next(&mut self, is_ready: impl Fn(&KnownSet) -> bool) -> bool {
        let mut path = Vec::new();
        let mut last = self.head().hash;
        while let Some(child) = self.only_child(&last) {
            last = child.hash;
            path.push(child.clone());
        }
        let Some(ready) = path.iter().rposition(|known| is_ready(known)) else { return false };
        path.truncate(ready + 1);
        path.iter().for_each(|known| drop(self.ahead.remove(&known.hash)));
        self.followed.extend(path);
        self.pinned.head = false;
        self.forget_oldest();
        true
    }

    fn only_child(&self, parent: &SetHash) -> Option<&Arc<KnownSet>> {
        let mut children = self.ahead.values().filter(|known| known.set.previous == Some(*parent));
        match (children.next(), children.next()) {
            (only, None) => only,
            _ => None,
        }
    }

    /// Follows a set because the operator says so, whoever has signed it and those of `offered` before
    /// it, which need only link. What is ahead of it is found again from what others offer.
    pub(super) fn pin(&mut self, pinned: KnownSet, offered: BTreeMap<SetHash, KnownSet>) {
        let decided = pinned.set.epoch;
        let pinned = Arc::new(pinned);
        let parent = pinned.set.previous;
        let offered = offered.into_iter().map(|(hash, known)| (hash, Arc::new(known)));
        let mut known: BTreeMap<_, _> = offered.collect();
        known.extend(self.sets().map(|known| (known.hash, Arc::new(known.clone()))));
        let mut before = Vec::new();
        let mut next = parent.and_then(|hash| known.get(&hash));
        while let Some(set) = next {
            before.push(set.clone());
            next = set.set.previous.and_then(|hash| known.get(&hash));
        }
        before.reverse();
        before.push(pinned.clone());
        self.rivals.retain(|parent, _| before.iter().any(|known| known.hash == *parent));
        self.rivals.retain(|_, rival| rival.hash != pinned.hash);
        self.ahead.clear();
        self.followed = before;
        self.pinned = OperatorPin { head: true, decided };
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        let excess = self.followed.len().saturating_sub(MAX_SETS);
        self.followed.drain(..excess);
        let kept: Vec<_> = self.followed.iter().map(|known| known.hash).collect();
        self.rivals.retain(|parent, _| kept.contains(parent));
    }
}

/// A set with those of its signatures that count, if they are enough.
fn examined(parent: &AuthoritySet, known: KnownSet) -> Result<KnownSet, TrustRejected> {
    let KnownSet { hash, id, set, signed } = known;
    let follows = parent.epoch.checked_add(1) == Some(set.epoch);
    if !follows || (set.is_older_form() && !parent.is_older_form()) {
        return Err(TrustRejected::Malformed);
    }
    if signed.signatures().is_empty() {
        return Err(TrustRejected::Unsigned);
    }
    let added: Vec<_> = parent.added_by(&set).copied().collect();
    let signed = signed.signed_only_by(|key| parent.owners().contains(key) || added.contains(key));
    let signers = signed.signers().ok_or(TrustRejected::NotAuthorised)?;
    let owners = signers.intersection(parent.owners()).count();
    match owners >= parent.majority() && added.iter().all(|key| signers.contains(key)) {
        true => Ok(KnownSet { hash, id, set, signed }),
        false => Err(TrustRejected::NotAuthorised),
    }
}

/// True for an item that is an authority set.
pub(super) fn is_set(item: &SignedTrustItem) -> bool {
    item.kind() == TrustKind::AuthoritySet
}
