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
async fn a_revocation_that_cannot_be_stored_fails_and_is_announced_to_nobody() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let ledger = Ledger::open(own(), folder.path(), DiskWriter::start(disk.clone()).unwrap());
    let ledger = ledger.unwrap();
    let (membership, authority) = managed(&ledger);
    ledger.manage(membership).await.unwrap();
    let item = revocation(&ledger, &authority);
    let mut news = ledger.changes();
    disk.is_full.store(true, Ordering::Relaxed);
    let refused = ledger.accept_trust::<std::io::Error>(vec![item.clone()], |_, _| Ok(())).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    assert!(ledger.read(|registry| registry.membership().unwrap().revocations().count()) == 0);
    assert_eq!(ledger.read(|registry| registry.members().count()), 2);
    assert!(news.try_recv().is_err());
    let stored = TrustFiles::open(folder.path()).unwrap().read().unwrap().unwrap();
    assert_eq!(stored.revocations().count(), 0, "nor does the next start know of it");
    disk.is_full.store(false, Ordering::Relaxed);
    let change = ledger.accept_trust::<std::io::Error>(vec![item], |_, _| Ok(())).await.unwrap();
    assert_eq!(change.members.removed.len(), 1);
    assert!(news.try_recv().is_ok());
    let audit = std::fs::read_to_string(folder.path().join("audit")).unwrap();
    let told: Vec<_> = zonemesh_core::journal::lines(&audit).map(|line| line.event).collect();
    let [JournalEvent::Changed(joined), JournalEvent::Changed(revoked)] = &told[..] else {
        panic!("what failed is not written down: {told:?}")
    };
    assert_eq!((joined.act, revoked.act), (AuditAct::Join, AuditAct::Revoke));
    assert!(revoked.about == "madrid" && revoked.detail.ends_with(": stolen"), "{revoked:?}");
}

/// Heard from a neighbour, not signed here: it is in force at once, whatever the disk says to it.
#[tokio::test]
async fn what_was_heard_while_the_disk_was_full_is_written_once_it_has_room_and_told_until_then() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let ledger = Ledger::open(own(), folder.path(), DiskWriter::start(disk.clone()).unwrap());
    let ledger = ledger.unwrap();
    let (membership, authority) = managed(&ledger);
    let before = membership.clone();
    ledger.manage(membership).await.unwrap();
    let item = revocation(&ledger, &authority);
    let is_told =
        || ledger.findings().all().iter().any(|one| one.finding.code == Code::FileUnusable);
    let stored = || {
        let files = TrustFiles::open(folder.path()).unwrap();
        files.read().unwrap().unwrap().revocations().count()
    };
    disk.is_full.store(true, Ordering::Relaxed);
    ledger.offer_trust(vec![Ok(item)]).await;
    assert!(is_told() && stored() == 0);
    let mut trying = tokio::task::JoinSet::new();
    trying.spawn(ledger.clone().run());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(is_told() && stored() == 0, "it is tried in vain");
    trying.abort_all();
    // Room again: the next item that comes does not hide that an earlier one is missing.
    disk.is_full.store(false, Ordering::Relaxed);
    let rome = zonemesh_core::membership::GrantRequest {
        zone: "rome".parse().unwrap(),
        zone_key: ZoneIdentity::from_seed(&[4; 32]).public_key(),
        prefixes: vec!["10.10.12.0/24".parse().unwrap()],
        tunnel_ips: vec!["10.255.0.12".parse().unwrap()],
        federations: Vec::new(),
    };
    let rome = TrustItem::Grant(before.draft_grant(rome, now()).unwrap());
    let rome = sign(before.authority_set().1, &rome, &[&authority]);
    ledger.offer_trust(vec![Ok(rome)]).await;
    assert!(!is_told() && stored() == 1);
}

