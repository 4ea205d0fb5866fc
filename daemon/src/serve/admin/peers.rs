//! Tunnels of a snapshot on the wire.

use std::time::{Duration, SystemTime};

use zonemesh_api::v1::{
    Counter, LaneView, OffloadView, PeerState, PeerView, PeersReply, StreamState,
};
use zonemesh_api::wire::admin as wire;
use zonemesh_core::path::PathState;
use zonemesh_core::time::UnixMillis;
use zonemesh_tunnel::{LaneStatus, Offload, PeerStatus, TunnelStatus};

use super::{counters, findings};
use crate::serve::snapshot::{PeerSnapshot, TunnelsSnapshot};

pub(super) fn reply(tunnels: &TunnelsSnapshot) -> PeersReply {
    PeersReply {
        peers: views(tunnels),
        dropped: counters(tunnels.dropped()),
        events: counters(tunnels.path_events()),
        findings: findings(&tunnels.findings),
    }
}

/// One view for each peer, in the order of their zones.
pub(super) fn views(tunnels: &TunnelsSnapshot) -> Vec<PeerView> {
    tunnels.peers().map(|peer| view(&peer, &tunnels.tunnel)).collect()
}

fn view(peer: &PeerSnapshot<'_>, device: &TunnelStatus) -> PeerView {
    let PeerSnapshot { plan, tunnel, path, .. } = *peer;
    let summary = path.map(|path| path.summary);
    let quality = summary.filter(|summary| summary.answers);
    let reason = summary.and_then(|summary| summary.reason);
    PeerView {
        zone: plan.id.zone.to_string(),
        gateway: plan.id.gateway.clone(),
        state: state(peer.state).into(),
        endpoint: text(tunnel.and_then(|tunnel| tunnel.endpoint)),
        latest_handshake_unix_ms: moment(tunnel.and_then(|tunnel| tunnel.latest_handshake)),
        rx_bytes: tunnel.map_or(0, |tunnel| tunnel.rx_bytes),
        tx_bytes: tunnel.map_or(0, |tunnel| tunnel.tx_bytes),
        prefixes: texts(&plan.prefixes),
        tunnel_addresses: texts(&plan.tunnel_ips),
        unanswered_initiations: peer.unanswered_initiations(),
        stream: stream(peer).into(),
        clock_offset_ms: peer.clock_offset_ms(),
        public_key: plan.wireguard_key.to_string(),
        stream_error: text(peer.stream.filter(|one| one.open == 0).map(|one| &one.error)),
        reason: text(reason),
        since_unix_ms: moment(path.and_then(|path| path.since)),
        rtt_us: quality.and_then(|summary| summary.delay).map(micros),
        jitter_us: quality.and_then(|summary| summary.jitter).map(micros),
        loss_permille: quality.and_then(|summary| summary.loss.permille()),
        mtu: summary.map_or(0, |summary| u32::from(summary.mtu)),
        black_hole: summary.is_some_and(|summary| summary.black_hole),
        underlay_mtu: path.and_then(|path| path.underlay_mtu).map_or(0, u32::from),
        offloads: offloads(device, tunnel),
        fallbacks: fallbacks(device, tunnel),
        lanes: tunnel.iter().flat_map(|tunnel| &tunnel.lanes).map(lane).collect(),
    }
}

fn state(state: PathState) -> PeerState {
    match state {
        PathState::Up => PeerState::Up,
        PathState::Degraded => PeerState::Degraded,
        PathState::Down => PeerState::Down,
        PathState::Never => PeerState::Never,
    }
}

fn stream(peer: &PeerSnapshot<'_>) -> StreamState {
    match peer.stream {
        Some(stream) if stream.open > 0 => StreamState::Up,
        _ if !peer.plan.is_neighbour => StreamState::None,
        Some(stream) if stream.refused => StreamState::Refused,
        _ => StreamState::Connecting,
    }
}

fn lane(lane: &LaneStatus) -> LaneView {
    LaneView {
        endpoint: text(lane.endpoint),
        latest_handshake_unix_ms: moment(lane.latest_handshake),
        rx_bytes: lane.rx_bytes,
        tx_bytes: lane.tx_bytes,
        usable: lane.is_usable,
        unanswered_initiations: lane.handshake_attempts_unanswered,
    }
}

/// Bulk work as it is done for one peer.
fn offloads(device: &TunnelStatus, peer: Option<&PeerStatus>) -> Vec<OffloadView> {
    let is_paused = peer.is_some_and(|peer| peer.segmentation_paused);
    let of = |(kind, state): &(&'static str, Offload)| match (*kind, *state) {
        ("gso", Offload::InUse) if is_paused => offload("gso", Offload::Paused),
        (kind, state) => offload(kind, state),
    };
    device.offloads.iter().map(of).collect()
}

/// How often bulk work was refused: sends to this peer, writes of merged packets to the device.
fn fallbacks(device: &TunnelStatus, peer: Option<&PeerStatus>) -> Vec<Counter> {
    let refused = peer.map_or(0, |peer| peer.segmentation_refused);
    vec![
        wire::counter("gso_refused", refused),
        wire::counter("merge_refused", device.merging_refused),
    ]
}

pub(super) fn offload(kind: &str, state: Offload) -> OffloadView {
    OffloadView { kind: kind.to_owned(), state: state.as_str().to_owned() }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// 0 is never.
fn moment(at: Option<SystemTime>) -> u64 {
    at.map_or(0, |at| UnixMillis::from(at).0)
}

/// Nothing is an empty text.
fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

pub(super) fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
