//! `zonemesh peers`: the tunnels to the other zones, one by one.

use zonemesh_api::view::{PeerEntry, PeersView};

use super::counted;
use crate::output::{Page, Rendered};
use crate::quantity::{ago, bytes, delay, offset, percent};
use crate::table::Table;

/// The lines about all `peers`.
pub(super) fn table(peers: &[PeerEntry], page: Page) -> String {
    let is_shown = |column: &&PeerColumn| column.only.is_none_or(|only| only.is_of(page));
    let columns = || COLUMNS.iter().filter(is_shown);
    let mut table = Table::new(&columns().map(|column| column.header).collect::<Vec<_>>());
    for peer in peers {
        table.row(columns().map(|column| (column.cell)(peer, page)));
    }
    table.text(page.header)
}

/// In which tables a column is.
#[derive(Debug, Clone, Copy)]
enum Only {
    /// Those that fit a terminal of 80 columns.
    Narrow,
    /// Those with all that is known.
    Wide,
}

impl Only {
    fn is_of(self, page: Page) -> bool {
        matches!(self, Self::Wide) == page.wide
    }
}

/// A column of the table.
struct PeerColumn {
    header: &'static str,
    /// `None` if every table has it.
    only: Option<Only>,
    cell: fn(&PeerEntry, Page) -> String,
}

impl PeerColumn {
    const fn new(header: &'static str, cell: fn(&PeerEntry, Page) -> String) -> Self {
        Self { header, only: None, cell }
    }

    const fn only(self, only: Only) -> Self {
        Self { only: Some(only), ..self }
    }
}

const COLUMNS: [PeerColumn; 16] = [
    PeerColumn::new("ZONE", |peer, _| peer.zone.clone()).only(Only::Wide),
    PeerColumn::new("GATEWAY", |peer, _| peer.gateway.clone()).only(Only::Wide),
    PeerColumn::new("ZONE", |peer, _| peer.label.clone()).only(Only::Narrow),
    PeerColumn::new("STATE", |peer, _| peer.state.to_owned()),
    PeerColumn::new("VIA", |peer, _| peer.endpoint.clone().unwrap_or_default()),
    PeerColumn::new("RTT", |peer, _| peer.rtt_ms.map(delay).unwrap_or_default()),
    PeerColumn::new("LOSS", |peer, _| peer.loss_percent.map(percent).unwrap_or_default()),
    PeerColumn::new("JITTER", |peer, _| peer.jitter_ms.map(delay).unwrap_or_default())
        .only(Only::Wide),
    PeerColumn::new("MTU", |peer, _| peer.mtu.map(|mtu| mtu.to_string()).unwrap_or_default()),
    PeerColumn::new("HANDSHAKE", |peer, page| ago(peer.latest_handshake.0, page.now)),
    PeerColumn::new("RX", |peer, _| bytes(peer.rx_bytes)).only(Only::Wide),
    PeerColumn::new("TX", |peer, _| bytes(peer.tx_bytes)).only(Only::Wide),
    PeerColumn::new("STREAM", |peer, _| peer.stream.to_owned()),
    PeerColumn::new("CLOCK", |peer, _| peer.clock_offset_ms.map(offset).unwrap_or_default())
        .only(Only::Wide),
    PeerColumn::new("TUNNEL", |peer, _| peer.tunnel_addresses.join(", ")).only(Only::Wide),
    PeerColumn::new("PREFIXES", |peer, _| peer.prefixes.join(", ")).only(Only::Wide),
];

impl Rendered for PeersView {
    fn text(&self, page: Page) -> String {
        let mut text = table(&self.peers, page);
        let events = counted(&self.events);
        if page.header && !events.is_empty() {
            text.push_str(&format!("events: {events}\n"));
        }
        let dropped = counted(&self.dropped);
        if page.header && !dropped.is_empty() {
            text.push_str(&format!("dropped packets: {dropped}\n"));
        }
        if self.peers.is_empty() && page.header {
            text.push_str(
                "no peers: no zone has joined yet (zonemesh zone list), or [[peer]] is missing\n",
            );
        }
        text
    }
}
