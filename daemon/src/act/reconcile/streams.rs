//! The registry streams that this gateway keeps to its neighbours.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_pki::{ZoneTrust, zone_client_config};

use super::Reconciler;
use crate::act::streams::{self, LAST_WORD, Neighbour, ON_ITS_WAY, StreamContext};
use crate::facts::certificates::OwnLeaf;
use crate::plan::{MeshPlan, PeerPlan};

/// How often it is looked whether streams have ended.
const LOOK: Duration = Duration::from_millis(10);

/// Wakes the dialler of the peer whose handshake completes.
#[derive(Clone, Default)]
pub(crate) struct StreamWakers(Arc<Mutex<Waking>>);

#[derive(Default)]
struct Waking {
    diallers: BTreeMap<GatewayId, Arc<Notify>>,
    /// Handshakes are told by key, and a stream outlives its peer's WireGuard key.
    keys: BTreeMap<WireGuardPublicKey, GatewayId>,
}

impl StreamWakers {
    pub(crate) fn wake(&self, key: &WireGuardPublicKey) {
        let waking = self.lock();
        if let Some(dialler) = waking.keys.get(key).and_then(|id| waking.diallers.get(id)) {
            dialler.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waking> {
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
    running: BTreeMap<GatewayId, Dialler>,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// What is to be done about one neighbour.
pub(crate) enum StreamStep {
    Stop(GatewayId),
    /// The record of a gateway has told its name.
    Rename {
        from: GatewayId,
        to: GatewayId,
    },
    Dial(PeerPlan),
}

impl NeighbourStreams {
    pub(crate) fn new(context: StreamContext, trust: ZoneTrust, leaf: Arc<OwnLeaf>) -> Self {
        let (wakers, running) = (StreamWakers::default(), BTreeMap::new());
        Self { context, trust, leaf, wakers, running, tasks: JoinSet::new() }
    }

    #[cfg(test)]
    pub(super) fn board(&self) -> &crate::facts::streams::StreamBoard {
        &self.context.board
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

    /// Waits until the streams to zones that `plan` does not trust have ended: their last word says why,
    /// and goes through the tunnel that is taken down next. A zone that was granted other tunnel
    /// addresses hears of it through those that it had.
    pub(crate) async fn last_words(&self, plan: &MeshPlan) {
        let trusted: BTreeSet<&str> = plan.trusted.iter().map(|(zone, _)| zone.as_str()).collect();
        let is_left = || {
            let mut open = self.context.board.open_to().into_iter();
            open.any(|zone| !trusted.contains(zone.as_str()))
        };
        let ending = async {
            while is_left() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ended_or_time = tokio::time::timeout(LAST_WORD, ending).await;
        let is_moved = plan.peers.iter().any(|peer| {
            let dialler = self.running.get(&peer.id);
            dialler.is_some_and(|d| d.tunnel_ips.iter().any(|ip| !peer.tunnel_ips.contains(ip)))
        });
        if is_moved {
            tokio::time::sleep(ON_ITS_WAY).await;
        }
    }

    /// Who is woken by which key, and who calls from which address, follows the plan.
    pub(crate) fn follow_names(&self, plan: &MeshPlan) {
        let diallers = self.running.iter();
        *self.wakers.lock() = Waking {
            diallers: diallers
                .map(|(id, dialler)| (id.clone(), dialler.reachable.clone()))
                .collect(),
            keys: plan.peers.iter().map(|peer| (peer.wireguard_key, peer.id.clone())).collect(),
        };
        let addresses = plan
            .peers
            .iter()
            .flat_map(|peer| peer.tunnel_ips.iter().map(|ip| (*ip, peer.id.clone())));
        self.context.board.set_addresses(addresses.collect());
    }
}

impl Reconciler for NeighbourStreams {
    type Step = StreamStep;

    fn difference(&self, plan: &MeshPlan) -> Vec<StreamStep> {
        let wanted: BTreeMap<_, _> =
            plan.peers.iter().filter(|p| p.is_neighbour).map(|p| (&p.id, p)).collect();
        let is_as_wanted = |dialler: &Dialler, peer: &PeerPlan| {
            peer.tunnel_ips == dialler.tunnel_ips && peer.registry_port == dialler.port
        };
        let mut steps = Vec::new();
        let mut served = BTreeSet::new();
        for (id, dialler) in &self.running {
            let stays = wanted.get(id).is_some_and(|peer| is_as_wanted(dialler, peer));
            let is_renamed = |peer: &&&PeerPlan| {
                peer.id.zone == id.zone
                    && !self.running.contains_key(&peer.id)
                    && is_as_wanted(dialler, peer)
            };
            let renamed = wanted.values().find(is_renamed).filter(|_| !wanted.contains_key(id));
            if stays {
                served.insert(id);
            } else if let Some(peer) = renamed {
                served.insert(&peer.id);
                steps.push(StreamStep::Rename { from: id.clone(), to: peer.id.clone() });
            } else {
                steps.push(StreamStep::Stop(id.clone()));
            }
        }
        let dial = wanted.into_iter().filter(|(id, _)| !served.contains(id));
        steps.extend(dial.map(|(_, peer)| StreamStep::Dial(peer.clone())));
        steps
    }

    async fn apply(&mut self, step: StreamStep) -> anyhow::Result<()> {
        match step {
            StreamStep::Stop(id) => {
                if let Some(dialler) = self.running.remove(&id) {
                    dialler.task.abort();
                }
                self.context.board.forget(&id);
            }
            StreamStep::Rename { from, to } => {
                self.context.board.rename(&from, &to);
                if let Some(dialler) = self.running.remove(&from) {
                    self.running.insert(to, dialler);
                }
            }
            StreamStep::Dial(PeerPlan { id, tunnel_ips, registry_port: port, .. }) => {
                let tls = zone_client_config(&self.trust, self.leaf.current(), id.zone.as_str())?;
                let reachable = Arc::new(Notify::new());
                let neighbour = Neighbour {
                    id: id.clone(),
                    tunnel_ips: tunnel_ips.clone(),
                    port,
                    tls,
                    reachable: reachable.clone(),
                };
                let task = self.tasks.spawn(streams::dial(neighbour, self.context.clone()));
                self.running.insert(id, Dialler { tunnel_ips, port, reachable, task });
            }
        }
        Ok(())
    }
}
