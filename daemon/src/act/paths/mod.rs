//! The paths to the peers, under watch: small probes inside each tunnel, and what follows from them.
//!
//! `zonemesh_core::path` decides; here are the sockets, the clock, netlink and the log. Promises one
//! log event for each change, none of it in the way of packets, and that the set of peers may
//! change at any time. Refuses to know records and streams.

mod echo;
mod packet;
mod watcher;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use zonemesh_config::Config;

use crate::act::PeersInService;
use crate::act::network::Network;
use crate::facts::findings::FindingBoard;
use crate::facts::paths::PathBoard;
use crate::facts::tunnel::DataPlane;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::plan::kernel::WantedMtus;
use crate::supervisor::Supervisor;
use echo::ProbeSocket;
use watcher::PathWatcher;

/// Answers that wait for the watcher; more are lost.
const ANSWERS: usize = 256;

/// What is watched, and where it is told.
pub(crate) struct PathParts {
    pub(crate) config: Arc<Config>,
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) network: Arc<dyn Network>,
    /// Where it is said how large packets may be.
    pub(crate) mtus: Arc<watch::Sender<Arc<WantedMtus>>>,
    pub(crate) peers: PeersInService,
    pub(crate) board: Arc<PathBoard>,
    pub(crate) findings: Arc<FindingBoard>,
}

/// Starts to watch the paths to `peers`, and to answer their probes.
pub(crate) async fn start(watched: PathParts, supervisor: &mut Supervisor) -> Result<(), Failure> {
    let (config, peers) = (&watched.config, &watched.peers);
    let (sender, answers) = mpsc::channel(ANSWERS);
    for address in &config.tunnel.addresses {
        let address = SocketAddr::new(watched.network.place(*address), config.registry.port);
        let bound = ProbeSocket::bind(address, peers.clone(), sender.clone()).await;
        let echo = bound.or_exit(Exit::Network, || {
            format!("cannot bind UDP {address} for the probes of the tunnels (registry.port)")
        })?;
        supervisor.spawn("probe socket", async move {
            echo.run().await;
            Ok(())
        });
    }
    supervisor.spawn("paths", PathWatcher::new(watched).run(answers));
    Ok(())
}
