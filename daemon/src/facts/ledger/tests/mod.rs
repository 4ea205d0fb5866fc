//! The ledger over a real state folder, and over disks that are full or slow.

use std::sync::atomic::Ordering;
use std::time::Duration;

use zonemesh_core::journal::{AuditAct, JournalEvent};
use zonemesh_core::membership::{
    AuthorityEdit, AuthorityIdentity, SignedTrustItem, TrustItem, sign,
};

use zonemesh_core::pace::RecordChange;
use zonemesh_core::record::{ProtocolRange, SignedRecord, Version, ZoneRecord};
use zonemesh_core::registry::PublishError;

use zonemesh_core::finding::Code;

use super::*;
use crate::facts::disk::{Disk, TrialDisk, Write, writer};

mod full_disk;
mod slow_disk;

fn identity() -> ZoneIdentity {
    ZoneIdentity::from_seed(&[1; 32])
}

fn own() -> OwnZone {
    let zone: ZoneName = "berlin".parse().unwrap();
    let member = Member {
        zone: zone.clone(),
        key: identity().public_key(),
        prefixes: vec!["10.10.10.0/24".parse().unwrap()],
        tunnel_ips: vec!["10.255.0.1".parse().unwrap()],
    };
    let gateway = "berlin-gw1".to_owned();
    OwnZone { zone, gateway, identity: identity(), members: vec![member] }
}

fn ledger(folder: &Path) -> Arc<Ledger> {
    Ledger::open(own(), folder, writer()).unwrap()
}

async fn announce(ledger: &Arc<Ledger>, prefix: &str) -> Result<(), NotPublished> {
    let prefixes = vec![prefix.parse().unwrap()];
    ledger.edit(RecordChange::Urgent, |draft| draft.prefixes = prefixes).await
}

fn version(ledger: &Ledger) -> zonemesh_core::record::Version {
    ledger.read(|registry| registry.get(registry.zone()).unwrap().record.version)
}

#[tokio::test]
async fn a_restart_goes_on_with_the_stored_counter() {
    let folder = tempfile::tempdir().unwrap();
    let first = ledger(folder.path());
    announce(&first, "10.10.10.0/24").await.unwrap();
    let before = version(&first);
    let second = ledger(folder.path());
    assert_eq!(version(&second), before);
    announce(&second, "10.10.10.0/25").await.unwrap();
    assert!(version(&second) > before);
    assert_eq!(version(&second).incarnation, before.incarnation);
}

#[tokio::test]
async fn a_corrupted_record_is_set_aside_and_a_new_incarnation_starts() {
    let folder = tempfile::tempdir().unwrap();
    announce(&ledger(folder.path()), "10.10.10.0/24").await.unwrap();
    let file = folder.path().join("records/berlin@berlin-gw1.record");
    std::fs::write(&file, "garbage").unwrap();
    let ledger = ledger(folder.path());
    assert!(ledger.read(|registry| registry.get(registry.zone()).is_none()));
    assert!(folder.path().join("records/berlin@berlin-gw1.record.bad1").exists());
    announce(&ledger, "10.10.10.0/24").await.unwrap();
    assert!(file.exists());
}

#[tokio::test]
async fn what_the_zone_may_not_say_is_refused_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    announce(&ledger, "10.10.10.0/24").await.unwrap();
    let refused = announce(&ledger, "10.10.11.0/24").await;
    assert!(matches!(refused, Err(NotPublished::Refused(PublishError::OutOfBounds(_)))));
    assert_eq!(ledger.draft().prefixes, ["10.10.10.0/24".parse().unwrap()]);
}

#[tokio::test]
async fn watchers_are_woken_by_a_change_only() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = ledger(folder.path());
    let mut revision = ledger.revision();
    announce(&ledger, "10.10.10.0/24").await.unwrap();
    assert!(revision.has_changed().unwrap());
    revision.mark_unchanged();
    announce(&ledger, "10.10.10.0/24").await.unwrap();
    assert!(!revision.has_changed().unwrap());
}

