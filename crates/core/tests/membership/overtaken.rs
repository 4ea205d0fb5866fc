//! What a new authority set and somebody who had not heard of it say at the same time.

use zonemesh_core::membership::{
    AuthorityEdit, ContentId, DraftError, Membership, SignedTrustItem, StoredTrust, TrustItem,
    TrustRejected,
};

use crate::change::{batch, draft, edit};
use crate::mesh::{
    NOW, authority, by, careless, first_set, grant, granted, identity, mesh_of, name, names, owner,
    request, revocation, set_of,
};

/// Three zones under two signing keys; zone 1 was revoked by key 1 where the author of the change,
/// which removes key 1, had not heard of it.
fn crossed(stolen: bool) -> (Membership, Membership) {
    let mut author = mesh_of(2, 1);
    for zone in 0..3 {
        let item = grant(&author, zone);
        author.accept(item).unwrap();
    }
    let mut hearer = author.clone();
    let revoked = revoke_by(&hearer, 1, 1);
    hearer.accept(revoked).unwrap();
    let change = draft(&author, &AuthorityEdit { stolen, ..edit(&[], &[1], None) });
    let items = batch(change, &[owner(0)]);
    author.accept_all(items.clone());
    hearer.accept_all(items);
    (author, hearer)
}

fn revoke_by(membership: &Membership, zone: u8, key: u8) -> SignedTrustItem {
    let revocation = membership.draft_revocation(&name(zone), "lost", NOW).unwrap();
    by(membership.authority_set().1, &TrustItem::Revocation(revocation), &[key])
}

fn kept_out(membership: &Membership) -> Vec<String> {
    membership.overtaken().map(|one| one.revocation.zone.to_string()).collect()
}

fn restarted(membership: &Membership, files: Vec<SignedTrustItem>) -> Membership {
    let stored = StoredTrust {
        first: membership.items().remove(0),
        head: Some(membership.stored_head()),
        items: files,
    };
    Membership::restore(stored).unwrap().0
}

#[test]
fn a_revocation_that_a_list_overtakes_is_told_and_kept_over_a_restart_until_it_is_lifted() {
    let (author, mut hearer) = crossed(false);
    assert_eq!((kept_out(&hearer), kept_out(&author)), (vec!["z1".to_owned()], vec![]));
    assert_eq!(hearer.root_hash(), author.root_hash(), "it is a matter of this gateway alone");
    let mut files = hearer.items();
    assert!(files.iter().all(|item| author.get(&item.id()).is_some()), "it is passed on no more");
    let by_removed = revocation(&granted(0..0), 1, 1, 1);
    files.extend(stored_revocation());
    let again = restarted(&hearer, files);
    assert_eq!(kept_out(&again), ["z1"]);
    assert_eq!(hearer.accept(by_removed).ok(), None);
    assert!(hearer.lift(&name(1)) && !hearer.lift(&name(1)));
    assert_eq!(kept_out(&hearer), [""; 0]);
}

/// The same revocation as `crossed` has made.
fn stored_revocation() -> Option<SignedTrustItem> {
    let mut author = mesh_of(2, 1);
    for zone in 0..3 {
        let item = grant(&author, zone);
        author.accept(item).unwrap();
    }
    Some(revoke_by(&author, 1, 1))
}

#[test]
fn an_overtaken_revocation_that_is_signed_anew_is_in_force_and_told_no_more() {
    let (_, mut hearer) = crossed(false);
    let confirmed = revoke_by(&hearer, 1, 0);
    hearer.accept(confirmed).unwrap();
    assert_eq!((kept_out(&hearer), names(&hearer)), (vec![], set_of(&["z0", "z2"])));
}

#[test]
fn revocations_of_a_stolen_key_end_with_it() {
    let (author, hearer) = crossed(true);
    assert_eq!(kept_out(&hearer), [""; 0]);
    assert_eq!(names(&hearer), names(&author));
    assert_eq!(names(&hearer), set_of(&["z0", "z1", "z2"]));
}

