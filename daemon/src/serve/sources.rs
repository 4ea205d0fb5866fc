//! Where a snapshot of this gateway is taken from, and what those need who show and certify it.

use std::sync::Arc;
use std::time::SystemTime;

use crate::act::PeersInService;
use crate::act::lookout::Lookout;
use crate::facts::certificates::{FederationCas, OwnLeaf};
use crate::facts::companions::CompanionBoard;
use crate::facts::etcd::EtcdBoard;
use crate::facts::findings::FindingBoard;
use crate::facts::in_force::ConfigInForce;
use crate::facts::keepalives::Keepalives;
use crate::facts::ledger::Ledger;
use crate::facts::pairs::PairBoard;
use crate::facts::paths::PathBoard;
use crate::facts::rate_limits::RefusedCalls;
use crate::facts::streams::StreamBoard;
use crate::facts::tunnel::DataPlane;

/// The parts of a running gateway that engineers look at.
#[derive(Clone)]
pub(crate) struct SnapshotSources {
    pub(crate) config: ConfigInForce,
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) peers: PeersInService,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) board: Arc<StreamBoard>,
    pub(crate) pairs: Arc<PairBoard>,
    pub(crate) etcd: Arc<EtcdBoard>,
    pub(crate) paths: Arc<PathBoard>,
    pub(crate) keepalives: Arc<Keepalives>,
    pub(crate) cas: Arc<FederationCas>,
    pub(crate) companions: Arc<CompanionBoard>,
    pub(crate) leaf: Arc<OwnLeaf>,
    pub(crate) refusals: Arc<RefusedCalls>,
    pub(crate) findings: Arc<FindingBoard>,
    pub(crate) lookout: Arc<Lookout>,
    pub(crate) started_at: SystemTime,
}
