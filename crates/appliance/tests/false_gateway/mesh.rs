//! A managed mesh whose zone `berlin` has the key of the stand-in, as its gateway would show it.

use std::collections::BTreeSet;

use zonemesh_core::attestation;
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::membership::{
    AuthorityEdit, AuthorityIdentity, GrantRequest, Membership, SignedTrustItem, TrustItem, sign,
};
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::{MeshPin, ZonePin};
use zonemesh_standin::ZONE;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// Founded with the signing key of this seed and the owner key that all meshes here have.
pub(crate) fn founded(seed: u8) -> Membership {
    let keys = BTreeSet::from([authority(seed).public_key()]);
    let set = Membership::draft_first([owner().public_key()].into(), keys, 1, NOW).unwrap();
    Membership::new(SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set))).unwrap()
}

fn authority(seed: u8) -> AuthorityIdentity {
    AuthorityIdentity::from_seed(&[seed; 32])
}

fn owner() -> AuthorityIdentity {
    authority(200)
}

/// With berlin granted by the authority of this seed, for a zone key of that one.
pub(crate) fn granting(mesh: Membership, seed: u8, zone_seed: [u8; 32]) -> Membership {
    granting_as(ZONE, mesh, seed, zone_seed)
}

/// The same with another zone.
pub(crate) fn granting_as(
    zone: &str,
    mut mesh: Membership,
    seed: u8,
    zone_seed: [u8; 32],
) -> Membership {
    let request = GrantRequest {
        zone: zone.parse().unwrap(),
        zone_key: ZoneIdentity::from_seed(&zone_seed).public_key(),
        prefixes: vec!["10.10.10.0/24".parse().unwrap()],
        tunnel_ips: vec!["10.255.0.1".parse().unwrap()],
        federations: Vec::new(),
    };
    let grant = TrustItem::Grant(mesh.draft_grant(request, NOW).unwrap());
    let item = sign(mesh.authority_set().1, &grant, &[&authority(seed)]);
    mesh.accept(item).unwrap();
    mesh
}

/// The owner puts the signing key of the second seed in the place of the first one's, which was stolen.
pub(crate) fn handed_over(mut mesh: Membership, from: u8, to: u8) -> Membership {
    let edit = AuthorityEdit {
        add: [authority(to).public_key()].into(),
        remove: [authority(from).public_key()].into(),
        stolen: true,
        ..AuthorityEdit::default()
    };
    let draft = mesh.draft_change(&edit, NOW).unwrap();
    let mut set = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(draft.next));
    set.sign(&owner());
    set.sign(&authority(to));
    let outcomes = mesh.accept_all(std::iter::once(set).chain(draft.pages).collect());
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    mesh
}

/// What its gateway shows.
pub(crate) fn shown(mesh: &Membership) -> Vec<SignedTrustItem> {
    attestation::about(mesh, &ZONE.parse().unwrap())
}

/// What a token that is made now pins.
pub(crate) fn pin(mesh: &Membership) -> ZonePin {
    let (head, _) = mesh.authority_set();
    ZonePin::Mesh(MeshPin { mesh: mesh.mesh().clone(), zone: ZONE.parse().unwrap(), head })
}
