//! A whole snapshot on the wire: one screen.

use std::time::Instant;

use zonemesh_api::v1::{
    CompanionFinding, CompanionView, EtcdView, HeldCaCertificate, RegistryView, StatusReply,
};
use zonemesh_core::name::ZoneName;

use super::peers::{self, texts};
use super::{counters, findings};
use crate::facts::etcd::EtcdState;
use crate::serve::snapshot::{ShownCompanion, Snapshot};

/// All but the health, which is older than the snapshot. `waiting` are the zones that wait for approval.
pub(super) fn reply(snapshot: Snapshot, waiting: &[ZoneName]) -> StatusReply {
    let config = &snapshot.config;
    let pin = snapshot.registry.vm_pin.as_ref().filter(|_| config.local_api.is_some());
    StatusReply {
        zone: config.zone.name.to_string(),
        gateway: config.gateway.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_unix_ms: snapshot.started_at.0,
        now_unix_ms: snapshot.now.0,
        tunnel: Some(peers::tunnel(&snapshot.tunnels.tunnel, config)),
        peers_total: count(snapshot.peers_total),
        peers_up: count(snapshot.peers_up),
        peers: peers::views(&snapshot.tunnels),
        registry: Some(registry(&snapshot)),
        prefixes: texts(&config.zone.prefixes),
        zone_key: snapshot.registry.zone_key.clone(),
        findings: findings(&snapshot.findings),
        findings_total: count(snapshot.findings_total),
        pending_zones: texts(waiting),
        refused: counters(snapshot.refused()),
        dropped: counters(snapshot.tunnels.dropped()),
        local_api_pin: pin.map(ToString::to_string).unwrap_or_default(),
        companions: snapshot.companions.shown.iter().map(companion).collect(),
        companions_total: count(snapshot.companions.total),
        federations: snapshot.registry.federations,
        superlinks: snapshot.registry.superlinks,
        health: None,
    }
}

fn registry(snapshot: &Snapshot) -> RegistryView {
    let registry = &snapshot.registry;
    RegistryView {
        records: count(registry.records),
        bytes: registry.bytes,
        streams: snapshot.tunnels.open_streams,
        root_hash: registry.root_hash.to_vec(),
        accepted: counters(registry.accepted()),
        rejected: counters(registry.rejected()),
        clone_alarms: registry.counters.clone_alarms(),
        etcd: snapshot.etcd.clone().map(etcd),
        missing: texts(&registry.missing),
        missing_total: count(registry.missing_total),
    }
}

fn companion(shown: &ShownCompanion) -> CompanionView {
    let ShownCompanion { id, known } = shown;
    let view = CompanionView {
        vm: id.vm.to_string(),
        role: id.role.as_str().to_owned(),
        federation: id.federation.to_string(),
        connected: known.is_heard(Instant::now()),
        since_unix_ms: known.since.0,
        release: known.release.clone(),
        ..CompanionView::default()
    };
    let Some(report) = &known.report else { return view };
    CompanionView {
        reported_at_unix_ms: known.reported_at.0,
        state: report.state.as_str().to_owned(),
        activity: report.activity.map(|activity| activity.as_str().to_owned()).unwrap_or_default(),
        flower_version: report.flower_version.clone(),
        findings: report.findings.iter().map(CompanionFinding::from).collect(),
        node_id: report.node_id.unwrap_or_default(),
        public_key: report.public_key.clone(),
        cas: report.cas.iter().map(HeldCaCertificate::from).collect(),
        ..view
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
