//! A gateway in service, which WireGuard calls a peer: its lanes, and by which a packet leaves.
//!
//! There is one lane towards any other WireGuard. Between two gateways of ours there are as many as
//! both have: each is a WireGuard peer of its own, with its keys, sessions, timers and path. The
//! packets of TUN queue n leave by lane n; while that one gets no answers, by the first. Packets are
//! taken from any lane. docs/design/data-plane.md, "Lanes".

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use zonemesh_core::key::WireGuardPublicKey;

use super::choice::QueueChoices;
use super::{OwnIdentities, RemoteLane, RemoteLink};
use crate::config::{TunnelPeer, shifted};
use crate::status::{LaneStatus, PeerStatus};

/// The lanes to one gateway, at least one.
pub(crate) struct RemoteGateway {
    /// The key by which the gateway is named: that of its first lane.
    pub(crate) key: WireGuardPublicKey,
    settings: TunnelPeer,
    lanes: Vec<RemoteLane>,
    choices: Arc<QueueChoices>,
}

/// How a packet leaves.
pub(crate) struct Departure<'a> {
    pub(crate) by: &'a Arc<RemoteLink>,
    /// After [`super::QUIET`], so that it overtakes nothing.
    pub(crate) after_pause: bool,
}

impl RemoteGateway {
    /// `lanes` are in order; `before` is the gateway as it was, if it was there.
    pub(crate) fn new(
        settings: TunnelPeer,
        lanes: Vec<RemoteLane>,
        queues: usize,
        before: Option<&Self>,
    ) -> Self {
        assert!(!lanes.is_empty(), "each gateway has a lane");
        let kept = before.filter(|before| before.choices.queues() == queues);
        let choices = kept
            .map_or_else(|| Arc::new(QueueChoices::new(queues)), |before| before.choices.clone());
        Self { key: settings.public_key, settings, lanes, choices }
    }

    pub(crate) fn settings(&self) -> &TunnelPeer {
        &self.settings
    }

    pub(crate) fn lanes(&self) -> &[RemoteLane] {
        &self.lanes
    }

    /// All links of all lanes.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Arc<RemoteLink>> {
        self.lanes.iter().flat_map(RemoteLane::links)
    }

    /// The link of a pair of keys.
    pub(crate) fn link_of(
        &self,
        own: &WireGuardPublicKey,
        remote: &WireGuardPublicKey,
    ) -> Option<&Arc<RemoteLink>> {
        self.lanes.iter().find_map(|lane| lane.link_of(own, remote))
    }

    /// The link that control messages leave by.
    pub(crate) fn first(&self) -> &Arc<RemoteLink> {
        self.lanes[0].sender()
    }

    /// How a packet of this queue leaves now.
    pub(crate) fn sender(&self, queue: usize, now: Instant) -> Departure<'_> {
        let [_, _, ..] = &self.lanes[..] else {
            return Departure { by: self.first(), after_pause: false };
        };
        let own = queue % self.lanes.len();
        let is_usable =
            |lane| self.lanes.get(lane).is_some_and(|lane: &RemoteLane| lane.state().is_usable());
        let wanted = if own == 0 || is_usable(own) {
            own
        } else {
            self.lanes[own].state().ask();
            0
        };
        let chosen = self.choices.choose(queue, wanted, is_usable, now);
        let lane = self.lanes.get(chosen.lane).unwrap_or(&self.lanes[0]);
        Departure { by: lane.sender(), after_pause: chosen.after_pause }
    }

    /// Sends to `endpoint` from now on, on each lane to its own port.
    pub(crate) fn set_endpoint(&self, endpoint: SocketAddr) {
        let further = self.settings.lanes.iter().map(|lane| lane.port_offset);
        for (lane, offset) in self.lanes.iter().zip(std::iter::once(0).chain(further)) {
            let Some(endpoint) = shifted(endpoint, offset) else { continue };
            for link in lane.links() {
                link.lock().set_endpoint(endpoint);
            }
        }
    }

    /// Bounds packets to this gateway beyond the tunnel's MTU.
    pub(crate) fn set_mtu(&self, largest: Option<u16>) {
        for lane in &self.lanes {
            lane.state().set_mtu(largest);
        }
    }

    /// Looks which lanes packets may leave by. Call at each tick; `zone` is for the log.
    pub(crate) fn look(&self, zone: &str) {
        // The first one is what is left when no other will do: nobody asks whether it is usable.
        for lane in &self.lanes[1..] {
            lane.look(zone);
        }
    }

    /// `identities` says which own keys there are.
    pub(crate) fn status(&self, identities: &OwnIdentities, now: Instant) -> PeerStatus {
        let own = identities.each_lane();
        let lanes: Vec<_> =
            self.lanes.iter().zip(own).map(|(lane, own)| lane.status(&own, now)).collect();
        let first = lanes.first();
        // A lane without a session of the present key has nothing left to change.
        let has_changed = |lane: &LaneStatus| lane.knows_next_key || !lane.uses_current_key;
        let sum = |of: fn(&LaneStatus) -> u64| lanes.iter().map(of).sum();
        PeerStatus {
            public_key: self.key,
            endpoint: first.and_then(|first| first.endpoint),
            // Which number it has is known where the sockets are.
            source_port: None,
            latest_handshake: lanes.iter().filter_map(|lane| lane.latest_handshake).max(),
            rx_bytes: sum(|lane| lane.rx_bytes),
            tx_bytes: sum(|lane| lane.tx_bytes),
            send_refused: first.and_then(|first| first.send_refused),
            handshake_attempts_unanswered: first
                .map_or(0, |first| first.handshake_attempts_unanswered),
            handshakes_unused: first.map_or(0, |first| first.handshakes_unused),
            knows_next_key: first.is_some_and(|first| first.knows_next_key)
                && lanes.iter().all(has_changed),
            uses_current_key: lanes.iter().any(|lane| lane.uses_current_key),
            segmentation_refused: sum(|lane| lane.segmentation_refused),
            segmentation_paused: lanes.iter().any(|lane| lane.segmentation_paused),
            lanes,
        }
    }
}
