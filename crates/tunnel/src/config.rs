//! What a tunnel is told: its own settings and its peers.
//!
//! Plain values, made by the daemon from its configuration and the registry. Checked where they
//! are put to use ([`crate::StartError`], [`crate::PeersError`]); no text form lives here.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use zonemesh_core::key::{PresharedKey, WireGuardPrivateKey, WireGuardPublicKey};

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
    /// This gateway's WireGuard key.
    pub private_key: WireGuardPrivateKey,
    /// Mark of outgoing datagrams (`SO_MARK`), for policy routing.
    pub fwmark: Option<u32>,
}

/// One peer: another gateway, or any WireGuard endpoint.
#[derive(Clone)]
pub struct Peer {
    /// The zone's name, for logs and status.
    pub name: String,
    /// The peer's WireGuard key; it identifies the peer.
    pub public_key: WireGuardPublicKey,
    /// The key that the peer is changing to, if it is. Handshakes are begun with it at once; the
    /// other one is understood as long as it stands here.
    pub next_key: Option<WireGuardPublicKey>,
    /// Optional symmetric secret that is mixed into the handshake.
    pub preshared_key: Option<PresharedKey>,
    /// Inner addresses: packets to them go to this peer, packets from it must come from them.
    pub allowed_ips: Vec<IpNet>,
    /// Where to reach the peer. Without one, the peer has to speak first.
    pub endpoint: Option<SocketAddr>,
    /// Persistent keepalive. With it, a session is sought at once, kept up, and after an outage
    /// sought again for ever; without, only when there is a packet for the peer.
    pub keepalive: Option<Duration>,
}