#[test]
fn zones_that_a_stolen_key_has_revoked_come_back_with_the_list() {
    let mut mesh = mesh_of(2, 1);
    for zone in 0..3 {
        let item = grant(&mesh, zone);
        mesh.accept(item).unwrap();
        let item = revoke_by(&mesh, zone, 1);
        mesh.accept(item).unwrap();
    }
    assert_eq!(names(&mesh), set_of(&[]));
    let change = draft(&mesh, &AuthorityEdit { stolen: true, ..edit(&[], &[1], None) });
    assert_eq!(change.summary.back, [name(0), name(1), name(2)]);
    mesh.accept_all(batch(change, &[owner(0)]));
    assert_eq!(names(&mesh), set_of(&["z0", "z1", "z2"]));
}

#[test]
fn a_revocation_by_a_key_that_stays_holds_against_a_list_whose_author_had_not_heard() {
    let mut author = mesh_of(2, 1);
    for zone in 0..3 {
        let item = grant(&author, zone);
        author.accept(item).unwrap();
    }
    let revoked = revoke_by(&author, 1, 0);
    let items = batch(draft(&author, &edit(&[], &[1], None)), &[owner(0)]);
    author.accept_all(items);
    author.accept(revoked).unwrap();
    assert_eq!(names(&author), set_of(&["z0", "z2"]));
}

#[test]
fn a_grant_that_came_while_the_set_was_changed_is_void_and_told() {
    let mut mesh = granted(0..2);
    let change = draft(&mesh, &edit(&[5], &[], None));
    let late = grant(&mesh, 2);
    mesh.accept(late.clone()).unwrap();
    mesh.accept_all(batch(change, &[owner(0), authority(5)]));
    assert_eq!(names(&mesh), set_of(&["z0", "z1"]));
    assert_eq!(mesh.not_listed().map(|grant| &grant.zone).collect::<Vec<_>>(), [&name(2)]);
    assert_eq!(mesh.accept(late), Err(TrustRejected::NotAuthorised));
}

#[test]
fn an_old_grant_or_invitation_takes_back_nothing_that_a_grant_has_narrowed() {
    let mut mesh = granted(0..2);
    let wide = mesh.items();
    let narrow = zonemesh_core::membership::GrantRequest {
        prefixes: vec!["10.10.1.0/25".parse().unwrap()],
        ..request(1)
    };
    let item = TrustItem::Grant(mesh.draft_grant(narrow, NOW).unwrap());
    mesh.accept(by(&first_set(1, 1), &item, &[0])).unwrap();
    mesh.accept_all(batch(draft(&mesh, &edit(&[5], &[], None)), &[owner(0), authority(5)]));
    mesh.accept_all(wide);
    assert_eq!(mesh.member(&name(1)).unwrap().prefixes[0].to_string(), "10.10.1.0/25");
}

#[test]
fn serials_begin_anew_under_each_set_and_a_thief_cannot_use_them_up_for_good() {
    let mut mesh = granted(0..2);
    let last = careless(mesh.mesh(), request(1), u64::MAX - 1_790_000_000_001);
    let TrustItem::Grant(mut last) = last else { panic!() };
    last.serial = u64::MAX;
    mesh.accept(by(&first_set(1, 1), &TrustItem::Grant(last), &[0])).unwrap();
    let refused = mesh.draft_grant(request(1), NOW);
    assert_eq!(refused, Err(DraftError::UsedUp("serial number")));
    assert!(mesh.draft_revocation(&name(1), "", NOW).is_ok());
    mesh.accept_all(batch(draft(&mesh, &edit(&[5], &[0], None)), &[owner(0), authority(5)]));
    assert_eq!(mesh.draft_grant(request(1), NOW).unwrap().serial, 1);
}

#[test]
fn an_item_is_one_however_often_its_signers_sign_it_and_in_whatever_order() {
    let mesh = mesh_of(3, 2);
    let item = careless(mesh.mesh(), request(1), 1);
    let mut ids: Vec<ContentId> = Vec::new();
    for signers in [[0, 1], [1, 2], [2, 0]] {
        ids.push(by(&first_set(3, 2), &item, &signers).content_id());
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    let forwards = [[0, 1], [1, 2]].map(|signers| by(&first_set(3, 2), &item, &signers));
    let mut backwards = forwards.to_vec();
    backwards.reverse();
    let (mut one, mut other) = (mesh.clone(), mesh.clone());
    one.accept_all(forwards.to_vec());
    other.accept_all(backwards);
    assert_eq!(one.root_hash(), other.root_hash());
    assert_eq!(one.size(), other.size());
    let own = identity(1).public_key();
    assert_eq!(one.member(&name(1)).unwrap().key, own);
}
