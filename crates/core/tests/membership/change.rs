//! Changes of the authority set for tests: drafted, signed, with all that goes with them.

use std::collections::BTreeSet;

use zonemesh_core::membership::{
    AuthorityEdit, AuthorityIdentity, AuthorityPublicKey, AuthoritySet, Membership, SetDraft,
    SignedTrustItem, TrustItem,
};

use crate::mesh::{NOW, authority};

pub(crate) fn keys(numbers: &[u8]) -> BTreeSet<AuthorityPublicKey> {
    numbers.iter().map(|number| authority(*number).public_key()).collect()
}

pub(crate) fn edit(add: &[u8], remove: &[u8], threshold: Option<u32>) -> AuthorityEdit {
    AuthorityEdit { add: keys(add), remove: keys(remove), threshold, ..AuthorityEdit::default() }
}

pub(crate) fn draft(membership: &Membership, edit: &AuthorityEdit) -> SetDraft {
    membership.draft_change(edit, NOW).unwrap()
}

/// A set as an item, signed by exactly these keys.
pub(crate) fn signed(set: &AuthoritySet, identities: &[AuthorityIdentity]) -> SignedTrustItem {
    let mut item = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set.clone()));
    identities.iter().for_each(|identity| item.sign(identity));
    item
}

/// The set of a draft, then the pages of its list.
pub(crate) fn batch(draft: SetDraft, identities: &[AuthorityIdentity]) -> Vec<SignedTrustItem> {
    std::iter::once(signed(&draft.next, identities)).chain(draft.pages).collect()
}
