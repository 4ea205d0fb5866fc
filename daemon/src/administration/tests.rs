//! Invitations, redemptions and revocations over a real state folder, and over a disk that is full.

use std::sync::atomic::Ordering;

use tempfile::TempDir;
use zonemesh_core::invitation::{JoinerKeys, Redemption};
use zonemesh_core::key::{WireGuardPublicKey, ZoneIdentity};
use zonemesh_core::membership::TrustKind;
use zonemesh_core::record::{RecordContent, SignedRecord, Version, ZoneRecord};

use super::*;
use crate::facts::disk::TrialDisk;
use crate::facts::ledger::OwnZone;

/// The gateway of zone berlin, which has founded a mesh.
struct Berlin {
    administration: Administration,
    disk: TrialDisk,
    folder: TempDir,
}

const FIRST_KEY: WireGuardPublicKey = WireGuardPublicKey([22; 32]);

fn open(folder: &std::path::Path, disk: &TrialDisk) -> Administration {
    let text = format!(
        "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.1.0/24\"]\n\
         [gateway]\nendpoints = [\"192.0.2.1:51820\"]\nstate_dir = {folder:?}\n\
         [tunnel]\naddresses = [\"10.255.0.1\"]\n"
    );
    let config = Arc::new(Config::parse(&text, "test").unwrap());
    let identity = ZoneIdentity::from_seed(&[1; 32]);
    let key = identity.public_key();
    let members = crate::plan::announcement::members(&config, key);
    let zone = config.zone.name.clone();
    let writer = DiskWriter::start(disk.clone()).unwrap();
    let gateway = config.gateway.name.clone();
    let own = OwnZone { zone, gateway, identity, members };
    let ledger = Ledger::open(own, folder, writer.clone()).unwrap();
    let wireguard = WireGuardKeys { current: WireGuardPublicKey([11; 32]), next: None };
    Administration::open(config, ledger, OwnKeys::new(key, wireguard), writer).unwrap()
}

/// An owner whose secret key lies elsewhere.
fn owners() -> BTreeSet<AuthorityPublicKey> {
    [AuthorityIdentity::from_seed(&[77; 32]).public_key()].into()
}

async fn berlin() -> Berlin {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let administration = open(folder.path(), &disk);
    administration.found(owners(), BTreeSet::new(), 1, false).await.unwrap();
    Berlin { administration, disk, folder }
}

