//! Who belongs to a managed mesh: a pure state machine over signed trust items.
//!
//! Who is a member follows from the authority set that is followed and from the items that name it or
//! that it lists, so that any two gateways which follow the same set and hold the same items know the
//! same members, in whatever order the items came. What counts for nothing under that set is let go.
//! The rules, and who tries to break them: `docs/design/trust.md`.
//!
//! It refuses to know which zones this gateway has blocked for itself (`crate::registry`), how
//! items travel (`crate::replication`) and where keys lie.

mod applied;
mod attestation;
mod chain;
mod draft;
mod file;
mod item;
mod key;
mod list;
mod outcome;
mod overtaken;
mod put_out;
mod query;
mod restore;
mod shelf;
mod signed;
mod signing;
mod succession;
pub(crate) mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::key::ZonePublicKey;
use crate::mesh::{MeshId, RootHash};
use chain::Chain;
use overtaken::Overtaken;
use shelf::{ItemStanding, Shelf};

pub use applied::Alarm;
pub use attestation::{Attestation, AttestationError, AttestedZone};
pub use chain::{KnownSet, OperatorPin};
pub use draft::{DraftError, GrantRequest};
pub use item::{
    AuthoritySet, ContentId, FederationRight, FederationRightError, Grant, GrantPage, ItemId,
    MAX_AUTHORITIES, MAX_CLAIMS, MAX_ITEM_BYTES, Revocation, SetHash, TrustItem, TrustKind,
};
pub use key::{AuthorityIdentity, AuthorityKeyError, AuthorityPublicKey};
pub use outcome::{TrustAccepted, TrustCounters, TrustPreview, TrustRejected};
pub use overtaken::OvertakenRevocation;
pub use put_out::{MAX_PUT_OUT, PutOut};
pub use restore::{PinError, StoredHead, StoredTrust};
pub use shelf::{MAX_BYTES_OF_KEY, MAX_ITEMS_OF_KEY};
pub use signed::{AuthoritySignature, SignedTrustItem};
pub use signing::{StillToSign, add_signatures, sign, sign_set, signatures_missing, still_to_sign};
pub use succession::{AuthorityEdit, ChangeSummary, Lacking, SetDraft};
pub use wire::ItemError;

/// Most grants that an authority set lists.
pub const MAX_LISTED: usize = item::MAX_PAGES * item::PAGE_GRANTS;
/// Most bytes of the grants that it lists.
pub const MAX_LISTED_BYTES: usize = 16 * 1024 * 1024;

/// What the first look at an item says.
enum Judged {
    Known,
    Set(ItemId),
    New(ContentId),
}

