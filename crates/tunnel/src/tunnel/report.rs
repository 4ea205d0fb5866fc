//! What a running tunnel tells of itself and its peers.
//!
//! Each is asked for by itself, since there may be a thousand peers: the tunnel, all zones, one peer,
//! and the peers in the words of WireGuard, which has no zones.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ipnet::IpNet;
use zeroize::Zeroizing;
use zonemesh_core::key::WireGuardPublicKey;

use super::Tunnel;
use crate::config::{PeerLane, TunnelPeer};
use crate::edge::{OwnPort, UdpEdge as _};
use crate::offload::Offload;
use crate::peer::{OwnIdentities, RemoteGateway, RemoteZone};
use crate::status::{PeerStatus, TunnelStatus, ZoneStatus};
use crate::zones::RemoteZones;

/// A peer in the words of WireGuard, where an allowed IP belongs to one peer: to the active gateway of
/// its zone. The others of the zone show none, though packets are taken from them.
pub(crate) struct UapiPeer {
    pub(crate) settings: TunnelPeer,
    pub(crate) allowed_ips: Vec<IpNet>,
    pub(crate) status: PeerStatus,
}

impl UapiPeer {
    /// Those of all zones, ordered by key; `identities` says which own keys there are.
    pub(crate) fn all(zones: &RemoteZones, identities: &OwnIdentities, now: Instant) -> Vec<Self> {
        let mut peers = Vec::new();
        for zone in zones.iter() {
            for gateway in zone.gateways() {
                let routed = if zone.is_active(gateway) { zone.allowed_ips() } else { &[] };
                peers.push(Self {
                    settings: gateway.settings().clone(),
                    allowed_ips: routed.to_vec(),
                    status: gateway.status(identities, now),
                });
            }
        }
        peers.sort_by_key(|peer| peer.status.public_key);
        peers
    }
}

impl Tunnel {
    /// The tunnel as it is now, without its peers ([`Self::zones`], [`Self::peer_status`]).
    #[must_use]
    pub fn status(&self) -> TunnelStatus {
        let identities = self.engine.identities.load();
        TunnelStatus {
            interface: self.interface.clone(),
            mtu: self.engine.mtu() as u16,
            listen_port: self.listen_port(),
            public_key: identities.current.key,
            next_key: identities.next.as_ref().map(|next| next.key),
            further_lanes: self.further_lanes(&identities),
            dropped: self.engine.dropped.snapshot(),
            clock_behind: identities.current.clock.behind(SystemTime::now()),
            offloads: self.offloads(),
            merging_refused: self.engine.merging.refusals(),
        }
    }

    /// The other zones with their gateways as they are now, in the order in which they were told.
    #[must_use]
    pub fn zones(&self) -> Vec<ZoneStatus> {
        let identities = self.engine.identities.load();
        let now = Instant::now();
        let of = |zone: &Arc<RemoteZone>| {
            let mut status = zone.status(&identities, now);
            for (gateway, status) in zone.gateways().iter().zip(&mut status.gateways) {
                status.source_port = self.source_port(gateway);
            }
            status
        };
        self.engine.zones.load().iter().map(of).collect()
    }

    /// One peer as it is now; costs the same however many there are.
    #[must_use]
    pub fn peer_status(&self, peer: &WireGuardPublicKey) -> Option<PeerStatus> {
        let identities = self.engine.identities.load();
        let zones = self.engine.zones.load();
        let gateway = zones.by_key(peer)?;
        let status = gateway.status(&identities, Instant::now());
        Some(PeerStatus { source_port: self.source_port(gateway), ..status })
    }

    fn source_port(&self, gateway: &RemoteGateway) -> Option<u16> {
        let path = gateway.first().lock().path()?;
        match path.from {
            OwnPort::Listen => None,
            OwnPort::Fresh => self.udps[0].fresh_port(path.socket().family),
        }
    }

    fn further_lanes(&self, identities: &OwnIdentities) -> Vec<PeerLane> {
        let mut lanes = Vec::new();
        for (own, udp) in identities.each_lane().zip(&self.udps).skip(1) {
            lanes.push(PeerLane {
                public_key: own.current.key,
                next_key: own.next.as_ref().map(|next| next.key),
                port_offset: udp.port() - self.listen_port(),
            });
        }
        lanes
    }

    fn offloads(&self) -> Vec<(&'static str, Offload)> {
        let mut all = [&self.tuns[0].offloads()[..], &self.udps[0].offloads()].concat();
        let merge =
            all.iter_mut().find(|(kind, state)| *kind == "merge" && *state == Offload::InUse);
        if let Some((_, state)) = merge.filter(|_| self.engine.merging.is_on(Instant::now())) {
            *state = Offload::Paused;
        }
        all
    }

    /// True if there is such a peer.
    pub(crate) fn knows(&self, peer: &WireGuardPublicKey) -> bool {
        self.engine.zones.load().by_key(peer).is_some()
    }

    /// The peers as `wg` shows them, ordered by key.
    pub(crate) fn shown_peers(&self) -> Vec<UapiPeer> {
        let identities = self.engine.identities.load();
        UapiPeer::all(&self.engine.zones.load(), &identities, Instant::now())
    }

    pub(crate) fn private_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.engine.identities.load().current.secret.to_bytes())
    }

    pub(crate) fn listen_port(&self) -> u16 {
        self.udps[0].port()
    }

    pub(crate) fn fwmark(&self) -> Option<u32> {
        self.fwmark
    }
}
