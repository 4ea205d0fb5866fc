//! What this gateway tells a neighbour of the tunnel between them.

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::replication::{DropCount, TunnelCounters};
use zonemesh_core::time::UnixMillis;

use super::stream::StreamContext;
use crate::facts::ledger::now;
use crate::facts::pairs::BothEnds;

impl StreamContext {
    /// What is counted here of the tunnel to `gateway`; `None` while there is none.
    pub(super) fn own_end(&self, gateway: &GatewayId) -> Option<TunnelCounters> {
        let keys = self.ledger.read(|registry| {
            let content = &registry.get_gateway(gateway)?.record.content;
            let keys = content.gateways.first()?;
            Some([Some(keys.wireguard_key), keys.next_wireguard_key])
        })?;
        let peer = keys.iter().flatten().find_map(|key| self.tunnel.peer_status(key))?;
        let dropped = self.tunnel.status().dropped.into_iter().filter(|(_, count)| *count > 0);
        let dropped = dropped.map(|(reason, count)| DropCount { reason: reason.to_owned(), count });
        Some(TunnelCounters {
            rx_bytes: peer.rx_bytes,
            tx_bytes: peer.tx_bytes,
            latest_handshake: peer.latest_handshake.map(UnixMillis::from),
            unanswered_initiations: peer.handshake_attempts_unanswered,
            dropped: dropped.collect(),
        })
    }

    /// Takes what `gateway` has counted, beside what is counted here.
    pub(super) fn compare(&self, gateway: &GatewayId, theirs: TunnelCounters) {
        if let Some(ours) = self.own_end(gateway) {
            self.pairs.heard(gateway, BothEnds { at: now(), ours, theirs });
        }
    }
}
