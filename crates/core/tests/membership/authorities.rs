//! The authority set that is followed: valid by its parent's owners, followed once, with its list.

use zonemesh_core::membership::{
    AuthorityEdit, AuthoritySet, DraftError, Lacking, Membership, PinError, SetHash,
    SignedTrustItem, TrustItem, TrustRejected, still_to_sign,
};

use crate::change::{batch, draft, edit, keys, signed};
use crate::mesh::{
    NOW, authority, by, careless, first_set, first_set_of, founded, grant, granted, mesh, mesh_of,
    name, names, owner, request, revocation, set_of,
};

fn head(membership: &Membership) -> SetHash {
    membership.authority_set().0
}

#[test]
fn a_set_takes_a_strict_majority_of_the_owners_before_it_and_every_key_that_it_adds() {
    let mesh = founded(&first_set_of(3, 2, 1));
    let draft = draft(&mesh, &edit(&[5], &[0], None));
    let outcome = |identities: &[_]| {
        let mut then = mesh.clone();
        (then.accept(signed(&draft.next, identities)).is_ok(), head(&then) != head(&mesh))
    };
    let (no, yes) = ((false, false), (true, true));
    assert_eq!(outcome(&[owner(0), authority(5)]), no, "one of three owners");
    assert_eq!(outcome(&[owner(0), owner(1)]), no, "the key that is added has not signed");
    assert_eq!(outcome(&[owner(0), authority(5), authority(0), authority(1)]), no);
    assert_eq!(outcome(&[owner(0), owner(9), authority(5)]), no, "a stranger is no owner");
    assert_eq!(outcome(&[owner(0), owner(2), authority(5)]), yes);
    assert_eq!(outcome(&[owner(0), owner(1), owner(2), authority(5), owner(9)]), yes);
}

#[test]
fn what_is_missing_is_told_and_half_of_the_owners_is_no_majority() {
    let mesh = founded(&first_set_of(2, 1, 1));
    let draft = draft(&mesh, &edit(&[5], &[], None));
    let (_, present) = mesh.authority_set();
    let half = signed(&draft.next, &[owner(0)]);
    let lacks = still_to_sign(present, &draft.next, &half);
    assert_eq!((lacks.owners, lacks.added.clone()), (1, keys(&[5])));
    assert_eq!(mesh.lacking(&half), Some(Lacking { missing: 2, needed: 3 }));
    assert!(mesh.clone().accept(half).is_err());
    let whole = signed(&draft.next, &[owner(0), owner(1), authority(5)]);
    assert_eq!(mesh.lacking(&whole), None);
}

#[test]
fn signing_keys_however_many_change_nothing_about_who_may_sign() {
    let mut mesh = mesh_of(3, 1);
    let before = head(&mesh);
    let takeover = draft(&mesh, &edit(&[9], &[0, 1], None));
    let thieves = [authority(0), authority(1), authority(2), authority(9)];
    let outcomes = mesh.accept_all(batch(takeover, &thieves));
    assert_eq!(outcomes[0], Err(TrustRejected::NotAuthorised));
    assert_eq!(head(&mesh), before);
}

#[test]
fn a_key_that_was_removed_takes_the_mesh_over_at_no_later_time() {
    // Of three owners one was stolen and removed: what it and the removed signing key make now, under
    // the set in which they counted, is followed nowhere.
    let mut mesh = founded(&first_set_of(3, 2, 1));
    let old = mesh.clone();
    let removal = AuthorityEdit {
        remove_owners: [owner(2).public_key()].into(),
        stolen: true,
        ..edit(&[], &[1], None)
    };
    let change = draft(&mesh, &removal);
    mesh.accept_all(batch(change, &[owner(0), owner(1)]));
    let after = head(&mesh);
    let theft = draft(&old, &edit(&[9], &[0], None));
    let outcomes = mesh.accept_all(batch(theft, &[owner(2), authority(1), authority(9)]));
    assert_eq!(outcomes[0], Err(TrustRejected::NotAuthorised));
    let late = by(&first_set(2, 1), &careless(mesh.mesh(), request(5), 9), &[1]);
    assert_eq!(mesh.accept(late), Err(TrustRejected::NotAuthorised));
    assert_eq!((head(&mesh), names(&mesh)), (after, set_of(&[])));
}

