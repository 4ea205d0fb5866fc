//! What changes nothing says so: it is neither audited nor told as done.

use super::super::founding::tests::bundle;
use super::*;
use crate::facts::ledger::NotPublished;

fn audited(folder: &TempDir) -> usize {
    let audit = std::fs::read_to_string(folder.path().join("audit")).unwrap_or_default();
    zonemesh_core::journal::lines(&audit).count()
}

#[tokio::test]
async fn a_zone_that_is_blocked_already_or_not_at_all_is_not_audited_as_changed() {
    let berlin = berlin().await;
    let invitation = berlin.invite_madrid().await.unwrap();
    madrid_redeems(&berlin.administration, &invitation).await;
    let madrid = "madrid".parse().unwrap();
    for (blocked, changes) in [(false, false), (true, true), (true, false), (false, true)] {
        let before = audited(&berlin.folder);
        let (all, changed) = berlin.administration.block(&madrid, blocked).await.unwrap();
        assert_eq!((all.contains(&madrid), changed), (blocked, changes));
        assert_eq!(audited(&berlin.folder) - before, usize::from(changes));
    }
}

#[tokio::test]
async fn a_zone_that_has_left_is_not_back_by_its_founding_bundle() {
    let (folder, disk) = (tempfile::tempdir().unwrap(), TrialDisk::default());
    let administration = open(folder.path(), &disk);
    let text = bundle("berlin", "10.10.1.0/24", "10.255.0.1");
    administration.found_from(&text).await.unwrap();
    administration.found_from(&text).await.unwrap();
    let berlin = Berlin { administration, disk, folder };
    let invitation = berlin.invite_madrid().await.unwrap();
    madrid_redeems(&berlin.administration, &invitation).await;
    berlin.administration.leave(&"berlin".parse().unwrap()).await.unwrap();
    let refused = berlin.administration.found_from(&text).await.err();
    assert!(matches!(refused, Some(Refusal::Unpublished(NotPublished::Left))), "{refused:?}");
}
