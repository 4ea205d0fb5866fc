//! One screen about a gateway, and whether anything needs a look: `zonemesh status`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    CompanionEntry, FindingView, PeerEntry, SuperLinkEntry, Timestamp, counters, known, readiness,
};
use crate::v1::{
    EtcdView, FederationSummary, PeerState, PeerView, RegistryView, StatusReply, TunnelView,
};

/// One screen.
#[derive(Debug, Serialize)]
pub struct StatusView {
    pub schema: &'static str,
    pub state: &'static str,
    pub zone: String,
    pub gateway: String,
    pub version: String,
    pub started_at: Timestamp,
    pub now: Timestamp,
    pub prefixes: Vec<String>,
    pub zone_key: String,
    pub local_api_pin: Option<String>,
    pub tunnel: TunnelSection,
    pub registry: RegistrySection,
    pub peers: Vec<PeerEntry>,
    pub superlinks: Vec<SuperLinkEntry>,
    pub federations: Vec<FederationEntry>,
    pub companions: Vec<CompanionEntry>,
    pub dropped: BTreeMap<String, u64>,
    pub refused: BTreeMap<String, u64>,
    pub findings: Vec<FindingView>,
    pub pending: Vec<String>,
    /// What was not asked for; programs ask for all.
    #[serde(skip)]
    pub left_out: LeftOut,
}

/// How much is not on the screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub peers: usize,
    /// Those of them that are up or degraded.
    pub peers_up: usize,
    pub findings: usize,
    pub companions: usize,
}

/// The tunnel interface.
#[derive(Debug, Serialize)]
pub struct TunnelSection {
    pub interface: String,
    pub mtu: u32,
    pub listen_port: u32,
    pub public_key: String,
    pub addresses: Vec<String>,
    pub offloads: BTreeMap<String, String>,
}

/// The registry in numbers.
#[derive(Debug, Serialize)]
pub struct RegistrySection {
    pub records: u32,
    pub missing: Vec<String>,
    /// How many there are; programs are told all of them.
    #[serde(skip)]
    pub missing_total: u32,
    pub bytes: u64,
    pub streams: u32,
    pub root_hash: String,
    pub accepted: BTreeMap<String, u64>,
    pub rejected: BTreeMap<String, u64>,
    pub clone_alarms: u64,
    pub etcd: Option<EtcdSection>,
}

/// The etcd cluster that the registry goes through as well.
#[derive(Debug, Serialize)]
pub struct EtcdSection {
    pub url: Option<String>,
    pub state: &'static str,
    pub since: Timestamp,
    pub error: Option<String>,
    pub refused: u64,
}

/// One federation.
#[derive(Debug, Serialize)]
pub struct FederationEntry {
    pub name: String,
    pub zone: Option<String>,
    pub readiness: &'static str,
    pub held_here: bool,
    pub conflict: bool,
}

impl From<StatusReply> for StatusView {
    fn from(reply: StatusReply) -> Self {
        let left_out = LeftOut::of(&reply);
        let tunnel = reply.tunnel.unwrap_or_default();
        let mut view = Self {
            schema: "zonemesh/status/v1",
            state: "ok",
            zone: reply.zone,
            gateway: reply.gateway,
            version: reply.version,
            started_at: reply.started_at_unix_ms.into(),
            now: reply.now_unix_ms.into(),
            prefixes: reply.prefixes,
            zone_key: reply.zone_key,
            local_api_pin: known(reply.local_api_pin),
            registry: reply.registry.unwrap_or_default().into(),
            peers: PeerEntry::all(reply.peers, &tunnel),
            tunnel: tunnel.into(),
            superlinks: reply.superlinks.into_iter().map(SuperLinkEntry::from).collect(),
            federations: reply.federations.into_iter().map(FederationEntry::from).collect(),
            companions: reply.companions.into_iter().map(CompanionEntry::from).collect(),
            dropped: counters(reply.dropped),
            refused: counters(reply.refused),
            findings: reply.findings.into_iter().map(FindingView::from).collect(),
            pending: reply.pending_zones,
            left_out,
        };
        if view.findings.iter().any(FindingView::is_alarming) {
            view.state = "degraded";
        }
        view
    }
}

impl LeftOut {
    fn of(reply: &StatusReply) -> Self {
        let less = |total: u32, shown: usize| {
            usize::try_from(total).map_or(0, |total| total.saturating_sub(shown))
        };
        let passes = |peer: &&PeerView| matches!(peer.state(), PeerState::Up | PeerState::Degraded);
        Self {
            peers: less(reply.peers_total, reply.peers.len()),
            peers_up: less(reply.peers_up, reply.peers.iter().filter(passes).count()),
            findings: less(reply.findings_total, reply.findings.len()),
            companions: less(reply.companions_total, reply.companions.len()),
        }
    }
}

impl StatusView {
    /// True if a finding needs a look.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.state != "ok"
    }
}

impl From<TunnelView> for TunnelSection {
    fn from(reply: TunnelView) -> Self {
        Self {
            interface: reply.interface,
            mtu: reply.mtu,
            listen_port: reply.listen_port,
            public_key: reply.public_key,
            addresses: reply.addresses,
            offloads: reply.offloads.into_iter().map(|one| (one.kind, one.state)).collect(),
        }
    }
}

impl From<RegistryView> for RegistrySection {
    fn from(reply: RegistryView) -> Self {
        Self {
            records: reply.records,
            missing: reply.missing,
            missing_total: reply.missing_total,
            bytes: reply.bytes,
            streams: reply.streams,
            root_hash: reply.root_hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            accepted: counters(reply.accepted),
            rejected: counters(reply.rejected),
            clone_alarms: reply.clone_alarms,
            etcd: reply.etcd.map(EtcdSection::from),
        }
    }
}

impl From<EtcdView> for EtcdSection {
    fn from(reply: EtcdView) -> Self {
        Self {
            url: known(reply.url),
            state: if reply.reached { "in_step" } else { "out_of_reach" },
            since: reply.since_unix_ms.into(),
            error: known(reply.error),
            refused: reply.refused,
        }
    }
}

impl From<FederationSummary> for FederationEntry {
    fn from(reply: FederationSummary) -> Self {
        Self {
            readiness: readiness(reply.readiness()),
            name: reply.name,
            zone: known(reply.zone),
            held_here: reply.held_here,
            conflict: reply.conflict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_on_the_screen_is_counted() {
        let peer = |state: PeerState| PeerView { state: state.into(), ..PeerView::default() };
        let reply = StatusReply {
            peers_total: 1000,
            peers_up: 990,
            peers: [PeerState::Down, PeerState::Degraded, PeerState::Up].map(peer).to_vec(),
            companions_total: 3,
            findings_total: 12,
            findings: vec![crate::v1::Finding::default(); 10],
            ..StatusReply::default()
        };
        let left_out = StatusView::from(reply).left_out;
        assert_eq!(left_out, LeftOut { peers: 997, peers_up: 988, findings: 2, companions: 3 });
    }
}
