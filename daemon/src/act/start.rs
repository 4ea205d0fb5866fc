//! Starts everything that acts on a tunnel which is up.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::sync::watch;
use zonemesh_pki::ZoneTrust;
use zonemesh_tunnel::TunnelEvent;

use super::paths::{Farewell, PathParts};
use super::reconcile::{
    InnerNetworks, NeighbourStreams, PlanFacts, Reconcilers, StreamWakers, ToldPeers, TrustedZones,
    TunnelPeers, inner_networks,
};
use super::streams::StreamContext;
use super::tunnel::StartedTunnel;
use super::{PeersInService, etcd, paths, resolver};
use crate::administration::opened::OpenedState;
use crate::facts::certificates::OwnLeaf;
use crate::facts::disk::barred::BarredNetworks;
use crate::facts::etcd::EtcdBoard;
use crate::facts::in_force::ConfigInForce;
use crate::facts::paths::PathBoard;
use crate::facts::tunnel::DataPlane;
use crate::facts::wan::WanLinks;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::plan::kernel::WantedMtus;
use crate::supervisor::Supervisor;

/// What acting is told to.
pub(crate) struct ActBoards {
    pub(crate) paths: Arc<PathBoard>,
    pub(crate) streams: StreamContext,
    pub(crate) etcd: Arc<EtcdBoard>,
    pub(crate) wan: Arc<WanLinks>,
}

/// What serving needs of those who act.
pub(crate) struct Acting {
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) peers: PeersInService,
    pub(crate) trust: ZoneTrust,
    pub(crate) farewell: Farewell,
    /// What is barred in the clear.
    pub(crate) barred: watch::Receiver<Arc<BarredNetworks>>,
    /// How large packets into the tunnel may be.
    pub(crate) mtus: watch::Receiver<Arc<WantedMtus>>,
}

/// Starts the reconcilers, the watch over the paths, and what renews and resolves.
pub(crate) async fn start(
    config: &ConfigInForce,
    state: &OpenedState,
    started: StartedTunnel,
    boards: ActBoards,
    supervisor: &mut Supervisor,
) -> Result<Acting, Failure> {
    let StartedTunnel { tunnel, network, kernel, mtus, plan, left_out, kept } = started;
    let trust = ZoneTrust::new(&plan.trusted)
        .or_exit(Exit::Configuration, || "cannot set up TLS between the gateways".to_owned())?;
    let in_service = watch::Sender::new(Arc::new(plan.peers.clone()));
    let peers = in_service.subscribe();
    let inner = inner_networks(&config.now());
    let (barred, seen_mtus) = (kernel.barred(), mtus.subscribe());
    let findings = state.ledger.findings();
    let looked_up =
        resolver::run(peers.clone(), tunnel.clone(), boards.paths.clone(), findings.clone());
    supervisor.spawn("endpoints", looked_up);
    let watched = PathParts {
        config: config.clone(),
        tunnel: tunnel.clone(),
        network: network.clone(),
        mtus,
        peers: peers.clone(),
        board: boards.paths,
        findings,
    };
    let farewell = paths::start(watched, supervisor);
    let streams = NeighbourStreams::new(boards.streams, trust.clone(), state.leaf.clone());
    watch_tunnel(&tunnel, streams.wakers(), supervisor);
    let reconcilers = Reconcilers {
        trust: TrustedZones { trust: trust.clone(), set: plan.trusted },
        kernel,
        peers: TunnelPeers {
            tunnel: tunnel.clone(),
            config: config.clone(),
            set: ToldPeers::of(plan.peers, config),
        },
        inner: InnerNetworks { tunnel: tunnel.clone(), config: config.clone(), set: inner },
        streams,
        in_service,
    };
    let facts = PlanFacts {
        config: config.clone(),
        ledger: state.ledger.clone(),
        hints: state.administration.hints(),
        tunnel: tunnel.clone(),
        left_out,
        kept,
        network,
        wan: boards.wan,
    };
    supervisor.spawn("mesh", reconcilers.run(facts));
    supervisor.spawn("etcd", etcd::run(config.changes(), state.ledger.clone(), boards.etcd));
    supervisor.spawn("registry", state.ledger.clone().run());
    supervisor.spawn("certificate renewal", renew(state.leaf.clone()));
    Ok(Acting { tunnel, peers, trust, farewell, barred, mtus: seen_mtus })
}

async fn renew(leaf: Arc<OwnLeaf>) -> anyhow::Result<()> {
    leaf.keep_fresh().await
}

/// Wakes the dialler of each peer whose handshake completes; ends if the data plane does.
fn watch_tunnel(tunnel: &Arc<dyn DataPlane>, wakers: StreamWakers, supervisor: &mut Supervisor) {
    if let Some(events) = tunnel.events() {
        let stop = supervisor.stop_token();
        supervisor.spawn("tunnel events", async move {
            let forward = move || {
                while !stop.is_cancelled() && forward_event(&events, &wakers) {}
            };
            Ok(tokio::task::spawn_blocking(forward).await?)
        });
    }
    let tunnel = tunnel.clone();
    supervisor.spawn("data plane", async move {
        while tunnel.is_running() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        anyhow::bail!("the tunnel device or socket is gone")
    });
}

/// False when no event can come any more.
fn forward_event(events: &Receiver<TunnelEvent>, wakers: &StreamWakers) -> bool {
    match events.recv_timeout(Duration::from_millis(250)) {
        Ok(TunnelEvent::HandshakeCompleted(key)) => {
            wakers.wake(&key);
            true
        }
        Ok(_) | Err(RecvTimeoutError::Timeout) => true,
        Err(RecvTimeoutError::Disconnected) => false,
    }
}