#[tokio::test]
async fn what_cannot_be_stored_is_said_to_nobody_and_can_be_said_later() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let ledger = Ledger::open(own(), folder.path(), DiskWriter::start(disk.clone()).unwrap());
    let ledger = ledger.unwrap();
    announce(&ledger, "10.10.10.0/24").await.unwrap();
    let before = version(&ledger);
    let (mut news, revision) = (ledger.changes(), *ledger.revision().borrow());
    disk.is_full.store(true, Ordering::Relaxed);
    let refused = announce(&ledger, "10.10.10.0/25").await;
    assert!(matches!(refused, Err(NotPublished::Disk(_))), "{refused:?}");
    assert_eq!(version(&ledger), before);
    assert_eq!(ledger.draft().prefixes, ["10.10.10.0/24".parse().unwrap()]);
    assert!(news.try_recv().is_err() && *ledger.revision().borrow() == revision);
    disk.is_full.store(false, Ordering::Relaxed);
    announce(&ledger, "10.10.10.0/25").await.unwrap();
    assert_eq!(version(&ledger), before.next());
}

/// A mesh of one authority that has granted two zones, and that authority.
fn managed(ledger: &Ledger) -> (Membership, AuthorityIdentity) {
    let authority = AuthorityIdentity::from_seed(&[3; 32]);
    let keys = std::collections::BTreeSet::from([authority.public_key()]);
    let set = Membership::draft_first(keys.clone(), keys, 1, now()).unwrap();
    let first = sign(&set, &TrustItem::AuthoritySet(set.clone()), &[&authority]);
    let mut membership = Membership::new(first).unwrap();
    let key = ledger.read(|registry| registry.members().next().unwrap().key);
    let madrid = ZoneIdentity::from_seed(&[2; 32]).public_key();
    for (zone, zone_key, third) in [("berlin", key, 10), ("madrid", madrid, 11)] {
        let request = zonemesh_core::membership::GrantRequest {
            zone: zone.parse().unwrap(),
            zone_key,
            prefixes: vec![format!("10.10.{third}.0/24").parse().unwrap()],
            tunnel_ips: vec![format!("10.255.0.{third}").parse().unwrap()],
            federations: Vec::new(),
        };
        let grant = membership.draft_grant(request, now()).unwrap();
        let grant = sign(&set, &TrustItem::Grant(grant), &[&authority]);
        membership.accept(grant).unwrap();
    }
    (membership, authority)
}

fn revocation(ledger: &Ledger, authority: &AuthorityIdentity) -> SignedTrustItem {
    ledger.read(|registry| {
        let membership = registry.membership().unwrap();
        let madrid = "madrid".parse().unwrap();
        let revocation = membership.draft_revocation(&madrid, "stolen", now()).unwrap();
        sign(membership.authority_set().1, &TrustItem::Revocation(revocation), &[authority])
    })
}

#[tokio::test]
async fn a_gateway_that_is_killed_in_a_change_of_authorities_has_made_all_of_it_or_nothing() {
    let mut outcomes = [0, 0];
    for kill_point in 0..12 {
        let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
        let ledger = Ledger::open(own(), folder.path(), DiskWriter::start(disk.clone()).unwrap());
        let ledger = ledger.unwrap();
        let (membership, authority) = managed(&ledger);
        ledger.manage(membership.clone()).await.unwrap();
        let edit = AuthorityEdit { renew: true, ..AuthorityEdit::default() };
        let draft = membership.draft_change(&edit, now()).unwrap();
        let next = TrustItem::AuthoritySet(draft.next.clone());
        let next = sign(&draft.next, &next, &[&authority]);
        let set = next.payload_hash();
        disk.dies_after(kill_point);
        let items = [vec![next], draft.pages, draft.grants].concat();
        let told = ledger.accept_trust::<std::io::Error>(items, |_, _| Ok(())).await;
        drop(ledger);
        Together::new(folder.path()).finish().unwrap();
        let after = TrustFiles::open(folder.path()).unwrap().read().unwrap().unwrap();
        let is_followed = after.follows(&set);
        assert!(is_followed || told.is_err(), "told and lost, killed after {kill_point}");
        assert!(after.awaited().is_none_or(|(_, missing)| missing == 0), "{kill_point}");
        assert_eq!(after.members().count(), 2, "killed after {kill_point}");
        let is_known = after.items().iter().any(|item| item.payload_hash() == set);
        assert_eq!(is_known, is_followed, "half of it, killed after {kill_point}");
        outcomes[usize::from(is_followed)] += 1;
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 3, "{outcomes:?}");
}

