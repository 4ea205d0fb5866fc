//! Whoever signs too much takes nobody else's room, and cannot keep the owners from removing it.

use zonemesh_core::membership::{
    AuthorityEdit, MAX_ITEMS_OF_KEY, Membership, SignedTrustItem, TrustItem, TrustRejected,
};

use zonemesh_core::registry::Registry;

use crate::change::{batch, draft, edit};
use crate::mesh::{
    NOW, authority, by, careless, first_set, grant, identity, mesh_of, name, names, owner, request,
    revocation, set_of,
};
use crate::registry::meet;

/// Revocations of keys that nobody has: the most that one payload each can be.
fn flood(membership: &Membership, signer: u8, count: u64) -> Vec<SignedTrustItem> {
    let set = membership.authority_set().1.clone();
    let item = |serial| {
        let template = revocation(membership, 9, 9, serial);
        by(&set, &template.decode().unwrap(), &[signer])
    };
    (0..count).map(item).collect()
}

#[test]
fn a_key_that_fills_its_room_leaves_room_for_the_others_and_for_its_own_removal() {
    let mut mesh = mesh_of(2, 1);
    let item = by(&first_set(2, 1), &careless(mesh.mesh(), request(1), 1), &[0]);
    mesh.accept(item).unwrap();
    let most = MAX_ITEMS_OF_KEY as u64;
    let outcomes = mesh.accept_all(flood(&mesh, 1, most + 10));
    let refused = outcomes.iter().filter(|o| **o == Err(TrustRejected::Full)).count();
    assert_eq!(refused, 10);
    assert_eq!(mesh.room_of(&authority(1).public_key()), 0);
    assert_eq!(mesh.room_of(&authority(0).public_key()), MAX_ITEMS_OF_KEY - 1);
    let honest = by(&first_set(2, 1), &careless(mesh.mesh(), request(3), 1), &[0]);
    mesh.accept(honest).unwrap();
    let revoked = by_key(&mesh, 1, 0);
    mesh.accept(revoked).unwrap();
    assert_eq!(names(&mesh), set_of(&["z3"]));
    let removal = AuthorityEdit { stolen: true, ..edit(&[], &[1], None) };
    let change = draft(&mesh, &removal);
    mesh.accept_all(batch(change, &[owner(0)]));
    assert_eq!((names(&mesh), mesh.authority_set().1.epoch), (set_of(&["z3"]), 1));
    assert!(mesh.size() < 4096, "{} bytes of the flood are left", mesh.size());
    let next = grant(&mesh, 4);
    mesh.accept(next).unwrap();
    assert!(mesh.member(&name(4)).is_some());
}

fn by_key(membership: &Membership, zone: u8, key: u8) -> SignedTrustItem {
    let revocation = membership.draft_revocation(&name(zone), "", NOW).unwrap();
    by(membership.authority_set().1, &TrustItem::Revocation(revocation), &[key])
}

#[test]
fn what_is_kept_of_a_flood_follows_from_the_items_and_not_from_their_order() {
    let base = mesh_of(1, 1);
    let mut items = flood(&base, 0, MAX_ITEMS_OF_KEY as u64 + 20);
    items.push(by(&first_set(1, 1), &careless(base.mesh(), request(1), 1), &[0]));
    let (mut one, mut other) = (base.clone(), base.clone());
    one.accept_all(items.clone());
    items.reverse();
    let rest = items.split_off(7000);
    other.accept_all(items);
    other.accept_all(rest);
    assert_eq!(one.root_hash(), other.root_hash());
    assert_eq!(names(&one), set_of(&[]), "revocations go before the grants of the same key");
    assert!(!one.is_revoked(&identity(1).public_key()));
}

#[test]
fn more_items_than_one_message_names_are_exchanged_in_parts() {
    let mut full = mesh_of(1, 1);
    full.accept_all(flood(&full, 0, 5000));
    let registry = |zone: u8, mesh: Membership| {
        Registry::managed(name(zone), identity(zone), Vec::new(), mesh, 1).unwrap()
    };
    let mut registries = [registry(0, full), registry(1, mesh_of(1, 1))];
    registries.iter_mut().for_each(|registry| drop(registry.poll_trust()));
    meet(&mut registries);
    let [one, other] = &registries;
    assert_eq!(one.trust_hash(), other.trust_hash());
    assert_eq!(other.membership().unwrap().revocations().count(), 5000);
}
