//! What this gateway knows now, for those who ask: VMs of its zone and engineers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zonemesh_config::Config;
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::name::ZoneName;
use zonemesh_core::time::UnixMillis;
use zonemesh_tunnel::{PeerStatus, Tunnel};

use crate::announcement::WireGuardKeys;
use crate::certificates::{FederationCas, OwnLeaf};
use crate::flood::Refusals;
use crate::mesh::{Hints, PeerTable, Plan};
use crate::path::PathBoard;
use crate::registry::{Ledger, StreamBoard};

/// A tunnel is up if its last handshake is younger: WireGuard's REJECT_AFTER_TIME.
pub(crate) const SESSION_LIFE: Duration = Duration::from_secs(180);

/// The parts of a running gateway, to be looked at.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(crate) config: Arc<Config>,
    pub(crate) tunnel: Arc<Tunnel>,
    pub(crate) peers: PeerTable,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) board: Arc<StreamBoard>,
    pub(crate) paths: Arc<PathBoard>,
    pub(crate) cas: Arc<FederationCas>,
    pub(crate) leaf: Arc<OwnLeaf>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) started_at: SystemTime,
}

impl Observer {
    /// What follows from who belongs to the mesh now.
    pub(crate) fn plan(&self, hints: &Hints) -> Plan {
        let own: Vec<_> = self.wireguard_keys().iter().collect();
        self.ledger.read(|registry| Plan::of(registry, &self.config, &own, &hints.all()))
    }

    /// This gateway's WireGuard keys.
    pub(crate) fn wireguard_keys(&self) -> WireGuardKeys {
        let status = self.tunnel.status();
        WireGuardKeys { current: status.public_key, next: status.next_key }
    }

    /// The tunnel's view of a peer.
    pub(crate) fn tunnel_peer(&self, key: &WireGuardPublicKey) -> Option<PeerStatus> {
        self.tunnel.status().peers.into_iter().find(|peer| peer.public_key == *key)
    }

    /// True if packets and records reach `zone` as far as this gateway can tell.
    pub(crate) fn reaches(&self, zone: &ZoneName) -> bool {
        if *zone == self.config.zone.name || self.board.entry(zone).open > 0 {
            return true;
        }
        let key = self.peers.borrow().iter().find(|p| p.zone == *zone).map(|p| p.wireguard_key);
        let status = key.and_then(|key| self.tunnel_peer(&key));
        status.is_some_and(|status| is_up(&status, SystemTime::now()))
    }

    /// The clock of `zone`'s gateway minus this one's, in milliseconds, if known.
    pub(crate) fn clock_offset(&self, zone: &ZoneName) -> Option<i64> {
        match *zone == self.config.zone.name {
            true => Some(0),
            false => self.board.entry(zone).clock_offset.map(|offset| offset.millis),
        }
    }

    /// This gateway's clock.
    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis::from(SystemTime::now())
    }
}

/// True if the peer has a session.
pub(crate) fn is_up(peer: &PeerStatus, now: SystemTime) -> bool {
    // A handshake "in the future" means that the clock went back, not that the tunnel is down.
    let age = peer.latest_handshake.map(|at| now.duration_since(at).unwrap_or_default());
    age.is_some_and(|age| age < SESSION_LIFE)
}
