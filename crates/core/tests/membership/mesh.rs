//! Meshes to test with: signing key `i` has seed `100 + i`, owner key `i` seed `200 + i`; zone `i` is named `z<i>`, has prefix
//! 10.10.<i>.0/24 and tunnel IP 10.255.0.<i>.

use std::collections::BTreeSet;
use std::net::IpAddr;

use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::membership::{
    AuthorityIdentity, AuthoritySet, Grant, GrantRequest, Membership, Revocation, SetHash,
    SignedTrustItem, TrustItem, sign,
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

pub(crate) fn owner(number: u8) -> AuthorityIdentity {
    AuthorityIdentity::from_seed(&[200 + number; 32])
}

/// A first set of signing keys `0..count` and one owner.
pub(crate) fn first_set(count: u8, threshold: u32) -> AuthoritySet {
    first_set_of(1, count, threshold)
}

/// A first set of owner keys `0..owners` and signing keys `0..count`.
pub(crate) fn first_set_of(owners: u8, count: u8, threshold: u32) -> AuthoritySet {
    let keys = (0..count).map(|number| authority(number).public_key()).collect();
    let owners = (0..owners).map(|number| owner(number).public_key()).collect();
    Membership::draft_first(owners, keys, threshold, NOW).unwrap()
}

pub(crate) fn by(set: &AuthoritySet, item: &TrustItem, authorities: &[u8]) -> SignedTrustItem {
    let identities: Vec<_> = authorities.iter().map(|number| authority(*number)).collect();
    sign(set, item, &identities.iter().collect::<Vec<_>>())
}

/// A mesh of `count` signing keys of which `threshold` must sign, without members.
pub(crate) fn mesh_of(count: u8, threshold: u32) -> Membership {
    founded(&first_set(count, threshold))
}

pub(crate) fn founded(set: &AuthoritySet) -> Membership {
    Membership::new(SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set.clone()))).unwrap()
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
        federations: Vec::new(),
    }
}

/// The first set of a mesh, which its name is the hash of.
fn first_of(mesh: &MeshId) -> Option<SetHash> {
    let digits = mesh.as_str().as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let bytes: Result<Vec<u8>, _> = digits.map(|pair| u8::from_str_radix(pair, 16)).collect();
    Some(bytes.ok()?.try_into().unwrap_or([7; 32]))
}

/// What an authority that knows nothing of the other grants would write, under the first set.
pub(crate) fn careless(mesh: &MeshId, request: GrantRequest, serial: u64) -> TrustItem {
    TrustItem::Grant(Grant {
        set: first_of(mesh),
        since: NOW.0 + serial,
        federations: request.federations,
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
        set: Some(membership.authority_set().0),
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