#[test]
fn a_mesh_that_was_raised_to_two_owners_does_not_fall_to_the_founder_alone() {
    let mut mesh = mesh_of(1, 1);
    let raised =
        AuthorityEdit { add_owners: [owner(1).public_key()].into(), ..edit(&[1], &[], Some(2)) };
    let old = mesh.clone();
    let change = draft(&mesh, &raised);
    mesh.accept_all(batch(change, &[owner(0), owner(1), authority(1)]));
    let after = head(&mesh);
    for from in [&old, &mesh.clone()] {
        let fork = draft(from, &edit(&[9], &[0], Some(1)));
        mesh.accept_all(batch(fork, &[owner(0), authority(0), authority(9)]));
        assert_eq!(head(&mesh), after);
    }
    // The founder could have made another set instead of the one that was followed; that is told.
    assert_eq!(mesh.conflicts().count(), 1);
}

#[test]
fn what_is_not_listed_is_out_and_what_is_listed_needs_no_key_that_is_left() {
    let mut mesh = granted(1..4);
    let removal = AuthorityEdit { leave_out: [name(2)].into(), ..edit(&[5], &[0], None) };
    let change = draft(&mesh, &removal);
    assert_eq!(change.summary.out, [name(2)]);
    assert_eq!(change.summary.stay, [name(1), name(3)]);
    assert_eq!(change.summary.by_removed, [name(1), name(3)], "to be looked at");
    let items = batch(change, &[owner(0), authority(5)]);
    assert_eq!(mesh.put_out_by(&items), [name(2)]);
    mesh.accept_all(items);
    assert_eq!(names(&mesh), set_of(&["z1", "z3"]));
    assert_eq!(mesh.not_listed().map(|grant| &grant.zone).collect::<Vec<_>>(), [&name(2)]);
    assert!(mesh.take_dropped().len() == 1, "what is out leaves the disk");
    let again = grant_by(&mesh, 2, 5);
    mesh.accept(again).unwrap();
    assert_eq!((names(&mesh), mesh.not_listed().count()), (set_of(&["z1", "z2", "z3"]), 0));
}

fn grant_by(membership: &Membership, zone: u8, key: u8) -> SignedTrustItem {
    let item = TrustItem::Grant(membership.draft_grant(request(zone), NOW).unwrap());
    by(membership.authority_set().1, &item, &[key])
}

#[test]
fn one_signature_removes_a_key_however_many_zones_there_are() {
    let mut mesh = granted(0..200);
    let change = draft(&mesh, &edit(&[5], &[0], None));
    assert_eq!(change.pages.len(), 2);
    let items = batch(change, &[owner(0), authority(5)]);
    let bytes: usize = items.iter().map(SignedTrustItem::size).sum();
    assert!(bytes < 200 * 32 + 1024, "{bytes}");
    mesh.accept_all(items);
    assert_eq!(mesh.members().count(), 200);
    assert!(mesh.items().iter().all(|item| mesh.lacking(item).is_none()));
}

#[test]
fn until_the_list_and_all_that_stands_in_it_are_here_the_old_set_holds() {
    let mut ahead = granted(0..200);
    let mut behind = granted(0..100);
    let change = draft(&ahead, &edit(&[5], &[0], None));
    let mut items = batch(change, &[owner(0), authority(5)]);
    ahead.accept_all(items.clone());
    let last = items.pop().unwrap();
    behind.accept_all(items);
    assert_eq!(head(&behind), head(&mesh()));
    assert!(behind.awaited().is_some_and(|(_, missing)| missing > 0));
    behind.accept(last).unwrap();
    assert_eq!(behind.members().count(), 100, "grants are missing still");
    let lacking = ahead.items_except(&behind.ids());
    behind.accept_all(lacking);
    assert_eq!((head(&behind), behind.root_hash()), (head(&ahead), ahead.root_hash()));
    assert_eq!(behind.members().count(), 200);
}

fn two_children(mesh: &Membership) -> [Vec<SignedTrustItem>; 2] {
    let child =
        |added: u8| batch(draft(mesh, &edit(&[added], &[], None)), &[owner(0), authority(added)]);
    [child(5), child(6)]
}

#[test]
fn a_set_is_followed_once_and_a_second_child_is_told_and_kept_and_not_followed() {
    let mut mesh = granted(0..3);
    let [one, other] = two_children(&mesh);
    mesh.accept_all(one.clone());
    let followed = head(&mesh);
    mesh.accept_all(other.clone());
    assert_eq!(head(&mesh), followed);
    let (chosen, late) = mesh.conflicts().next().unwrap();
    assert_eq!((chosen.hash, late.hash), (one[0].payload_hash(), other[0].payload_hash()));
    let third = batch(draft(&granted(0..3), &edit(&[7], &[], None)), &[owner(0), authority(7)]);
    assert_eq!(mesh.accept(third[0].clone()), Err(TrustRejected::Contradicted), "two are kept");
}

