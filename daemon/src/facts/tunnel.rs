//! The tunnel as it is, and all that this gateway asks of it.
//!
//! [`DataPlane`] is the seam: the real one is `zonemesh_tunnel::Tunnel`; tests have a small one in its
//! place. What is set through it is `act`'s and `administration`'s business.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use zonemesh_core::key::{WireGuardKeys, WireGuardPrivateKey, WireGuardPublicKey};
use zonemesh_core::record::Lane;
use zonemesh_tunnel::{
    MOST_LANES, PeerLane, PeerStatus, PeersError, ProbeError, StartError, Tunnel, TunnelEvent,
    TunnelStatus, TunnelZone, ZoneStatus,
};

/// A tunnel is up if its last handshake is younger: WireGuard's REJECT_AFTER_TIME.
pub(crate) const SESSION_LIFE: Duration = Duration::from_secs(180);

/// A tunnel in service; see `zonemesh_tunnel::Tunnel` for what each of these promises.
pub trait DataPlane: Send + Sync {
    /// The tunnel as it is now.
    fn status(&self) -> TunnelStatus;

    /// The zones with their gateways, as they are now.
    fn zones(&self) -> Vec<ZoneStatus>;

    /// One peer as it is now.
    fn peer_status(&self, key: &WireGuardPublicKey) -> Option<PeerStatus>;

    /// False once its device or socket is gone for good.
    fn is_running(&self) -> bool;

    /// The index of its interface.
    fn if_index(&self) -> u32;

    /// Its events, handed out once.
    fn events(&self) -> Option<Receiver<TunnelEvent>>;

    /// Puts exactly these zones into service, or none of them.
    fn set_zones(&self, zones: Vec<TunnelZone>) -> Result<(), PeersError>;

    /// What may be reached through it at this end.
    fn set_inner_destinations(&self, own: &[IpNet]);

    /// Sends to this endpoint from now on.
    fn set_endpoint(&self, peer: &WireGuardPublicKey, endpoint: SocketAddr) -> bool;

    /// Bounds packets towards a peer below what the interface's MTU leaves.
    fn set_peer_mtu(&self, peer: &WireGuardPublicKey, mtu: Option<u16>) -> bool;

    /// Sends a whole IP packet to a peer, uncut.
    fn probe(&self, peer: &WireGuardPublicKey, packet: &[u8]) -> Result<(), ProbeError>;

    /// Hands a whole IP packet to the kernel as if it had come through the tunnel.
    fn to_lan(&self, _packet: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The UDP datagrams for other zones that begin with this, which are not sent; handed out once.
    fn take_back(&self, _cookie: [u8; 16]) -> Option<Receiver<Vec<u8>>> {
        None
    }

    /// Answers to another key too from now on.
    fn begin_rotation(&self, next: &WireGuardPrivateKey) -> Result<(), PeersError>;

    /// Answers to the other key alone from now on.
    fn finish_rotation(&self) -> Result<(), PeersError>;

    /// Makes the interface anew when somebody has deleted it.
    fn renew_device(&self) -> Result<(), StartError>;

    /// Lets the interface stay when this tunnel ends.
    fn leave_device(&self) -> io::Result<()>;

    /// This gateway's WireGuard keys.
    fn keys(&self) -> WireGuardKeys {
        let status = self.status();
        WireGuardKeys { current: status.public_key, next: status.next_key }
    }

    /// This gateway's lanes beside the first, as its zone's record is to name them.
    fn lanes(&self) -> Vec<Lane> {
        let of = |lane: PeerLane| Lane {
            wireguard_key: lane.public_key,
            next_wireguard_key: lane.next_key,
            port_offset: lane.port_offset,
        };
        self.status().further_lanes.into_iter().map(of).collect()
    }

    /// Every key that this gateway has, on all its lanes.
    fn all_keys(&self) -> Vec<WireGuardPublicKey> {
        let lanes = self.lanes();
        let of_lanes = lanes
            .iter()
            .flat_map(|lane| std::iter::once(lane.wireguard_key).chain(lane.next_wireguard_key));
        self.keys().iter().chain(of_lanes).collect()
    }
}

impl DataPlane for Tunnel {
    fn status(&self) -> TunnelStatus {
        Tunnel::status(self)
    }

