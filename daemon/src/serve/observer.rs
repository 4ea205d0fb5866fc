//! What this gateway knows now, for those who ask: VMs of its zone and engineers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zonemesh_api::v1::PeerState;
use zonemesh_config::Config;
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::name::ZoneName;
use zonemesh_core::path::State;
use zonemesh_core::record::Lane;
use zonemesh_core::time::UnixMillis;
use zonemesh_tunnel::{PeerLane, PeerStatus, Tunnel};

use crate::act::plane::PeerTable;
use crate::act::streams::StreamContext;
use crate::facts::certificates::{FederationCas, OwnLeaf};
use crate::facts::etcd::EtcdBoard;
use crate::facts::findings::FindingBoard;
use crate::facts::flood::Refusals;
use crate::facts::hints::Hints;
use crate::facts::keepalives::Keepalives;
use crate::facts::ledger::Ledger;
use crate::facts::paths::{PathBoard, PathView};
use crate::facts::streams::StreamBoard;
use crate::plan::Plan;
use crate::plan::announcement::WireGuardKeys;

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
    /// There if the registry goes through etcd as well.
    pub(crate) etcd: Option<Arc<EtcdBoard>>,
    pub(crate) paths: Arc<PathBoard>,
    pub(crate) keepalives: Arc<Keepalives>,
    pub(crate) cas: Arc<FederationCas>,
    pub(crate) leaf: Arc<OwnLeaf>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) findings: Arc<FindingBoard>,
    pub(crate) started_at: SystemTime,
}

impl Observer {
    /// What follows from who belongs to the mesh now.
    pub(crate) fn plan(&self, hints: &Hints) -> Plan {
        let lanes = self.lanes();
        let of_lanes = lanes
            .iter()
            .flat_map(|lane| std::iter::once(lane.wireguard_key).chain(lane.next_wireguard_key));
        let own: Vec<_> = self.wireguard_keys().iter().chain(of_lanes).collect();
        self.ledger.read(|registry| Plan::of(registry, &self.config, &own, &hints.all()))
    }

    /// This gateway's WireGuard keys.
    pub(crate) fn wireguard_keys(&self) -> WireGuardKeys {
        let status = self.tunnel.status();
        WireGuardKeys { current: status.public_key, next: status.next_key }
    }

    /// What every registry stream needs.
    pub(crate) fn streams(&self) -> StreamContext {
        StreamContext {
            ledger: self.ledger.clone(),
            board: self.board.clone(),
            keepalives: self.keepalives.clone(),
        }
    }

    /// This gateway's lanes beside the first, as its zone's record is to name them.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        let of = |lane: PeerLane| Lane {
            wireguard_key: lane.public_key,
            next_wireguard_key: lane.next_key,
            port_offset: lane.port_offset,
        };
        self.tunnel.status().further_lanes.into_iter().map(of).collect()
    }

    /// The tunnel's view of a peer.
    pub(crate) fn tunnel_peer(&self, key: &WireGuardPublicKey) -> Option<PeerStatus> {
        self.tunnel.peer_status(key)
    }

    /// True if packets reach `zone` as far as this gateway can tell: the probes of its path say so. Of
    /// a tunnel that is not watched, or whose peer answers no probes, the handshake and the registry
    /// stream do.
    pub(crate) fn reaches(&self, zone: &ZoneName) -> bool {
        if *zone == self.config.zone.name {
            return true;
        }
        let key = self.peers.borrow().iter().find(|p| p.zone == *zone).map(|p| p.wireguard_key);
        let path = key.and_then(|key| self.paths.path(&key));
        let tunnel = key.and_then(|key| self.tunnel_peer(&key));
        is_reached(path, tunnel.as_ref(), self.board.entry(zone).open > 0)
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

/// The state of a tunnel: its path's, if that is watched, else its handshake's.
pub(crate) fn state_of(path: Option<PathView>, tunnel: Option<&PeerStatus>) -> PeerState {
    match path.map(|path| path.summary.state) {
        Some(State::Up) => return PeerState::Up,
        Some(State::Degraded) => return PeerState::Degraded,
        Some(State::Down) => return PeerState::Down,
        Some(State::Never) | None => {}
    }
    match tunnel {
        Some(tunnel) if is_up(tunnel, SystemTime::now()) => PeerState::Up,
        Some(tunnel) if tunnel.latest_handshake.is_some() => PeerState::Down,
        _ => PeerState::Never,
    }
}

/// What the probes say outranks a stream, which outlives its path by a minute.
fn is_reached(path: Option<PathView>, tunnel: Option<&PeerStatus>, has_stream: bool) -> bool {
    let answers = path.is_some_and(|path| path.summary.answers);
    passes(state_of(path, tunnel)) || (has_stream && !answers)
}

/// True if packets get through, if not all of them.
pub(crate) fn passes(state: PeerState) -> bool {
    matches!(state, PeerState::Up | PeerState::Degraded)
}

/// True if the peer has a session.
pub(crate) fn is_up(peer: &PeerStatus, now: SystemTime) -> bool {
    // A handshake "in the future" means that the clock went back, not that the tunnel is down.
    let age = peer.latest_handshake.map(|at| now.duration_since(at).unwrap_or_default());
    age.is_some_and(|age| age < SESSION_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zonemesh_core::path::{Loss, Summary};

    fn path(state: State, answers: bool) -> Option<PathView> {
        let summary = Summary {
            state,
            reason: None,
            delay: None,
            jitter: None,
            loss: Loss::default(),
            mtu: 1420,
            black_hole: false,
            mtu_confirmed: false,
            answers,
        };
        Some(PathView { summary, since: None, underlay_mtu: None })
    }

    #[test]
    fn a_zone_is_reached_as_its_path_is_and_not_as_a_stream_still_hopes() {
        for has_stream in [false, true] {
            assert!(is_reached(path(State::Up, true), None, has_stream));
            assert!(is_reached(path(State::Degraded, true), None, has_stream));
            assert!(!is_reached(path(State::Down, true), None, has_stream));
        }
    }

    #[test]
    fn where_nothing_is_probed_a_stream_tells() {
        for unknown in [None, path(State::Never, false), path(State::Down, false)] {
            assert!(is_reached(unknown, None, true));
            assert!(!is_reached(unknown, None, false));
        }
    }
}
