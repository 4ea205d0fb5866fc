//! The tunnels to the other zones: `zonemesh peers`, `zonemesh show ZONE`.

use std::collections::BTreeMap;

use serde::Serialize;
use zonemesh_core::gateway::WIREGUARD_PEER;

use super::{FindingView, Timestamp, counters, known};
use crate::v1::{self, LaneView, PeerState, PeersReply, StreamState, TunnelView};

/// All tunnels.
#[derive(Debug, Serialize)]
pub struct PeersView {
    pub schema: &'static str,
    pub peers: Vec<PeerEntry>,
    pub dropped: BTreeMap<String, u64>,
    pub events: BTreeMap<String, u64>,
}

/// One tunnel alone, and what the gateway finds about its zone.
#[derive(Debug, Serialize)]
pub struct PeerView {
    pub schema: &'static str,
    pub peer: PeerEntry,
    /// What both ends have counted, if the other one has answered.
    pub pair: Option<PairEntry>,
    pub findings: Vec<FindingView>,
}

/// What the two ends of a tunnel have counted since they were compared first.
#[derive(Debug, Serialize)]
pub struct PairEntry {
    pub since: Timestamp,
    pub answered_at: Timestamp,
    pub sent_here: u64,
    pub received_there: u64,
    pub lost_on_the_way_there: i64,
    pub sent_there: u64,
    pub received_here: u64,
    pub lost_on_the_way_here: i64,
    pub latest_handshake_there: Timestamp,
    pub unanswered_initiations_there: u64,
    pub dropped_there: BTreeMap<String, u64>,
}

impl From<v1::PairView> for PairEntry {
    fn from(pair: v1::PairView) -> Self {
        Self {
            since: pair.since_unix_ms.into(),
            answered_at: pair.answered_at_unix_ms.into(),
            lost_on_the_way_there: lost(pair.sent_here, pair.received_there),
            lost_on_the_way_here: lost(pair.sent_there, pair.received_here),
            sent_here: pair.sent_here,
            received_there: pair.received_there,
            sent_there: pair.sent_there,
            received_here: pair.received_here,
            latest_handshake_there: pair.latest_handshake_there_unix_ms.into(),
            unanswered_initiations_there: pair.unanswered_initiations_there,
            dropped_there: counters(pair.dropped_there),
        }
    }
}

/// Negative if what was on its way when the ends were compared has arrived since.
fn lost(sent: u64, received: u64) -> i64 {
    let distance = i64::try_from(sent.abs_diff(received)).unwrap_or(i64::MAX);
    if sent >= received { distance } else { -distance }
}

/// One tunnel.
#[derive(Debug, Serialize)]
pub struct PeerEntry {
    pub zone: String,
    pub gateway: String,
    /// What it is called among the others: by its zone, unless that has several gateways.
    #[serde(skip)]
    pub label: String,
    pub state: &'static str,
    pub reason: Option<String>,
    pub since: Timestamp,
    pub rtt_ms: Option<f64>,
    pub jitter_ms: Option<f64>,
    pub loss_percent: Option<f64>,
    pub mtu: Option<u32>,
    pub black_hole: bool,
    pub underlay_mtu: Option<u32>,
    pub endpoint: Option<String>,
    pub source_port: Option<u32>,
    pub latest_handshake: Timestamp,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub stream: &'static str,
    pub stream_error: Option<String>,
    pub clock_offset_ms: Option<i64>,
    pub unanswered_initiations: u64,
    pub prefixes: Vec<String>,
    pub tunnel_addresses: Vec<String>,
    pub public_key: String,
    pub offloads: BTreeMap<String, String>,
    pub fallbacks: BTreeMap<String, u64>,
    pub lanes: Vec<LaneEntry>,
}

/// One of the lanes of a tunnel, the first included.
#[derive(Debug, Serialize)]
pub struct LaneEntry {
    pub endpoint: Option<String>,
    pub latest_handshake: Timestamp,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub usable: bool,
    pub unanswered_initiations: u64,
}

impl From<PeersReply> for PeersView {
    fn from(reply: PeersReply) -> Self {
        Self {
            schema: "zonemesh/peers/v1",
            peers: PeerEntry::all(reply.peers, &reply.tunnel.unwrap_or_default()),
            dropped: counters(reply.dropped),
            events: counters(reply.events),
        }
    }
}

/// Why a name is not the name of one peer.
#[derive(Debug, thiserror::Error)]
pub enum PeerNameError {
    /// It is the name of none.
    #[error("no peer is called {0:?}; see those that are with: zonemesh peers")]
    Unknown(String),
    /// It is a zone with several gateways: the zone, and their names.
    #[error("zone {0} has several gateways, name one of them: {1}")]
    Several(String, String),
}

impl PeerView {
    /// The tunnel to `name`, a zone or `zone/gateway`.
    ///
    /// # Errors
    /// [`PeerNameError`] unless it is exactly one.
    pub fn find(reply: PeersReply, name: &str) -> Result<Self, PeerNameError> {
        let mut found = PeerEntry::all(reply.peers, &reply.tunnel.unwrap_or_default());
        found.retain(|peer| peer.zone == name || peer.id() == name);
        // A zone comes before a WireGuard peer that is called like it here.
        if found.iter().any(|peer| !peer.is_wireguard_peer()) {
            found.retain(|peer| !peer.is_wireguard_peer() || peer.id() == name);
        }
        match found.pop() {
            None => Err(PeerNameError::Unknown(name.to_owned())),
            Some(peer) if found.is_empty() => Ok(Self {
                schema: "zonemesh/peer/v1",
                pair: reply
                    .pairs
                    .into_iter()
                    .find(|pair| pair.gateway == peer.gateway)
                    .map(PairEntry::from),
                peer,
                findings: reply.findings.into_iter().map(FindingView::from).collect(),
            }),
            Some(last) => {
                let ids = found.iter().chain([&last]).map(PeerEntry::id).collect::<Vec<_>>();
                Err(PeerNameError::Several(name.to_owned(), ids.join(", ")))
            }
        }
    }

