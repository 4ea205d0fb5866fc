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

use tokio::sync::mpsc;
use zonemesh_config::Config;
use zonemesh_tunnel::Tunnel;

use crate::act::plane::PeerTable;
use crate::facts::paths::PathBoard;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::supervisor::Supervisor;
use echo::Echo;
use watcher::Watcher;

/// Answers that wait for the watcher; more are lost.
const ANSWERS: usize = 256;

/// Starts to watch the paths to `peers`, and to answer their probes.
pub(crate) async fn start(
    config: &Arc<Config>,
    (tunnel, peers, board): (&Arc<Tunnel>, PeerTable, Arc<PathBoard>),
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    let (sender, answers) = mpsc::channel(ANSWERS);
    for address in &config.tunnel.addresses {
        let address = SocketAddr::new(*address, config.registry.port);
        let bound = Echo::bind(address, peers.clone(), sender.clone()).await;
        let echo = bound.or_exit(Exit::Network, || {
            format!("cannot bind UDP {address} for the probes of the tunnels (registry.port)")
        })?;
        supervisor.spawn("probe socket", async move {
            echo.run().await;
            Ok(())
        });
    }
    let (connection, netlink, _) = rtnetlink::new_connection()
        .or_exit(Exit::Network, || "cannot open a netlink socket".to_owned())?;
    supervisor.spawn("netlink", async move {
        connection.await;
        Ok(())
    });
    let watcher = Watcher::new(config.clone(), tunnel.clone(), peers, board, netlink);
    supervisor.spawn("paths", watcher.run(answers));
    Ok(())
}
