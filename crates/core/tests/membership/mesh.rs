//! Meshes to test with: authority `i` has seed `100 + i`; zone `i` is named `z<i>`, has prefix
//! 10.10.<i>.0/24 and tunnel IP 10.255.0.<i>.

use std::collections::BTreeSet;
use std::net::IpAddr;

use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::membership::{
    AuthorityIdentity, AuthoritySet, Grant, GrantRequest, Membership, Revocation, SignedTrustItem,
    TrustItem, sign,
};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;
use zonemesh_core::time::UnixMillis;

pub(crate) const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

pub(crate) fn name(zone: u8) -> ZoneName {
    format!("z{zone}").parse().unwrap()
}

pub(crate) fn identity(zone: u8) -> ZoneIdentity {
    ZoneIdentity::from_seed(&[zone + 1; 32])
}

pub(crate) fn authority(number: u8) -> AuthorityIdentity {
    AuthorityIdentity::from_seed(&[100 + number; 32])
}

/// A first set of authorities `0..count`.
pub(crate) fn first_set(count: u8, threshold: u32) -> AuthoritySet {
    let keys = (0..count).map(|number| authority(number).public_key()).collect();
    Membership::draft_first(keys, threshold, NOW).unwrap()
}

pub(crate) fn by(set: &AuthoritySet, item: &TrustItem, authorities: &[u8]) -> SignedTrustItem {
    let identities: Vec<_> = authorities.iter().map(|number| authority(*number)).collect();
    sign(set, item, &identities.iter().collect::<Vec<_>>())
}

/// A mesh of `count` authorities of which `threshold` must sign, without members.
pub(crate) fn mesh_of(count: u8, threshold: u32) -> Membership {
    let set = first_set(count, threshold);
    let signers: Vec<u8> = (0..count).collect();
    Membership::new(by(&set, &TrustItem::AuthoritySet(set.clone()), &signers)).unwrap()
}

/// One authority, no members.
pub(crate) fn mesh() -> Membership {
    mesh_of(1, 1)
}

pub(crate) fn request(zone: u8) -> GrantRequest {
    GrantRequest {
        zone: name(zone),
        zone_key: identity(zone).public_key(),
        prefixes: vec![format!("10.10.{zone}.0/24").parse().unwrap()],
        tunnel_ips: vec![IpAddr::from([10, 255, 0, zone])],
    }
}

/// What an authority that knows nothing of the other grants would write.
pub(crate) fn careless(mesh: &MeshId, request: GrantRequest, serial: u64) -> TrustItem {
    TrustItem::Grant(Grant {
        mesh: mesh.clone(),
        zone: request.zone,
        zone_key: request.zone_key,
        prefixes: request.prefixes,
        tunnel_ips: request.tunnel_ips,
        serial,
        issued_at: NOW,
    })
}

pub(crate) fn grant(membership: &Membership, zone: u8) -> SignedTrustItem {
    let grant = membership.draft_grant(request(zone), NOW).unwrap();
    by(membership.authority_set().1, &TrustItem::Grant(grant), &[0, 1, 2])
}

pub(crate) fn revocation(
    membership: &Membership,
    zone: u8,
    key: u8,
    serial: u64,
) -> SignedTrustItem {
    let revocation = Revocation {
        mesh: membership.mesh().clone(),
        zone: name(zone),
        zone_key: identity(key).public_key(),
        serial,
        reason: "stolen".to_owned(),
        issued_at: NOW,
    };
    by(membership.authority_set().1, &TrustItem::Revocation(revocation), &[0, 1, 2])
}

pub(crate) fn granted(zones: std::ops::Range<u8>) -> Membership {
    let mut membership = mesh();
    for zone in zones {
        let item = grant(&membership, zone);
        membership.accept(item).unwrap();
    }
    membership
}

pub(crate) fn names(membership: &Membership) -> BTreeSet<String> {
    membership.members().map(|member| member.zone.to_string()).collect()
}

pub(crate) fn set_of(zones: &[&str]) -> BTreeSet<String> {
    zones.iter().map(ToString::to_string).collect()
}
