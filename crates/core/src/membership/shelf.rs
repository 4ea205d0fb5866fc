//! The grants, revocations and pages that are held, and what each of them counts for.
//!
//! Promises: what counts for nothing under the sets that are followed or ahead is not held; one item
//! for each payload, its signers merged; nobody can use up the room of another signing key. What is
//! kept when a key has signed too much follows from the items alone, not from their order. Refuses to
//! know which set is followed (`chain`) and who is a member then (`applied`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chain::{Chain, KnownSet};
use super::item::{ContentId, Grant, ItemId, Revocation, SetHash, TrustItem};
use super::key::AuthorityPublicKey;
use super::outcome::TrustRejected;
use super::signed::SignedTrustItem;

/// Most items naming one set that are held of one signing key.
pub const MAX_ITEMS_OF_KEY: usize = 8192;
/// Most bytes of them.
pub const MAX_BYTES_OF_KEY: usize = 8 * 1024 * 1024;

/// An item that is held.
#[derive(Debug, Clone)]
pub(super) struct HeldItem {
    pub(super) id: ItemId,
    pub(super) content: ContentId,
    pub(super) signed: SignedTrustItem,
    pub(super) item: TrustItem,
    pub(super) signers: BTreeSet<AuthorityPublicKey>,
}

/// What an item counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ItemStanding {
    /// A page of the head's list, or a grant that it lists.
    Listed,
    /// Names the head, or an earlier set that it also meets: in force.
    InForce,
    /// Listed by a set that is ahead, or a page of its list.
    Awaited,
    /// Names a set that is ahead.
    Ahead(SetHash),
}

