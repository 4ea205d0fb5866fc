//! The authority set in force: linked, signed by the one before it, removal wins.

use std::collections::BTreeSet;

use proptest::prelude::*;
use zonemesh_core::membership::{
    AuthorityEdit, AuthoritySet, DraftError, Lacking, Membership, SignedTrustItem, TrustItem,
    TrustKind, TrustRejected, add_signatures,
};

use crate::mesh::{
    NOW, authority, by, careless, first_set, grant, mesh, mesh_of, name, names, request,
    revocation, set_of,
};

fn keys(numbers: &[u8]) -> BTreeSet<zonemesh_core::membership::AuthorityPublicKey> {
    numbers.iter().map(|number| authority(*number).public_key()).collect()
}

fn next(
    membership: &Membership,
    numbers: &[u8],
    threshold: u32,
    signers: &[u8],
) -> SignedTrustItem {
    let set = membership.draft_authorities(keys(numbers), threshold, NOW).unwrap();
    by(membership.authority_set().1, &TrustItem::AuthoritySet(set), signers)
}

fn in_force(membership: &Membership) -> BTreeSet<zonemesh_core::membership::AuthorityPublicKey> {
    membership.authority_set().1.keys.clone()
}

#[test]
fn a_set_takes_the_place_of_the_one_that_signed_it() {
    let mut membership = mesh();
    let set = next(&membership, &[0, 1], 2, &[0]);
    membership.accept(set).unwrap();
    let (_, set) = membership.authority_set();
    assert_eq!((set.epoch, set.threshold), (1, 2));
    let stranger = next(&membership, &[5], 1, &[0]);
    assert_eq!(
        membership.accept(stranger),
        Err(TrustRejected::NotAuthorised),
        "one of two is not enough"
    );
}

#[test]
fn what_only_a_removed_key_signed_no_longer_holds_unless_signed_anew() {
    let mut membership = mesh_of(2, 1);
    for (zone, signer) in [(1, 0), (2, 1)] {
        let item = TrustItem::Grant(membership.draft_grant(request(zone), NOW).unwrap());
        let item = by(membership.authority_set().1, &item, &[signer]);
        membership.accept(item).unwrap();
    }
    let change = next(&membership, &[1], 1, &[1]);
    let regrants = match change.decode() {
        Ok(TrustItem::AuthoritySet(set)) => membership.draft_regrants(&set),
        other => panic!("{other:?}"),
    };
    assert_eq!(membership.put_out_by(std::slice::from_ref(&change)), [name(1)]);
    let mut other = Membership::from_items(membership.mesh(), membership.items()).unwrap();
    membership.accept(change.clone()).unwrap();
    assert_eq!(names(&membership), set_of(&["z2"]));
    let new_set = membership.authority_set().1.clone();
    let mut batch = regrants;
    batch.iter_mut().for_each(|item| add_signatures(&new_set, item, &[&authority(1)]));
    batch.push(change);
    assert_eq!(other.put_out_by(&batch), []);
    assert!(other.accept_all(batch).iter().all(Result::is_ok), "the set is looked at first");
    assert_eq!(names(&other), set_of(&["z1", "z2"]));
}

fn edit(add: &[u8], remove: &[u8], threshold: Option<u32>) -> AuthorityEdit {
    AuthorityEdit { add: keys(add), remove: keys(remove), threshold }
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
    let set = membership.draft_change(&edit(&[2], &[0], None), NOW).unwrap();
    assert_eq!((set.keys, set.threshold, set.epoch), (keys(&[1, 2]), 2, 1));
}

#[test]
fn grants_that_are_signed_anew_say_what_they_said_and_keep_who_came_first() {
    let mut membership = mesh_of(2, 1);
    for (zone, signer) in [(1, 0), (2, 1), (3, 0)] {
        let item = TrustItem::Grant(membership.draft_grant(request(zone), NOW).unwrap());
        let item = by(membership.authority_set().1, &item, &[signer]);
        membership.accept(item).unwrap();
    }
    let first =
        |membership: &Membership| [1, 2, 3].map(|zone| membership.first_serial(&name(zone)));
    let before = first(&membership);
    let set = membership.draft_change(&edit(&[], &[0], None), NOW).unwrap();
    let mut batch = membership.draft_regrants(&set);
    assert_eq!(batch.len(), 2, "what the one that stays has signed holds");
    batch.iter_mut().for_each(|item| add_signatures(&set, item, &[&authority(1)]));
    batch.push(by(membership.authority_set().1, &TrustItem::AuthoritySet(set), &[1]));
    assert!(membership.accept_all(batch).iter().all(Result::is_ok));
    assert_eq!(names(&membership), set_of(&["z1", "z2", "z3"]));
    assert_eq!(first(&membership), before);
}

