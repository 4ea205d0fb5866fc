//! `zonemesh peers`: the tunnels to the other zones, one by one.

use std::collections::BTreeMap;

use serde::Serialize;
use zonemesh_api::v1::{PeerState, PeerView as Reply, PeersReply, StreamState};

use super::{Moment, counted, counters, known};
use crate::output::{Page, View};
use crate::quantity::{ago, bytes, offset};
use crate::table::{Table, plain};

/// All tunnels.
#[derive(Debug, Serialize)]
pub(crate) struct PeersView {
    schema: &'static str,
    peers: Vec<Peer>,
    dropped: BTreeMap<String, u64>,
}

/// One tunnel.
#[derive(Debug, Serialize)]
pub(crate) struct Peer {
    pub(super) zone: String,
    pub(super) state: &'static str,
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
}

impl From<PeersReply> for PeersView {
    fn from(reply: PeersReply) -> Self {
        Self {
            schema: "zonemesh/peers/v1",
            peers: reply.peers.into_iter().map(Peer::from).collect(),
            dropped: counters(reply.dropped),
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
        };
        let stream = match reply.stream() {
            StreamState::Unspecified => "unknown",
            StreamState::Up => "up",
            StreamState::Connecting => "connecting",
            StreamState::Refused => "refused",
        };
        Self {
            zone: reply.zone,
            state,
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
        }
    }
}

impl Peer {
    pub(super) fn is_up(&self) -> bool {
        self.state == "up"
    }

    /// What is wrong and the place to look, one sentence each; nothing if all is well.
    pub(super) fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        let via = self.endpoint.as_deref().unwrap_or("no known endpoint");
        if !self.is_up() {
            let asked = match self.unanswered_initiations {
                0 => "no handshake was tried".to_owned(),
                count => format!("{count} handshake initiations unanswered"),
            };
            troubles.push(format!(
                "{}: tunnel {}, {asked} ({via}); check the peer's endpoint, its UDP port and both public keys",
                self.zone, self.state
            ));
        } else if let Some(error) = &self.stream_error {
            troubles.push(format!("{}: registry stream {}: {error}", self.zone, self.stream));
        }
        troubles.iter().map(|trouble| plain(trouble)).collect()
    }

    /// The lines about all `peers`, the narrow form of `zonemesh status` without the last columns.
    pub(super) fn table(peers: &[Self], page: Page) -> String {
        let mut table =
            Table::new(&["ZONE", "STATE", "VIA", "HANDSHAKE", "RX", "TX", "STREAM", "PREFIXES"]);
        for peer in peers {
            table.row([
                peer.zone.clone(),
                peer.state.to_owned(),
                peer.endpoint.clone().unwrap_or_default(),
                ago(peer.latest_handshake.0, page.now),
                bytes(peer.rx_bytes),
                bytes(peer.tx_bytes),
                peer.stream.to_owned(),
                peer.prefixes.join(", "),
            ]);
        }
        table.text(page.header)
    }
}

impl View for PeersView {
    fn text(&self, page: Page) -> String {
        let mut table = Table::new(&[
            "ZONE",
            "STATE",
            "VIA",
            "HANDSHAKE",
            "RX",
            "TX",
            "STREAM",
            "CLOCK",
            "TUNNEL",
            "PREFIXES",
        ]);
        for peer in &self.peers {
            table.row([
                peer.zone.clone(),
                peer.state.to_owned(),
                peer.endpoint.clone().unwrap_or_default(),
                ago(peer.latest_handshake.0, page.now),
                bytes(peer.rx_bytes),
                bytes(peer.tx_bytes),
                peer.stream.to_owned(),
                peer.clock_offset_ms.map(offset).unwrap_or_default(),
                peer.tunnel_addresses.join(", "),
                peer.prefixes.join(", "),
            ]);
        }
        let mut text = table.text(page.header);
        for trouble in self.peers.iter().flat_map(Peer::troubles) {
            text.push_str(&format!("! {trouble}\n"));
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
