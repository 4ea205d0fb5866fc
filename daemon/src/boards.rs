//! Where the parts of a gateway tell how it goes, made at the start and given to all who need them.
//!
//! Each board is one: whoever writes and whoever reads hold the same. Decides nothing.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::signal::unix::Signal;

use crate::act::lookout::Lookout;
use crate::act::network::Network;
use crate::act::paths::Farewell;
use crate::act::start::{ActBoards, Acting};
use crate::act::streams::StreamContext;
use crate::administration::opened::OpenedState;
use crate::administration::reload::Reloading;
use crate::facts::companions::CompanionBoard;
use crate::facts::disk::aside::AsideFiles;
use crate::facts::disk::config_file::ConfigFile;
use crate::facts::etcd::EtcdBoard;
use crate::facts::in_force::ConfigInForce;
use crate::facts::keepalives::Keepalives;
use crate::facts::ledger::Ledger;
use crate::facts::pairs::PairBoard;
use crate::facts::paths::PathBoard;
use crate::facts::rate_limits::RefusedCalls;
use crate::facts::streams::StreamBoard;
use crate::facts::tunnel::DataPlane;
use crate::facts::wan::WanLinks;
use crate::serve::local_api::BehindGateway;
use crate::serve::sources::SnapshotSources;
use crate::serve::start::Served;

/// The configuration, for those who serve and look.
pub(crate) struct ServedConfig {
    pub(crate) config: ConfigInForce,
    pub(crate) file: Option<Arc<ConfigFile>>,
    pub(crate) hang_ups: Signal,
}

/// Where the parts of the gateway tell how it goes.
pub(crate) struct Boards {
    paths: Arc<PathBoard>,
    streams: Arc<StreamBoard>,
    keepalives: Arc<Keepalives>,
    pairs: Arc<PairBoard>,
    etcd: Arc<EtcdBoard>,
    wan: Arc<WanLinks>,
    refusals: Arc<RefusedCalls>,
    network: Arc<dyn Network>,
}

impl Boards {
    pub(crate) fn new(config: &ConfigInForce, network: Arc<dyn Network>) -> Self {
        let (paths, refusals) = (Arc::new(PathBoard::default()), Arc::default());
        Self {
            keepalives: Keepalives::new(config.clone(), paths.clone()),
            streams: Arc::new(StreamBoard::new(Arc::clone(&refusals))),
            pairs: Arc::default(),
            etcd: Arc::default(),
            wan: Arc::default(),
            paths,
            refusals,
            network,
        }
    }

    fn streams(&self, ledger: &Arc<Ledger>, tunnel: &Arc<dyn DataPlane>) -> StreamContext {
        StreamContext {
            ledger: ledger.clone(),
            board: self.streams.clone(),
            keepalives: self.keepalives.clone(),
            network: self.network.clone(),
            pairs: self.pairs.clone(),
            tunnel: tunnel.clone(),
        }
    }

    pub(crate) fn acting(&self, state: &OpenedState, tunnel: &Arc<dyn DataPlane>) -> ActBoards {
        ActBoards {
            paths: self.paths.clone(),
            streams: self.streams(&state.ledger, tunnel),
            etcd: self.etcd.clone(),
            wan: self.wan.clone(),
        }
    }

    pub(crate) fn served(
        self,
        of: ServedConfig,
        state: OpenedState,
        acting: Acting,
    ) -> (Served, Farewell) {
        let ServedConfig { config, file, hang_ups } = of;
        let said = state.ledger.draft().supernodes;
        let companions = Arc::new(CompanionBoard::new(said));
        let lookout = Lookout {
            config: config.clone(),
            file: file.clone(),
            tunnel: acting.tunnel.clone(),
            peers: acting.peers.clone(),
            ledger: state.ledger.clone(),
            streams: self.streams.clone(),
            etcd: self.etcd.clone(),
            paths: self.paths.clone(),
            keepalives: self.keepalives.clone(),
            refusals: self.refusals.clone(),
            companions: companions.clone(),
            refused_vms: Arc::default(),
            cas: state.cas.clone(),
            wan: self.wan.clone(),
            aside: AsideFiles::default(),
            silent: Mutex::default(),
            last: Mutex::default(),
        };
        let (administration, announcer) = (state.administration, state.announcer);
        let reloading =
            Reloading::new(config.clone(), file, administration.clone(), announcer.clone());
        let served = Served {
            hang_ups,
            reloading: Arc::new(reloading),
            streams: self.streams(&state.ledger, &acting.tunnel),
            administration,
            announcer,
            trust: acting.trust,
            behind: BehindGateway { barred: acting.barred, mtus: acting.mtus },
            sources: SnapshotSources {
                config,
                tunnel: acting.tunnel,
                peers: acting.peers,
                findings: state.ledger.findings(),
                lookout: Arc::new(lookout),
                ledger: state.ledger,
                board: self.streams,
                pairs: self.pairs,
                etcd: self.etcd,
                paths: self.paths,
                keepalives: self.keepalives,
                cas: state.cas,
                companions,
                leaf: state.leaf,
                refusals: self.refusals,
                started_at: SystemTime::now(),
            },
        };
        (served, acting.farewell)
    }
}
