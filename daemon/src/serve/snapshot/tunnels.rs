//! The tunnels at one moment: all, or those to one zone.

use std::collections::BTreeMap;
use std::sync::Arc;

use zonemesh_core::finding::{StandingFinding, Subject};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::path::PathState;
use zonemesh_tunnel::{PeerStatus, TunnelStatus};

use crate::facts::paths::PathView;
use crate::facts::reach;
use crate::facts::streams::StreamsState;
use crate::plan::PeerPlan;
use crate::serve::sources::SnapshotSources;

/// The tunnel interface, and some or all of the peers with what is known of each.
pub(crate) struct TunnelsSnapshot {
    pub(crate) tunnel: TunnelStatus,
    /// In the order of their zones.
    plans: Arc<Vec<PeerPlan>>,
    statuses: BTreeMap<WireGuardPublicKey, PeerStatus>,
    paths: BTreeMap<GatewayId, PathView>,
    streams: BTreeMap<GatewayId, StreamsState>,
    /// About the zone that was asked for, as of the last look; none if all tunnels were.
    pub(crate) findings: Vec<StandingFinding>,
    /// Name and count of everything that happens to paths.
    pub(super) events: Vec<(&'static str, u64)>,
}

/// What is known of one peer.
pub(crate) struct PeerSnapshot<'a> {
    pub(crate) plan: &'a PeerPlan,
    /// Absent until the tunnel has taken the peer over.
    pub(crate) tunnel: Option<&'a PeerStatus>,
    /// Absent before the path is watched.
    pub(crate) path: Option<PathView>,
    pub(crate) stream: Option<&'a StreamsState>,
    pub(crate) state: PathState,
}

/// What findings about these gateways of a zone may be about.
fn subjects(plans: &[PeerPlan]) -> Vec<Subject> {
    let zone = plans.first().map(|plan| Subject::Zone(plan.id.zone.clone()));
    zone.into_iter().chain(plans.iter().map(|plan| Subject::Gateway(plan.id.clone()))).collect()
}

impl TunnelsSnapshot {
    /// All tunnels.
    pub(crate) fn take(sources: &SnapshotSources) -> Self {
        let (paths, events) = sources.paths.all();
        let zones = sources.tunnel.zones().into_iter();
        let statuses = zones.flat_map(|zone| zone.gateways).map(|peer| (peer.public_key, peer));
        Self {
            tunnel: sources.tunnel.status(),
            plans: sources.peers.borrow().clone(),
            statuses: statuses.collect(),
            paths,
            streams: sources.board.all(),
            findings: Vec::new(),
            events,
        }
    }

    /// The tunnels to the gateways of `zone`.
    pub(crate) fn of_zone(sources: &SnapshotSources, zone: &str) -> Self {
        let all = sources.peers.borrow().clone();
        let plans: Vec<_> =
            all.iter().filter(|plan| plan.id.zone.as_str() == zone).cloned().collect();
        let keys = || plans.iter().map(|plan| plan.wireguard_key);
        let status = |key| Some((key, sources.tunnel.peer_status(&key)?));
        let path = |plan: &PeerPlan| Some((plan.id.clone(), sources.paths.path(&plan.id)?));
        let stream = |plan: &PeerPlan| (plan.id.clone(), sources.board.entry(&plan.id));
        Self {
            tunnel: sources.tunnel.status(),
            statuses: keys().filter_map(status).collect(),
            paths: plans.iter().filter_map(path).collect(),
            streams: plans.iter().map(stream).collect(),
            events: sources.paths.counters(),
            findings: sources.findings.about(&subjects(&plans)),
            plans: Arc::new(plans),
        }
    }

    /// Of a gateway that has no peers yet.
    #[cfg(test)]
    pub(super) fn without_peers(tunnel: TunnelStatus) -> Self {
        Self {
            tunnel,
            plans: Arc::default(),
            statuses: BTreeMap::new(),
            paths: BTreeMap::new(),
            streams: BTreeMap::new(),
            findings: Vec::new(),
            events: Vec::new(),
        }
    }

    /// One by one, in the order of their zones.
    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerSnapshot<'_>> {
        self.plans.iter().map(|plan| {
            let tunnel = self.statuses.get(&plan.wireguard_key);
            let path = self.paths.get(&plan.id).copied();
            let state = reach::state_of(path, tunnel);
            PeerSnapshot { plan, tunnel, path, stream: self.streams.get(&plan.id), state }
        })
    }

    /// Registry streams that are open now.
    pub(crate) fn open_streams(&self) -> u32 {
        self.streams.values().map(|stream| stream.open).sum()
    }
}

impl PeerSnapshot<'_> {
    /// True if packets get through, if not all of them.
    pub(crate) fn passes(&self) -> bool {
        reach::passes(self.state)
    }

    /// Handshake initiations sent since the last one that was answered.
    pub(crate) fn unanswered_initiations(&self) -> u64 {
        self.tunnel.map_or(0, |tunnel| tunnel.handshake_attempts_unanswered)
    }

    /// The peer's clock minus this gateway's, in milliseconds, if it is known.
    pub(crate) fn clock_offset_ms(&self) -> Option<i64> {
        self.stream?.clock_offset.map(|offset| offset.millis)
    }
}
