//! What is said and heard while the disk is full.

use super::*;

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
