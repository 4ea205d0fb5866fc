//! A peer in service: its lanes, and by which of them a packet leaves.
//!
//! There is one lane towards any other WireGuard. Between two gateways of ours there are as many as both
//! have: each is a WireGuard peer of its own, with its keys, sessions, timers and path. The packets of TUN
//! queue n leave by lane n; while that one gets no answers, by the first. Packets are taken from any lane.
//! docs/design/data-plane.md, "Lanes".

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use zonemesh_core::key::WireGuardPublicKey;

use super::choice::Choices;
use super::{Identities, RemoteLane, RemoteLink};
use crate::config::{Peer, shifted};
use crate::status::{LaneStatus, PeerStatus};

/// Handshakes without an answer after which packets do not wait for a lane any longer.
const PATIENCE: u64 = 3;

/// The lanes to one peer, at least one.
pub(crate) struct RemoteGateway {
    /// The key by which the peer is named: that of its first lane.
    pub(crate) key: WireGuardPublicKey,
    config: Peer,
    lanes: Vec<RemoteLane>,
    choices: Arc<Choices>,
}

/// How a packet leaves.
pub(crate) struct Leaves<'a> {
    pub(crate) by: &'a Arc<RemoteLink>,
    /// After [`super::QUIET`], so that it overtakes nothing.
    pub(crate) after_pause: bool,
}

impl RemoteGateway {
    /// `lanes` are in order; `before` is the peer as it was, if it was there.
    pub(crate) fn new(
        config: Peer,
        lanes: Vec<RemoteLane>,
        queues: usize,
        before: Option<&Arc<Self>>,
    ) -> Self {
        assert!(!lanes.is_empty(), "each peer has a lane");
        let kept = before.filter(|before| before.choices.queues() == queues);
        let choices =
            kept.map_or_else(|| Arc::new(Choices::new(queues)), |before| before.choices.clone());
        Self { key: config.public_key, config, lanes, choices }
    }

    pub(crate) fn config(&self) -> &Peer {
        &self.config
    }

    pub(crate) fn lanes(&self) -> &[RemoteLane] {
        &self.lanes
    }

    /// All links of all lanes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<RemoteLink>> {
        self.lanes.iter().flat_map(RemoteLane::iter)
    }

    /// The link of a pair of keys.
    pub(crate) fn of(
        &self,
        own: &WireGuardPublicKey,
        peers: &WireGuardPublicKey,
    ) -> Option<&Arc<RemoteLink>> {
        self.lanes.iter().find_map(|links| links.of(own, peers))
    }

    /// True if `link` is one to this peer.
    pub(crate) fn has(&self, link: &RemoteLink) -> bool {
        self.lanes.get(link.lane).is_some_and(|links| links.has(link))
    }

    /// The link that control messages leave by.
    pub(crate) fn first(&self) -> &Arc<RemoteLink> {
        self.lanes[0].carrier()
    }

    /// How a packet of this queue leaves now.
    pub(crate) fn carrier(&self, queue: usize, now: Instant) -> Leaves<'_> {
        let [_, _, ..] = &self.lanes[..] else {
            return Leaves { by: self.first(), after_pause: false };
        };
        let own = queue % self.lanes.len();
        let is_usable = |lane| {
            self.lanes.get(lane).is_some_and(|links: &RemoteLane| links.shared().is_usable())
        };
        let wanted = if own == 0 || is_usable(own) {
            own
        } else {
            self.lanes[own].shared().asked.store(true, Ordering::Relaxed);
            0
        };
        let chosen = self.choices.choose(queue, wanted, is_usable, now);
        let links = self.lanes.get(chosen.lane).unwrap_or(&self.lanes[0]);
        Leaves { by: links.carrier(), after_pause: chosen.after_pause }
    }

    /// Sends to `endpoint` from now on, on each lane to its own port.
    pub(crate) fn set_endpoint(&self, endpoint: SocketAddr) {
        let offsets =
            std::iter::once(0).chain(self.config.lanes.iter().map(|lane| lane.port_offset));
        for (links, offset) in self.lanes.iter().zip(offsets) {
            let Some(endpoint) = shifted(endpoint, offset) else { continue };
            for link in links.iter() {
                link.lock().set_endpoint(endpoint);
            }
        }
    }

    /// Bounds packets to this peer beyond the tunnel's MTU.
    pub(crate) fn set_mtu(&self, largest: Option<u16>) {
        for links in &self.lanes {
            links.shared().set_mtu(largest);
        }
    }

    /// Looks which lanes packets may leave by. Call at each tick.
    pub(crate) fn look(&self) {
        for (lane, links) in self.lanes.iter().enumerate().skip(1) {
            links.look(lane, &self.config.name);
        }
    }

    /// Its status; `identities` says which own keys there are.
    pub(crate) fn status(&self, identities: &Identities, now: Instant) -> PeerStatus {
        let of_lane =
            |(links, identities): (&RemoteLane, Identities)| links.status(&identities, now);
        let lanes: Vec<_> = self.lanes.iter().zip(identities.each_lane()).map(of_lane).collect();
        let Some(first) = lanes.first().cloned() else { return self.first().status() };
        let knows = |lane: &PeerStatus| lane.knows_next_key || !lane.uses_current_key;
        let sum = |of: fn(&PeerStatus) -> u64| lanes.iter().map(of).sum();
        PeerStatus {
            latest_handshake: lanes.iter().filter_map(|lane| lane.latest_handshake).max(),
            rx_bytes: sum(|lane| lane.rx_bytes),
            tx_bytes: sum(|lane| lane.tx_bytes),
            segmentation_refused: sum(|lane| lane.segmentation_refused),
            segmentation_paused: lanes.iter().any(|lane| lane.segmentation_paused),
            knows_next_key: first.knows_next_key && lanes.iter().all(knows),
            uses_current_key: lanes.iter().any(|lane| lane.uses_current_key),
            lanes: self.lanes.iter().zip(&lanes).map(lane_status).collect(),
            ..first
        }
    }
}

fn lane_status((links, status): (&RemoteLane, &PeerStatus)) -> LaneStatus {
    let is_first = links.carrier().lane == 0;
    LaneStatus {
        endpoint: status.endpoint,
        latest_handshake: status.latest_handshake,
        rx_bytes: status.rx_bytes,
        tx_bytes: status.tx_bytes,
        is_usable: is_first || links.shared().is_usable(),
        handshake_attempts_unanswered: status.handshake_attempts_unanswered,
    }
}

impl RemoteLane {
    /// Packets leave by this lane while it has a session and its handshakes are answered. A lane that
    /// packets wait for is sought.
    fn look(&self, lane: usize, name: &str) {
        let shared = self.shared();
        let asked = shared.asked.swap(false, Ordering::Relaxed);
        let mut core = self.carrier().lock();
        let unanswered = core.unanswered();
        let is_up = core.session_is_up();
        if asked && !is_up {
            core.seek();
        }
        drop(core);
        shared.usable.store(is_up && unanswered < PATIENCE, Ordering::Relaxed);
        let is_silent = unanswered >= 2 * PATIENCE;
        if is_silent && !shared.reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                zone = name,
                lane,
                "nobody answers on this lane: is its UDP port open at both ends? the first lane carries its flows"
            );
        } else if is_up && shared.reported.swap(false, Ordering::Relaxed) {
            tracing::info!(zone = name, lane, "this lane is answered again");
        }
    }
}

impl super::LaneState {
    fn is_usable(&self) -> bool {
        self.usable.load(Ordering::Relaxed)
    }
}
