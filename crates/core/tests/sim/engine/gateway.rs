//! Gateways of the simulator: names, keys, grants, small records that count 1 kB
//! more (`traffic::PADDING`, so that a thousand gateways fit into memory), and what can befall a disk.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use zonemesh_core::key::{WireGuardPrivateKey, ZoneIdentity};
use zonemesh_core::membership::{
    AuthorityEdit, AuthorityIdentity, GrantRequest, Membership, SignedTrustItem, TrustItem, sign,
};
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::{
    CaCertificate, CaSet, CaState, CertificateDer, Gateway, KeyProof, ProtocolRange, RecordContent,
    SignedRecord, Version, ZoneRecord,
};
use zonemesh_core::registry::Registry;
use zonemesh_core::time::UnixMillis;

use super::{START, Sim};

pub(crate) fn name(zone: u32) -> ZoneName {
    format!("zone-{zone:04}").parse().unwrap()
}

pub(crate) fn identity(zone: u32) -> ZoneIdentity {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&zone.to_be_bytes());
    ZoneIdentity::from_seed(&seed)
}

fn authority() -> AuthorityIdentity {
    AuthorityIdentity::from_seed(&[1; 32])
}

fn tunnel_ip(zone: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0aff_0000 + zone + 1))
}

/// What a zone is granted.
pub(crate) fn request(zone: u32) -> GrantRequest {
    let prefix = Ipv4Addr::from(0x6440_0000 + (zone << 8));
    GrantRequest {
        zone: name(zone),
        zone_key: identity(zone).public_key(),
        prefixes: vec![format!("{prefix}/24").parse().unwrap()],
        tunnel_ips: vec![tunnel_ip(zone)],
        federations: Vec::new(),
    }
}

/// A mesh of one authority and `zones` members.
pub(crate) fn membership(zones: u32) -> Membership {
    let key = BTreeSet::from([authority().public_key()]);
    let set = Membership::draft_first(key.clone(), key, 1, START).unwrap();
    let first = sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&authority()]);
    let mut membership = Membership::new(first).unwrap();
    let base = membership.clone();
    let grants = (0..zones).map(|zone| {
        let mut grant = base.draft_grant(request(zone), START).unwrap();
        grant.serial = u64::from(zone) + 1;
        sign(&set, &TrustItem::Grant(grant), &[&authority()])
    });
    let outcomes = membership.accept_all(grants.collect());
    assert!(outcomes.iter().all(Result::is_ok));
    membership
}

/// A zone's revocation, as the authority signs it.
pub(crate) fn revocation(membership: &Membership, zone: u32) -> SignedTrustItem {
    let revocation = membership.draft_revocation(&name(zone), "simulated", START).unwrap();
    sign(membership.authority_set().1, &TrustItem::Revocation(revocation), &[&authority()])
}

/// Another signing key takes the place of the first: the set with its list, signed by the owner and by
/// the key that is added.
pub(crate) fn removal(membership: &Membership) -> Vec<SignedTrustItem> {
    let fresh = AuthorityIdentity::from_seed(&[123; 32]);
    let edit = AuthorityEdit {
        add: [fresh.public_key()].into(),
        remove: [authority().public_key()].into(),
        ..AuthorityEdit::default()
    };
    let draft = membership.draft_change(&edit, START).unwrap();
    let mut set = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(draft.next));
    set.sign(&authority());
    set.sign(&fresh);
    std::iter::once(set).chain(draft.pages).collect()
}

pub(crate) fn registry(zone: u32, trust: Membership, now: UnixMillis) -> Registry {
    Registry::managed(name(zone), identity(zone), Vec::new(), trust, now.0).unwrap()
}

/// What a zone says; `port` tells apart one content from another.
pub(crate) fn draft(zone: u32, port: u16) -> RecordContent {
    let certificate = CertificateDer::new(vec![0x30, 3, 2, 1, 0].into()).unwrap();
    let key = WireGuardPrivateKey::from_bytes([9; 32]);
    let gateway = format!("{}-gw1", name(zone));
    let proof = KeyProof::make(&key, &identity(zone).public_key(), &gateway);
    RecordContent {
        gateways: vec![Gateway {
            name: gateway,
            wireguard_key: proof.key,
            next_wireguard_key: None,
            lanes: Vec::new(),
            proofs: vec![proof],
            further_endpoints: Vec::new(),
            endpoints: vec!["203.0.113.1:51820".to_owned()],
            tunnel_ips: vec![tunnel_ip(zone)],
            registry_port: port,
        }],
        prefixes: request(zone).prefixes,
        superlinks: Vec::new(),
        ca_sets: vec![CaSet {
            federation: "health-eu".parse().unwrap(),
            certificates: vec![CaCertificate { certificate, state: CaState::Active }],
        }],
        protocol: ProtocolRange::CURRENT,
        ..RecordContent::default()
    }
}

/// A record as another gateway passes it on.
pub(crate) fn signed(zone: u32, seq: u16) -> SignedRecord {
    let content = draft(zone, seq);
    let record = ZoneRecord {
        zone: name(zone),
        gateway: content.gateways[0].name.clone(),
        version: Version { incarnation: 1, seq: seq.into() },
        issued_at: START,
        content,
        certificate: None,
    };
    SignedRecord::sign(&record, &identity(zone))
}

/// What is left of a disk.
pub(crate) enum Disk {
    /// All of it.
    Kept,
    /// Keys and trust items only, as after `zonemesh state restore`.
    Wiped,
    /// An old snapshot.
    Old(Vec<SignedRecord>),
}

impl Sim {
    /// The records on a gateway's disk now.
    pub(crate) fn snapshot(&self, node: usize) -> Vec<SignedRecord> {
        self.nodes[node].registry.records().map(|held| held.signed.clone()).collect()
    }

    /// A gateway starts anew with what its disk still holds, and says `port` again. Its clock may
    /// be `behind`, so that a lost counter starts below what the zone has said before.
    pub(crate) fn restart(&mut self, node: usize, disk: Disk, port: u16, behind: u64) {
        let records = match disk {
            Disk::Kept => self.snapshot(node),
            Disk::Wiped => Vec::new(),
            Disk::Old(records) => records,
        };
        self.drop_streams(node);
        let zone = self.nodes[node].zone;
        let trust = self.nodes[node].registry.membership().unwrap().clone();
        let mut new = registry(zone, trust, UnixMillis(self.now.0 - behind));
        for record in records {
            // A record of a zone that was revoked since is rightly left out.
            let _restored_or_not = new.restore(record, self.now);
        }
        self.nodes[node].registry = new;
        self.publish(node, port);
    }
}
