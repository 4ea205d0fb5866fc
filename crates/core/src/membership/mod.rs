//! Who belongs to a managed mesh: a pure state machine over signed trust items.
//!
//! The items that are held only grow; who is a member follows from them alone, so that any two
//! gateways that hold the same items know the same members, in whatever order the items came. A
//! revoked key never comes back. An item is held if the authorities of any set of this mesh signed
//! it; a grant holds as long as enough of its signers are in force, a revocation for ever.
//!
//! It refuses to know which zones this gateway has blocked for itself (`crate::registry`), how
//! items travel (`crate::replication`) and where keys lie.

mod applied;
mod authority;
mod draft;
mod item;
mod key;
mod outcome;
mod succession;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::key::ZonePublicKey;
use crate::member::Member;
use crate::mesh::{MeshId, RootHash};
use crate::name::ZoneName;

pub use applied::Alarm;
pub use draft::{DraftError, GrantRequest, add_signatures, sign, signatures_missing};
pub use item::{
    AuthoritySet, AuthoritySignature, Grant, ItemId, MAX_AUTHORITIES, MAX_ITEM_BYTES, Revocation,
    SetHash, SignedTrustItem, TrustItem, TrustKind,
};
pub use key::{AuthorityIdentity, AuthorityKeyError, AuthorityPublicKey};
pub use outcome::{TrustAccepted, TrustCounters, TrustRejected};
pub use succession::{AuthorityEdit, Lacking};
pub use wire::ItemError;

/// Most items that are held; items of authorities that are no more in force get half of it.
pub const MAX_ITEMS: usize = 16_384;
/// Most bytes of items that are held.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// An item that is held.
struct HeldItem {
    signed: SignedTrustItem,
    item: TrustItem,
    signers: BTreeSet<AuthorityPublicKey>,
}

/// Who belongs to a managed mesh. Clones share what they hold.
#[derive(Clone)]
pub struct Membership {
    mesh: MeshId,
    authorities: authority::Authorities,
    items: BTreeMap<ItemId, Arc<HeldItem>>,
    bytes: usize,
    root: RootHash,
    revoked: BTreeSet<ZonePublicKey>,
    applied: Arc<applied::Applied>,
    counters: TrustCounters,
}

impl Membership {
    /// A mesh whose first authority set is `first`; that set's hash is the mesh id. Nobody has to
    /// sign it: who trusts the mesh id trusts these keys and this threshold and no others.
    ///
    /// # Errors
    /// [`TrustRejected`] if it is no first set.
    pub fn new(first: SignedTrustItem) -> Result<Self, TrustRejected> {
        // Signatures would add nothing, and make many items of one.
        let first = SignedTrustItem::from_parts(first.kind(), first.payload().clone(), Vec::new());
        let (item, signers) = examine(&first)?;
        let TrustItem::AuthoritySet(set) = item.clone() else {
            return Err(TrustRejected::UnknownPredecessor);
        };
        let hash = first.payload_hash();
        let mut new = Self {
            mesh: mesh_id(&hash),
            authorities: authority::Authorities::new(hash, set)?,
            items: BTreeMap::new(),
            bytes: 0,
            root: RootHash::default(),
            revoked: BTreeSet::new(),
            applied: Arc::default(),
            counters: TrustCounters::default(),
        };
        new.hold(HeldItem { signed: first, item, signers });
        new.apply();
        Ok(new)
    }

    /// A mesh from items in any order: what a gateway has stored, or what an inviter answered.
    /// Items that are refused are left out and counted.
    ///
    /// # Errors
    /// [`TrustRejected::UnknownPredecessor`] if the first authority set of `mesh` is not among
    /// them.
    pub fn from_items(mesh: &MeshId, items: Vec<SignedTrustItem>) -> Result<Self, TrustRejected> {
        let is_first = |item: &&SignedTrustItem| {
            item.kind() == TrustKind::AuthoritySet && mesh_id(&item.payload_hash()) == *mesh
        };
        let first = items.iter().find(is_first).ok_or(TrustRejected::UnknownPredecessor)?;
        let mut new = Self::new(first.clone())?;
        new.accept_all(items);
        Ok(new)
    }

    /// The mesh: 64 hexadecimal digits.
    #[must_use]
    pub fn mesh(&self) -> &MeshId {
        &self.mesh
    }

    /// Offers an item that came from elsewhere.
    ///
    /// # Errors
    /// [`TrustRejected`]: the first check that failed. Each is counted.
    pub fn accept(&mut self, item: SignedTrustItem) -> Result<TrustAccepted, TrustRejected> {
        let outcomes = self.accept_all(vec![item]);
        outcomes.into_iter().next().unwrap_or(Err(TrustRejected::Malformed))
    }

