//! Looks at what is known, again and again, and has findings raised and cleared.
//!
//! What is a finding stands in `plan::troubles`; here is where the sights come from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zonemesh_config::Config;
use zonemesh_core::finding::Subject;
use zonemesh_tunnel::Offload;

use crate::act::{PeersInService, network};
use crate::facts::certificates::FederationCas;
use crate::facts::etcd::EtcdBoard;
use crate::facts::keepalives::Keepalives;
use crate::facts::ledger::Ledger;
use crate::facts::paths::PathBoard;
use crate::facts::rate_limits::RefusedCalls;
use crate::facts::reach::state_of;
use crate::facts::streams::StreamBoard;
use crate::facts::tunnel::DataPlane;
use crate::plan::PeerPlan;
use crate::plan::troubles::{self, EtcdSight, MachineSight, PeerSight, StreamSight};

/// Time between two looks; who asks for the status looks as well.
const LOOK: Duration = Duration::from_secs(5);

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
}

/// Looks until it is dropped.
pub(crate) async fn run(lookout: Arc<Lookout>) -> anyhow::Result<()> {
    loop {
        lookout.look();
        tokio::time::sleep(LOOK).await;
    }
}

impl Lookout {
    /// Looks now.
    pub(crate) fn look(&self) {
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
        };
        let mut found = troubles::of_machine(&machine);
        found.extend(self.ledger.read(troubles::of_mesh));
        found.extend(self.keepalives.findings());
        found.extend(self.refusals.findings(Instant::now()));
        found.extend(self.cas.findings());
        let peers = self.peers.borrow().clone();
        let mut of_zone: BTreeMap<_, u32> = BTreeMap::new();
        for peer in peers.iter() {
            *of_zone.entry(&peer.id.zone).or_default() += 1;
        }
        for peer in peers.iter() {
            // A zone with one gateway is called by its name alone.
            let is_alone = of_zone.get(&peer.id.zone) == Some(&1);
            let subject = match is_alone {
                true => Subject::Zone(peer.id.zone.clone()),
                false => Subject::Gateway(peer.id.clone()),
            };
            found.extend(troubles::of_peer(&self.sight(peer, subject)));
        }
        self.ledger.findings().settle(troubles::CODES, found);
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
