//! Invitations, redemptions and revocations over a real state folder, and over a disk that is full.

use std::sync::atomic::Ordering;

use tempfile::TempDir;
use zonemesh_core::invitation::{ChannelBinding, RedeemError, Redemption, RedemptionAnswer};
use zonemesh_core::key::{WireGuardPublicKey, ZoneIdentity};
use zonemesh_core::membership::TrustKind;
use zonemesh_core::record::{
    Gateway, ProtocolRange, RecordContent, SignedRecord, Version, ZoneRecord,
};

use super::*;
use crate::facts::disk::{Together, TrialDisk};
use crate::facts::ledger::OwnZone;

pub(crate) mod approval;
mod expiry;
mod revoked;
mod unchanged;

/// The gateway of zone berlin, which has founded a mesh.
pub(crate) struct Berlin {
    pub(crate) administration: Administration,
    disk: TrialDisk,
    pub(crate) folder: TempDir,
}

const FIRST_KEY: WireGuardPublicKey = WireGuardPublicKey([22; 32]);
const HERE: ChannelBinding = ChannelBinding([1; 32]);

pub(super) fn open(folder: &std::path::Path, disk: &TrialDisk) -> Administration {
    let text = format!(
        "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.1.0/24\"]\n\
         [gateway]\nendpoints = [\"192.0.2.1:51820\"]\nstate_dir = {folder:?}\n\
         [tunnel]\naddresses = [\"10.255.0.1\"]\n"
    );
    let config = Config::parse(&text, "test").unwrap();
    let identity = ZoneIdentity::from_seed(&[1; 32]);
    let key = identity.public_key();
    let members = crate::plan::announcement::members(&config, key);
    let zone = config.zone.name.clone();
    let writer = DiskWriter::start(disk.clone()).unwrap();
    let gateway = config.gateway.name.clone();
    let own = OwnZone { zone, gateway, identity, members };
    let ledger = Ledger::open(own, folder, writer.clone()).unwrap();
    let wireguard = WireGuardKeys { current: WireGuardPublicKey([11; 32]), next: None };
    Administration::open(ConfigInForce::of(config), ledger, OwnKeys::new(key, wireguard), writer)
        .unwrap()
}

/// An owner whose secret key lies elsewhere.
fn owners() -> BTreeSet<AuthorityPublicKey> {
    [AuthorityIdentity::from_seed(&[77; 32]).public_key()].into()
}

pub(crate) async fn berlin() -> Berlin {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let administration = open(folder.path(), &disk);
    administration.found(owners(), BTreeSet::new(), 1, false).await.unwrap();
    Berlin { administration, disk, folder }
}

impl Berlin {
    pub(super) async fn invite_madrid(&self) -> Result<Invitation, Refusal> {
        let wanted = InvitationRequest {
            zone: "madrid".parse().unwrap(),
            prefixes: vec!["10.10.2.0/24".parse().unwrap()],
            tunnel_ips: Vec::new(),
            federations: Vec::new(),
            tokens: Vec::new(),
            valid_for_ms: 0,
        };
        self.administration.invite(wanted).await
    }

    fn fill_disk(&self, is_full: bool) {
        self.disk.is_full.store(is_full, Ordering::Relaxed);
    }

    fn zones(&self) -> usize {
        self.administration.ledger.read(|registry| registry.members().count())
    }

    fn key_of_madrid(&self) -> Option<WireGuardPublicKey> {
        self.administration.ledger.read(|registry| {
            let record = &registry.get(&"madrid".parse().unwrap())?.record;
            Some(record.content.gateways[0].wireguard_key)
        })
    }
}

fn madrid() -> ZoneIdentity {
    ZoneIdentity::from_seed(&[2; 32])
}

/// What zone madrid says, the `seq`th time.
fn record(identity: &ZoneIdentity, seq: u64, wireguard_key: WireGuardPublicKey) -> SignedRecord {
    let gateway = Gateway {
        name: "madrid-gw1".to_owned(),
        wireguard_key,
        next_wireguard_key: None,
        lanes: Vec::new(),
        endpoints: vec!["198.51.100.2:51820".to_owned()],
        tunnel_ips: Vec::new(),
        registry_port: 51821,
        further_endpoints: Vec::new(),
        proofs: Vec::new(),
    };
    let content = RecordContent {
        gateways: vec![gateway],
        prefixes: vec!["10.10.2.0/24".parse().unwrap()],
        protocol: ProtocolRange::CURRENT,
        ..RecordContent::default()
    };
    let record = ZoneRecord {
        zone: "madrid".parse().unwrap(),
        gateway: "madrid-gw1".to_owned(),
        version: Version { incarnation: 1, seq },
        issued_at: UnixMillis(1),
        content,
        certificate: None,
    };
    SignedRecord::sign(&record, identity)
}

