//! The data plane of a Zonemesh gateway: WireGuard tunnels to the other zones.
//!
//! Owns the TUN device, the UDP sockets, the peers with their sessions, and the threads that move
//! packets between them. Promises: nothing a datagram or a packet contains can end it, whatever it
//! drops is counted under a closed list of reasons ([`Dropped`]), and a peer with keepalive comes
//! back by itself after an outage of any length. Of zones it knows who may send for them and who is
//! sent to; refuses to know records, addresses, routes and any async runtime. Protocol: the WireGuard paper (<https://www.wireguard.com/papers/wireguard.pdf>).

mod allowed_ips;
mod checksum;
mod clamp;
mod clock;
mod config;
mod destinations;
mod dropped;
mod ecn;
mod edge;
mod engine;
mod error;
#[cfg(any(test, fuzzing))]
#[allow(clippy::missing_panics_doc)]
pub mod fuzzing;
mod linux;
mod merge;
mod offload;
mod pace;
mod packet;
mod peer;
mod schedule;
mod split;
mod status;
mod threads;
mod transport;
mod tunnel;
pub mod uapi;
mod vnet;
mod zones;

pub use clock::latest_kept;
pub use clock::raise::{ClockVerdict, raise_clock};
pub use config::{LANE_PORTS, MOST_LANES, PeerLane, TunnelConfig, TunnelPeer, TunnelZone};
pub use dropped::Dropped;
pub use engine::ProbeError;
pub use error::{PeersError, StartError};
pub use offload::Offload;
pub use status::{LaneStatus, PeerStatus, TunnelEvent, TunnelStatus, ZoneStatus};
pub use tunnel::Tunnel;
