//! The floors of a gateway together, over loopback and a small tunnel: no root, no namespaces.
//!
//! What two gateways make of records, blocks, routes that are refused, and a restart.

#![cfg(test)]

mod configuration;
mod descriptors;
mod findings;
mod ground;
mod leaving;
mod local_api;
mod onegate_view;
mod reload;
mod sessions;
mod slow_disk;
mod told;
mod zone;

use zonemesh_api::v1;
use zonemesh_core::membership::{AuthorityIdentity, SignedTrustItem};

use zone::{Place, Zone, until};

const fn place(mesh: u8, zone: u8) -> Place {
    Place { mesh, zone }
}

async fn two(mesh: u8) -> [Zone; 2] {
    let [a, b] = [place(mesh, 1), place(mesh, 2)];
    [Zone::start(a, &[b]).await, Zone::start(b, &[a]).await]
}

async fn knows_both(zone: &Zone) -> bool {
    zone.records().await.len() == 2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_two_zones_reach_each_other_over_their_stream() {
    let mut zones = two(1).await;
    for zone in &zones {
        until("both records", async || knows_both(zone).await).await;
    }
    let [mut a, mut b] = [zones[0].records().await, zones[1].records().await];
    a.sort();
    b.sort();
    assert_eq!(a, b);
    for zone in &mut zones {
        zone.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_is_known_after_a_restart_without_anybody_elses_help() {
    let [mut one, mut other] = two(2).await;
    until("both records", async || knows_both(&one).await).await;
    let before = one.records().await;
    one.stop().await;
    other.stop().await;
    one.start_again().await;
    let mut after = one.records().await;
    assert_eq!(after.len(), 2);
    after.retain(|record| before.contains(record));
    assert_eq!(after.len(), 2, "nobody's version has grown");
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_write_left_is_gone_after_the_next_start() {
    let mut zone = Zone::start(place(9, 1), &[]).await;
    zone.stop().await;
    let left = [".tmpq4W9xZ", "records/.tmpABCDEF"].map(|name| zone.path(name));
    for file in &left {
        std::fs::write(file, "half a key").unwrap();
    }
    zone.start_again().await;
    assert!(left.iter().all(|file| !file.exists()));
    assert!(zone.path("records").exists());
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_is_blocked_loses_peer_and_route_and_stays_barred() {
    let [mut one, mut other] = two(3).await;
    let prefix = place(3, 2).prefix();
    let is_open = |zone: &Zone| zone.network.opened.lock().unwrap().contains(&prefix);
    until("the route", async || is_open(&one)).await;
    let block = |blocked| v1::ZoneBlockRequest { zone: "z2".to_owned(), blocked };
    one.mesh().await.zone_block(block(true)).await.unwrap();
    until("no route", async || !is_open(&one)).await;
    assert_eq!(one.tunnel.names(), Vec::<String>::new());
    assert!(one.network.barred.lock().unwrap().contains(&prefix));
    one.mesh().await.zone_block(block(false)).await.unwrap();
    until("the route again", async || is_open(&one)).await;
    assert_eq!(one.tunnel.names(), ["z2"]);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_is_refused_stops_no_other_and_comes_when_it_can() {
    let [one, two, three] = [place(4, 1), place(4, 2), place(4, 3)];
    let mut zone = Zone::start(one, &[]).await;
    zone.stop().await;
    zone.network.refused.lock().unwrap().insert(two.prefix());
    let mut zone = zone.with_peers(&[two, three]).await;
    let is_open =
        |zone: &Zone, place: Place| zone.network.opened.lock().unwrap().contains(&place.prefix());
    until("the other route", async || is_open(&zone, three)).await;
    assert!(!is_open(&zone, two));
    zone.network.refused.lock().unwrap().clear();
    until("the refused route", async || is_open(&zone, two)).await;
    zone.stop().await;
}

fn owner() -> AuthorityIdentity {
    AuthorityIdentity::from_seed(&[8; 32])
}

fn founding() -> v1::MeshInitRequest {
    let owner_keys = vec![owner().public_key().to_string()];
    v1::MeshInitRequest { threshold: 1, owner_keys, ..Default::default() }
}

impl Zone {
    /// A change of the authority set that adds a key, signed by its owner and by that key.
    async fn signed_change(&self) -> Vec<Vec<u8>> {
        let added = AuthorityIdentity::from_seed(&[9; 32]);
        let add = vec![added.public_key().to_string()];
        let change = v1::AuthorityChangeRequest { add, ..Default::default() };
        let drafted = self.mesh().await.authority_change(change).await.unwrap().into_inner();
        let sign = |stored: &Vec<u8>| {
            let mut item = SignedTrustItem::from_file_bytes(stored).unwrap();
            item.sign(&owner());
            item.sign(&added);
            item.to_file_bytes()
        };
        drafted.items.iter().map(sign).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_is_founded_and_a_new_key_begun_over_the_admin_socket() {
    let mut zone = Zone::start(place(5, 1), &[]).await;
    let founded = founding();
    let founded = zone.mesh().await.mesh_init(founded).await.unwrap().into_inner();
    assert_eq!(founded.zones, ["z1"]);
    let begin = v1::KeyRotateRequest { action: v1::KeyRotation::Begin.into() };
    let begun = zone.mesh().await.key_rotate(begin).await.unwrap().into_inner();
    assert_ne!(begun.next_key, "");
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_authorities_that_cannot_be_stored_is_refused_and_nobody_hears_of_it() {
    let mut zone = Zone::start(place(6, 1), &[]).await;
    let founded = founding();
    zone.mesh().await.mesh_init(founded).await.unwrap();
    let epoch = async |zone: &Zone| {
        let list = zone.mesh().await.authority_list(v1::AuthorityListRequest::default()).await;
        list.unwrap().into_inner().epoch
    };
    let before = epoch(&zone).await;
    let trust = zone.path("trust");
    std::fs::rename(&trust, zone.path("elsewhere")).unwrap();
    std::fs::write(&trust, "no folder").unwrap();
    let change = v1::TrustImportRequest { items: zone.signed_change().await };
    let refused = zone.mesh().await.trust_import(change.clone()).await.unwrap_err();
    assert!(refused.message().contains("cannot write to the state folder"), "{refused:?}");
    assert_eq!(epoch(&zone).await, before);
    std::fs::remove_file(&trust).unwrap();
    std::fs::rename(zone.path("elsewhere"), &trust).unwrap();
    zone.mesh().await.trust_import(change).await.unwrap();
    assert!(epoch(&zone).await > before);
    zone.stop().await;
}
