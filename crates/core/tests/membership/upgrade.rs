//! What release 0.1 has stored: the set that it followed is followed again, who was out stays out, and
//! the first change of the present form lists what is in force.
//!
//! Signing keys a, b and c, one signature enough. The first set is {a, b}. Somebody took b out and c in,
//! somebody else only added c and went on from there: of these two 0.1 followed the one that removes.

use std::collections::BTreeSet;

use zonemesh_core::membership::{
    AuthorityEdit, AuthoritySet, Grant, Membership, Revocation, SetHash, SignedTrustItem,
    StoredTrust, TrustItem, TrustRejected,
};
use zonemesh_core::time::UnixMillis;

use crate::change::{batch, keys, signed};
use crate::mesh::{NOW, authority, identity, name, names, owner, request, set_of};

const A: u8 = 0;
const B: u8 = 1;
const C: u8 = 2;

/// A set as 0.1 wrote it: no owners, no list.
fn old_set(previous: Option<&AuthoritySet>, numbers: &[u8]) -> AuthoritySet {
    AuthoritySet {
        epoch: previous.map_or(0, |before| before.epoch + 1),
        previous: previous.map(|before| signed(before, &[]).payload_hash()),
        owner_keys: None,
        keys: keys(numbers),
        threshold: 1,
        pages: Vec::new(),
        stolen: BTreeSet::new(),
        issued_at: NOW,
    }
}

/// What one gateway of 0.1 has on its disk.
struct OldFolder {
    first: SignedTrustItem,
    items: Vec<SignedTrustItem>,
    followed: SetHash,
    /// Revokes zone 4, signed by b alone.
    revocation: SignedTrustItem,
}

fn old_folder() -> OldFolder {
    let first = old_set(None, &[A, B]);
    let followed = old_set(Some(&first), &[A, C]);
    let lost = old_set(Some(&first), &[A, B, C]);
    let after_lost = old_set(Some(&lost), &[A, B]);
    let [first, followed] = [(&first, &[][..]), (&followed, &[authority(A)])]
        .map(|(set, signers)| signed(set, signers));
    let [lost, after_lost] = [&lost, &after_lost].map(|set| signed(set, &[authority(A)]));
    let mesh = Membership::new(first.clone()).unwrap();
    let grant = |zone: u8, by: u8| old_grant(&mesh, zone, by);
    let revocation = old_revocation(&mesh, 4, B);
    // Zone 3 was granted by b and signed anew when b went; nobody has signed zone 5 anew.
    let grants = [grant(1, A), grant(2, C), grant(3, B), grant(3, A), grant(4, A), grant(5, B)];
    let sets = [first.clone(), lost, after_lost, followed.clone()];
    let items = sets.into_iter().chain(grants).chain([revocation.clone()]).collect();
    OldFolder { first, items, followed: followed.payload_hash(), revocation }
}

fn old_grant(mesh: &Membership, zone: u8, by: u8) -> SignedTrustItem {
    let request = request(zone);
    let mut item = SignedTrustItem::unsigned(&TrustItem::Grant(Grant {
        mesh: mesh.mesh().clone(),
        zone: request.zone,
        zone_key: request.zone_key,
        prefixes: request.prefixes,
        tunnel_ips: request.tunnel_ips,
        federations: Vec::new(),
        set: None,
        serial: zone.into(),
        since: 0,
        issued_at: NOW,
    }));
    item.sign(&authority(by));
    item
}

fn old_revocation(mesh: &Membership, zone: u8, by: u8) -> SignedTrustItem {
    let mut item = SignedTrustItem::unsigned(&TrustItem::Revocation(Revocation {
        mesh: mesh.mesh().clone(),
        zone: name(zone),
        zone_key: identity(zone).public_key(),
        set: None,
        serial: 9,
        reason: "stolen".to_owned(),
        issued_at: NOW,
    }));
    item.sign(&authority(by));
    item
}

fn upgraded(folder: &OldFolder, items: Vec<SignedTrustItem>) -> Membership {
    let stored = StoredTrust { first: folder.first.clone(), head: None, items };
    Membership::restore(stored).unwrap().0
}