#[tokio::test]
async fn a_disk_that_has_room_again_is_tried_without_any_news() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let ledger = Ledger::open(own(), folder.path(), DiskWriter::start(disk.clone()).unwrap());
    let ledger = ledger.unwrap();
    let (membership, authority) = managed(&ledger);
    ledger.manage(membership).await.unwrap();
    let item = revocation(&ledger, &authority);
    let mut trying = tokio::task::JoinSet::new();
    trying.spawn(ledger.clone().run());
    disk.is_full.store(true, Ordering::Relaxed);
    ledger.offer_trust(vec![Ok(item)]).await;
    disk.is_full.store(false, Ordering::Relaxed);
    let madrid = ZoneIdentity::from_seed(&[2; 32]).public_key();
    let kept = ledger.kept_revocations(&madrid);
    let kept = tokio::time::timeout(Duration::from_secs(20), kept).await.unwrap();
    assert_eq!(kept.len(), 1, "and madrid may hear it now");
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
async fn a_slow_disk_does_not_hold_up_who_reads() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let ledger = Ledger::open(own(), folder.path(), DiskWriter::start(disk.clone()).unwrap());
    let ledger = ledger.unwrap();
    let held = tokio::task::spawn_blocking(move || {
        let _busy = disk.busy.lock().unwrap();
        std::thread::sleep(Duration::from_millis(300));
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut said = std::pin::pin!(announce(&ledger, "10.10.10.0/24"));
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut said).await.is_err());
    assert_eq!(ledger.read(|registry| registry.records().count()), 0, "nor is it in force yet");
    said.await.unwrap();
    assert_eq!(ledger.read(|registry| registry.records().count()), 1);
    held.await.unwrap();
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

/// A disk that takes 10 ms for each write, and finds out whether the ledger can be read meanwhile.
#[derive(Clone, Default)]
struct WatchedDisk {
    ledger: Arc<std::sync::OnceLock<Arc<Ledger>>>,
    writes: Arc<std::sync::atomic::AtomicUsize>,
    barred: Arc<std::sync::atomic::AtomicUsize>,
}

impl Disk for WatchedDisk {
    fn write(&mut self, write: &Write) -> std::io::Result<()> {
        if let Some(ledger) = self.ledger.get().cloned() {
            let (answer, answered) = std::sync::mpsc::channel();
            // It outlives a write that bars it.
            std::thread::spawn(move || {
                answer.send(ledger.read(|registry| registry.records().count()))
            });
            std::thread::sleep(Duration::from_millis(10));
            if answered.recv_timeout(Duration::from_millis(90)).is_err() {
                self.barred.fetch_add(1, Ordering::Relaxed);
            }
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        crate::facts::disk::FileSystem.write(write)
    }
}

fn superlink(host: u8) -> zonemesh_core::record::SuperLink {
    zonemesh_core::record::SuperLink {
        tls_name: "superlink.example".to_owned(),
        federation: format!("federation-{host}").parse().unwrap(),
        addresses: vec![format!("10.10.10.{host}").parse().unwrap()],
        fleet_port: 9092,
        control_port: 9093,
        flower_version: "1.25.0".to_owned(),
        transport: zonemesh_core::record::FlowerTransport::Grpc,
        readiness: zonemesh_core::record::Readiness::Ready,
        clock_offset_ms: 0,
        dns_name: None,
        cas: Vec::new(),
    }
}

#[tokio::test]
async fn while_55_addresses_register_on_a_slow_disk_no_lock_is_held_over_a_write() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), WatchedDisk::default());
    let writer = DiskWriter::start(disk.clone()).unwrap();
    let ledger = Ledger::open(own(), folder.path(), writer.clone()).unwrap();
    assert!(disk.ledger.set(ledger.clone()).is_ok());
    let register = async |host: u8| {
        let add = |draft: &mut RecordContent| draft.superlinks.push(superlink(host));
        ledger.edit(RecordChange::Urgent, add).await.unwrap();
        let issued = folder.path().join(format!("issued-{host}"));
        writer.write(vec![Write::replace(issued, "certificate")]).await.unwrap();
    };
    futures_util::future::join_all((1..=55).map(register)).await;
    assert_eq!(disk.writes.load(Ordering::Relaxed), 110);
    assert_eq!(disk.barred.load(Ordering::Relaxed), 0, "writes under which nobody could read");
    let held = ledger.read(|registry| registry.get(registry.zone()).unwrap().record.clone());
    assert_eq!(held.content.superlinks.len(), 55);
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
