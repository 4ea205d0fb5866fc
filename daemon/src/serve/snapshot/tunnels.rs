//! The tunnels at one moment: all, or those to one zone.

use std::collections::BTreeSet;
use std::sync::Arc;

use zonemesh_core::finding::{StandingFinding, Subject};
use zonemesh_core::path::PathState;
use zonemesh_tunnel::{PeerStatus, TunnelStatus};

use super::screen;
use crate::act::lookout::Sighting;
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
    /// What is known of each, in the order of the plans.
    known: Vec<KnownOfPeer>,
    /// Registry streams that are open now and carry what is said.
    pub(crate) open_streams: u32,
    /// About the zone that was asked for, as of the last look; none if all tunnels were.
    pub(crate) findings: Vec<StandingFinding>,
    /// Name and count of everything that happens to paths.
    pub(super) events: Vec<(&'static str, u64)>,
}

/// What the sources say of one peer.
struct KnownOfPeer {
    tunnel: Option<PeerStatus>,
    path: Option<PathView>,
    streams: StreamsState,
}

/// What is known of one peer.
pub(crate) struct PeerSnapshot<'a> {
    pub(crate) plan: &'a PeerPlan,
    /// Absent until the tunnel has taken the peer over.
    pub(crate) tunnel: Option<&'a PeerStatus>,
    /// Absent before the path is watched.
    pub(crate) path: Option<PathView>,
    pub(crate) streams: &'a StreamsState,
    pub(crate) state: PathState,
}

/// What findings about these gateways of a zone may be about.
fn subjects(plans: &[PeerPlan]) -> BTreeSet<Subject> {
    // A plain peer is its own only gateway.
    let peers = plans.iter().map(PeerPlan::subject);
    peers.chain(plans.iter().map(|plan| Subject::Gateway(plan.id.clone()))).collect()
}

impl TunnelsSnapshot {
    /// All tunnels.
    pub(crate) fn take(sources: &SnapshotSources) -> Self {
        Self::of_plans(sources, sources.peers.borrow().clone(), Vec::new())
    }

    /// The tunnels to about so many peers of a look, those that need one.
    pub(super) fn on_screen(sources: &SnapshotSources, look: &Sighting, at_most: usize) -> Self {
        if look.peers.len() <= at_most {
            return Self::of_plans(sources, look.peers.clone(), Vec::new());
        }
        let seen = look.peers.iter().zip(look.states.iter().copied());
        let plans = screen::shown(seen, at_most).into_iter().cloned().collect();
        Self::of_plans(sources, Arc::new(plans), Vec::new())
    }

    /// The tunnels to the gateways of `zone`.
    pub(crate) fn of_zone(sources: &SnapshotSources, zone: &str) -> Self {
        let all = sources.peers.borrow().clone();
        let plans: Vec<_> =
            all.iter().filter(|plan| plan.id.zone.as_str() == zone).cloned().collect();
        let findings = sources.findings.about(&subjects(&plans));
        Self::of_plans(sources, Arc::new(plans), findings)
    }

    /// Asks each source for these peers alone, one after the other in the order of the plans, so
    /// that nothing is looked up twice or copied to be looked up.
    fn of_plans(
        sources: &SnapshotSources,
        plans: Arc<Vec<PeerPlan>>,
        findings: Vec<StandingFinding>,
    ) -> Self {
        let ids = || plans.iter().map(|plan| &plan.id);
        let tunnels = plans.iter().map(|plan| sources.tunnel.peer_status(&plan.wireguard_key));
        let (paths, streams) = (sources.paths.of(ids()), sources.board.of(ids()));
        let of_peer = |((tunnel, path), streams)| KnownOfPeer { tunnel, path, streams };
        let known = tunnels.zip(paths).zip(streams).map(of_peer).collect();
        Self {
            tunnel: sources.tunnel.status(),
            known,
            open_streams: sources
                .board
                .open_where(|gateway| reach::carries_stream(sources.paths.path(gateway))),
            findings,
            events: sources.paths.counters(),
            plans,
        }
    }

    /// Of a gateway that has no peers yet.
    #[cfg(test)]
    pub(super) fn without_peers(tunnel: TunnelStatus) -> Self {
        Self {
            tunnel,
            plans: Arc::default(),
            known: Vec::new(),
            open_streams: 0,
            findings: Vec::new(),
            events: Vec::new(),
        }
    }

    /// One by one, in the order of their zones.
    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerSnapshot<'_>> {
        self.plans.iter().zip(&self.known).map(|(plan, known)| {
            let (tunnel, path) = (known.tunnel.as_ref(), known.path);
            let state = reach::state_of(path, tunnel);
            PeerSnapshot { plan, tunnel, path, streams: &known.streams, state }
        })
    }
}

impl PeerSnapshot<'_> {
    /// Handshake initiations sent since the last one that was answered.
    pub(crate) fn unanswered_initiations(&self) -> u64 {
        self.tunnel.map_or(0, |tunnel| tunnel.handshake_attempts_unanswered)
    }

    /// True if a registry stream is open to it, and its path is not down.
    pub(crate) fn has_stream(&self) -> bool {
        self.streams.open > 0 && reach::carries_stream(self.path)
    }

    /// The peer's clock minus this gateway's, in milliseconds, if it is known.
    pub(crate) fn clock_offset_ms(&self) -> Option<i64> {
        self.streams.clock_offset.map(|offset| offset.millis)
    }
}
