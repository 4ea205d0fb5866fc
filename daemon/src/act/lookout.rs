//! Looks at what is known, again and again, and has findings raised and cleared.
//!
//! What is a finding stands in `plan::troubles`; here is where the sights come from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zonemesh_config::Config;
use zonemesh_core::finding::{Code, Finding, Subject};
use zonemesh_core::name::ZoneName;
use zonemesh_core::path::PathState;
use zonemesh_tunnel::Offload;

use crate::act::{PeersInService, network};
use crate::facts::certificates::FederationCas;
use crate::facts::disk::state_folder::{self, FolderState};
use crate::facts::etcd::EtcdBoard;
use crate::facts::keepalives::Keepalives;
use crate::facts::ledger::Ledger;
use crate::facts::paths::PathBoard;
use crate::facts::rate_limits::RefusedCalls;
use crate::facts::reach::state_of;
use crate::facts::streams::StreamBoard;
use crate::facts::tunnel::DataPlane;
use crate::plan::PeerPlan;
use crate::plan::troubles::{self, EtcdSight, FolderSight, MachineSight, PeerSight, StreamSight};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// How old a look may be for a screen, so that it does not pay for going through all peers.
const FRESH: Duration = Duration::from_millis(1500);

/// How long a member that has just been granted has to say where it is.
const SILENT: Duration = Duration::from_secs(10);

/// Where it looks, and where it tells.
pub(crate) struct Lookout {
    pub(crate) config: Arc<Config>,
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) peers: PeersInService,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) streams: Arc<StreamBoard>,
    pub(crate) etcd: Option<Arc<EtcdBoard>>,
    pub(crate) paths: Arc<PathBoard>,
    pub(crate) keepalives: Arc<Keepalives>,
    pub(crate) refusals: Arc<RefusedCalls>,
    pub(crate) cas: Arc<FederationCas>,
    /// Members of which nothing is known, and since when.
    pub(crate) silent: Mutex<BTreeMap<ZoneName, Instant>>,
    /// The last one.
    pub(crate) last: Mutex<Option<Arc<Sighting>>>,
}

/// What a look has seen beside what it has found.
pub(crate) struct Sighting {
    at: Instant,
    pub(crate) peers: Arc<Vec<PeerPlan>>,
    /// Of each peer, in their order.
    pub(crate) states: Vec<PathState>,
}

/// Looks until it is dropped.
pub(crate) async fn run(lookout: Arc<Lookout>) -> anyhow::Result<()> {
    loop {
        lookout.look();
        tokio::time::sleep(LOOK).await;
    }
}

impl Lookout {
    /// Looks now for who shows all peers, so that what is found fits what is shown. For a screen that
    /// shows `at_most` of more, the last look will do, unless it is too old or of other peers.
    pub(crate) fn refresh(&self, at_most: usize) -> Arc<Sighting> {
        let is_good = |look: &Arc<Sighting>| {
            look.peers.len() > at_most
                && look.at.elapsed() < FRESH
                && Arc::ptr_eq(&look.peers, &self.peers.borrow())
        };
        let last = self.last().clone().filter(is_good);
        last.unwrap_or_else(|| self.look())
    }

    fn last(&self) -> MutexGuard<'_, Option<Arc<Sighting>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks now.
    fn look(&self) -> Arc<Sighting> {
        let at = Instant::now();
        let status = self.tunnel.status();
        let etcd = self.etcd.as_ref().map(|board| board.state());
        let etcd_lost = etcd.filter(|etcd| !etcd.reached);
        let missing = status.offloads.iter().filter(|(_, state)| *state != Offload::InUse);
        let missing = missing.map(|(kind, state)| format!("{kind} {}", state.as_str()));
        let machine = MachineSight {
            clock_behind: status.clock_behind,
            not_forwarded: network::switched_off(&self.config.zone.prefixes),
            bulk_work_missing: missing.collect(),
            etcd_lost: etcd_lost.map(|etcd| EtcdSight { url: etcd.url, error: etcd.error }),
            state_folder: self.state_folder(),
        };
        let mut found = troubles::of_machine(&machine);
        found.extend(self.ledger.read(|registry| troubles::of_mesh(registry, &self.config)));
        found.extend(self.keepalives.findings());
        found.extend(self.refusals.findings(Instant::now()));
        found.extend(self.cas.findings());
        let peers = self.peers.borrow().clone();
        let mut states = Vec::with_capacity(peers.len());
        for zone in peers.chunk_by(|a, b| a.id.zone == b.id.zone) {
            for peer in zone {
                // A zone with one gateway is called by its name alone.
                let subject = match zone {
                    [_] => Subject::Zone(peer.id.zone.clone()),
                    _ => Subject::Gateway(peer.id.clone()),
                };
                let sight = self.sight(peer, subject);
                states.push(sight.state);
                found.extend(troubles::of_peer(&sight));
            }
        }
        found.extend(self.silent(&peers, at));
        self.ledger.findings().settle(troubles::CODES, found);
        let look = Arc::new(Sighting { at, peers, states });
        *self.last() = Some(look.clone());
        look
    }

    fn state_folder(&self) -> FolderSight {
        let folder = &self.config.gateway.state_dir;
        let FolderState { unwritable, open_to } = state_folder::look(folder);
        FolderSight { path: folder.display().to_string(), unwritable, open_to }
    }

    /// Members without a tunnel, as nothing has come of them for a while.
    fn silent(&self, peers: &[PeerPlan], now: Instant) -> Vec<Finding> {
        let mut silent = self.ledger.read(troubles::silent_members);
        silent.retain(|zone| peers.iter().all(|peer| peer.id.zone != *zone));
        let mut since = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|zone, _| silent.contains(zone));
        let about = |zone| Finding::new(Code::NoEndpoint, Subject::Zone(zone));
        let long = silent.into_iter().filter(|zone| {
            let since = *since.entry(zone.clone()).or_insert(now);
            now.duration_since(since) > SILENT
        });
        long.map(about).collect()
    }

    fn sight(&self, peer: &PeerPlan, subject: Subject) -> PeerSight {
        let tunnel = self.tunnel.peer_status(&peer.wireguard_key);
        let tunnel = tunnel.as_ref();
        let path = self.paths.path(&peer.id);
        let entry = self.streams.entry(&peer.id);
        let lanes = tunnel.iter().flat_map(|tunnel| tunnel.lanes.iter().skip(1));
        PeerSight {
            subject,
            rests: !peer.keeps_alive,
            state: state_of(path, tunnel),
            reason: path.and_then(|path| path.summary.reason),
            endpoint: tunnel.and_then(|tunnel| tunnel.endpoint),
            unanswered: tunnel.map_or(0, |tunnel| tunnel.handshake_attempts_unanswered),
            mtu: path.map_or(0, |path| path.summary.mtu),
            black_hole: path.is_some_and(|path| path.summary.black_hole),
            underlay_mtu: path.and_then(|path| path.underlay_mtu),
            stream: StreamSight {
                is_wanted: peer.is_neighbour,
                is_open: entry.open > 0,
                is_refused: entry.refused,
                error: entry.error,
            },
            clock_offset_ms: entry.clock_offset.map(|offset| offset.millis),
            lanes: lanes.map(|lane| lane.handshake_attempts_unanswered).collect(),
        }
    }
}
