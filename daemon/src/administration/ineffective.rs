//! What was offered and has no effect, and why.
//!
//! Promises: a file of which nothing holds is never taken in silence. Refuses to know what to type
//! next: that is the tool's.

use std::collections::BTreeSet;

use zonemesh_core::membership::{
    AuthorityPublicKey, Grant, Membership, Revocation, SignedTrustItem, TrustItem,
};

/// An item that was offered and has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IneffectiveItem {
    /// For people.
    pub(crate) sentence: String,
    pub(crate) why: Ineffectiveness,
}

/// Why an item has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ineffectiveness {
    /// It may still be signed.
    Unsigned,
    /// An authority set that waits for its list, or that contradicts another.
    NotFollowed,
    /// Something later holds.
    Overtaken,
}

/// What was offered and may still come into effect. Sets before the newest one that was offered are
/// the way to it: one that was given up or pinned among them is nobody's question any more.
pub(super) fn lacking(
    membership: &Membership,
    offered: &[SignedTrustItem],
) -> Vec<IneffectiveItem> {
    let newest = offered.iter().filter_map(epoch).max();
    let is_past = |item: &&SignedTrustItem| epoch(item).is_some_and(|epoch| Some(epoch) < newest);
    offered.iter().filter(|item| !is_past(item)).filter_map(|item| open(membership, item)).collect()
}

/// The decisions that were offered, if all of them were overtaken by later ones: what was decided anew
/// since is nobody's question in a file of which something holds.
pub(super) fn overtaken(
    membership: &Membership,
    offered: &[SignedTrustItem],
) -> Vec<IneffectiveItem> {
    let decoded: Vec<_> =
        offered.iter().filter_map(|item| Some((item, item.decode().ok()?))).collect();
    let holds = |(item, decoded): &(&SignedTrustItem, TrustItem)| match decoded {
        TrustItem::Grant(grant) => membership.grant(&grant.zone) == Some(grant),
        TrustItem::Revocation(one) => membership.is_revoked(&one.zone_key),
        TrustItem::AuthoritySet(_) => membership.follows(&item.payload_hash()),
        TrustItem::GrantPage(_) => true,
    };
    if decoded.iter().any(holds) {
        return Vec::new();
    }
    let told = decoded.iter().filter_map(|(_, decoded)| {
        let sentence = format!("{} is overtaken by a later decision", subject(decoded)?);
        Some(IneffectiveItem { sentence, why: Ineffectiveness::Overtaken })
    });
    told.collect()
}

/// Whose signatures were offered that count for nothing, and whose would, one sentence each.
pub(super) fn strangers(membership: &Membership, offered: &[SignedTrustItem]) -> Vec<String> {
    let (head, present) = membership.authority_set();
    let mut told = Vec::new();
    for item in offered {
        let Ok(decoded) = item.decode() else { continue };
        let may: BTreeSet<AuthorityPublicKey> = match &decoded {
            TrustItem::Grant(Grant { set, .. }) | TrustItem::Revocation(Revocation { set, .. })
                if set.is_none_or(|set| set == head) =>
            {
                present.keys.clone()
            }
            TrustItem::AuthoritySet(next) if next.previous == Some(head) => {
                present.owners().union(&next.keys).copied().collect()
            }
            _ => continue,
        };
        let signers = item.signers().unwrap_or_default();
        if let (Some(what), Some(stranger)) = (subject(&decoded), signers.first())
            && signers.is_disjoint(&may)
        {
            let may: Vec<_> = may.iter().map(ToString::to_string).collect();
            let may = may.join(", ");
            told.push(format!("{what} is signed by {stranger}, which may not; these may: {may}"));
        }
    }
    told
}

fn open(membership: &Membership, item: &SignedTrustItem) -> Option<IneffectiveItem> {
    let decoded = item.decode().ok()?;
    let what = subject(&decoded)?;
    if let Some(lacking) = membership.lacking(item) {
        let (missing, needed) = (lacking.missing, lacking.needed);
        let sentence = format!("{what} lacks {missing} of {needed} signatures");
        return Some(IneffectiveItem { sentence, why: Ineffectiveness::Unsigned });
    }
    let is_held = membership.get(&item.id()).is_some();
    let is_set = matches!(decoded, TrustItem::AuthoritySet(_));
    let waits = is_set && is_held && !membership.follows(&item.payload_hash());
    waits.then(|| IneffectiveItem {
        sentence: format!("{what} is not followed: it waits for its list, or contradicts another"),
        why: Ineffectiveness::NotFollowed,
    })
}

fn epoch(item: &SignedTrustItem) -> Option<u64> {
    match item.decode() {
        Ok(TrustItem::AuthoritySet(set)) => Some(set.epoch),
        _ => None,
    }
}