/// Who belongs to a managed mesh. Clones share what they hold.
#[derive(Clone)]
pub struct Membership {
    mesh: MeshId,
    chain: Chain,
    shelf: Shelf,
    overtaken: Overtaken,
    put_out: PutOut,
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
        Ok(Self::with_chain(Chain::new(first_set(first)?)?))
    }

    fn with_chain(chain: Chain) -> Self {
        let mut new = Self {
            mesh: mesh_id(&chain.first().hash),
            chain,
            shelf: Shelf::default(),
            overtaken: Overtaken::default(),
            put_out: PutOut::default(),
            root: RootHash::default(),
            revoked: BTreeSet::new(),
            applied: Arc::default(),
            counters: TrustCounters::default(),
        };
        new.apply();
        new
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

    /// Offers items and then looks once at what follows from them. Authority sets are looked at
    /// first, then pages of lists; the outcomes are in the order of the items.
    pub fn accept_all(
        &mut self,
        items: Vec<SignedTrustItem>,
    ) -> Vec<Result<TrustAccepted, TrustRejected>> {
        let mut order: Vec<_> = items.into_iter().enumerate().collect();
        order.sort_by_cached_key(|(index, item)| (item.turn(), *index));
        let mut judged: Vec<_> =
            order.into_iter().map(|(index, item)| (index, self.judge(item))).collect();
        let head = self.chain.head().hash;
        if judged.iter().any(|(_, judged)| matches!(judged, Ok(Judged::Set(_) | Judged::New(_)))) {
            self.settle();
        }
        let is_moved = head != self.chain.head().hash;
        judged.sort_by_key(|(index, _)| *index);
        let outcomes: Vec<_> =
            judged.into_iter().map(|(_, judged)| self.outcome(judged?, is_moved)).collect();
        outcomes.iter().for_each(|outcome| self.counters.count(outcome));
        outcomes
    }

    /// What has become of an item after everything was looked at.
    fn outcome(&self, judged: Judged, is_moved: bool) -> Result<TrustAccepted, TrustRejected> {
        match judged {
            Judged::Known => Ok(TrustAccepted::Known),
            Judged::Set(id) => Ok(TrustAccepted::Stored(id)),
            Judged::New(content) => match self.shelf.get(&content) {
                Some(held) => Ok(TrustAccepted::Stored(held.id)),
                None if is_moved => Err(TrustRejected::NotAuthorised),
                None => Err(TrustRejected::Full),
            },
        }
    }

    /// What [`Membership::accept_all`] would do: to be stored first, where nothing may take effect that
    /// the disk has not.
    #[must_use]
    pub fn preview(&self, items: &[SignedTrustItem]) -> TrustPreview {
        let mut then = self.clone();
        then.take_dropped();
        let outcomes = then.accept_all(items.to_vec());
        let kept = outcomes.iter().filter_map(|outcome| match outcome {
            Ok(TrustAccepted::Stored(id)) => then.get(id).cloned(),
            _ => None,
        });
        let head = Some(then.stored_head()).filter(|head| *head != self.stored_head());
        TrustPreview { kept: kept.collect(), head, dropped: then.take_dropped() }
    }

    /// Counts what was offered as an item and could not be read as one.
    pub fn refuse(&mut self, reason: TrustRejected) {
        self.counters.count(&Err(reason));
    }

    fn judge(&mut self, signed: SignedTrustItem) -> Result<Judged, TrustRejected> {
        if signed.payload().len() > MAX_ITEM_BYTES
            || signed.signatures().len() > item::MAX_SIGNATURES
        {
            return Err(TrustRejected::TooLarge);
        }
        if chain::is_set(&signed) {
            let known = KnownSet::read(signed)?;
            let id = known.id;
            return Ok(if self.chain.accept(known)? { Judged::Set(id) } else { Judged::Known });
        }
        let content = signed.content_id();
        let Ok(item) = signed.decode() else { return Err(TrustRejected::Malformed) };
        match &item {
            TrustItem::Grant(Grant { mesh, .. })
            | TrustItem::Revocation(Revocation { mesh, .. })
                if *mesh != self.mesh =>
            {
                return Err(TrustRejected::OtherMesh);
            }
            _ => {}
        }
        let is_page = matches!(item, TrustItem::GrantPage(_));
        let is_new = self.shelf.take(&self.chain, signed, item)?;
        if is_new && is_page {
            self.shelf.read_lists(&self.chain);
        }
        Ok(if is_new { Judged::New(content) } else { Judged::Known })
    }

    /// Follows what can be followed, keeps the bounds, and says who is a member.
    fn settle(&mut self) {
        self.shelf.read_lists(&self.chain);
        loop {
            let shelf = &self.shelf;
            let mut chain = self.chain.clone();
            if !chain.follow_next(|set| shelf.lacks(set) == 0) {
                break;
            }
            self.change_head(chain);
        }
        self.shelf.keep_bounds(&self.chain);
        self.apply();
    }

    /// Everything that a new head means for what is held.
    fn change_head(&mut self, chain: Chain) {
        let before = overtaken::InForce::of(self);
        self.chain = chain;
        self.shelf.sort_out(&self.chain, &self.overtaken.contents());
        self.overtaken.look(&before, &self.chain, &mut self.shelf);
        self.apply();
        self.remember_put_out(&before);
    }

    fn apply(&mut self) {
        self.revoked = self.revocations_in_force().map(|(_, r)| r.zone_key).collect();
        self.applied = Arc::new(applied::apply(self.grants_in_force(), &self.revoked));
        let settled = self.overtaken.forget_settled(&self.applied, &self.revoked);
        settled.iter().for_each(|content| self.shelf.remove(content));
        let mut hash = Sha256::new_with_prefix(b"zonemesh trust items v2\0");
        hash.update(self.chain.head().hash);
        let in_force = self.shelf.items().filter(|held| {
            let standing = self.shelf.standing(&self.chain, held);
            matches!(standing, Some(ItemStanding::Listed | ItemStanding::InForce))
        });
        in_force.for_each(|held| hash.update(held.id.0));
        self.root = hash.finalize().into();
    }

    fn grants_in_force(&self) -> impl Iterator<Item = applied::GrantInForce<'_>> + Clone {
        self.shelf.items().filter_map(|held| {
            let TrustItem::Grant(grant) = &held.item else { return None };
            let names_head = match self.shelf.standing(&self.chain, held)? {
                ItemStanding::Listed => false,
                ItemStanding::InForce => true,
                _ => return None,
            };
            Some(applied::GrantInForce { content: held.content, names_head, grant })
        })
    }

    fn revocations_in_force(&self) -> impl Iterator<Item = (&shelf::HeldItem, &Revocation)> {
        self.shelf.items().filter_map(|held| match &held.item {
            TrustItem::Revocation(revocation)
                if self.shelf.standing(&self.chain, held) == Some(ItemStanding::InForce) =>
            {
                Some((held, revocation))
            }
            _ => None,
        })
    }
}

/// The first set without its signatures: they would add nothing, and make many items of one.
fn first_set(first: SignedTrustItem) -> Result<KnownSet, TrustRejected> {
    if first.payload().len() > MAX_ITEM_BYTES {
        return Err(TrustRejected::TooLarge);
    }
    let known = KnownSet::read(first.signed_only_by(|_| false))?;
    if known.set.previous.is_some() || !known.set.pages.is_empty() {
        return Err(TrustRejected::UnknownPredecessor);
    }
    Ok(known)
}

fn mesh_id(first: &SetHash) -> MeshId {
    MeshId::new(first.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
