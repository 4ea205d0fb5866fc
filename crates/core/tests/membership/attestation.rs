//! What a gateway proves to a VM: the key of its zone, and no older state of the mesh.

use zonemesh_core::attestation::{self, GatewayDoubt};
use zonemesh_core::membership::{AuthorityEdit, Membership, SignedTrustItem};
use zonemesh_core::token::MeshPin;

use crate::change::{batch, draft, edit};
use crate::mesh::{
    authority, by, grant, granted, identity, mesh_of, name, owner, request, revocation,
};

fn pin(membership: &Membership, zone: u8) -> MeshPin {
    let (head, _) = membership.authority_set();
    MeshPin { mesh: membership.mesh().clone(), zone: name(zone), head }
}

/// The owner removes signing key 0, which was stolen.
fn hand_over(membership: &mut Membership) {
    let removal = AuthorityEdit { stolen: true, ..edit(&[], &[0], None) };
    let change = draft(membership, &removal);
    let outcomes = membership.accept_all(batch(change, &[owner(0)]));
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

fn two_authorities() -> Membership {
    let mut membership = mesh_of(2, 1);
    let item = grant(&membership, 1);
    membership.accept(item).unwrap();
    membership
}

/// What a thief of key 0 shows: the chain up to the removal, and a grant for a key of its own.
fn forged(before: &Membership) -> Vec<SignedTrustItem> {
    let mut shown = attestation::about(before, &name(1));
    // The last one is the true grant.
    shown.pop();
    let mut request = request(1);
    request.zone_key = identity(66).public_key();
    let grant = crate::mesh::careless(before.mesh(), request, 1000);
    shown.push(by(before.authority_set().1, &grant, &[0]));
    shown
}

#[test]
fn a_gateway_shows_a_fresh_vm_which_key_its_zone_has() {
    let membership = granted(1..4);
    let shown = attestation::about(&membership, &name(2));
    let attested = attestation::verify(&pin(&membership, 2), None, shown).unwrap();
    assert_eq!(attested.zone_key, identity(2).public_key());
    assert_eq!(attested.head, membership.authority_set().0);
}

#[test]
fn another_zone_another_mesh_and_a_revoked_zone_are_not_believed() {
    let mut membership = granted(1..4);
    let of_three = attestation::about(&membership, &name(3));
    let error = attestation::verify(&pin(&membership, 2), None, of_three.clone());
    assert_eq!(error, Err(GatewayDoubt::NoGrant(name(2))));
    let other = two_authorities();
    let error = attestation::verify(&pin(&other, 3), None, of_three).unwrap_err();
    assert!(matches!(error, GatewayDoubt::OtherMesh(_)), "{error}");
    let revoked = revocation(&membership, 2, 2, 50);
    membership.accept(revoked).unwrap();
    let shown = attestation::about(&membership, &name(2));
    let error = attestation::verify(&pin(&membership, 2), None, shown);
    assert_eq!(error, Err(GatewayDoubt::NoGrant(name(2))));
}

#[test]
fn a_removed_signing_key_cannot_pose_as_a_zone_to_a_vm_whose_token_is_newer() {
    let before = two_authorities();
    let mut now = before.clone();
    hand_over(&mut now);
    let shown = forged(&before);
    let fooled = attestation::verify(&pin(&before, 1), None, shown.clone()).unwrap();
    assert_eq!(fooled.zone_key, identity(66).public_key(), "an older token has to be made anew");
    let error = attestation::verify(&pin(&now, 1), None, shown);
    assert_eq!(error, Err(GatewayDoubt::OlderThanToken(now.authority_set().0)));
    let shown = attestation::about(&now, &name(1));
    let attested = attestation::verify(&pin(&now, 1), None, shown).unwrap();
    assert_eq!(attested.zone_key, identity(1).public_key());
}

#[test]
fn nothing_older_is_taken_than_what_a_vm_has_seen() {
    let before = two_authorities();
    let mut now = before.clone();
    hand_over(&mut now);
    let old_token = pin(&before, 1);
    let shown = attestation::about(&now, &name(1));
    let seen = attestation::verify(&old_token, None, shown.clone()).unwrap().head;
    assert_eq!(seen, now.authority_set().0, "a token lives on when the authorities change");
    assert!(attestation::verify(&old_token, Some(&seen), shown).is_ok());
    let error = attestation::verify(&old_token, Some(&seen), forged(&before));
    assert_eq!(error, Err(GatewayDoubt::OlderThanSeen(seen)));
}

#[test]
fn two_sets_that_follow_the_one_of_the_token_prove_nothing_even_if_one_was_seen() {
    let before = two_authorities();
    let (mut now, mut other) = (before.clone(), before.clone());
    hand_over(&mut now);
    let change = draft(&other, &edit(&[5], &[], None));
    other.accept_all(batch(change, &[owner(0), authority(5)]));
    let seen = now.authority_set().0;
    let mut shown = attestation::about(&now, &name(1));
    shown.extend(attestation::about(&other, &name(1)));
    let error = attestation::verify(&pin(&before, 1), Some(&seen), shown.clone());
    assert_eq!(error, Err(GatewayDoubt::Conflict));
    // A token of the one set and a memory of the other agree about nothing.
    let error = attestation::verify(&pin(&other, 1), Some(&seen), shown);
    assert_eq!(error, Err(GatewayDoubt::Conflict));
}

#[test]
fn a_gateway_shows_little_however_much_was_signed_about_its_zone() {
    let mut membership = granted(1..2);
    let quiet = attestation::about(&membership, &name(1)).len();
    for round in 0..50 {
        let item = grant(&membership, 1);
        membership.accept(item).unwrap();
        let other_key = revocation(&membership, 1, 100 + round, 50);
        membership.accept(other_key).unwrap();
    }
    let shown = attestation::about(&membership, &name(1));
    assert_eq!(shown.len(), quiet, "the newest grant and no older one");
    assert!(attestation::verify(&pin(&membership, 1), None, shown).is_ok());
}

#[test]
fn more_than_any_mesh_has_is_not_looked_at() {
    let membership = granted(1..2);
    let shown = attestation::about(&membership, &name(1));
    let shown = vec![shown[0].clone(); attestation::MAX_ITEMS + 1];
    let error = attestation::verify(&pin(&membership, 1), None, shown);
    assert_eq!(error, Err(GatewayDoubt::TooMuch));
}
