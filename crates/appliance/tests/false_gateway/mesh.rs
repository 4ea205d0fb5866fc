//! A managed mesh whose zone `berlin` has the key of the stand-in, as its gateway would show it.

use std::collections::BTreeSet;

use zonemesh_core::attestation;
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::membership::{
    AuthorityIdentity, GrantRequest, Membership, SignedTrustItem, TrustItem, sign,
};
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::{MeshPin, ZonePin};
use zonemesh_standin::ZONE;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// Founded by the authority of this seed.
pub(crate) fn founded(seed: u8) -> Membership {
    let founder = AuthorityIdentity::from_seed(&[seed; 32]);
    let set = Membership::draft_first(BTreeSet::from([founder.public_key()]), 1, NOW).unwrap();
    let item = sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&founder]);
    Membership::new(item).unwrap()
}

/// With berlin granted by the authority of this seed, for a zone key of that one.
pub(crate) fn granting(mut mesh: Membership, seed: u8, zone_seed: [u8; 32]) -> Membership {
    let request = GrantRequest {
        zone: ZONE.parse().unwrap(),
        zone_key: ZoneIdentity::from_seed(&zone_seed).public_key(),
        prefixes: vec!["10.10.10.0/24".parse().unwrap()],
        tunnel_ips: vec!["10.255.0.1".parse().unwrap()],
    };
    let grant = TrustItem::Grant(mesh.draft_grant(request, NOW).unwrap());
    let author = AuthorityIdentity::from_seed(&[seed; 32]);
    let item = sign(mesh.authority_set().1, &grant, &[&author]);
    mesh.accept(item).unwrap();
    mesh
}

/// The authority of the second seed takes the place of the first one's.
pub(crate) fn handed_over(mut mesh: Membership, from: u8, to: u8) -> Membership {
    let [from, to] = [from, to].map(|seed| AuthorityIdentity::from_seed(&[seed; 32]));
    let keys = BTreeSet::from([to.public_key()]);
    let set = TrustItem::AuthoritySet(mesh.draft_authorities(keys, 1, NOW).unwrap());
    let item = sign(mesh.authority_set().1, &set, &[&from]);
    mesh.accept(item).unwrap();
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
