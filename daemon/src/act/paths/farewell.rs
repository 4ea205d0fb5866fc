//! The goodbye of a gateway that is stopped: its peers need not find out by silence.
//!
//! Said when nothing here answers probes any more, while the tunnels still stand. Promises to take no
//! longer than a blink, whoever is out of reach. Refuses to know why the gateway stops: what crashes
//! or starts anew at once says nothing.

use std::sync::Arc;
use std::time::Duration;

use super::packet::{self, ProbePacket};
use super::{PathParts, ends};
use crate::act::PeersInService;
use crate::facts::in_force::ConfigInForce;
use crate::facts::tunnel::DataPlane;
use crate::plan::PeerPlan;

/// How often it is said, as each may be lost, ...
const COPIES: usize = 3;
/// ... with so much time between.
const BETWEEN: Duration = Duration::from_millis(50);

/// To whom it is said, and how.
pub(crate) struct Farewell {
    config: ConfigInForce,
    tunnel: Arc<dyn DataPlane>,
    peers: PeersInService,
}

impl Farewell {
    pub(super) fn new(parts: &PathParts) -> Self {
        let PathParts { config, tunnel, peers, .. } = parts;
        Self { config: config.clone(), tunnel: tunnel.clone(), peers: peers.clone() }
    }

    /// Says it to every peer that there is a session with.
    pub(crate) async fn say(&self) {
        let peers = self.peers.borrow().clone();
        for copy in 0..COPIES {
            if copy > 0 {
                tokio::time::sleep(BETWEEN).await;
            }
            for peer in peers.iter() {
                self.say_to(peer);
            }
        }
    }

    fn say_to(&self, peer: &PeerPlan) {
        let config = self.config.now();
        let ends = ends(&config.tunnel.addresses, &peer.tunnel_ips);
        let ports = (config.registry.port, peer.registry_port);
        let whole = |ends| packet::whole(ProbePacket::goodbye(), ends, ports, None);
        let Some(packet) = ends.and_then(whole) else { return };
        if let Err(error) = self.tunnel.probe(&peer.wireguard_key, &packet) {
            tracing::debug!(zone = %peer.id.zone, %error, "no goodbye");
        }
    }
}
