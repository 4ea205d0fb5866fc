//! What the two ends of a tunnel have counted of it: the other end is asked.

use std::time::Duration;

use futures_util::future::join_all;
use zonemesh_api::v1::{Counter, PairView};
use zonemesh_core::gateway::GatewayId;

use crate::facts::pairs::ComparedEnds;
use crate::serve::snapshot::{PeerSnapshot, TunnelsSnapshot};
use crate::serve::sources::SnapshotSources;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the gateways to which a stream is open; who does not answer in time is left out.
pub(super) async fn ask(sources: &SnapshotSources, tunnels: &TunnelsSnapshot) -> Vec<PairView> {
    let open: Vec<GatewayId> =
        tunnels.peers().filter(PeerSnapshot::has_stream).map(|peer| peer.plan.id.clone()).collect();
    let asked = open.iter().map(async |gateway| {
        let compared = sources.pairs.ask(gateway, PATIENCE).await?;
        Some(view(gateway, &compared))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

fn view(gateway: &GatewayId, compared: &ComparedEnds) -> PairView {
    let ComparedEnds { first, last } = compared;
    let theirs = &last.theirs;
    let dropped =
        theirs.dropped.iter().map(|one| Counter { name: one.reason.clone(), count: one.count });
    PairView {
        gateway: gateway.gateway.clone(),
        since_unix_ms: first.at.0,
        answered_at_unix_ms: last.at.0,
        sent_here: last.ours.tx_bytes - first.ours.tx_bytes,
        received_there: theirs.rx_bytes - first.theirs.rx_bytes,
        sent_there: theirs.tx_bytes - first.theirs.tx_bytes,
        received_here: last.ours.rx_bytes - first.ours.rx_bytes,
        latest_handshake_there_unix_ms: theirs.latest_handshake.map_or(0, |at| at.0),
        unanswered_initiations_there: theirs.unanswered_initiations,
        dropped_there: dropped.collect(),
    }
}
