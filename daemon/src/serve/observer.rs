//! What this gateway knows now, for those who ask: VMs of its zone and engineers.

use std::sync::Arc;
use std::time::SystemTime;

use zonemesh_config::Config;
use zonemesh_core::name::ZoneName;
use zonemesh_core::time::UnixMillis;

use crate::act::PeersInService;
use crate::act::lookout::Lookout;
use crate::facts::certificates::{FederationCas, OwnLeaf};
use crate::facts::etcd::EtcdBoard;
use crate::facts::findings::FindingBoard;
use crate::facts::keepalives::Keepalives;
use crate::facts::ledger::Ledger;
use crate::facts::paths::PathBoard;
use crate::facts::rate_limits::RefusedCalls;
use crate::facts::reach;
use crate::facts::streams::StreamBoard;
use crate::facts::tunnel::DataPlane;

/// The parts of a running gateway, to be looked at.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) config: Arc<Config>,
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) peers: PeersInService,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) board: Arc<StreamBoard>,
    /// There if the registry goes through etcd as well.
    pub(crate) etcd: Option<Arc<EtcdBoard>>,
    pub(crate) paths: Arc<PathBoard>,
    pub(crate) keepalives: Arc<Keepalives>,
    pub(crate) cas: Arc<FederationCas>,
    pub(crate) leaf: Arc<OwnLeaf>,
    pub(crate) refusals: Arc<RefusedCalls>,
    pub(crate) findings: Arc<FindingBoard>,
    pub(crate) lookout: Arc<Lookout>,
    pub(crate) started_at: SystemTime,
}

impl Observer {
    /// True if packets reach `zone` as far as this gateway can tell: the probes of its path say so. Of
    /// a tunnel that is not watched, or whose peer answers no probes, the handshake and the registry
    /// stream do.
    pub(crate) fn reaches(&self, zone: &ZoneName) -> bool {
        if *zone == self.config.zone.name {
            return true;
        }
        let peers = self.peers.borrow().clone();
        let mut of_zone = peers.iter().filter(|peer| peer.id.zone == *zone).peekable();
        let has_stream = || self.board.of_zone(zone).iter().any(|entry| entry.open > 0);
        if of_zone.peek().is_none() {
            return reach::is_reached(None, None, has_stream());
        }
        of_zone.any(|peer| {
            let path = self.paths.path(&peer.id);
            let tunnel = self.tunnel.peer_status(&peer.wireguard_key);
            reach::is_reached(path, tunnel.as_ref(), self.board.entry(&peer.id).open > 0)
        })
    }

    /// The clock of `zone`'s gateways, as far as one has told, minus this one's, in milliseconds.
    pub(crate) fn clock_offset(&self, zone: &ZoneName) -> Option<i64> {
        match *zone == self.config.zone.name {
            true => Some(0),
            false => {
                let entries = self.board.of_zone(zone);
                entries.iter().find_map(|entry| entry.clock_offset).map(|offset| offset.millis)
            }
        }
    }

    /// This gateway's clock.
    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis::from(SystemTime::now())
    }
}
