//! Tunnels of a snapshot on the wire.

use std::time::{Duration, SystemTime};

use zonemesh_api::v1::TunnelView;
use zonemesh_api::v1::{LaneView, OffloadView, PeerState, PeerView, PeersReply, StreamState};
use zonemesh_config::Config;
use zonemesh_core::path::PathState;
use zonemesh_core::time::UnixMillis;
use zonemesh_tunnel::{LaneStatus, Offload, PeerStatus, TunnelStatus};

use super::{counters, findings};
use crate::serve::snapshot::{PeerSnapshot, TunnelsSnapshot};

pub(super) fn reply(tunnels: &TunnelsSnapshot, config: &Config) -> PeersReply {
    PeersReply {
        peers: views(tunnels),
        tunnel: Some(tunnel(&tunnels.tunnel, config)),
        dropped: counters(tunnels.dropped()),
        events: counters(tunnels.path_events()),
        findings: findings(&tunnels.findings),
        pairs: Vec::new(),
    }
}

/// One view for each peer, in the order of their zones.
pub(super) fn views(tunnels: &TunnelsSnapshot) -> Vec<PeerView> {
    tunnels.peers().map(|peer| view(&peer)).collect()
}

/// The interface that all of them share.
pub(super) fn tunnel(status: &TunnelStatus, config: &Config) -> TunnelView {
    TunnelView {
        interface: status.interface.clone(),
        mtu: u32::from(status.mtu),
        listen_port: u32::from(status.listen_port),
        public_key: status.public_key.to_string(),
        addresses: texts(&config.tunnel.addresses),
        offloads: status.offloads.iter().map(|(kind, state)| offload(kind, *state)).collect(),
        merge_refused: status.merging_refused,
    }
}

fn view(peer: &PeerSnapshot<'_>) -> PeerView {
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
        stream_error: stream_error(peer),
        reason: text(reason),
        since_unix_ms: moment(path.and_then(|path| path.since)),
        rtt_us: quality.and_then(|summary| summary.delay).map(micros),
        jitter_us: quality.and_then(|summary| summary.jitter).map(micros),
        loss_permille: quality.and_then(|summary| summary.loss.permille()),
        mtu: summary.map_or(0, |summary| u32::from(summary.mtu)),
        black_hole: summary.is_some_and(|summary| summary.black_hole),
        underlay_mtu: path.and_then(|path| path.underlay_mtu).map_or(0, u32::from),
        gso_refused: tunnel.map_or(0, |tunnel| tunnel.segmentation_refused),
        gso_paused: tunnel.is_some_and(|tunnel| tunnel.segmentation_paused),
        source_port: tunnel.and_then(|tunnel| tunnel.source_port).map(u32::from),
        lanes: lanes(tunnel),
    }
}

fn state(state: PathState) -> PeerState {
    match state {
        PathState::Up => PeerState::Up,
        PathState::Degraded => PeerState::Degraded,
        PathState::Down => PeerState::Down,
        PathState::Never => PeerState::Never,
        PathState::Stopped => PeerState::Stopped,
    }
}

fn stream(peer: &PeerSnapshot<'_>) -> StreamState {
    match peer.streams {
        _ if peer.has_stream() => StreamState::Up,
        _ if !peer.plan.is_neighbour => StreamState::None,
        streams if streams.is_refused() => StreamState::Refused,
        _ => StreamState::Connecting,
    }
}

/// Why there is none: one that is open still carries nothing where the tunnel is down.
fn stream_error(peer: &PeerSnapshot<'_>) -> String {
    match peer.streams.open {
        0 => peer.streams.error.clone(),
        _ if peer.has_stream() => String::new(),
        _ => "nothing passes the tunnel".to_owned(),
    }
}

/// None if the first is the only one: all of it stands at the peer.
fn lanes(peer: Option<&PeerStatus>) -> Vec<LaneView> {
    let lanes = peer.map_or(&[][..], |peer| &peer.lanes);
    if lanes.len() > 1 { lanes.iter().map(lane).collect() } else { Vec::new() }
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

fn offload(kind: &str, state: Offload) -> OffloadView {
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