fn asks(invitation: &Invitation, seq: u64, key: WireGuardPublicKey) -> Redemption {
    invitation.redemption(&madrid(), record(&madrid(), seq, key), &HERE)
}

async fn redeem(
    administration: &Administration,
    asked: Redemption,
) -> Result<RedemptionAnswer, NotRedeemed> {
    administration.redeem(asked, &HERE).await
}

pub(super) async fn madrid_redeems(administration: &Administration, invitation: &Invitation) {
    redeem(administration, asks(invitation, 1, FIRST_KEY)).await.unwrap();
}

#[tokio::test]
async fn a_repeat_changes_nothing_and_what_it_says_is_judged_like_any_record() {
    let berlin = berlin().await;
    let invitation = berlin.invite_madrid().await.unwrap();
    let administration = &berlin.administration;
    let first = asks(&invitation, 1, FIRST_KEY);
    assert!(!redeem(administration, first.clone()).await.unwrap().pending);
    assert_eq!(berlin.key_of_madrid(), Some(FIRST_KEY));
    let items = administration.export().unwrap();
    // An older state of the gateway with another WireGuard key, and the same again.
    for (seq, key) in [(0, 67), (1, 22)] {
        let again = asks(&invitation, seq, WireGuardPublicKey([key; 32]));
        assert!(!redeem(administration, again).await.unwrap().pending);
        assert_eq!(berlin.key_of_madrid(), Some(FIRST_KEY));
    }
    // Somebody who heard it, on a connection of their own.
    let elsewhere = administration.redeem(first, &ChannelBinding([9; 32])).await;
    assert!(matches!(elsewhere, Err(NotRedeemed::Invitation(RedeemError::Invalid))));
    assert_eq!(administration.export().unwrap(), items, "nothing was granted anew");
    // The zone has lost its WireGuard key, and says so.
    let newer = asks(&invitation, 2, WireGuardPublicKey([23; 32]));
    redeem(administration, newer).await.unwrap();
    assert_eq!(berlin.key_of_madrid(), Some(WireGuardPublicKey([23; 32])));
    assert_eq!(administration.export().unwrap(), items);
}

#[tokio::test]
async fn a_used_invitation_does_not_take_back_what_was_granted_since() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let invitation = berlin.invite_madrid().await.unwrap();
    redeem(administration, asks(&invitation, 1, FIRST_KEY)).await.unwrap();
    let narrow = GrantRequest {
        zone: "madrid".parse().unwrap(),
        zone_key: madrid().public_key(),
        prefixes: vec!["10.10.2.0/25".parse().unwrap()],
        tunnel_ips: invitation.tunnel_ips.clone(),
        federations: Vec::new(),
    };
    let items = administration.draft_grant(narrow.clone()).unwrap();
    administration.sign_and_apply(&items).await.unwrap();
    redeem(administration, asks(&invitation, 1, FIRST_KEY)).await.unwrap();
    let granted = administration.ledger.read(|registry| {
        registry.membership().and_then(|m| m.grant(&narrow.zone)).map(|g| g.prefixes.clone())
    });
    assert_eq!(granted, Some(narrow.prefixes));
}