#[test]
fn who_knows_two_children_before_following_either_takes_neither_until_one_is_pinned() {
    let mut mesh = granted(0..3);
    let before = head(&mesh);
    let [one, other] = two_children(&mesh);
    mesh.accept_all([one.clone(), other.clone()].concat());
    assert_eq!((head(&mesh), mesh.conflicts().count()), (before, 1));
    mesh.pin(&one[0].payload_hash(), &[]).unwrap();
    assert_eq!((head(&mesh), mesh.pinned().head), (one[0].payload_hash(), true));
    assert_eq!((names(&mesh), mesh.conflicts().count()), (set_of(&["z0", "z1", "z2"]), 0));
    let next = batch(draft(&mesh, &edit(&[7], &[], None)), &[owner(0), authority(7)]);
    mesh.accept_all(next);
    assert!(!mesh.pinned().head, "told until the next set");
}

#[test]
fn a_pin_moves_a_gateway_to_the_other_branch_and_back_in_the_chain() {
    let mut mesh = granted(0..3);
    let [one, other] = two_children(&mesh);
    mesh.accept_all([one.clone(), other.clone()].concat());
    mesh.pin(&one[0].payload_hash(), &[]).unwrap();
    mesh.pin(&other[0].payload_hash(), &other).unwrap();
    assert_eq!(head(&mesh), other[0].payload_hash());
    assert_eq!(names(&mesh), set_of(&["z0", "z1", "z2"]));
    assert_eq!(mesh.pin(&[1; 32], &[]), Err(PinError::Unknown));
    let foreign = founded(&first_set(2, 2)).items();
    assert_eq!(mesh.pin(&foreign[0].payload_hash(), &foreign), Err(PinError::OtherMesh));
}

#[test]
fn a_pin_whose_list_is_not_here_changes_nothing() {
    let mut mesh = granted(0..3);
    let [one, _] = two_children(&mesh);
    let before = head(&mesh);
    let pinned = mesh.pin(&one[0].payload_hash(), &one[..1]);
    assert_eq!(pinned, Err(PinError::Incomplete { missing: 1 }));
    assert_eq!((head(&mesh), names(&mesh).len()), (before, 3));
}

#[test]
fn lost_owner_keys_are_replaced_by_a_pin_of_a_set_that_nobody_signed() {
    let mut mesh = granted(0..3);
    let new = AuthorityEdit {
        add_owners: [owner(7).public_key()].into(),
        remove_owners: [owner(0).public_key()].into(),
        ..AuthorityEdit::default()
    };
    let items = batch(draft(&mesh, &new), &[]);
    assert!(mesh.accept(items[0].clone()).is_err());
    mesh.pin(&items[0].payload_hash(), &items).unwrap();
    assert_eq!(names(&mesh).len(), 3);
    let next = batch(draft(&mesh, &edit(&[5], &[], None)), &[owner(7), authority(5)]);
    mesh.accept_all(next);
    assert_eq!(mesh.authority_set().1.epoch, 2);
}

#[test]
fn a_change_that_leaves_too_few_or_names_the_wrong_keys_is_refused() {
    let membership = mesh_of(2, 2);
    let refused = |edit| membership.draft_change(&edit, NOW).unwrap_err();
    let key = |number| authority(number).public_key();
    assert_eq!(refused(edit(&[], &[7], None)), DraftError::UnknownAuthority(key(7)));
    assert_eq!(refused(edit(&[1], &[], None)), DraftError::KnownAuthority(key(1)));
    assert_eq!(refused(edit(&[], &[1], None)), DraftError::TooFewLeft { left: 1, threshold: 2 });
    assert_eq!(refused(edit(&[], &[0, 1], Some(1))), DraftError::LastAuthority);
    assert_eq!(refused(edit(&[], &[], Some(2))), DraftError::SameAuthorities);
    assert_eq!(refused(edit(&[], &[], Some(3))), DraftError::Authorities(3, 2));
    let last =
        AuthorityEdit { remove_owners: [owner(0).public_key()].into(), ..AuthorityEdit::default() };
    assert_eq!(refused(last), DraftError::LastAuthority);
    let stranger = AuthorityEdit { leave_out: [name(9)].into(), ..edit(&[3], &[], None) };
    assert_eq!(refused(stranger), DraftError::NotAmongThem(name(9)));
    let renewed = AuthorityEdit { renew: true, ..AuthorityEdit::default() };
    assert_eq!(draft(&membership, &renewed).next.epoch, 1);
}

