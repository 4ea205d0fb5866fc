//! What a tunnel tells: its status, and events for the daemon.
//!
//! Snapshots by value, each made on its own tier: a zone of its gateways, a gateway of its lanes, a
//! lane of its links. Reading them never holds up a packet for longer than one link's lock.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use zonemesh_core::key::WireGuardPublicKey;

use crate::config::PeerLane;
use crate::offload::Offload;

/// A tunnel at one moment, without its peers: there may be a thousand.
#[derive(Debug, Clone)]
pub struct TunnelStatus {
    /// Name of the TUN device.
    pub interface: String,
    /// MTU of the TUN device in bytes, read from it every second.
    pub mtu: u16,
    /// The UDP port that is bound.
    pub listen_port: u16,
    /// Of this gateway's first lane; peers know the gateway by it.
    pub public_key: WireGuardPublicKey,
    /// The key that it is changing to, if it is.
    pub next_key: Option<WireGuardPublicKey>,
    /// This gateway's lanes from the second on, as peers are to be told of them.
    pub further_lanes: Vec<PeerLane>,
    /// Name and count of each reason for which packets were dropped (`Dropped`).
    pub dropped: Vec<(&'static str, u64)>,
    /// How far the clock is behind the latest time that this gateway has known, if it is: peers are
    /// likely to refuse handshakes that it begins until then.
    pub clock_behind: Option<Duration>,
    /// Each kind of bulk work and whether it is done: `tso`, `uso` and `merge` at the TUN device, `gso`
    /// and `gro` at the sockets.
    pub offloads: Vec<(&'static str, Offload)>,
    /// How often the TUN device refused a merged packet and got its parts instead.
    pub merging_refused: u64,
}

/// A zone at one moment.
#[derive(Debug, Clone)]
pub struct ZoneStatus {
    /// As it was told ([`crate::TunnelZone`]).
    pub name: String,
    /// Inner addresses that all its gateways may send from.
    pub allowed_ips: Vec<IpNet>,
    /// The key of the gateway that packets to these addresses are sent to.
    pub active: WireGuardPublicKey,
    /// At least one, in the order in which they were told.
    pub gateways: Vec<PeerStatus>,
}

/// A peer at one moment: a gateway of another zone, or any WireGuard endpoint.
#[derive(Debug, Clone)]
pub struct PeerStatus {
    /// Of the peer's first lane; identifies the peer.
    pub public_key: WireGuardPublicKey,
    /// Where datagrams to it go now: configured, or learnt from its last authentic datagram.
    pub endpoint: Option<SocketAddr>,
    /// The port of ours that they come from, if not the listen port.
    pub source_port: Option<u16>,
    /// When the last handshake was completed.
    pub latest_handshake: Option<SystemTime>,
    /// Authentic bytes received, as on the wire (UDP payload).
    pub rx_bytes: u64,
    /// Bytes sent, as on the wire (UDP payload).
    pub tx_bytes: u64,
    /// The errno with which the kernel has refused the last datagram to it; `None` if it took it.
    pub send_refused: Option<i32>,
    /// Handshake initiations sent since the last completed handshake.
    pub handshake_attempts_unanswered: u64,
    /// Handshake initiations of the peer that were answered since it has used a session.
    pub handshakes_unused: u64,
    /// True once the peer has completed a handshake with this gateway's next key.
    pub knows_next_key: bool,
    /// True while there is a session that was made with this gateway's present key.
    pub uses_current_key: bool,
    /// How often a send of many datagrams at once was refused and done one by one instead.
    pub segmentation_refused: u64,
    /// Datagrams to it go one by one now, as sending many at once was refused within a minute.
    pub segmentation_paused: bool,
    /// Its lanes, in order; what stands above is of the first, bytes are sums.
    pub lanes: Vec<LaneStatus>,
}

/// A lane to a peer at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// Where datagrams on it go now.
    pub endpoint: Option<SocketAddr>,
    /// When its last handshake was completed.
    pub latest_handshake: Option<SystemTime>,
    /// Authentic bytes received on it, as on the wire (UDP payload).
    pub rx_bytes: u64,
    /// Bytes sent on it, as on the wire (UDP payload).
    pub tx_bytes: u64,
    /// The errno with which the kernel has refused the last datagram on it.
    pub send_refused: Option<i32>,
    /// True if flows leave by it; those of a lane that is not answered leave by the first.
    pub is_usable: bool,
    /// Handshake initiations sent on it since the last completed one.
    pub handshake_attempts_unanswered: u64,
    /// Handshake initiations on it that were answered since the peer has used a session.
    pub handshakes_unused: u64,
    /// True once the peer has completed a handshake with this lane's next key.
    pub knows_next_key: bool,
    /// True while there is a session that was made with this lane's present key.
    pub uses_current_key: bool,
    /// How often a send of many datagrams at once was refused and done one by one instead.
    pub segmentation_refused: u64,
    /// Datagrams go one by one now, as sending many at once was refused within a minute.
    pub segmentation_paused: bool,
}

/// Something the daemon may want to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelEvent {
    /// A session with this peer is up: packets can flow both ways.
    HandshakeCompleted(WireGuardPublicKey),
}