#[tokio::test]
async fn a_gateway_killed_while_it_redeems_has_burned_and_granted_or_neither() {
    let mut outcomes = [0, 0];
    for kill_point in 0..8 {
        let berlin = berlin().await;
        let invitation = berlin.invite_madrid().await.unwrap();
        berlin.disk.dies_after(kill_point);
        let told = redeem(&berlin.administration, asks(&invitation, 1, FIRST_KEY)).await;
        Together::new(berlin.folder.path()).finish().unwrap();
        let restarted = open(berlin.folder.path(), &TrialDisk::default());
        let is_burned = restarted.invited().await.open.is_empty();
        let zones = restarted.ledger.read(|registry| registry.members().count());
        assert_eq!(is_burned, zones == 2, "killed after {kill_point} writes");
        assert!(is_burned || told.is_err(), "told and lost");
        // Whoever has no answer asks again.
        let answer = redeem(&restarted, asks(&invitation, 1, FIRST_KEY)).await.unwrap();
        assert!(!answer.pending);
        assert_eq!(restarted.ledger.read(|registry| registry.members().count()), 2);
        outcomes[usize::from(is_burned)] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_founded_invited_blocked_or_redeemed() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let administration = open(folder.path(), &disk);
    let berlin = Berlin { administration, disk, folder };
    berlin.fill_disk(true);
    assert!(berlin.administration.found(owners(), BTreeSet::new(), 1, false).await.is_err());
    assert!(berlin.administration.ledger.read(|registry| registry.membership().is_none()));
    berlin.fill_disk(false);
    berlin.administration.found(owners(), BTreeSet::new(), 1, false).await.unwrap();
    let invitation = berlin.invite_madrid().await.unwrap();
    berlin.fill_disk(true);
    assert!(matches!(berlin.invite_madrid().await, Err(Refusal::Disk(_))));
    let first = asks(&invitation, 1, FIRST_KEY);
    let refused = redeem(&berlin.administration, first.clone()).await;
    assert!(matches!(refused, Err(NotRedeemed::Disk(_))));
    assert_eq!(berlin.zones(), 1);
    berlin.fill_disk(false);
    let invited = berlin.administration.invited().await;
    assert_eq!(invited.open.len(), 1, "the second one was not handed out");
    // It was not burned either.
    assert!(!redeem(&berlin.administration, first).await.unwrap().pending);
    berlin.fill_disk(true);
    assert!(berlin.administration.block(&"madrid".parse().unwrap(), true).await.is_err());
    assert_eq!(berlin.zones(), 2);
}

/// Somebody else in the zone's place.
fn another_madrid(invitation: &Invitation) -> Redemption {
    let identity = ZoneIdentity::from_seed(&[66; 32]);
    let record = record(&identity, 1, WireGuardPublicKey([66; 32]));
    invitation.redemption(&identity, record, &HERE)
}

#[tokio::test]
async fn a_zone_that_is_invited_anew_keeps_its_tunnel_address() {
    let berlin = berlin().await;
    let first = berlin.invite_madrid().await.unwrap();
    let comes = asks(&first, 1, FIRST_KEY);
    redeem(&berlin.administration, comes).await.unwrap();
    let anew = berlin.invite_madrid().await.unwrap();
    assert_eq!(anew.tunnel_ips, first.tunnel_ips);
}

#[tokio::test]
async fn only_the_own_zone_of_a_managed_mesh_leaves_and_its_gateway_writes_that_down() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let administration = open(folder.path(), &disk);
    let [own, other] = ["berlin", "madrid"].map(|zone| zone.parse().unwrap());
    assert!(matches!(administration.leave(&own).await, Err(Refusal::Unmanaged)));
    administration.found(owners(), BTreeSet::new(), 1, false).await.unwrap();
    assert!(matches!(administration.leave(&other).await, Err(Refusal::OtherZone { .. })));
    assert!(matches!(administration.leave(&own).await, Err(Refusal::LastMember)));
    let berlin = Berlin { administration, disk: disk.clone(), folder };
    let invitation = berlin.invite_madrid().await.unwrap();
    redeem(&berlin.administration, asks(&invitation, 1, FIRST_KEY)).await.unwrap();
    let Berlin { administration, folder, .. } = berlin;
    disk.is_full.store(true, Ordering::Relaxed);
    assert!(matches!(administration.leave(&own).await, Err(Refusal::Unpublished(_))));
    disk.is_full.store(false, Ordering::Relaxed);
    administration.leave(&own).await.unwrap();
    assert!(administration.ledger.is_gone());
    let audit = std::fs::read_to_string(folder.path().join("audit")).unwrap();
    let last = zonemesh_core::journal::lines(&audit).next_back().unwrap().to_text();
    assert!(last.contains("\tchanged\tleave\tadministration\tberlin\t"), "{last}");
    let berlin = Berlin { administration, disk, folder };
    let invited = berlin.invite_madrid().await.err().unwrap();
    let again = berlin.administration.leave(&own).await.err().unwrap();
    assert_eq!(invited.to_line(), again.to_line());
    assert!(again.to_line().contains("to come back: zonemesh zone join"), "{again:?}");
}