#[test]
fn a_set_whose_predecessor_is_unknown_waits_for_it() {
    let mut ahead = mesh();
    let first = batch(draft(&ahead, &edit(&[1], &[], None)), &[owner(0), authority(1)]);
    ahead.accept_all(first.clone());
    let second = batch(draft(&ahead, &edit(&[], &[0], None)), &[owner(0)]);
    let mut membership = mesh();
    assert_eq!(membership.accept(second[0].clone()), Err(TrustRejected::UnknownPredecessor));
    let both = membership.accept_all([second, first].concat());
    assert!(both.iter().all(Result::is_ok));
    assert_eq!(membership.authority_set().1.keys, keys(&[1]));
}

#[test]
fn a_threshold_that_nobody_can_meet_is_refused() {
    let owners = [owner(0).public_key()].into();
    let refused = Membership::draft_first(owners, keys(&[0]), 2, NOW);
    assert_eq!(refused, Err(DraftError::Authorities(2, 1)));
    let nobody = Membership::draft_first([].into(), keys(&[0]), 1, NOW);
    assert_eq!(nobody, Err(DraftError::Owners(0)));
    let impossible = AuthoritySet { threshold: 0, ..first_set(1, 1) };
    let item = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(impossible));
    assert_eq!(Membership::new(item).err(), Some(TrustRejected::Malformed));
}

#[test]
fn the_first_set_is_one_item_whoever_signed_it() {
    let set = first_set(2, 2);
    let plain = founded(&set);
    for identities in [&[authority(0)][..], &[owner(0), authority(1)], &[authority(9)]] {
        let item = signed(&set, identities);
        let mut other = Membership::new(item.clone()).unwrap();
        assert_eq!((other.mesh(), other.root_hash()), (plain.mesh(), plain.root_hash()));
        assert_eq!(other.accept(item), Ok(zonemesh_core::membership::TrustAccepted::Known));
        assert_eq!(other.items(), plain.items());
    }
}

#[test]
fn a_joiner_follows_the_set_that_its_invitation_pins_and_refuses_a_chain_without_it() {
    let mut mesh = granted(0..3);
    let old = mesh.clone();
    let change = batch(draft(&mesh, &edit(&[5], &[0], None)), &[owner(0), authority(5)]);
    mesh.accept_all(change);
    let joined = Membership::from_items(mesh.mesh(), Some(head(&mesh)), mesh.items()).unwrap();
    assert_eq!(joined.root_hash(), mesh.root_hash());
    let behind = Membership::from_items(mesh.mesh(), Some(head(&mesh)), old.items());
    assert_eq!(behind.err(), Some(TrustRejected::UnknownPredecessor));
}

#[test]
fn a_revocation_by_a_key_that_is_removed_keeps_its_zone_out_by_the_list() {
    let mut membership = mesh_of(2, 1);
    for zone in [1, 2] {
        let item = grant(&membership, zone);
        membership.accept(item).unwrap();
    }
    let revoked = revocation(&membership, 1, 1, 5);
    membership.accept(revoked).unwrap();
    let change = draft(&membership, &edit(&[], &[0], None));
    membership.accept_all(batch(change, &[owner(0)]));
    assert_eq!(names(&membership), set_of(&["z2"]));
    let stale = by(&first_set(2, 1), &careless(membership.mesh(), request(1), 1), &[0, 1]);
    assert_eq!(membership.accept(stale), Err(TrustRejected::NotAuthorised), "no more");
}

#[test]
fn a_third_change_of_one_set_is_a_contradiction_and_no_want_of_room() {
    let mut mesh = mesh_of(1, 1);
    let changes = [5, 6, 7].map(|key| (draft(&mesh, &edit(&[key], &[], None)), key));
    let batches = changes.map(|(draft, key)| batch(draft, &[owner(0), authority(key)]));
    let [one, other, third] = batches;
    // Known before either is followed: neither is.
    mesh.accept_all([one, other].concat());
    assert_eq!(mesh.conflicts().count(), 1);
    let outcomes = mesh.accept_all(third);
    assert_eq!(outcomes[0], Err(TrustRejected::Contradicted));
    assert!(!TrustRejected::Contradicted.is_suspicious(), "whoever sends it on is honest");
}

#[test]
fn what_belongs_to_a_set_that_was_pinned_elsewhere_accuses_nobody() {
    let (mut pinned, mut other) = (mesh_of(3, 1), mesh_of(3, 1));
    let change = draft(&pinned, &edit(&[5], &[], None));
    let set = batch(change, &[]);
    let hash = set[0].payload_hash();
    assert_eq!(other.accept_all(set.clone())[0], Err(TrustRejected::Unsigned));
    pinned.pin(&hash, &set).unwrap();
    let sent = other.accept_all(pinned.items());
    let refused = sent.into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(!refused.is_empty() && refused.iter().all(|why| !why.is_suspicious()), "{refused:?}");
}
