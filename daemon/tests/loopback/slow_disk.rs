//! A disk that takes its time holds up whoever has something written, and nobody else.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use zonemesh_api::v1;

use crate::place;
use crate::zone::{Place, Zone};

/// As a fsync takes on a busy disk.
const WRITE: Duration = Duration::from_millis(10);
const ASKING: u8 = 55;
const STATUS: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_answers_in_100_ms_while_55_changes_wait_for_a_slow_disk() {
    let peers: Vec<_> = (2..2 + ASKING).map(|zone| place(12, zone)).collect();
    let mut zone = Zone::start(place(12, 1), &peers).await;
    zone.stop().await;
    zone.write_delay = WRITE;
    zone.start_again().await;
    let (mesh, begun) = (zone.mesh().await, Instant::now());
    let block = |peer: &Place| {
        let request = v1::ZoneBlockRequest { zone: peer.name(), blocked: true };
        let mut mesh = mesh.clone();
        async move { mesh.zone_block(request).await }
    };
    let mut blocking = std::pin::pin!(join_all(peers.iter().map(block)));
    let (mut slowest, mut asked) = (Duration::ZERO, 0_u32);
    let blocked = loop {
        let asks = async {
            let start = Instant::now();
            zone.findings().await;
            start.elapsed()
        };
        tokio::select! {
            blocked = &mut blocking => break blocked,
            took = asks => (slowest, asked) = (slowest.max(took), asked + 1),
        }
    };
    // The list and a line of the audit each, one after the other.
    assert!(begun.elapsed() >= WRITE * 2 * u32::from(ASKING), "{:?}", begun.elapsed());
    let refused: Vec<_> = blocked.iter().filter_map(|one| one.as_ref().err()).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(asked >= 10 && slowest < STATUS, "{asked} times, {slowest:?}");
    zone.stop().await;
}
