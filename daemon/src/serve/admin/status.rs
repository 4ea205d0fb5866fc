//! A whole snapshot on the wire: one screen.

use zonemesh_api::v1::{EtcdView, RegistryView, StatusReply, TunnelView};

use super::peers::{self, offload, texts};
use super::{counters, findings};
use crate::facts::etcd::EtcdState;
use crate::serve::snapshot::{PeerSnapshot, Snapshot};

/// `pin` is what the zone's VMs pin of the local API; empty without one.
pub(super) fn reply(snapshot: Snapshot, pin: String) -> StatusReply {
    let config = &snapshot.config;
    let peers = peers::views(&snapshot.tunnels);
    StatusReply {
        zone: config.zone.name.to_string(),
        gateway: config.gateway.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_unix_ms: snapshot.started_at.0,
        now_unix_ms: snapshot.now.0,
        tunnel: Some(tunnel(&snapshot)),
        peers_total: count(peers.len()),
        peers_up: count(snapshot.tunnels.peers().filter(PeerSnapshot::passes).count()),
        registry: Some(registry(&snapshot)),
        prefixes: texts(&config.zone.prefixes),
        zone_key: snapshot.registry.zone_key.clone(),
        findings: findings(&snapshot.findings),
        refused: counters(snapshot.refused()),
        dropped: counters(snapshot.tunnels.dropped()),
        peers,
        local_api_pin: pin,
        federations: snapshot.registry.federations,
        superlinks: snapshot.registry.superlinks,
    }
}

fn tunnel(snapshot: &Snapshot) -> TunnelView {
    let status = &snapshot.tunnels.tunnel;
    TunnelView {
        interface: status.interface.clone(),
        mtu: u32::from(status.mtu),
        listen_port: u32::from(status.listen_port),
        public_key: status.public_key.to_string(),
        addresses: texts(&snapshot.config.tunnel.addresses),
        offloads: status.offloads.iter().map(|(kind, state)| offload(kind, *state)).collect(),
    }
}

fn registry(snapshot: &Snapshot) -> RegistryView {
    let registry = &snapshot.registry;
    RegistryView {
        records: count(registry.records),
        bytes: registry.bytes,
        streams: snapshot.tunnels.open_streams(),
        root_hash: registry.root_hash.to_vec(),
        accepted: counters(registry.accepted()),
        rejected: counters(registry.rejected()),
        clone_alarms: registry.counters.clone_alarms(),
        etcd: snapshot.etcd.clone().map(etcd),
        missing: texts(&registry.missing),
    }
}

fn etcd(state: EtcdState) -> EtcdView {
    EtcdView {
        url: state.url,
        reached: state.reached,
        since_unix_ms: state.since.0,
        error: state.error,
        refused: state.refused,
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