impl Berlin {
    async fn invite_madrid(&self) -> Result<Invitation, Refusal> {
        let wanted = InvitationRequest {
            zone: "madrid".parse().unwrap(),
            prefixes: vec!["10.10.2.0/24".parse().unwrap()],
            tunnel_ips: Vec::new(),
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
}

fn madrid(wireguard_key: WireGuardPublicKey) -> JoinerKeys {
    JoinerKeys { zone_key: ZoneIdentity::from_seed(&[2; 32]).public_key(), wireguard_key }
}

fn asks(invitation: &Invitation, key: WireGuardPublicKey, endpoint: &str) -> Redemption {
    invitation.redemption(&madrid(key), vec![endpoint.to_owned()])
}

#[tokio::test]
async fn a_used_invitation_played_again_with_another_key_moves_no_tunnel() {
    let berlin = berlin().await;
    let invitation = berlin.invite_madrid().await.unwrap();
    let administration = &berlin.administration;
    let first = asks(&invitation, FIRST_KEY, "198.51.100.2:51820");
    assert!(!administration.redeem(first).await.unwrap().pending);
    let before = administration.hints.all();
    let thief = asks(&invitation, WireGuardPublicKey([66; 32]), "192.0.2.66:51820");
    let again = asks(&invitation, FIRST_KEY, "192.0.2.66:51820");
    for played_again in [thief, again] {
        administration.redeem(played_again).await.unwrap();
        assert_eq!(administration.hints.all(), before);
    }
    let [hint] = &before[&madrid(FIRST_KEY).zone_key][..] else { panic!("{before:?}") };
    assert_eq!((hint.wireguard_key, hint.newer_than), (FIRST_KEY, None));
    // Nor after a restart.
    let restarted = open(berlin.folder.path(), &berlin.disk);
    assert_eq!(restarted.hints.all(), before);
}

#[tokio::test]
async fn a_revocation_that_cannot_be_stored_is_refused_with_the_reason() {
    let berlin = berlin().await;
    let invitation = berlin.invite_madrid().await.unwrap();
    let first = asks(&invitation, FIRST_KEY, "198.51.100.2:51820");
    berlin.administration.redeem(first).await.unwrap();
    assert_eq!(berlin.zones(), 2);
    berlin.fill_disk(true);
    let zone = "madrid".parse().unwrap();
    let refused = berlin.administration.revoke(&zone, "stolen").await.err().unwrap();
    assert!(refused.to_line().contains("cannot write to the state folder"), "{refused:?}");
    assert_eq!(berlin.zones(), 2);
    berlin.fill_disk(false);
    berlin.administration.revoke(&zone, "stolen").await.unwrap();
    assert_eq!(berlin.zones(), 1);
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
    let first = asks(&invitation, FIRST_KEY, "198.51.100.2:51820");
    let refused = berlin.administration.redeem(first.clone()).await;
    assert!(matches!(refused, Err(NotRedeemed::Disk(_))));
    assert!(berlin.administration.hints.all().is_empty());
    berlin.fill_disk(false);
    let invited = berlin.administration.invited().await;
    assert_eq!(invited.open.len(), 1, "the second one was not handed out");
    // It was not burned either.
    assert!(!berlin.administration.redeem(first).await.unwrap().pending);
    berlin.fill_disk(true);
    assert!(berlin.administration.block(&"madrid".parse().unwrap(), true).await.is_err());
    assert_eq!(berlin.zones(), 2);
}

fn another_madrid(invitation: &Invitation) -> Redemption {
    let keys = JoinerKeys {
        zone_key: ZoneIdentity::from_seed(&[66; 32]).public_key(),
        wireguard_key: WireGuardPublicKey([66; 32]),
    };
    invitation.redemption(&keys, vec!["192.0.2.66:51820".to_owned()])
}

#[tokio::test]
async fn one_invitation_of_a_zone_is_open_and_none_once_it_has_come_or_was_put_out() {
    let berlin = berlin().await;
    let administration = &berlin.administration;
    let is_refused =
        async |asked| matches!(administration.redeem(asked).await, Err(NotRedeemed::Invitation(_)));
    let lost = berlin.invite_madrid().await.unwrap();
    let second = berlin.invite_madrid().await.unwrap();
    assert!(is_refused(another_madrid(&lost)).await, "invited anew");
    let first = asks(&second, FIRST_KEY, "198.51.100.2:51820");
    administration.redeem(first.clone()).await.unwrap();
    // Whoever moves or renames the zone's gateway invites it again; that one is open.
    let third = berlin.invite_madrid().await.unwrap();
    let zone = "madrid".parse().unwrap();
    administration.revoke(&zone, "stolen").await.unwrap();
    assert!(is_refused(another_madrid(&third)).await, "put out");
    assert_eq!(berlin.zones(), 1);
    // Nor after a restart.
    let restarted = open(berlin.folder.path(), &berlin.disk);
    for asked in [another_madrid(&lost), another_madrid(&third)] {
        let refused = restarted.redeem(asked).await;
        assert!(matches!(refused, Err(NotRedeemed::Invitation(_))));
    }
}

#[tokio::test]
async fn a_zone_that_is_invited_anew_keeps_its_tunnel_address() {
    let berlin = berlin().await;
    let first = berlin.invite_madrid().await.unwrap();
    let comes = asks(&first, FIRST_KEY, "198.51.100.2:51820");
    berlin.administration.redeem(comes).await.unwrap();
    let anew = berlin.invite_madrid().await.unwrap();
    assert_eq!(anew.tunnel_ips, first.tunnel_ips);
}

#[tokio::test]
async fn an_older_invitation_is_void_once_its_zone_has_come_with_another() {
    let berlin = berlin().await;
    let first = berlin.invite_madrid().await.unwrap();
    let second = berlin.invite_madrid().await.unwrap();
    let comes = asks(&second, FIRST_KEY, "198.51.100.2:51820");
    berlin.administration.redeem(comes).await.unwrap();
    let thief = berlin.administration.redeem(another_madrid(&first)).await;
    assert!(matches!(thief, Err(NotRedeemed::Invitation(_))));
    assert_eq!(berlin.administration.invited().await.open.len(), 0);
}

#[tokio::test]
async fn only_the_own_zone_of_a_managed_mesh_leaves_and_its_gateway_writes_that_down() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let administration = open(folder.path(), &disk);
    let [own, other] = ["berlin", "madrid"].map(|zone| zone.parse().unwrap());
    assert!(matches!(administration.leave(&own).await, Err(Refusal::Unmanaged)));
    administration.found(owners(), BTreeSet::new(), 1, false).await.unwrap();
    assert!(matches!(administration.leave(&other).await, Err(Refusal::OtherZone { .. })));
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
async fn a_zone_that_has_left_is_found_where_it_redeems_its_new_invitation() {
    let berlin = berlin().await;
    let first = berlin.invite_madrid().await.unwrap();
    let comes = asks(&first, FIRST_KEY, "198.51.100.2:51820");
    berlin.administration.redeem(comes).await.unwrap();
    let version = Version { incarnation: 1, seq: 7 };
    let farewell = ZoneRecord {
        zone: "madrid".parse().unwrap(),
        gateway: "madrid-gw1".to_owned(),
        version,
        issued_at: now(),
        content: RecordContent::farewell(),
        certificate: None,
    };
    let farewell = SignedRecord::sign(&farewell, &ZoneIdentity::from_seed(&[2; 32]));
    berlin.administration.ledger.offer_record(Ok(farewell)).await.unwrap();
    let second = berlin.invite_madrid().await.unwrap();
    let comes = asks(&second, FIRST_KEY, "198.51.100.9:51820");
    berlin.administration.redeem(comes).await.unwrap();
    let hints = berlin.administration.hints.all();
    assert_eq!(hints[&madrid(FIRST_KEY).zone_key][0].newer_than, Some(version));
}

#[tokio::test]
async fn who_asks_about_a_key_is_told_what_revoked_it_and_nothing_of_others() {
    let berlin = berlin().await;
    let invitation = berlin.invite_madrid().await.unwrap();
    let comes = asks(&invitation, FIRST_KEY, "198.51.100.2:51820");
    berlin.administration.redeem(comes).await.unwrap();
    let key = madrid(FIRST_KEY).zone_key;
    assert!(berlin.administration.decided(&key).is_empty(), "a member");
    let zone = "madrid".parse().unwrap();
    berlin.administration.revoke(&zone, "stolen").await.unwrap();
    let told = berlin.administration.decided(&key);
    let kinds: Vec<_> = told.iter().map(SignedTrustItem::kind).collect();
    assert_eq!(kinds, [TrustKind::AuthoritySet, TrustKind::Revocation]);
    let stranger = ZoneIdentity::from_seed(&[66; 32]).public_key();
    assert!(berlin.administration.decided(&stranger).is_empty());
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