impl ItemStanding {
    /// The set whose signing keys have to have room for it.
    fn counts_for(self, chain: &Chain) -> Option<&KnownSet> {
        match self {
            Self::InForce => Some(chain.head()),
            Self::Ahead(set) => chain.ahead_of(&set),
            Self::Listed | Self::Awaited => None,
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Shelf {
    items: BTreeMap<ContentId, Arc<HeldItem>>,
    by_id: BTreeMap<ItemId, ContentId>,
    bytes: usize,
    /// The grants that the head lists.
    listed: Arc<BTreeSet<ContentId>>,
    /// The grants that sets ahead list, as far as their pages are here.
    awaited: Arc<BTreeSet<ContentId>>,
    /// What was let go since [`Shelf::take_dropped`].
    dropped: BTreeSet<ContentId>,
}

impl Shelf {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn items(&self) -> impl Iterator<Item = &HeldItem> + Clone {
        self.items.values().map(Arc::as_ref)
    }

    pub(super) fn get(&self, content: &ContentId) -> Option<&HeldItem> {
        self.items.get(content).map(Arc::as_ref)
    }

    pub(super) fn by_id(&self, id: &ItemId) -> Option<&HeldItem> {
        self.by_id.get(id).and_then(|content| self.get(content))
    }

    /// The grants that the head lists.
    pub(super) fn listed(&self) -> &BTreeSet<ContentId> {
        &self.listed
    }

    /// Items of the list of `set` that are not here: its pages, and what stands on those that are.
    pub(super) fn lacks(&self, set: &KnownSet) -> usize {
        let missing = |page: &ContentId| match self.page(page) {
            Some(grants) => grants.iter().filter(|grant| !self.items.contains_key(grant)).count(),
            None => 1,
        };
        set.set.pages.iter().map(missing).sum()
    }

    fn page(&self, page: &ContentId) -> Option<&BTreeSet<ContentId>> {
        match &self.items.get(page)?.item {
            TrustItem::GrantPage(page) => Some(&page.grants),
            _ => None,
        }
    }

    /// What an item counts for, if for anything; `signers` are those whose signatures hold.
    pub(super) fn standing(&self, chain: &Chain, held: &HeldItem) -> Option<ItemStanding> {
        let HeldItem { content, signers, .. } = held;
        match &held.item {
            TrustItem::AuthoritySet(_) => None,
            TrustItem::GrantPage(_) if chain.head().set.pages.contains(content) => {
                Some(ItemStanding::Listed)
            }
            TrustItem::GrantPage(_) => chain
                .ahead()
                .any(|k| k.set.pages.contains(content))
                .then_some(ItemStanding::Awaited),
            TrustItem::Grant(_) if self.listed.contains(content) => Some(ItemStanding::Listed),
            TrustItem::Grant(grant) => {
                let named = named(chain, grant.set, signers, |head| named_head(head, grant));
                let awaited = self.awaited.contains(content).then_some(ItemStanding::Awaited);
                named.or(awaited)
            }
            TrustItem::Revocation(Revocation { set: None, .. }) => {
                revoked_by_0_1(chain, signers).then_some(ItemStanding::InForce)
            }
            TrustItem::Revocation(Revocation { set: Some(set), .. }) => {
                named(chain, Some(*set), signers, |_| named_before(chain, set, signers))
            }
        }
    }

    /// The keys whose signatures of an item can count for anything: those of the set that it names, of
    /// a revocation those of the head too, of one of release 0.1 those of every set of the chain.
    pub(super) fn signing_keys(chain: &Chain, item: &TrustItem) -> BTreeSet<AuthorityPublicKey> {
        if let TrustItem::Revocation(Revocation { set: None, .. }) = item {
            return chain.newest_first().flat_map(|known| &known.set.keys).copied().collect();
        }
        let head = &chain.head().set.keys;
        let (set, of_head) = match item {
            TrustItem::Grant(Grant { set, .. }) => (set, set.is_none()),
            TrustItem::Revocation(Revocation { set, .. }) => (set, true),
            TrustItem::AuthoritySet(_) | TrustItem::GrantPage(_) => return BTreeSet::new(),
        };
        let named = set.and_then(|set| chain.followed(&set).or_else(|| chain.ahead_of(&set)));
        let named = named.iter().flat_map(|named| &named.set.keys);
        named.chain(head.iter().filter(|_| of_head)).copied().collect()
    }

    /// Takes an item that counts for something. False if nothing is new.
    pub(super) fn take(
        &mut self,
        chain: &Chain,
        signed: SignedTrustItem,
        item: TrustItem,
    ) -> Result<bool, TrustRejected> {
        let content = signed.content_id();
        let counts = match self.listed.contains(&content) {
            // Whoever has signed it: the owners have listed it.
            true => BTreeSet::new(),
            false => Self::signing_keys(chain, &item),
        };
        let present = self.items.get(&content).cloned();
        let has_signed = |key: &AuthorityPublicKey| {
            present.as_ref().is_some_and(|held| held.signers.contains(key))
        };
        let fresh = signed.signed_only_by(|key| counts.contains(key) && !has_signed(key));
        if present.is_some() && fresh.signatures().is_empty() {
            return Ok(false);
        }
        let mut signers = fresh.signers().ok_or(TrustRejected::NotAuthorised)?;
        let signed = match &present {
            Some(held) => {
                signers.extend(&held.signers);
                held.signed.clone().merged_with(&fresh)
            }
            None => fresh,
        };
        let held = HeldItem { id: signed.id(), content, signed, item, signers };
        let standing = self.standing(chain, &held).ok_or_else(|| void(chain, &held.item))?;
        let held = match standing {
            ItemStanding::Listed => signed_only_by(held, &BTreeSet::new()),
            _ => held,
        };
        if present.is_some_and(|present| present.id == held.id) {
            return Ok(false);
        }
        self.insert(held);
        Ok(true)
    }

    /// Keeps what is known to count although it meets no rule: what the disk has of an earlier time.
    pub(super) fn insert(&mut self, held: HeldItem) {
        self.remove(&held.content);
        self.dropped.remove(&held.content);
        self.bytes += held.signed.size();
        self.by_id.insert(held.id, held.content);
        self.items.insert(held.content, Arc::new(held));
    }

    pub(super) fn remove(&mut self, content: &ContentId) {
        if let Some(held) = self.items.remove(content) {
            self.bytes -= held.signed.size();
            self.by_id.remove(&held.id);
            self.dropped.insert(*content);
        }
    }

    /// What was let go since this was last asked.
    pub(super) fn take_dropped(&mut self) -> BTreeSet<ContentId> {
        std::mem::take(&mut self.dropped)
    }

    /// Reads the lists anew: sets or pages have come.
    pub(super) fn read_lists(&mut self, chain: &Chain) {
        let listed = |set: &KnownSet| {
            let pages: Vec<_> = set.set.pages.iter().filter_map(|page| self.page(page)).collect();
            pages.into_iter().flatten().copied().collect::<Vec<_>>()
        };
        let awaited = chain.ahead().flat_map(listed).collect();
        let of_head = listed(chain.head()).into_iter().collect();
        (self.listed, self.awaited) = (Arc::new(of_head), Arc::new(awaited));
    }

    /// Lets go of what counts for nothing any more, but for `kept`, and of signatures that count no
    /// more: what is listed needs none.
    pub(super) fn sort_out(&mut self, chain: &Chain, kept: &BTreeSet<ContentId>) {
        self.read_lists(chain);
        let all: Vec<_> = self.items.values().cloned().collect();
        for held in all.into_iter().filter(|held| !kept.contains(&held.content)) {
            let counts = match self.standing(chain, &held) {
                None => {
                    self.remove(&held.content);
                    continue;
                }
                Some(ItemStanding::Listed) => BTreeSet::new(),
                Some(_) => Self::signing_keys(chain, &held.item),
            };
            if !held.signers.is_subset(&counts) {
                self.insert(signed_only_by(held.as_ref().clone(), &counts));
            }
        }
    }

    /// Lets go of what a signing key has signed beyond its room: of each key as many revocations as
    /// fit, then as many grants, in the order of their names. An item stays if enough of its signers
    /// have room for it.
    pub(super) fn keep_bounds(&mut self, chain: &Chain) {
        if self.items.len() <= MAX_ITEMS_OF_KEY && self.bytes <= MAX_BYTES_OF_KEY {
            return;
        }
        let mut of_sets: BTreeMap<SetHash, Vec<Arc<HeldItem>>> = BTreeMap::new();
        for held in self.items.values() {
            let standing = self.standing(chain, held);
            if let Some(set) = standing.and_then(|standing| standing.counts_for(chain)) {
                of_sets.entry(set.hash).or_default().push(held.clone());
            }
        }
        for (hash, items) in of_sets {
            let bytes: usize = items.iter().map(|held| held.signed.size()).sum();
            if items.len() <= MAX_ITEMS_OF_KEY && bytes <= MAX_BYTES_OF_KEY {
                continue;
            }
            let Some(set) = chain.followed(&hash).or_else(|| chain.ahead_of(&hash)) else {
                continue;
            };
            for content in over_bounds(set, &items) {
                self.remove(&content);
            }
        }
    }

    /// How many items naming the head this key may still sign.
    pub(super) fn room_of(&self, chain: &Chain, key: &AuthorityPublicKey) -> usize {
        let of_key = |held: &&Arc<HeldItem>| {
            held.signers.contains(key) && self.standing(chain, held) == Some(ItemStanding::InForce)
        };
        MAX_ITEMS_OF_KEY.saturating_sub(self.items.values().filter(of_key).count())
    }
}

fn signed_only_by(held: HeldItem, keys: &BTreeSet<AuthorityPublicKey>) -> HeldItem {
    let signed = held.signed.signed_only_by(|key| keys.contains(key));
    let signers = held.signers.intersection(keys).copied().collect();
    HeldItem { id: signed.id(), signed, signers, ..held }
}

/// An item that names a set: the head, by the rule of its kind, or one that is ahead.
fn named(
    chain: &Chain,
    set: Option<SetHash>,
    signers: &BTreeSet<AuthorityPublicKey>,
    by_head: impl Fn(&KnownSet) -> bool,
) -> Option<ItemStanding> {
    let head = chain.head();
    if head.set.entitles(signers) && by_head(head) {
        return Some(ItemStanding::InForce);
    }
    let ahead = set.and_then(|set| chain.ahead_of(&set))?;
    ahead.set.entitles(signers).then_some(ItemStanding::Ahead(ahead.hash))
}

/// An item of release 0.1 names no set: it counts until there is a set of the present form.
fn named_head(head: &KnownSet, grant: &Grant) -> bool {
    grant.set.map_or(head.set.is_older_form(), |set| set == head.hash)
}

fn named_before(chain: &Chain, set: &SetHash, signers: &BTreeSet<AuthorityPublicKey>) -> bool {
    chain.followed(set).is_some_and(|named| named.set.entitles(signers))
}

/// A revocation of release 0.1 holds whoever was removed since, until there is a set of the present
/// form: its list leaves out who was revoked.
fn revoked_by_0_1(chain: &Chain, signers: &BTreeSet<AuthorityPublicKey>) -> bool {
    chain.head().set.is_older_form() && chain.ever_entitled(signers)
}

fn over_bounds(set: &KnownSet, items: &[Arc<HeldItem>]) -> Vec<ContentId> {
    let mut fits: BTreeMap<ContentId, u64> = BTreeMap::new();
    let removed = items.iter().filter(|held| is_revocation_of_0_1(held));
    let keys: BTreeSet<_> =
        removed.flat_map(|held| &held.signers).chain(&set.set.keys).copied().collect();
    for key in keys {
        let has_signed = |held: &&Arc<HeldItem>| {
            let counts = set.set.keys.contains(&key) || is_revocation_of_0_1(held);
            counts && held.signers.contains(&key)
        };
        let mut of_key: Vec<_> = items.iter().filter(has_signed).collect();
        of_key.sort_by_key(|held| (matches!(held.item, TrustItem::Grant(_)), held.content));
        let mut room = MAX_BYTES_OF_KEY;
        for held in of_key.into_iter().take(MAX_ITEMS_OF_KEY) {
            let Some(left) = room.checked_sub(held.signed.payload().len()) else { break };
            room = left;
            *fits.entry(held.content).or_default() += 1;
        }
    }
    let enough = |held: &HeldItem| match is_revocation_of_0_1(held) {
        // Of an earlier set, which may have asked for fewer.
        true => u64::from(set.set.threshold).min(held.signers.len() as u64),
        false => u64::from(set.set.threshold),
    };
    let over = |held: &&Arc<HeldItem>| fits.get(&held.content).is_none_or(|n| *n < enough(held));
    items.iter().filter(over).map(|held| held.content).collect()
}

fn is_revocation_of_0_1(held: &HeldItem) -> bool {
    matches!(held.item, TrustItem::Revocation(Revocation { set: None, .. }))
}

/// Why an item counts for nothing. Whoever follows a set that is not known here sends what belongs to
/// that in good faith.
fn void(chain: &Chain, item: &TrustItem) -> TrustRejected {
    let is_known = match item {
        TrustItem::Grant(Grant { set, .. }) | TrustItem::Revocation(Revocation { set, .. }) => {
            set.is_none_or(|set| chain.get(&set).is_some())
        }
        TrustItem::AuthoritySet(_) => true,
        TrustItem::GrantPage(_) => false,
    };
    if is_known { TrustRejected::NotAuthorised } else { TrustRejected::UnknownPredecessor }
}
