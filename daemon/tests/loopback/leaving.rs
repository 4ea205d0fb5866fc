//! A zone leaves: the others hear it from itself, and give up its peer and its routes.

use zonemesh_api::v1;

use crate::place;
use crate::told::managed;
use crate::zone::{Zone, until};

async fn state_of(zone: &Zone, name: &str) -> v1::ZoneState {
    let list = zone.mesh().await.zone_list(v1::ZoneListRequest::default()).await.unwrap();
    let zones = list.into_inner().zones;
    zones.iter().find(|zone| zone.zone == name).unwrap().state()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_leaves_is_given_up_by_others_and_gives_them_up_also_after_a_restart() {
    let [mut one, mut two] = managed(13).await;
    let prefix = place(13, 2).prefix();
    let is_open = |zone: &Zone| zone.network.opened.lock().unwrap().contains(&prefix);
    until("the route", async || is_open(&one)).await;
    let leave = v1::ZoneLeaveRequest { zone: "z2".to_owned() };
    let left = two.mesh().await.zone_leave(leave.clone()).await.unwrap().into_inner();
    assert_eq!(left.told, ["z1"]);
    until("no peer", async || one.tunnel.names().is_empty()).await;
    until("no route", async || !is_open(&one)).await;
    assert!(one.network.barred.lock().unwrap().contains(&prefix), "what bars the clear way stays");
    until("no peer of its own", async || two.tunnel.names().is_empty()).await;
    for zone in [&one, &two] {
        assert_eq!(state_of(zone, "z2").await, v1::ZoneState::Left);
        assert_eq!(state_of(zone, "z1").await, v1::ZoneState::Member);
    }
    let again = two.mesh().await.zone_leave(leave).await.unwrap_err();
    assert!(again.message().contains("has left the mesh"), "{again:?}");
    two.stop().await;
    two.start_again().await;
    let found = two.findings().await;
    let told = found.iter().find(|finding| finding.code == "P309").unwrap();
    assert_eq!(told.severity(), v1::FindingSeverity::Note);
    assert!(told.sentence.starts_with("this zone has left the mesh, at 2"), "{told:?}");
    assert!(two.tunnel.names().is_empty());
    assert_eq!(state_of(&one, "z2").await, v1::ZoneState::Left, "it announced nothing");
    one.stop().await;
    two.stop().await;
}
