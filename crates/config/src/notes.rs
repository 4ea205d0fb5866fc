//! What is valid and rarely meant.
//!
//! Promises: a note is no mistake, and a gateway runs with it. Pure: what depends on the clock or on
//! files is told by who looks at them.

use crate::config::Config;
use crate::endpoint::Endpoint;

/// The largest inner packet that an underlay of 1500 bytes carries: IPv4 and UDP take 28 bytes,
/// WireGuard 32 (its paper, section 5.4.6).
const COMMON_MTU: u16 = 1440;

impl Config {
    /// What is valid and rarely meant, each with its key.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let own = self.gateway.endpoints.iter().enumerate();
        let own = own.map(|(at, endpoint)| (format!("gateway.endpoints[{at}]"), endpoint));
        let peers = self.peers.iter().enumerate().flat_map(|(index, peer)| {
            let place = move |at| format!("peer[{index}].endpoints[{at}]");
            peer.endpoints.iter().enumerate().map(move |(at, endpoint)| (place(at), endpoint))
        });
        let plain = self.wireguard_peers.iter().enumerate().filter_map(|(index, peer)| {
            Some((format!("wireguard_peer[{index}].endpoint"), peer.endpoint.as_ref()?))
        });
        for (key, endpoint) in
            own.chain(peers).chain(plain).filter(|(_, endpoint)| is_loopback(endpoint))
        {
            notes.push(format!("{key}: {endpoint} is the machine itself for whoever dials it"));
        }
        if let Some(mtu) = self.tunnel.mtu.filter(|mtu| *mtu > COMMON_MTU) {
            notes.push(format!(
                "tunnel.mtu: {mtu} bytes pass only where the underlay carries more than 1500; \
                 each path is probed and cut to what it carries"
            ));
        }
        notes
    }
}

fn is_loopback(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Address(address) => address.ip().to_canonical().is_loopback(),
        Endpoint::Name { host, .. } => host == "localhost",
    }
}
