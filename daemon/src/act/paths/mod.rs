//! The paths to the peers, under watch: small probes inside each tunnel, and what follows from them.
//!
//! `zonemesh_core::path` decides; here are the sockets, the clock, netlink and the log. Promises one
//! log event for each change, none of it in the way of packets, and that the set of peers may
//! change at any time. Refuses to know records and streams.

mod echo;
mod farewell;
mod packet;
mod watcher;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};

use crate::act::PeersInService;
use crate::act::network::Network;
use crate::facts::findings::FindingBoard;
use crate::facts::in_force::ConfigInForce;
use crate::facts::paths::PathBoard;
use crate::facts::tunnel::DataPlane;
use crate::plan::kernel::WantedMtus;
use crate::supervisor::Supervisor;
use echo::{ProbeHeard, ProbeSocket};
use watcher::PathWatcher;

pub(crate) use farewell::Farewell;

/// Probes that wait for the watcher; more are lost.
const HEARD: usize = 256;
/// Pause before an address that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What is watched, and where it is told.
pub(crate) struct PathParts {
    pub(crate) config: ConfigInForce,
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) network: Arc<dyn Network>,
    /// Where it is said how large packets may be.
    pub(crate) mtus: Arc<watch::Sender<Arc<WantedMtus>>>,
    pub(crate) peers: PeersInService,
    pub(crate) board: Arc<PathBoard>,
    pub(crate) findings: Arc<FindingBoard>,
}

/// Starts to watch the paths to `peers`, and to answer their probes. What is returned is said to them
/// when all that has ended.
pub(crate) fn start(watched: PathParts, supervisor: &mut Supervisor) -> Farewell {
    let farewell = Farewell::new(&watched);
    let (config, peers) = (watched.config.now(), &watched.peers);
    let (sender, heard) = mpsc::channel(HEARD);
    for address in &config.tunnel.addresses {
        let address = SocketAddr::new(watched.network.place(*address), config.registry.port);
        let (peers, sender) = (peers.clone(), sender.clone());
        let findings = watched.findings.clone();
        supervisor.spawn("probe socket", async move {
            bind_soon(address, &findings, peers, sender).await.run().await;
            Ok(())
        });
    }
    supervisor.spawn("paths", PathWatcher::new(watched).run(heard));
    farewell
}

/// The socket, however long that takes. That the address is not there is told of the registry, whose it
/// is too.
async fn bind_soon(
    address: SocketAddr,
    findings: &FindingBoard,
    peers: PeersInService,
    heard: mpsc::Sender<ProbeHeard>,
) -> ProbeSocket {
    let subject = Subject::Setting("registry.port".to_owned());
    loop {
        match ProbeSocket::bind(address, peers.clone(), heard.clone()).await {
            Ok(socket) => {
                findings.clear(Code::NotListening, &subject);
                return socket;
            }
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
            Err(error) => {
                let deaf = Finding::new(Code::NotListening, subject.clone())
                    .with(Evidence::Address(format!("UDP {address}")))
                    .with(Evidence::Reason(error.to_string()));
                findings.raise(deaf);
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Tunnel addresses of one family: ours and the peer's.
fn ends(own: &[IpAddr], peers: &[IpAddr]) -> Option<(IpAddr, IpAddr)> {
    let of_peer = |own: &IpAddr| peers.iter().find(|peer| peer.is_ipv4() == own.is_ipv4());
    own.iter().find_map(|own| Some((*own, *of_peer(own)?)))
}