    /// True if the tunnel is up and no finding needs a look.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.peer.is_up() && !self.has_alarms()
    }

    /// True if a finding about its zone needs a look.
    #[must_use]
    pub fn has_alarms(&self) -> bool {
        self.findings.iter().any(FindingView::is_alarming)
    }
}

impl PeerEntry {
    /// All peers, those of a zone with several gateways under both names.
    pub(super) fn all(replies: Vec<v1::PeerView>, tunnel: &TunnelView) -> Vec<Self> {
        let mut gateways: BTreeMap<String, usize> = BTreeMap::new();
        for reply in replies.iter().filter(|reply| reply.gateway != WIREGUARD_PEER) {
            *gateways.entry(reply.zone.clone()).or_default() += 1;
        }
        let labelled = |peer: Self| match gateways.get(&peer.zone) {
            _ if peer.is_wireguard_peer() => Self { label: peer.id(), ..peer },
            Some(2..) => Self { label: peer.id(), ..peer },
            _ => peer,
        };
        replies.into_iter().map(|reply| Self::new(reply, tunnel)).map(labelled).collect()
    }

    /// True if packets pass, well or badly.
    #[must_use]
    pub fn is_up(&self) -> bool {
        ["up", "degraded"].contains(&self.state)
    }

    /// True of one that runs plain WireGuard and is no gateway of the mesh: `zone` is its name here.
    #[must_use]
    pub fn is_wireguard_peer(&self) -> bool {
        self.gateway == WIREGUARD_PEER
    }

    /// `zone/gateway`.
    fn id(&self) -> String {
        format!("{}/{}", self.zone, self.gateway)
    }
}

impl PeerEntry {
    fn new(reply: v1::PeerView, tunnel: &TunnelView) -> Self {
        Self {
            offloads: offloads(tunnel, reply.gso_paused),
            fallbacks: BTreeMap::from([
                ("gso_refused".to_owned(), reply.gso_refused),
                ("merge_refused".to_owned(), tunnel.merge_refused),
            ]),
            lanes: lanes(&reply),
            state: state(reply.state()),
            stream: stream(reply.stream()),
            label: reply.zone.clone(),
            zone: reply.zone,
            gateway: reply.gateway,
            reason: known(reply.reason),
            since: reply.since_unix_ms.into(),
            rtt_ms: reply.rtt_us.map(milliseconds),
            jitter_ms: reply.jitter_us.map(milliseconds),
            loss_percent: reply.loss_permille.map(|permille| f64::from(permille) / 10.0),
            mtu: (reply.mtu > 0).then_some(reply.mtu),
            black_hole: reply.black_hole,
            underlay_mtu: (reply.underlay_mtu > 0).then_some(reply.underlay_mtu),
            endpoint: known(reply.endpoint),
            source_port: reply.source_port,
            latest_handshake: reply.latest_handshake_unix_ms.into(),
            rx_bytes: reply.rx_bytes,
            tx_bytes: reply.tx_bytes,
            stream_error: known(reply.stream_error),
            clock_offset_ms: reply.clock_offset_ms,
            unanswered_initiations: reply.unanswered_initiations,
            prefixes: reply.prefixes,
            tunnel_addresses: reply.tunnel_addresses,
            public_key: reply.public_key,
        }
    }
}

/// Bulk work as it is done for one peer.
fn offloads(tunnel: &TunnelView, is_gso_paused: bool) -> BTreeMap<String, String> {
    let states = tunnel.offloads.iter().map(|one| {
        let is_paused = is_gso_paused && one.kind == "gso" && one.state == "in_use";
        (one.kind.clone(), if is_paused { "paused".to_owned() } else { one.state.clone() })
    });
    states.collect()
}

/// The only lane is what is said of the peer.
fn lanes(reply: &v1::PeerView) -> Vec<LaneEntry> {
    if !reply.lanes.is_empty() {
        return reply.lanes.iter().map(LaneEntry::from).collect();
    }
    vec![LaneEntry {
        endpoint: known(reply.endpoint.clone()),
        latest_handshake: reply.latest_handshake_unix_ms.into(),
        rx_bytes: reply.rx_bytes,
        tx_bytes: reply.tx_bytes,
        usable: true,
        unanswered_initiations: reply.unanswered_initiations,
    }]
}

impl From<&LaneView> for LaneEntry {
    fn from(reply: &LaneView) -> Self {
        Self {
            endpoint: known(reply.endpoint.clone()),
            latest_handshake: reply.latest_handshake_unix_ms.into(),
            rx_bytes: reply.rx_bytes,
            tx_bytes: reply.tx_bytes,
            usable: reply.usable,
            unanswered_initiations: reply.unanswered_initiations,
        }
    }
}

fn state(state: PeerState) -> &'static str {
    match state {
        PeerState::Unspecified => "unknown",
        PeerState::Up => "up",
        PeerState::Down => "down",
        PeerState::Never => "never",
        PeerState::Degraded => "degraded",
        PeerState::Stopped => "stopped",
    }
}

fn stream(stream: StreamState) -> &'static str {
    match stream {
        StreamState::Unspecified => "unknown",
        StreamState::Up => "up",
        StreamState::Connecting => "connecting",
        StreamState::Refused => "refused",
        StreamState::None => "none",
    }
}

/// Milliseconds to three digits: microseconds are what was measured.
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