    fn zones(&self) -> Vec<ZoneStatus> {
        Tunnel::zones(self)
    }

    fn peer_status(&self, key: &WireGuardPublicKey) -> Option<PeerStatus> {
        Tunnel::peer_status(self, key)
    }

    fn is_running(&self) -> bool {
        Tunnel::is_running(self)
    }

    fn if_index(&self) -> u32 {
        Tunnel::if_index(self)
    }

    fn events(&self) -> Option<Receiver<TunnelEvent>> {
        Tunnel::events(self)
    }

    fn set_zones(&self, zones: Vec<TunnelZone>) -> Result<(), PeersError> {
        Tunnel::set_zones(self, zones)
    }

    fn set_inner_destinations(&self, own: &[IpNet]) {
        Tunnel::set_inner_destinations(self, own);
    }

    fn set_endpoint(&self, peer: &WireGuardPublicKey, endpoint: SocketAddr) -> bool {
        Tunnel::set_endpoint(self, peer, endpoint)
    }

    fn set_peer_mtu(&self, peer: &WireGuardPublicKey, mtu: Option<u16>) -> bool {
        Tunnel::set_peer_mtu(self, peer, mtu)
    }

    fn probe(&self, peer: &WireGuardPublicKey, packet: &[u8]) -> Result<(), ProbeError> {
        Tunnel::probe(self, peer, packet)
    }

    fn to_lan(&self, packet: &[u8]) -> io::Result<()> {
        Tunnel::to_lan(self, packet)
    }

    fn take_back(&self, cookie: [u8; 16]) -> Option<Receiver<Vec<u8>>> {
        Tunnel::take_back(self, cookie)
    }

    fn begin_rotation(&self, next: &WireGuardPrivateKey) -> Result<(), PeersError> {
        Tunnel::begin_rotation(self, next)
    }

    fn finish_rotation(&self) -> Result<(), PeersError> {
        Tunnel::finish_rotation(self)
    }

    fn renew_device(&self) -> Result<(), StartError> {
        Tunnel::renew_device(self)
    }

    fn leave_device(&self) -> io::Result<()> {
        Tunnel::leave_device(self)
    }
}

/// This gateway's WireGuard keys.
pub(crate) struct TunnelKeys {
    pub(crate) private: WireGuardPrivateKey,
    /// The one that it is changing to.
    pub(crate) next: Option<WireGuardPrivateKey>,
}

impl TunnelKeys {
    /// As others know them.
    pub(crate) fn public(&self) -> WireGuardKeys {
        let next = self.next.as_ref().map(WireGuardPrivateKey::public_key);
        WireGuardKeys { current: self.private.public_key(), next }
    }

    /// The keys by which this gateway is known, on all lanes that it may have.
    pub(crate) fn of_all_lanes(&self) -> Vec<WireGuardPublicKey> {
        let of = |key: &WireGuardPrivateKey| {
            let further: Vec<_> =
                (1..MOST_LANES).map(|lane| key.of_lane(lane).public_key()).collect();
            std::iter::once(key.public_key()).chain(further)
        };
        std::iter::once(&self.private).chain(&self.next).flat_map(of).collect()
    }
}

/// True if the peer has a session.
pub(crate) fn is_up(peer: &PeerStatus, now: SystemTime) -> bool {
    // A handshake "in the future" means that the clock went back, not that the tunnel is down.
    let age = peer.latest_handshake.map(|at| now.duration_since(at).unwrap_or_default());
    age.is_some_and(|age| age < SESSION_LIFE)
}