#[test]
fn more_signatures_are_asked_for_only_together_with_grants_that_have_them() {
    let mut membership = mesh_of(2, 1);
    let old = grant(&membership, 1);
    membership.accept(old).unwrap();
    let set = membership.draft_change(&edit(&[], &[], Some(2)), NOW).unwrap();
    let change = by(membership.authority_set().1, &TrustItem::AuthoritySet(set.clone()), &[0]);
    let mut batch = membership.draft_regrants(&set);
    assert_eq!(batch[0].signatures().len(), 1, "the signature that it has still counts");
    batch.push(change);
    assert_eq!(membership.put_out_by(&batch), [name(1)]);
    add_signatures(&set, &mut batch[0], &[&authority(0), &authority(1)]);
    assert_eq!(membership.put_out_by(&batch), []);
    membership.accept_all(batch);
    assert_eq!(names(&membership), set_of(&["z1"]));
    // What one key signs from now on lacks the other's signature; an old grant is replaced, not lacking.
    let item = TrustItem::Grant(membership.draft_grant(request(2), NOW).unwrap());
    let half = by(&set, &item, &[0]);
    assert_eq!(membership.lacking(&half), Some(Lacking { missing: 1, needed: 2 }));
    assert_eq!(membership.lacking(&by(&set, &item, &[0, 1])), None);
    assert_eq!(
        membership.lacking(&signed_by(&item, &[9])),
        None,
        "a stranger's is refused, not lacking"
    );
    assert!(membership.items().iter().all(|item| membership.lacking(item).is_none()));
}

#[test]
fn a_change_that_lost_is_counted_and_not_followed() {
    let mut membership = mesh_of(2, 1);
    let adds = next(&membership, &[0, 1, 2], 1, &[0]);
    let removes = next(&membership, &[1], 1, &[1]);
    membership.accept(adds.clone()).unwrap();
    assert!(membership.follows(&adds.payload_hash()));
    membership.accept(removes.clone()).unwrap();
    assert!(membership.follows(&removes.payload_hash()));
    assert!(!membership.follows(&adds.payload_hash()));
    assert_eq!(membership.lost_changes(), 1);
}

#[test]
fn a_revocation_by_a_key_that_was_removed_later_stays() {
    let mut membership = mesh_of(2, 1);
    let item = TrustItem::Grant(membership.draft_grant(request(1), NOW).unwrap());
    let item = by(membership.authority_set().1, &item, &[1]);
    membership.accept(item).unwrap();
    let revoked = revocation(&membership, 1, 1, 5);
    membership.accept(revoked).unwrap();
    let change = next(&membership, &[1], 1, &[1]);
    membership.accept(change).unwrap();
    assert_eq!(names(&membership), set_of(&[]));
}

#[test]
fn of_two_sets_after_the_same_one_the_one_that_removes_a_key_wins_in_any_order() {
    let base = mesh_of(3, 1);
    // Authority 2 was stolen: the thief adds a key of its own, the others remove the stolen one.
    let thief = next(&base, &[0, 1, 2, 9], 1, &[2]);
    let owners = next(&base, &[0, 1], 1, &[0]);
    let mut longer = mesh_of(3, 1);
    longer.accept(thief.clone()).unwrap();
    let further = next(&longer, &[0, 1, 2, 9, 10], 1, &[9]);
    let items = [thief, owners, further];
    for order in [[0, 1, 2], [1, 0, 2], [0, 2, 1]] {
        let mut membership = mesh_of(3, 1);
        for index in order {
            membership.accept(items[index].clone()).unwrap();
        }
        assert_eq!(in_force(&membership), keys(&[0, 1]), "{order:?}");
    }
}

#[test]
fn where_one_signature_is_enough_a_stolen_key_can_remove_the_others_and_one_removal_wins() {
    let base = mesh_of(2, 1);
    let thief = next(&base, &[1], 1, &[1]);
    let owner = next(&base, &[0], 1, &[0]);
    let mut robbed = mesh_of(2, 1);
    robbed.accept(thief.clone()).unwrap();
    assert_eq!(in_force(&robbed), keys(&[1]));
    robbed.accept(owner.clone()).unwrap();
    let mut warned = mesh_of(2, 1);
    warned.accept(owner).unwrap();
    assert_eq!(in_force(&warned), keys(&[0]));
    warned.accept(thief).unwrap();
    // Whichever it is, neither the owner nor the thief chose it, and all agree.
    assert_eq!(in_force(&robbed), in_force(&warned));
}

#[test]
fn a_set_whose_predecessor_is_unknown_waits_for_it() {
    let mut ahead = mesh();
    let first = next(&ahead, &[0, 1], 1, &[0]);
    ahead.accept(first.clone()).unwrap();
    let second = next(&ahead, &[1], 1, &[1]);
    let mut membership = mesh();
    assert_eq!(membership.accept(second.clone()), Err(TrustRejected::UnknownPredecessor));
    let both = membership.accept_all(vec![second, first]);
    assert!(both.iter().all(Result::is_ok));
    assert_eq!(in_force(&membership), keys(&[1]));
}

#[test]
fn a_threshold_that_nobody_can_meet_is_refused() {
    let refused = Membership::draft_first(keys(&[0]), 2, NOW);
    assert_eq!(refused, Err(DraftError::Authorities(2, 1)));
    let impossible = AuthoritySet { threshold: 0, ..first_set(1, 1) };
    let item = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(impossible));
    assert_eq!(Membership::new(item).err(), Some(TrustRejected::Malformed));
}