#[tokio::test]
async fn a_zone_that_has_left_is_back_with_what_it_says_as_it_redeems_its_new_invitation() {
    let berlin = berlin().await;
    let first = berlin.invite_madrid().await.unwrap();
    redeem(&berlin.administration, asks(&first, 1, FIRST_KEY)).await.unwrap();
    let farewell = ZoneRecord {
        content: RecordContent::farewell(),
        version: Version { incarnation: 1, seq: 2 },
        ..record(&madrid(), 2, FIRST_KEY).decode().unwrap()
    };
    let farewell = SignedRecord::sign(&farewell, &madrid());
    let ledger = &berlin.administration.ledger;
    ledger.offer_record("madrid", Ok(farewell)).await.unwrap();
    let has_left = || ledger.read(|registry| registry.left_since(&"madrid".parse().unwrap()));
    assert!(has_left().is_some());
    let second = berlin.invite_madrid().await.unwrap();
    redeem(&berlin.administration, asks(&second, 3, FIRST_KEY)).await.unwrap();
    assert_eq!((has_left(), berlin.key_of_madrid()), (None, Some(FIRST_KEY)));
}

#[tokio::test]
async fn the_join_port_is_wanted_in_every_managed_mesh_and_in_no_other() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let administration = open(folder.path(), &disk);
    assert_eq!(*administration.listening.borrow(), Listening::Off);
    administration.found(owners(), BTreeSet::new(), 1, false).await.unwrap();
    assert_eq!(*administration.listening.borrow(), Listening::Wanted);
    drop(administration);
    assert_eq!(*open(folder.path(), &disk).listening.borrow(), Listening::Wanted);
}

#[tokio::test]
async fn a_zone_whose_key_is_attested_is_granted_and_its_invitation_is_void() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let invitation = berlin.invite_madrid().await.unwrap();
    let attested = |key: ZonePublicKey, prefix: &str| AttestedGrant {
        zone: "madrid".parse().unwrap(),
        zone_key: key,
        prefixes: vec![prefix.parse().unwrap()],
        tunnel_ips: Vec::new(),
        federations: Vec::new(),
    };
    let key = madrid().public_key();
    let taken = administration.grant(attested(key, "10.10.1.0/25")).await;
    assert!(matches!(taken, Err(Refusal::Draft(_) | Refusal::Overlap { .. })), "berlin has it");
    let granted = administration.grant(attested(key, "10.10.2.0/24")).await.unwrap();
    assert!(
        granted.change.members.added.contains(&"madrid".parse().unwrap()),
        "{:?}",
        granted.change
    );
    let late = redeem(administration, another_madrid(&invitation)).await;
    assert!(matches!(late, Err(NotRedeemed::Invitation(RedeemError::Invalid))));
    // Wider, and with the tunnel address that it has.
    let had = administration.granted("madrid").unwrap().tunnel_ips;
    administration.grant(attested(key, "10.10.2.0/23")).await.unwrap();
    let now = administration.granted("madrid").unwrap();
    assert_eq!((now.tunnel_ips, now.prefixes.len()), (had, 1));
    let other = ZoneIdentity::from_seed(&[66; 32]).public_key();
    let refused = administration.grant(attested(other, "10.10.2.0/24")).await;
    assert!(matches!(refused, Err(Refusal::OtherKey(_))), "no key takes another's place");
}

/// Its own gateway would not route there, whatever it has granted.
#[tokio::test]
async fn a_network_or_tunnel_address_that_holds_the_own_outer_address_is_refused_at_once() {
    let berlin = berlin().await;
    let wanted = |prefix: &str, tunnel_ips: &[&str]| InvitationRequest {
        zone: "madrid".parse().unwrap(),
        prefixes: vec![prefix.parse().unwrap()],
        tunnel_ips: tunnel_ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        federations: Vec::new(),
        tokens: Vec::new(),
        valid_for_ms: 0,
    };
    for wanted in [wanted("192.0.2.0/28", &[]), wanted("10.10.2.0/24", &["192.0.2.1"])] {
        let refused = berlin.administration.invite(wanted).await.unwrap_err();
        assert!(refused.to_line().contains("192.0.2.1"), "{}", refused.to_line());
        assert!(matches!(refused, Refusal::HoldsOuter { .. }), "{refused:?}");
    }
    berlin.administration.invite(wanted("192.0.2.128/28", &[])).await.unwrap();
}

impl Administration {
    fn granted(&self, zone: &str) -> Option<zonemesh_core::membership::Grant> {
        let zone = zone.parse().unwrap();
        self.ledger.read(|registry| registry.membership()?.grant(&zone).cloned())
    }
}