/// Another start, from what was kept.
fn started_again(membership: &Membership, folder: &OldFolder) -> Membership {
    let head = Some(membership.stored_head());
    let stored = StoredTrust { first: folder.first.clone(), head, items: membership.items() };
    Membership::restore(stored).unwrap().0
}

/// The first change of the present form: an owner key of its own, signed by both old keys.
fn first_change(membership: &Membership) -> Vec<SignedTrustItem> {
    let edit = AuthorityEdit { add_owners: [owner(0).public_key()].into(), ..Default::default() };
    let draft = membership.draft_change(&edit, UnixMillis(NOW.0 + 1)).unwrap();
    let stay: BTreeSet<_> = draft.summary.stay.iter().map(ToString::to_string).collect();
    assert_eq!((stay, draft.summary.out.len()), (set_of(&["z1", "z2", "z3"]), 0));
    batch(draft, &[authority(A), authority(C), owner(0)])
}

#[test]
fn the_set_that_0_1_followed_is_followed_and_who_was_out_stays_out() {
    let folder = old_folder();
    let mut backwards = folder.items.clone();
    backwards.reverse();
    for items in [folder.items.clone(), backwards] {
        let mesh = upgraded(&folder, items);
        assert_eq!(mesh.authority_set().0, folder.followed);
        assert_eq!(mesh.authority_set().1.owners(), &keys(&[A, C]), "its keys are of both kinds");
        assert_eq!(names(&mesh), set_of(&["z1", "z2", "z3"]));
        assert!(mesh.is_revoked(&identity(4).public_key()));
        let again = started_again(&mesh, &folder);
        assert_eq!((names(&again), again.root_hash()), (names(&mesh), mesh.root_hash()));
    }
}

#[test]
fn two_upgraded_gateways_come_to_the_same_whatever_one_of_them_had_not_heard() {
    let folder = old_folder();
    let one = upgraded(&folder, folder.items.clone());
    let unheard = |item: &&SignedTrustItem| item.id() != folder.revocation.id();
    let items = folder.items.iter().filter(unheard).cloned().collect();
    let mut other = upgraded(&folder, items);
    assert_eq!(names(&other), set_of(&["z1", "z2", "z3", "z4"]));
    other.accept_all(one.items_except(&other.ids()));
    assert_eq!((names(&other), other.root_hash()), (names(&one), one.root_hash()));
}

#[test]
fn a_gateway_that_had_not_heard_of_the_last_change_by_0_1_is_brought_there_by_a_pin() {
    let folder = old_folder();
    let one = upgraded(&folder, folder.items.clone());
    // 0.1 took one signature of two keys; that is no majority of owners.
    let mut behind = upgraded(&folder, vec![folder.first.clone()]);
    behind.accept_all(one.items());
    assert_ne!(behind.authority_set().0, folder.followed);
    behind.pin(&folder.followed, &one.items()).unwrap();
    assert_eq!((names(&behind), behind.root_hash()), (names(&one), one.root_hash()));
}

#[test]
fn the_first_change_lists_what_is_in_force_and_ends_the_older_form() {
    let folder = old_folder();
    let mut mesh = upgraded(&folder, folder.items.clone());
    let mut other = mesh.clone();
    let items = first_change(&mesh);
    mesh.accept_all(items.clone());
    other.accept_all(items);
    assert_eq!(
        mesh.authority_set().1.owners(),
        &[keys(&[A, C]), [owner(0).public_key()].into()].into_iter().flatten().collect()
    );
    assert_eq!(names(&mesh), set_of(&["z1", "z2", "z3"]));
    assert_eq!((mesh.not_listed().count(), mesh.overtaken().count()), (0, 0));
    assert_eq!(other.root_hash(), mesh.root_hash());
    // Whatever 0.1 let count, or a key that it removed, counts no more.
    let late = [old_grant(&mesh, 4, A), old_grant(&mesh, 6, A), old_revocation(&mesh, 1, B)];
    for item in late.into_iter().chain([folder.revocation.clone()]) {
        assert_eq!(mesh.accept(item), Err(TrustRejected::NotAuthorised));
    }
    let again = started_again(&mesh, &folder);
    assert_eq!((names(&again), again.root_hash()), (names(&mesh), mesh.root_hash()));
}