/// As `authority remove --stolen`, `zone approve` and `authority pin` bring zones back.
#[tokio::test]
async fn a_zone_that_is_a_member_again_is_heard_as_before_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = ledger(folder.path());
    let (membership, authority) = managed(&first);
    first.manage(membership.clone()).await.unwrap();
    let madrid = ZoneRecord {
        zone: "madrid".parse().unwrap(),
        gateway: "madrid-gw1".to_owned(),
        version: Version { incarnation: 1, seq: 1 },
        issued_at: now(),
        content: RecordContent::default(),
        certificate: None,
    };
    let signed = SignedRecord::sign(&madrid, &ZoneIdentity::from_seed(&[2; 32]));
    first.offer_record("madrid", Ok(signed)).await.unwrap();
    let is_heard =
        |ledger: &Ledger| ledger.read(|registry| registry.of_zone(&madrid.zone).next().is_some());
    let item = revocation(&first, &authority);
    first.accept_trust::<std::io::Error>(vec![item], |_, _| Ok(())).await.unwrap();
    assert!(!is_heard(&first));
    let mut news = first.changes();
    first.manage(membership.clone()).await.unwrap();
    assert!(is_heard(&first) && matches!(news.try_recv(), Ok(News::Record(_))));
    let item = revocation(&first, &authority);
    first.accept_trust::<std::io::Error>(vec![item], |_, _| Ok(())).await.unwrap();
    drop(first);
    let second = ledger(folder.path());
    assert!(!is_heard(&second));
    second.manage(membership).await.unwrap();
    assert!(is_heard(&second));
}

#[tokio::test]
async fn what_the_first_release_has_stored_is_taken_over_and_its_file_goes_once_it_is_said_anew() {
    let folder = tempfile::tempdir().unwrap();
    let version = Version { incarnation: 7, seq: 3 };
    let content = RecordContent {
        prefixes: vec!["10.10.10.0/24".parse().unwrap()],
        protocol: ProtocolRange { min: 1, max: 1 },
        ..RecordContent::default()
    };
    let (zone, gateway) = (own().zone, String::new());
    let record =
        ZoneRecord { zone, gateway, version, issued_at: now(), content, certificate: None };
    let stored = SignedRecord::sign(&record, &identity()).to_file_bytes();
    let file = folder.path().join("records/berlin.record");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, stored).unwrap();
    let ledger = ledger(folder.path());
    assert_eq!(ledger.draft().prefixes, record.content.prefixes);
    let said = ledger.edit(RecordChange::Urgent, |draft| draft.protocol = ProtocolRange::CURRENT);
    said.await.unwrap();
    assert_eq!(self::version(&ledger), version.next());
    assert!(file.exists() && folder.path().join("records/berlin@berlin-gw1.record").exists());
    let again = self::ledger(folder.path());
    assert_eq!(self::version(&again), version.next());
    assert!(!file.exists());
}