    /// Offers items and then looks once at what follows from them: a new authority set and the
    /// grants that were signed anew for it take effect together. Authority sets are looked at first;
    /// the outcomes are in the order of the items.
    pub fn accept_all(
        &mut self,
        items: Vec<SignedTrustItem>,
    ) -> Vec<Result<TrustAccepted, TrustRejected>> {
        let mut order: Vec<_> = items.into_iter().enumerate().collect();
        order.sort_by_key(|(index, item)| (epoch(item), *index));
        let mut outcomes: Vec<_> = order
            .into_iter()
            .map(|(index, item)| {
                let outcome = self.judge(item);
                self.counters.count(&outcome);
                (index, outcome)
            })
            .collect();
        if outcomes.iter().any(|(_, outcome)| matches!(outcome, Ok(TrustAccepted::Stored(_)))) {
            self.apply();
        }
        outcomes.sort_by_key(|(index, _)| *index);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Those of `items` that [`Membership::accept_all`] would keep: to be stored first, where nothing
    /// may take effect that the disk has not.
    #[must_use]
    pub fn would_keep(&self, items: &[SignedTrustItem]) -> Vec<SignedTrustItem> {
        let outcomes = self.clone().accept_all(items.to_vec());
        let kept = |outcome: &Result<TrustAccepted, TrustRejected>| {
            matches!(outcome, Ok(TrustAccepted::Stored(_)))
        };
        let both = items.iter().zip(outcomes);
        both.filter(|(_, outcome)| kept(outcome)).map(|(item, _)| item.clone()).collect()
    }

    /// Counts what was offered as an item and could not be read as one.
    pub fn refuse(&mut self, reason: TrustRejected) {
        self.counters.count(&Err(reason));
    }

    fn judge(&mut self, signed: SignedTrustItem) -> Result<TrustAccepted, TrustRejected> {
        let id = signed.id();
        if self.items.contains_key(&id) {
            return Ok(TrustAccepted::Known);
        }
        if self.is_first_set(&signed) {
            return Ok(TrustAccepted::Known);
        }
        let (item, signers) = examine(&signed)?;
        match &item {
            TrustItem::AuthoritySet(set) => {
                self.authorities.check(signed.payload_hash(), set, &signers)?;
            }
            TrustItem::Grant(Grant { mesh, .. })
            | TrustItem::Revocation(Revocation { mesh, .. }) => {
                if *mesh != self.mesh {
                    return Err(TrustRejected::OtherMesh);
                }
                if !self.authorities.ever_entitled(&signers) {
                    return Err(TrustRejected::NotAuthorised);
                }
            }
        }
        if !self.has_room(&signed, &signers) {
            return Err(TrustRejected::Full);
        }
        self.hold(HeldItem { signed, item, signers });
        Ok(TrustAccepted::Stored(id))
    }

    /// True for the set that names the mesh, whoever has signed it.
    fn is_first_set(&self, item: &SignedTrustItem) -> bool {
        item.kind() == TrustKind::AuthoritySet && self.authorities.is_first(&item.payload_hash())
    }

    /// A key that is no more in force must not fill the room of those that are.
    fn has_room(&self, item: &SignedTrustItem, signers: &BTreeSet<AuthorityPublicKey>) -> bool {
        let share = if self.authorities.entitled(signers) { 1 } else { 2 };
        self.items.len() < MAX_ITEMS / share && self.bytes + item.size() <= MAX_BYTES / share
    }

    fn hold(&mut self, held: HeldItem) {
        match &held.item {
            TrustItem::AuthoritySet(set) => {
                self.authorities.insert(held.signed.payload_hash(), set.clone());
            }
            TrustItem::Revocation(revocation) => {
                self.revoked.insert(revocation.zone_key);
            }
            TrustItem::Grant(_) => {}
        }
        self.bytes += held.signed.size();
        self.items.insert(held.signed.id(), Arc::new(held));
    }

    fn apply(&mut self) {
        self.applied = Arc::new(applied::apply(self.grants_in_force(), &self.revoked));
        let mut hash = Sha256::new_with_prefix(b"zonemesh trust items v1\0");
        self.items.keys().for_each(|id| hash.update(id.0));
        self.root = hash.finalize().into();
    }

    fn grants_in_force(&self) -> impl Iterator<Item = (ItemId, &Grant)> {
        let in_force =
            |(_, held): &(&ItemId, &Arc<HeldItem>)| self.authorities.entitled(&held.signers);
        self.items.iter().filter(in_force).filter_map(|(id, held)| match &held.item {
            TrustItem::Grant(grant) => Some((*id, grant)),
            _ => None,
        })
    }

    /// The members, in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.applied.members.values()
    }