/// What an item decides, for people; a page of a list goes with its set.
fn subject(item: &TrustItem) -> Option<String> {
    Some(match item {
        TrustItem::Grant(grant) => format!("the grant of {}", grant.zone),
        TrustItem::Revocation(revocation) => format!("the revocation of {}", revocation.zone),
        TrustItem::AuthoritySet(set) => format!("change {} of the authorities", set.epoch),
        TrustItem::GrantPage(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use zonemesh_core::membership::{AuthorityEdit, AuthorityIdentity, GrantRequest, sign};

    use super::*;
    use crate::facts::ledger::now;

    fn sentences(items: &[IneffectiveItem]) -> Vec<&str> {
        items.iter().map(|item| item.sentence.as_str()).collect()
    }

    #[test]
    fn a_signature_that_does_not_count_is_told_with_those_that_do() {
        let [owner, stranger] = [3, 4].map(|seed| AuthorityIdentity::from_seed(&[seed; 32]));
        let keys = BTreeSet::from([owner.public_key()]);
        let set = Membership::draft_first(keys.clone(), keys, 1, now()).unwrap();
        let first = sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&owner]);
        let membership = Membership::new(first).unwrap();
        let request = GrantRequest {
            zone: "madrid".parse().unwrap(),
            zone_key: zonemesh_core::key::ZoneIdentity::from_seed(&[2; 32]).public_key(),
            prefixes: vec!["10.10.2.0/24".parse().unwrap()],
            tunnel_ips: vec!["10.255.0.2".parse().unwrap()],
            federations: Vec::new(),
        };
        let grant = TrustItem::Grant(membership.draft_grant(request, now()).unwrap());
        let mut item = SignedTrustItem::unsigned(&grant);
        assert_eq!(strangers(&membership, std::slice::from_ref(&item)), Vec::<String>::new());
        item.sign(&stranger);
        let told = format!(
            "the grant of madrid is signed by {}, which may not; these may: {}",
            stranger.public_key(),
            owner.public_key()
        );
        assert_eq!(strangers(&membership, std::slice::from_ref(&item)), [told]);
        item.sign(&owner);
        assert_eq!(strangers(&membership, &[item]), Vec::<String>::new());
    }

    #[test]
    fn a_change_is_judged_by_its_own_set_and_not_by_one_that_was_given_up() {
        let [owner, fresh] = [3, 4].map(|seed| AuthorityIdentity::from_seed(&[seed; 32]));
        let keys = BTreeSet::from([owner.public_key()]);
        let set = Membership::draft_first(keys.clone(), keys, 1, now()).unwrap();
        let first = sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&owner]);
        let mut membership = Membership::new(first).unwrap();
        let child = |membership: &Membership, edit: &AuthorityEdit| {
            let draft = membership.draft_change(edit, now()).unwrap();
            let mut next = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(draft.next));
            [&owner, &fresh].into_iter().for_each(|key| next.sign(key));
            (next.payload_hash(), [vec![next], draft.pages].concat())
        };
        let renew = AuthorityEdit { renew: true, ..AuthorityEdit::default() };
        let add = AuthorityEdit { add: [fresh.public_key()].into(), ..AuthorityEdit::default() };
        let (given_up, kept) = (child(&membership, &renew).1, child(&membership, &add));
        membership.accept_all(kept.1.clone());
        assert!(membership.follows(&kept.0));
        membership.accept_all(given_up.clone());
        let told = ["change 1 of the authorities is not followed: it waits for its list, \
                     or contradicts another"];
        let found = lacking(&membership, &given_up);
        assert_eq!(sentences(&found), told);
        assert_eq!(found[0].why, Ineffectiveness::NotFollowed);
        let (head, last) = child(&membership, &renew);
        membership.accept_all(last.clone());
        assert!(membership.follows(&head));
        let file = [given_up, kept.1, last].concat();
        assert_eq!(lacking(&membership, &file), []);
    }

    #[test]
    fn a_file_of_which_nothing_holds_any_more_is_told_and_one_of_which_something_does_is_not() {
        let owner = AuthorityIdentity::from_seed(&[3; 32]);
        let keys = BTreeSet::from([owner.public_key()]);
        let set = Membership::draft_first(keys.clone(), keys, 1, now()).unwrap();
        let first = sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&owner]);
        let mut membership = Membership::new(first.clone()).unwrap();
        let grant = |membership: &Membership, prefix: &str| {
            let request = GrantRequest {
                zone: "madrid".parse().unwrap(),
                zone_key: zonemesh_core::key::ZoneIdentity::from_seed(&[2; 32]).public_key(),
                prefixes: vec![prefix.parse().unwrap()],
                tunnel_ips: vec!["10.255.0.2".parse().unwrap()],
                federations: Vec::new(),
            };
            let grant = membership.draft_grant(request, now()).unwrap();
            sign(&set, &TrustItem::Grant(grant), &[&owner])
        };
        let old = grant(&membership, "10.10.2.0/24");
        membership.accept(old.clone()).unwrap();
        assert_eq!(overtaken(&membership, std::slice::from_ref(&old)), [], "it is in force");
        let new = grant(&membership, "10.10.3.0/24");
        membership.accept(new.clone()).unwrap();
        let found = overtaken(&membership, std::slice::from_ref(&old));
        assert_eq!(sentences(&found), ["the grant of madrid is overtaken by a later decision"]);
        assert_eq!(found[0].why, Ineffectiveness::Overtaken);
        assert_eq!(overtaken(&membership, &[old, new]), [], "the way to what holds");
        assert_eq!(overtaken(&membership, &[first]), []);
    }
}
