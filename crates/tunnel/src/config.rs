//! What a tunnel is told: its own settings, and the zones with their gateways.
//!
//! Plain values, made by the daemon from its configuration and the registry. Checked where they
//! are put to use ([`crate::StartError`], [`crate::PeersError`]); no text form lives here.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use zonemesh_core::key::{PresharedKey, WireGuardPrivateKey, WireGuardPublicKey};

/// The most lanes that a tunnel can have.
pub const MOST_LANES: u8 = 8;
/// The port of lane 1 is so far and one above the tunnel's port; the others follow. The ports between
/// belong to the gateway's other services.
pub const LANE_PORTS: u16 = 10;

/// Settings of the local end of a tunnel.
#[derive(Clone)]
pub struct TunnelConfig {
    /// Name of the TUN device, at most 15 bytes, such as `zm0`.
    pub interface: String,
    /// MTU of the TUN device in bytes, which the owner of the routes sets on it. Bounds the padding
    /// of packets and the segments of TCP connections until it is read from the device.
    pub mtu: u16,
    /// UDP port for IPv4 and IPv6; 0 lets the kernel choose one.
    pub listen_port: u16,
    /// A port that is somebody else's is waited for ([`crate::Tunnel::listen`]); otherwise the start is
    /// refused. Not with a port that the kernel chooses.
    pub waits_for_port: bool,
    /// How many cores may work for one peer, 1 to [`MOST_LANES`]: each lane has its own threads, key, port
    /// ([`LANE_PORTS`]) and queue of the TUN device. A host that cannot do so many gets fewer.
    pub lanes: u8,
    /// Busy threads run before all that are not real-time (`SCHED_RR`), if this process may have that.
    pub realtime: bool,
    /// Identifies this gateway to its peers; the keys of further lanes follow from it.
    pub private_key: WireGuardPrivateKey,
    /// Where packets may go that come in; others are dropped. Without it anywhere, as WireGuard has it.
    pub inner_destinations: Option<Vec<IpNet>>,
    /// Mark of outgoing datagrams (`SO_MARK`), for policy routing.
    pub fwmark: Option<u32>,
    /// A peer that leaves handshakes unanswered is tried from a fresh source port too, and spoken to
    /// from it once it answers there. Otherwise all leaves from the listen port, as of any WireGuard.
    pub fresh_ports: bool,
    /// The tunnel goes on when its TUN device is deleted, until the device is made anew
    /// ([`crate::Tunnel::renew_device`]). Otherwise it ends with the device, as WireGuard does.
    pub outlives_device: bool,
}

/// A zone: the owner of inner addresses, behind one gateway or several.
#[derive(Clone)]
pub struct TunnelZone {
    /// For logs and status; two zones of one name are two zones.
    pub name: String,
    /// Inner addresses: packets to them go to the zone's active gateway, packets from any of its
    /// gateways must come from them.
    pub allowed_ips: Vec<IpNet>,
    /// At least one. The first is the active one until another is made so
    /// ([`crate::Tunnel::set_active`]); whichever is stays so over a change of peers.
    pub gateways: Vec<TunnelPeer>,
}

/// A peer of the tunnel: a gateway of another zone, or any WireGuard endpoint.
#[derive(Clone)]
pub struct TunnelPeer {
    /// The peer's WireGuard key; it identifies the peer.
    pub public_key: WireGuardPublicKey,
    /// The key that the peer is changing to, if it is. Handshakes are begun with it at once; the
    /// other one is understood as long as it stands here.
    pub next_key: Option<WireGuardPublicKey>,
    /// The peer's further lanes, in order; as many are used as both ends have. Any other WireGuard
    /// has none.
    pub lanes: Vec<PeerLane>,
    /// Optional symmetric secret that is mixed into the handshake.
    pub preshared_key: Option<PresharedKey>,
    /// Where to reach the peer. Without one, the peer has to speak first.
    pub endpoint: Option<SocketAddr>,
    /// Persistent keepalive. With it, a session is sought at once, kept up, and after an outage
    /// sought again for ever; without, only when there is a packet for the peer.
    pub keepalive: Option<Duration>,
}

/// A further lane of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerLane {
    /// Handshakes on this lane are made with it; the peer is named by that of its first lane.
    pub public_key: WireGuardPublicKey,
    /// The key that it is changing to, if the peer is changing keys.
    pub next_key: Option<WireGuardPublicKey>,
    /// How far its port is above that of the peer's endpoint.
    pub port_offset: u16,
}

/// The endpoint that is so many ports above.
pub(crate) fn shifted(mut endpoint: SocketAddr, offset: u16) -> Option<SocketAddr> {
    endpoint.set_port(endpoint.port().checked_add(offset)?);
    Some(endpoint)
}
