//! `zonemesh peers`: the tunnels to the other zones, one by one.

use std::collections::BTreeMap;

use serde::Serialize;
use zonemesh_api::v1::{LaneView, PeerState, PeerView as Reply, PeersReply, StreamState};

use super::{Moment, counted, counters, known};
use crate::output::{Page, Rendered};
use crate::quantity::{ago, bytes, delay, offset, percent};
use crate::table::Table;

/// All tunnels.
#[derive(Debug, Serialize)]
pub(crate) struct PeersView {
    schema: &'static str,
    peers: Vec<Peer>,
    dropped: BTreeMap<String, u64>,
    events: BTreeMap<String, u64>,
}

/// One tunnel.
#[derive(Debug, Serialize)]
pub(crate) struct Peer {
    pub(super) zone: String,
    pub(super) state: &'static str,
    pub(super) reason: Option<String>,
    pub(super) since: Moment,
    pub(super) rtt_ms: Option<f64>,
    pub(super) jitter_ms: Option<f64>,
    pub(super) loss_percent: Option<f64>,
    pub(super) mtu: Option<u32>,
    pub(super) black_hole: bool,
    pub(super) underlay_mtu: Option<u32>,
    pub(super) endpoint: Option<String>,
    pub(super) latest_handshake: Moment,
    pub(super) rx_bytes: u64,
    pub(super) tx_bytes: u64,
    pub(super) stream: &'static str,
    pub(super) stream_error: Option<String>,
    pub(super) clock_offset_ms: Option<i64>,
    pub(super) unanswered_initiations: u64,
    pub(super) prefixes: Vec<String>,
    pub(super) tunnel_addresses: Vec<String>,
    pub(super) public_key: String,
    pub(super) offloads: BTreeMap<String, String>,
    pub(super) fallbacks: BTreeMap<String, u64>,
    pub(super) lanes: Vec<Lane>,
}

/// One of the lanes of a tunnel, the first included.
#[derive(Debug, Serialize)]
pub(crate) struct Lane {
    endpoint: Option<String>,
    latest_handshake: Moment,
    rx_bytes: u64,
    tx_bytes: u64,
    usable: bool,
    unanswered_initiations: u64,
}

impl From<LaneView> for Lane {
    fn from(reply: LaneView) -> Self {
        Self {
            endpoint: known(reply.endpoint),
            latest_handshake: reply.latest_handshake_unix_ms.into(),
            rx_bytes: reply.rx_bytes,
            tx_bytes: reply.tx_bytes,
            usable: reply.usable,
            unanswered_initiations: reply.unanswered_initiations,
        }
    }
}

impl From<PeersReply> for PeersView {
    fn from(reply: PeersReply) -> Self {
        Self {
            schema: "zonemesh/peers/v1",
            peers: reply.peers.into_iter().map(Peer::from).collect(),
            dropped: counters(reply.dropped),
            events: counters(reply.events),
        }
    }
}

impl From<Reply> for Peer {
    fn from(reply: Reply) -> Self {
        let state = match reply.state() {
            PeerState::Unspecified => "unknown",
            PeerState::Up => "up",
            PeerState::Down => "down",
            PeerState::Never => "never",
            PeerState::Degraded => "degraded",
        };
        let stream = match reply.stream() {
            StreamState::Unspecified => "unknown",
            StreamState::Up => "up",
            StreamState::Connecting => "connecting",
            StreamState::Refused => "refused",
            StreamState::None => "none",
        };
        Self {
            zone: reply.zone,
            state,
            reason: known(reply.reason),
            since: reply.since_unix_ms.into(),
            rtt_ms: reply.rtt_us.map(milliseconds),
            jitter_ms: reply.jitter_us.map(milliseconds),
            loss_percent: reply.loss_permille.map(|permille| f64::from(permille) / 10.0),
            mtu: (reply.mtu > 0).then_some(reply.mtu),
            black_hole: reply.black_hole,
            underlay_mtu: (reply.underlay_mtu > 0).then_some(reply.underlay_mtu),
            endpoint: known(reply.endpoint),
            latest_handshake: reply.latest_handshake_unix_ms.into(),
            rx_bytes: reply.rx_bytes,
            tx_bytes: reply.tx_bytes,
            stream,
            stream_error: known(reply.stream_error),
            clock_offset_ms: reply.clock_offset_ms,
            unanswered_initiations: reply.unanswered_initiations,
            prefixes: reply.prefixes,
            tunnel_addresses: reply.tunnel_addresses,
            public_key: reply.public_key,
            offloads: reply.offloads.into_iter().map(|one| (one.kind, one.state)).collect(),
            fallbacks: counters(reply.fallbacks),
            lanes: reply.lanes.into_iter().map(Lane::from).collect(),
        }
    }
}

/// Milliseconds to three digits: microseconds are what was measured.
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl Peer {
    /// The lines about all `peers`: every column, or those of `zonemesh status`.
    pub(super) fn table(peers: &[Self], form: Form, page: Page) -> String {
        let columns = || COLUMNS.iter().filter(|column| form == Form::Wide || !column.1);
        let mut table = Table::new(&columns().map(|column| column.0).collect::<Vec<_>>());
        for peer in peers {
            table.row(columns().map(|column| (column.2)(peer, page)));
        }
        table.text(page.header)
    }
}

/// How much a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As one part of a screen.
    Narrow,
    /// All that is known in a line.
    Wide,
}

/// Header, whether only the wide form has it, and the cell of a peer.
type Column = (&'static str, bool, fn(&Peer, Page) -> String);

const COLUMNS: [Column; 14] = [
    ("ZONE", false, |peer, _| peer.zone.clone()),
    ("STATE", false, |peer, _| peer.state.to_owned()),
    ("VIA", false, |peer, _| peer.endpoint.clone().unwrap_or_default()),
    ("RTT", false, |peer, _| peer.rtt_ms.map(delay).unwrap_or_default()),
    ("LOSS", false, |peer, _| peer.loss_percent.map(percent).unwrap_or_default()),
    ("JITTER", true, |peer, _| peer.jitter_ms.map(delay).unwrap_or_default()),
    ("MTU", false, |peer, _| peer.mtu.map(|mtu| mtu.to_string()).unwrap_or_default()),
    ("HANDSHAKE", false, |peer, page| ago(peer.latest_handshake.0, page.now)),
    ("RX", false, |peer, _| bytes(peer.rx_bytes)),
    ("TX", false, |peer, _| bytes(peer.tx_bytes)),
    ("STREAM", false, |peer, _| peer.stream.to_owned()),
    ("CLOCK", true, |peer, _| peer.clock_offset_ms.map(offset).unwrap_or_default()),
    ("TUNNEL", true, |peer, _| peer.tunnel_addresses.join(", ")),
    ("PREFIXES", false, |peer, _| peer.prefixes.join(", ")),
];

impl Rendered for PeersView {
    fn text(&self, page: Page) -> String {
        let mut text = Peer::table(&self.peers, Form::Wide, page);
        let events = counted(&self.events);
        if page.header && !events.is_empty() {
            text.push_str(&format!("events: {events}\n"));
        }
        let dropped = counted(&self.dropped);
        if page.header && !dropped.is_empty() {
            text.push_str(&format!("dropped packets: {dropped}\n"));
        }
        if self.peers.is_empty() && page.header {
            text.push_str("no peers are configured: add [[peer]] to the configuration\n");
        }
        text
    }
}
