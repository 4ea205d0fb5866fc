//! What a zone is told of itself: that it was revoked, by whom, when and why.

use std::time::{Duration, Instant};

use zonemesh_api::v1;

use crate::zone::{Zone, until};
use crate::{founding, knows_both, two};

/// Two zones of a managed mesh that the first has founded.
pub(crate) async fn managed(mesh: u8) -> [Zone; 2] {
    let [one, two] = two(mesh).await;
    let founded = v1::MeshInitRequest { grant_configured: true, ..founding() };
    one.mesh().await.mesh_init(founded).await.unwrap();
    let exported = one.mesh().await.trust_export(v1::TrustExportRequest::default()).await.unwrap();
    let items = exported.into_inner().items;
    two.mesh().await.trust_import(v1::TrustImportRequest { items }).await.unwrap();
    for zone in [&one, &two] {
        until("both records", async || knows_both(zone).await).await;
    }
    until("a stream in the managed mesh", async || {
        one.streams().await > 0 && two.streams().await > 0
    })
    .await;
    [one, two]
}

async fn revoke_the_second(one: &Zone) {
    let (zone, reason) = ("z2".to_owned(), "stolen from the rack".to_owned());
    one.mesh().await.zone_revoke(v1::ZoneRevokeRequest { zone, reason }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_is_revoked_hears_by_whom_and_why_before_its_stream_ends() {
    let [mut one, mut two] = managed(10).await;
    revoke_the_second(&one).await;
    let told = async |zone: &Zone| zone.findings().await.into_iter().find(|f| f.code == "T409");
    until("the finding", async || told(&two).await.is_some()).await;
    let said = told(&two).await.unwrap().sentence;
    let is_told = |part: &str| said.contains(part);
    assert!(is_told("was revoked by authority:") && is_told(": stolen from the rack"), "{said}");
    // What it has stays as it is; here it is out.
    assert_eq!(two.tunnel.names(), ["z1"]);
    until("no peer", async || one.tunnel.names().is_empty()).await;
    two.stop().await;
    two.start_again().await;
    assert_eq!(told(&two).await.map(|found| found.sentence), Some(said));
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_is_revoked_while_it_is_away_loses_its_tunnel_at_once() {
    let [mut one, mut two] = managed(11).await;
    two.stop().await;
    let start = Instant::now();
    revoke_the_second(&one).await;
    until("no peer", async || one.tunnel.names().is_empty()).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    one.stop().await;
}
