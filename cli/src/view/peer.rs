//! `zonemesh show ZONE`: one tunnel, everything that is known of it.

use serde::Serialize;
use zonemesh_api::v1::{PeersReply, StatusReply};

use super::findings::FindingView;
use super::peers::Peer;
use super::{Moment, counted};
use crate::output::{Page, Rendered};
use crate::quantity::{ago, bytes, delay, offset, percent};
use crate::table::plain;

/// One tunnel.
#[derive(Debug, Serialize)]
pub(crate) struct PeerView {
    schema: &'static str,
    peer: Peer,
    findings: Vec<FindingView>,
}

impl PeerView {
    /// The tunnel to `zone`, if it is among them, and what the gateway finds about that zone.
    pub(crate) fn find(peers: PeersReply, status: StatusReply, zone: &str) -> Option<Self> {
        let found = peers.peers.into_iter().find(|peer| peer.zone == zone)?;
        let findings = status.findings.into_iter().map(FindingView::from);
        Some(Self {
            schema: "zonemesh/peer/v1",
            peer: found.into(),
            findings: findings.filter(|finding| finding.is_about_zone(zone)).collect(),
        })
    }

    /// True if no line with `!` is shown.
    pub(crate) fn is_well(&self) -> bool {
        !self.findings.iter().any(FindingView::is_alarming)
    }
}

/// What the kernel does in bulk for this peer, and what it has refused so far.
fn bulk_work(peer: &Peer) -> String {
    let states: Vec<_> =
        peer.offloads.iter().map(|(kind, state)| format!("{kind} {state}")).collect();
    let fallbacks = counted(&peer.fallbacks);
    match (states.is_empty(), fallbacks.is_empty()) {
        (true, _) => "unknown".to_owned(),
        (false, true) => states.join(", "),
        (false, false) => format!("{}; fell back: {fallbacks}", states.join(", ")),
    }
}

impl Rendered for PeerView {
    fn text(&self, page: Page) -> String {
        let peer = &self.peer;
        let reason = peer.reason.as_deref().unwrap_or("nothing was heard of it yet");
        let quality = match (peer.rtt_ms, peer.jitter_ms, peer.loss_percent) {
            (Some(rtt), jitter, Some(loss)) => format!(
                "RTT {}, jitter {}, loss {}",
                delay(rtt),
                jitter.map_or_else(|| "-".to_owned(), delay),
                percent(loss)
            ),
            _ => "unknown: the peer does not answer probes, its handshakes tell".to_owned(),
        };
        let mtu = match (peer.mtu, peer.black_hole, peer.underlay_mtu) {
            (Some(mtu), true, Some(below)) => {
                format!("nothing above {mtu} bytes passes, though the underlay has {below}")
            }
            (Some(mtu), true, None) => format!("nothing above {mtu} bytes passes"),
            (Some(mtu), false, Some(below)) => format!("{mtu} bytes (underlay {below})"),
            (Some(mtu), false, None) => format!("{mtu} bytes"),
            (None, ..) => "unknown".to_owned(),
        };
        let clock = peer.clock_offset_ms.map_or_else(|| "unknown".to_owned(), offset);
        let lines = [
            ("zone", peer.zone.clone()),
            ("state", format!("{} ({reason}, {})", peer.state, ago(peer.since.0, page.now))),
            ("via", peer.endpoint.clone().unwrap_or_else(|| "no known endpoint".to_owned())),
            ("quality", quality),
            ("mtu", mtu),
            ("handshake", ago(peer.latest_handshake.0, page.now)),
            (
                "traffic",
                format!("{} received, {} sent", bytes(peer.rx_bytes), bytes(peer.tx_bytes)),
            ),
            ("stream", peer.stream.to_owned()),
            ("clock", clock),
            ("tunnel", peer.tunnel_addresses.join(", ")),
            ("prefixes", peer.prefixes.join(", ")),
            ("key", peer.public_key.clone()),
            ("bulk work", bulk_work(peer)),
        ];
        let line = |(name, value): (&str, String)| format!("{name:<10} {}\n", plain(&value));
        let mut text: String = lines.into_iter().map(line).collect();
        let now = Moment(page.now);
        text.extend(self.findings.iter().map(|finding| finding.text(now)));
        text
    }
}
