//! What a running tunnel tells of itself and its peers.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use zeroize::Zeroizing;
use zonemesh_core::key::WireGuardPublicKey;

use super::Tunnel;
use crate::config::{Peer, PeerLane};
use crate::edge::UdpEdge as _;
use crate::linux::udp::Udp;
use crate::offload::Offload;
use crate::peer::{Identities, RemoteGateway};
use crate::status::{PeerStatus, TunnelStatus};

impl Tunnel {
    /// The tunnel as it is now.
    #[must_use]
    pub fn status(&self) -> TunnelStatus {
        let zones = self.engine.zones.load();
        let identities = self.engine.identities.load();
        let now = Instant::now();
        let status = |peer: &Arc<RemoteGateway>| peer.status(&identities, now);
        let mut peers: Vec<_> = zones.peers().map(status).collect();
        peers.sort_by_key(|peer| peer.public_key);
        TunnelStatus {
            interface: self.interface.clone(),
            mtu: self.engine.mtu() as u16,
            listen_port: self.listen_port(),
            public_key: identities.current.key,
            next_key: identities.next.as_ref().map(|next| next.key),
            further_lanes: self.further_lanes(&identities),
            peers,
            dropped: self.engine.dropped.snapshot(),
            clock_behind: identities.current.clock.behind(SystemTime::now()),
            offloads: self.offloads(),
            merging_refused: self.engine.merging.refusals(),
        }
    }

    fn further_lanes(&self, identities: &Identities) -> Vec<PeerLane> {
        let of = |(own, udp): (Identities, &Arc<Udp>)| PeerLane {
            public_key: own.current.key,
            next_key: own.next.as_ref().map(|next| next.key),
            port_offset: udp.port() - self.listen_port(),
        };
        identities.each_lane().zip(&self.udps).skip(1).map(of).collect()
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

    /// The peers with all their settings, ordered by key.
    pub(crate) fn peers(&self) -> Vec<(Peer, PeerStatus)> {
        let zones = self.engine.zones.load();
        let identities = self.engine.identities.load();
        let now = Instant::now();
        let in_full =
            |peer: &Arc<RemoteGateway>| (peer.config().clone(), peer.status(&identities, now));
        let mut peers: Vec<_> = zones.peers().map(in_full).collect();
        peers.sort_by_key(|(peer, _)| peer.public_key);
        peers
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
