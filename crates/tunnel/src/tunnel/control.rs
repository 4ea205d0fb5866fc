//! What a running tunnel is told: zones, keys, where a peer is, what passes to it.
//!
//! None of it stops a packet. A peer is named by its key on the first lane, present or next.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use ipnet::IpNet;
use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey};

use super::Tunnel;
use crate::config::TunnelZone;
use crate::destinations::InnerDestinations;
use crate::engine::{COOKIE_LENGTH, ProbeError};
use crate::error::PeersError;
use crate::peer::ClockReading;

impl Tunnel {
    /// Puts exactly these zones into service. Gateways that were there keep their sessions, and the
    /// endpoints they roamed to unless another one is configured now: then, and with a new preshared
    /// key, a handshake begins at once.
    ///
    /// # Errors
    /// [`PeersError`]; the zones that were there stay.
    pub fn set_zones(&self, zones: Vec<TunnelZone>) -> Result<(), PeersError> {
        self.engine.set_zones(zones)?;
        self.engine.call_those_set_anew();
        Ok(())
    }

    /// Sends to this gateway what is for its zone from now on; packets are taken from all of the zone's
    /// gateways before and after. Nothing is built anew. False if there is no such gateway.
    pub fn set_active(&self, gateway: &WireGuardPublicKey) -> bool {
        self.engine.set_active(gateway)
    }

    /// Answers to `next` too from now on. Each peer is spoken to with it as soon as the peer has used
    /// it; sessions and packets are not touched ([`crate::PeerStatus::knows_next_key`]).
    ///
    /// # Errors
    /// [`PeersError`] if it is a peer's key; everything stays as it was.
    pub fn begin_rotation(&self, next: &WireGuardPrivateKey) -> Result<(), PeersError> {
        self.engine.begin_rotation(next)
    }

    /// Answers to the next key alone from now on. Sessions that were made with the old one end.
    ///
    /// # Errors
    /// [`PeersError`]; everything stays as it was.
    pub fn finish_rotation(&self) -> Result<(), PeersError> {
        self.engine.finish_rotation()
    }

    /// Sends to `endpoint` from now on, beginning with a handshake at once. False if there is no such
    /// peer.
    pub fn set_endpoint(&self, peer: &WireGuardPublicKey, endpoint: SocketAddr) -> bool {
        let zones = self.engine.zones.load();
        let known = zones.by_key(peer);
        if let Some(known) = known {
            known.set_endpoint(endpoint);
        }
        known.is_some()
    }

    /// Lets packets in to these addresses and to no other from now on
    /// ([`crate::TunnelConfig::inner_destinations`]).
    pub fn set_inner_destinations(&self, own: &[IpNet]) {
        self.engine.destinations.store(Arc::new(InnerDestinations::new(Some(own))));
    }

    /// Sends `packet`, a whole IP packet, to `peer` in one datagram that nobody on the way may cut
    /// into fragments, whatever MTU the device has.
    ///
    /// # Errors
    /// [`ProbeError`]; nothing waits for a session.
    pub fn probe(&self, peer: &WireGuardPublicKey, packet: &[u8]) -> Result<(), ProbeError> {
        self.engine.probe(peer, packet, ClockReading::now())
    }

    /// Hands `packet`, a whole IP packet, to the kernel as if it had come through this tunnel.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn to_lan(&self, packet: &[u8]) -> io::Result<()> {
        self.engine.to_lan(packet)
    }

    /// Hands out, from now on, the UDP datagrams for other zones whose payload begins with `cookie`,
    /// and sends none of them; once. What is not fetched in time is let go.
    pub fn take_back(&self, cookie: [u8; COOKIE_LENGTH]) -> Option<Receiver<Vec<u8>>> {
        self.engine.take_back(cookie)
    }

    /// Bounds TCP segments and padding towards `peer` below what the device's MTU leaves; `None`
    /// takes the bound away. Longer packets are the routes' to refuse. False if there is no such
    /// peer.
    pub fn set_peer_mtu(&self, peer: &WireGuardPublicKey, mtu: Option<u16>) -> bool {
        let zones = self.engine.zones.load();
        let known = zones.by_key(peer);
        if let Some(known) = known {
            known.set_mtu(mtu);
        }
        known.is_some()
    }
}