/// A set that says it follows `previous`, with authorities that a thief likes.
fn forged(previous: Option<[u8; 32]>, epoch: u64, numbers: &[u8], threshold: u32) -> TrustItem {
    let keys = keys(numbers);
    TrustItem::AuthoritySet(AuthoritySet { epoch, previous, keys, threshold, issued_at: NOW })
}

fn signed_by(item: &TrustItem, numbers: &[u8]) -> SignedTrustItem {
    let mut signed = SignedTrustItem::unsigned(item);
    numbers.iter().for_each(|number| signed.sign(&authority(*number)));
    signed
}

#[test]
fn the_founding_key_alone_cannot_fork_a_mesh_that_was_founded_with_a_threshold() {
    let mut membership = mesh_of(2, 2);
    let (first, _) = membership.authority_set();
    let forks = [
        (forged(None, 0, &[0], 1), TrustRejected::OtherMesh),
        (forged(Some(first), 0, &[0], 1), TrustRejected::Malformed),
        (forged(Some(first), 1, &[0], 1), TrustRejected::NotAuthorised),
        (forged(Some(first), 1, &[0, 9], 1), TrustRejected::NotAuthorised),
    ];
    for (fork, reason) in forks {
        assert_eq!(membership.accept(signed_by(&fork, &[0])), Err(reason));
    }
    assert_eq!(in_force(&membership), keys(&[0, 1]));
    membership.accept(signed_by(&forged(Some(first), 1, &[1, 2], 2), &[0, 1])).unwrap();
    assert_eq!(in_force(&membership), keys(&[1, 2]));
}

#[test]
fn the_first_set_is_one_item_whoever_signed_it() {
    let item = TrustItem::AuthoritySet(first_set(2, 2));
    let plain = Membership::new(SignedTrustItem::unsigned(&item)).unwrap();
    for signers in [&[0][..], &[0, 1], &[9]] {
        let signed = signed_by(&item, signers);
        let mut other = Membership::new(signed.clone()).unwrap();
        assert_eq!((other.mesh(), other.root_hash()), (plain.mesh(), plain.root_hash()));
        assert_eq!(other.accept(signed), Ok(zonemesh_core::membership::TrustAccepted::Known));
        assert_eq!(other.items(), plain.items());
    }
}

proptest! {
    #[test]
    fn fewer_stolen_keys_than_the_threshold_never_change_who_may_sign(
        count in 2_u8..5,
        spare in 0_u8..4,
        which in prop::sample::subsequence(vec![0_u8, 1, 2, 3], 0..4),
        forks in prop::collection::vec(
            (any::<bool>(), 0_u64..3, prop::sample::subsequence(vec![0_u8, 1, 2, 3, 8, 9], 1..5), any::<prop::sample::Index>()),
            1..8,
        ),
    ) {
        let threshold = count - spare.min(count - 2);
        let stolen: Vec<u8> = which.into_iter().filter(|n| *n < count).take(usize::from(threshold) - 1).collect();
        let mut membership = mesh_of(count, threshold.into());
        let before = (in_force(&membership), membership.root_hash());
        let mut hashes = vec![membership.authority_set().0];
        for (linked, epoch, numbers, index) in forks {
            let previous = linked.then(|| hashes[index.index(hashes.len())]);
            let item = forged(previous, epoch, &numbers, 1);
            let fork = signed_by(&item, &[&stolen[..], &[8, 9]].concat());
            hashes.push(fork.payload_hash());
            let only_stolen = signed_by(&item, &stolen);
            prop_assert!(membership.accept_all(vec![fork, only_stolen]).iter().all(Result::is_err));
        }
        prop_assert_eq!((in_force(&membership), membership.root_hash()), before);
    }
}

#[test]
fn a_removed_key_cannot_fill_the_room_of_those_in_force() {
    let mut membership = mesh_of(2, 1);
    let old = membership.authority_set().1.clone();
    let change = next(&membership, &[1], 1, &[1]);
    membership.accept(change).unwrap();
    let plain = by(&old, &careless(membership.mesh(), request(1), 1), &[0]);
    let large = |number: u32| {
        // Field 15 of type bytes, which no build knows: 7 kB in front of what counts.
        let padding = [&[0x7a, 0xd8, 0x36][..], &number.to_be_bytes().repeat(1750)].concat();
        let payload = [padding, plain.payload().to_vec()].concat();
        let mut item = SignedTrustItem::from_parts(TrustKind::Grant, payload.into(), Vec::new());
        item.sign(&authority(0));
        item
    };
    let outcomes = membership.accept_all((0..1_300).map(large).collect());
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes.last(), Some(&Err(TrustRejected::Full)));
    assert!(membership.size() <= zonemesh_core::membership::MAX_BYTES / 2);
    let honest = grant(&membership, 3);
    membership.accept(honest).unwrap();
    assert!(membership.member(&name(3)).is_some());
}