    /// The member `zone`.
    #[must_use]
    pub fn member(&self, zone: &ZoneName) -> Option<&Member> {
        self.applied.members.get(zone)
    }

    /// True if `key` was revoked.
    #[must_use]
    pub fn is_revoked(&self, key: &ZonePublicKey) -> bool {
        self.revoked.contains(key)
    }

    /// Grants that contradict each other.
    #[must_use]
    pub fn alarms(&self) -> &[Alarm] {
        &self.applied.alarms
    }

    /// The revocations, in no order.
    pub fn revocations(&self) -> impl Iterator<Item = &Revocation> {
        self.items.values().filter_map(|held| match &held.item {
            TrustItem::Revocation(revocation) => Some(revocation),
            _ => None,
        })
    }

    /// The newest grant of `zone` that holds and is not revoked, applied or not.
    #[must_use]
    pub fn grant(&self, zone: &ZoneName) -> Option<&Grant> {
        let held = self.applied.newest.get(zone).and_then(|id| self.items.get(id))?;
        match &held.item {
            TrustItem::Grant(grant) => Some(grant),
            _ => None,
        }
    }

    /// The lowest serial of the grants of `zone` that hold: since when it belongs to the mesh, under
    /// whatever key.
    #[must_use]
    pub fn first_serial(&self, zone: &ZoneName) -> Option<u64> {
        let of_zone = self.grants_in_force().filter(|(_, grant)| grant.zone == *zone);
        of_zone.map(|(_, grant)| grant.serial).min()
    }

    /// The authority set in force, and its hash.
    #[must_use]
    pub fn authority_set(&self) -> (SetHash, &AuthoritySet) {
        self.authorities.current()
    }

    /// Items that a gateway needs to know this mesh, authority sets first, then revocations.
    #[must_use]
    pub fn items(&self) -> Vec<SignedTrustItem> {
        self.items_except(&BTreeSet::new())
    }

    /// The items that a gateway which holds `theirs` lacks, in the same order.
    #[must_use]
    pub fn items_except(&self, theirs: &BTreeSet<ItemId>) -> Vec<SignedTrustItem> {
        let lacking = self.items.iter().filter(|(id, _)| !theirs.contains(id));
        let mut lacking: Vec<_> = lacking.map(|(_, held)| held).collect();
        lacking.sort_by_key(|held| match &held.item {
            TrustItem::AuthoritySet(set) => (0, set.epoch),
            TrustItem::Revocation(_) => (1, 0),
            TrustItem::Grant(_) => (2, 0),
        });
        lacking.into_iter().map(|held| held.signed.clone()).collect()
    }

    /// The item `id`.
    #[must_use]
    pub fn get(&self, id: &ItemId) -> Option<&SignedTrustItem> {
        self.items.get(id).map(|held| &held.signed)
    }

    /// The names of all items.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<ItemId> {
        self.items.keys().copied().collect()
    }

    /// All items in one hash.
    #[must_use]
    pub fn root_hash(&self) -> RootHash {
        self.root
    }

    /// Bytes of all items.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// How often each outcome has happened.
    #[must_use]
    pub fn counters(&self) -> &TrustCounters {
        &self.counters
    }
}

/// The checks that need no state: size, form, every signature.
fn examine(
    signed: &SignedTrustItem,
) -> Result<(TrustItem, BTreeSet<AuthorityPublicKey>), TrustRejected> {
    if signed.payload().len() > MAX_ITEM_BYTES || signed.signatures().len() > MAX_AUTHORITIES {
        return Err(TrustRejected::TooLarge);
    }
    let Ok(item) = signed.decode() else {
        return Err(TrustRejected::Malformed);
    };
    let signers = signed.signers().ok_or(TrustRejected::NotAuthorised)?;
    Ok((item, signers))
}

/// Sets in the order of their epochs, then the rest.
fn epoch(item: &SignedTrustItem) -> u64 {
    if item.kind() != TrustKind::AuthoritySet {
        return u64::MAX;
    }
    match item.decode() {
        Ok(TrustItem::AuthoritySet(set)) => set.epoch,
        _ => u64::MAX,
    }
}

fn mesh_id(first: &SetHash) -> MeshId {
    MeshId::new(first.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
