//! The registry streams that this gateway keeps to its neighbours.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::name::ZoneName;
use zonemesh_pki::{ZoneTrust, zone_client_config};

use super::Reconciler;
use crate::act::streams::{self, Neighbour, StreamContext};
use crate::facts::certificates::OwnLeaf;
use crate::plan::{MeshPlan, PeerPlan};

/// Wakes the dialler of the peer whose handshake completes.
#[derive(Clone, Default)]
pub(crate) struct StreamWakers(Arc<Mutex<BTreeMap<WireGuardPublicKey, Arc<Notify>>>>);

impl StreamWakers {
    pub(crate) fn wake(&self, key: &WireGuardPublicKey) {
        if let Some(dialler) = self.lock().get(key) {
            dialler.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WireGuardPublicKey, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dialler that runs, and what it was told.
struct Dialler {
    tunnel_ips: Vec<IpAddr>,
    port: u16,
    reachable: Arc<Notify>,
    task: AbortHandle,
}

/// The diallers that run.
pub(crate) struct NeighbourStreams {
    context: StreamContext,
    trust: ZoneTrust,
    leaf: Arc<OwnLeaf>,
    wakers: StreamWakers,
    running: BTreeMap<ZoneName, Dialler>,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// What is to be done about one neighbour.
pub(crate) enum StreamStep {
    Stop(ZoneName),
    Dial(PeerPlan),
}

impl NeighbourStreams {
    pub(crate) fn new(context: StreamContext, trust: ZoneTrust, leaf: Arc<OwnLeaf>) -> Self {
        let (wakers, running) = (StreamWakers::default(), BTreeMap::new());
        Self { context, trust, leaf, wakers, running, tasks: JoinSet::new() }
    }

    /// Wakes diallers.
    pub(crate) fn wakers(&self) -> StreamWakers {
        self.wakers.clone()
    }

    /// Waits until a dialler has failed; that one was stopped is none.
    pub(crate) async fn failed(&mut self) -> anyhow::Result<()> {
        loop {
            match self.tasks.join_next().await {
                Some(Err(error)) if error.is_cancelled() => {}
                Some(ended) => return ended?,
                None => return std::future::pending().await,
            }
        }
    }

    /// A stream outlives its peer's WireGuard key: who is woken by which key follows the plan.
    pub(crate) fn follow_keys(&self, plan: &MeshPlan) {
        let waker = |peer: &PeerPlan| {
            let dialler = self.running.get(&peer.id.zone)?;
            Some((peer.wireguard_key, dialler.reachable.clone()))
        };
        *self.wakers.lock() = plan.peers.iter().filter_map(waker).collect();
    }
}

impl Reconciler for NeighbourStreams {
    type Step = StreamStep;

    fn difference(&self, plan: &MeshPlan) -> Vec<StreamStep> {
        let wanted: BTreeMap<_, _> =
            plan.peers.iter().filter(|p| p.is_neighbour).map(|p| (&p.id.zone, p)).collect();
        let stays = |zone: &ZoneName, dialler: &Dialler| {
            wanted.get(zone).is_some_and(|peer| {
                peer.tunnel_ips == dialler.tunnel_ips && peer.registry_port == dialler.port
            })
        };
        let (stay, stop): (Vec<_>, Vec<_>) =
            self.running.iter().partition(|(zone, dialler)| stays(zone, dialler));
        let runs = |zone: &ZoneName| stay.iter().any(|(running, _)| *running == zone);
        let dial = wanted.into_iter().filter(|(zone, _)| !runs(zone));
        let stop = stop.into_iter().map(|(zone, _)| StreamStep::Stop(zone.clone()));
        stop.chain(dial.map(|(_, peer)| StreamStep::Dial(peer.clone()))).collect()
    }

    async fn apply(&mut self, step: StreamStep) -> anyhow::Result<()> {
        match step {
            StreamStep::Stop(zone) => {
                if let Some(dialler) = self.running.remove(&zone) {
                    dialler.task.abort();
                }
                self.context.board.forget(&zone);
            }
            StreamStep::Dial(PeerPlan { id, tunnel_ips, registry_port: port, .. }) => {
                let zone = id.zone;
                let tls = zone_client_config(&self.trust, self.leaf.current(), zone.as_str())?;
                let reachable = Arc::new(Notify::new());
                let neighbour = Neighbour {
                    zone: zone.clone(),
                    tunnel_ips: tunnel_ips.clone(),
                    port,
                    tls,
                    reachable: reachable.clone(),
                };
                let task = self.tasks.spawn(streams::dial(neighbour, self.context.clone()));
                self.running.insert(zone, Dialler { tunnel_ips, port, reachable, task });
            }
        }
        Ok(())
    }
}
