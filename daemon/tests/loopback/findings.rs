//! What a gateway finds is shown for as long as it lasts, and written down when it comes and goes.

use zonemesh_api::v1;
use zonemesh_core::journal::{AuditAct, JournalEvent, lines};

use crate::place;
use crate::zone::{Zone, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_is_refused_is_a_finding_until_it_is_set() {
    let [one, two] = [place(6, 1), place(6, 2)];
    let mut zone = Zone::start(one, &[]).await;
    zone.stop().await;
    zone.network.refused.lock().unwrap().insert(two.prefix());
    let mut zone = zone.with_peers(&[two]).await;
    let has = async |zone: &Zone, code: &str| zone.findings().await.iter().any(|f| f.code == code);
    until("the finding", async || has(&zone, "N213").await).await;
    let found = zone.findings().await;
    let refused = found.iter().find(|finding| finding.code == "N213").unwrap();
    assert_eq!(refused.severity(), v1::FindingSeverity::Degraded);
    assert!(refused.since_unix_ms > 0 && !refused.sentence.is_empty(), "{refused:?}");
    assert!(found.iter().any(|finding| finding.code == "T419"), "the test's keys are open");
    zone.network.refused.lock().unwrap().clear();
    until("its end", async || !has(&zone, "N213").await).await;
    until("both lines", async || {
        let events: Vec<_> = lines(&zone.file("events")).map(|line| line.event).collect();
        let came = |event: &_| matches!(event, JournalEvent::Raised { code, .. } if code.as_str() == "N213");
        let went = |event: &_| matches!(event, JournalEvent::Cleared { code, .. } if code.as_str() == "N213");
        events.iter().any(came) && events.iter().any(went)
    })
    .await;
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_zone_is_a_note_and_every_change_is_written_down() {
    let mut zone = Zone::start(place(7, 1), &[place(7, 2)]).await;
    let block = v1::ZoneBlockRequest { zone: "z2".to_owned(), blocked: true };
    zone.mesh().await.zone_block(block).await.unwrap();
    let found = zone.findings().await;
    let blocked = found.iter().find(|finding| finding.code == "P306").unwrap();
    assert_eq!((blocked.subject.as_str(), blocked.subject_kind.as_str()), ("z2", "zone"));
    assert_eq!(blocked.severity(), v1::FindingSeverity::Note);
    let founded = crate::founding();
    zone.mesh().await.mesh_init(founded).await.unwrap();
    let begin = v1::KeyRotateRequest { action: v1::KeyRotation::Begin.into() };
    zone.mesh().await.key_rotate(begin).await.unwrap();
    let acts: Vec<_> = lines(&zone.file("audit"))
        .map(|line| match line.event {
            JournalEvent::Changed(entry) => entry.act,
            other => panic!("no change: {other:?}"),
        })
        .collect();
    assert_eq!(acts, [AuditAct::Block, AuditAct::Join, AuditAct::Rotate]);
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_its_code() {
    let mut zone = Zone::start(place(8, 1), &[]).await;
    let nobody = v1::ZoneBlockRequest { zone: "z9".to_owned(), blocked: true };
    let refused = zone.mesh().await.zone_block(nobody).await.unwrap_err();
    let code = zonemesh_api::wire::finding::told_code(&refused).unwrap();
    assert_eq!(code.as_str(), "P310");
    zone.stop().await;
}
