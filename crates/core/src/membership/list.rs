//! The list of the grants that stay under an authority set, in pages that travel as items.
//!
//! Promises: the same pages from the same grants. A set names its pages by their content, so that no
//! page can be forged on its way.

use std::collections::BTreeSet;

use super::item::{ContentId, GrantPage, PAGE_GRANTS, TrustItem};
use super::signed::SignedTrustItem;

/// The pages that list these grants.
pub(super) fn pages(grants: &BTreeSet<ContentId>) -> Vec<SignedTrustItem> {
    let all: Vec<_> = grants.iter().copied().collect();
    let page = |grants: &[ContentId]| {
        let grants = grants.iter().copied().collect();
        SignedTrustItem::unsigned(&TrustItem::GrantPage(GrantPage { grants }))
    };
    all.chunks(PAGE_GRANTS).map(page).collect()
}
