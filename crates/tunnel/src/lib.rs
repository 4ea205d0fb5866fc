//! The data plane of a Zonemesh gateway: WireGuard tunnels to the other zones.
//!
//! Owns the TUN device, the UDP sockets, the peers with their sessions, and the threads that move
//! packets between them. This first part holds the values of its interface; `Tunnel` itself, with
//! `start(TunnelConfig, Vec<Peer>) -> Result<Tunnel, StartError>`,
//! `set_peers(&self, Vec<Peer>) -> Result<(), PeersError>`,
//! `set_endpoint(&self, &WireGuardPublicKey, SocketAddr) -> bool`, `status(&self) -> TunnelStatus`,
//! `events(&self) -> Option<Receiver<Event>>`, `if_index(&self) -> u32` and `stop(self)`, follows.

mod config;
mod error;
mod status;

pub use config::{Peer, TunnelConfig};
pub use error::{PeersError, StartError};
pub use status::{Event, PeerStatus, TunnelStatus};