#[tokio::test]
async fn a_zone_that_has_left_says_nothing_until_it_comes_back_and_a_restart_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = ledger(folder.path());
    announce(&first, "10.10.10.0/24").await.unwrap();
    let (before, mut news) = (version(&first), first.changes());
    let since = first.leave().await.unwrap();
    assert_eq!((version(&first), first.left_since()), (before.next(), Some(since)));
    assert!(matches!(news.try_recv(), Ok(News::Record(_))));
    assert!(!first.is_gone(), "its neighbours are still to hear of it");
    assert!(matches!(announce(&first, "10.10.10.0/24").await, Err(NotPublished::Left)));
    assert!(matches!(first.leave().await, Err(NotPublished::Left)));
    drop(first);
    let second = ledger(folder.path());
    assert_eq!(second.left_since(), Some(since));
    assert!(matches!(announce(&second, "10.10.10.0/24").await, Err(NotPublished::Left)));
    let prefixes = vec!["10.10.10.0/24".parse().unwrap()];
    second.come_back(|draft| draft.prefixes = prefixes).await.unwrap();
    assert_eq!((version(&second), second.left_since()), (before.next().next(), None));
    announce(&second, "10.10.10.0/25").await.unwrap();
}

#[tokio::test]
async fn a_farewell_that_cannot_be_stored_is_said_to_nobody() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let ledger = Ledger::open(own(), folder.path(), DiskWriter::start(disk.clone()).unwrap());
    let ledger = ledger.unwrap();
    announce(&ledger, "10.10.10.0/24").await.unwrap();
    let mut news = ledger.changes();
    disk.is_full.store(true, Ordering::Relaxed);
    assert!(matches!(ledger.leave().await, Err(NotPublished::Disk(_))));
    assert!(ledger.left_since().is_none() && news.try_recv().is_err());
    assert_eq!(ledger.draft().prefixes, ["10.10.10.0/24".parse().unwrap()]);
}

#[tokio::test]
async fn what_revokes_a_zone_is_told_to_it_only_when_it_is_on_disk() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let ledger = Ledger::open(own(), folder.path(), DiskWriter::start(disk.clone()).unwrap());
    let ledger = ledger.unwrap();
    let (membership, authority) = managed(&ledger);
    ledger.manage(membership).await.unwrap();
    let madrid = ZoneIdentity::from_seed(&[2; 32]).public_key();
    assert!(ledger.kept_revocations(&madrid).await.is_empty(), "a member is told nothing");
    let item = revocation(&ledger, &authority);
    let id = item.id();
    disk.is_full.store(true, Ordering::Relaxed);
    // A neighbour's: it is in force here at once, whether it can be stored or not.
    ledger.offer_trust(vec![Ok(item.clone())]).await;
    let turn = Duration::from_millis(100);
    assert!(tokio::time::timeout(turn, ledger.kept_revocations(&madrid)).await.is_err());
    disk.is_full.store(false, Ordering::Relaxed);
    let file = ledger.trust.path_of(&item.content_id());
    ledger.disk.write(vec![Write::replace(file, item.to_file_bytes())]).await.unwrap();
    assert_eq!(ledger.kept_revocations(&madrid).await, [id]);
}

#[tokio::test]
async fn a_gateway_from_an_old_backup_speaks_above_what_it_has_said_since() {
    let (folder, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = ledger(folder.path());
    announce(&first, "10.10.10.0/24").await.unwrap();
    std::fs::create_dir(old.path().join("records")).unwrap();
    let file = "records/berlin@berlin-gw1.record";
    std::fs::copy(folder.path().join(file), old.path().join(file)).unwrap();
    announce(&first, "10.10.10.0/25").await.unwrap();
    let newer = first.read(|registry| registry.get(registry.zone()).unwrap().signed.clone());
    let since = version(&first);

    let restored = ledger(old.path());
    announce(&restored, "10.10.10.0/24").await.unwrap();
    restored.offer_record("madrid", Ok(newer)).await.unwrap();
    let running = restored.clone().run();
    let said_above = async {
        while version(&restored) <= since {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ended = running => panic!("{ended:?}"),
        () = said_above => {}
        () = tokio::time::sleep(Duration::from_secs(3)) => panic!("it stays below"),
    }
}
