//! The socket of `wg`: shows the tunnel as any WireGuard interface.

use std::sync::Arc;

use zonemesh_config::WgSockets;
use zonemesh_tunnel::{Tunnel, uapi};

/// Serves `wg` until it is dropped. A gateway without is as good for its zone: it goes on.
pub(crate) async fn run(tunnel: Arc<Tunnel>, sockets: WgSockets) -> anyhow::Result<()> {
    const INSTEAD: &str = "change zonemesh.toml and type `zonemesh reload` instead";
    let WgSockets::In(folder) = sockets else { return std::future::pending().await };
    let _attached = match uapi::attach(&tunnel, &folder, INSTEAD) {
        Ok(attached) => Some(attached),
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::info!(error, "`wg` cannot show this interface; everything else works");
            None
        }
    };
    std::future::pending().await
}
