//! Looks at what is known, again and again, and has findings raised and cleared.
//!
//! What is a finding stands in `plan::troubles`; here is where the sights come from.

use std::time::{Duration, Instant, SystemTime};

use zonemesh_core::path::State;
use zonemesh_tunnel::PeerStatus;

use crate::act::network;
use crate::facts::observer::{Observer, is_up};
use crate::facts::paths::PathView;
use crate::plan::PeerPlan;
use crate::plan::troubles::{self, MachineSight, PeerSight, StreamSight};

/// Time between two looks; who asks for the status looks as well.
const LOOK: Duration = Duration::from_secs(5);

/// Looks until it is dropped.
pub(crate) async fn run(observer: Observer) -> anyhow::Result<()> {
    loop {
        look(&observer);
        tokio::time::sleep(LOOK).await;
    }
}

/// Looks now.
pub(crate) fn look(observer: &Observer) {
    let status = observer.tunnel.status();
    let machine = MachineSight {
        clock_behind: status.clock_behind,
        not_forwarded: network::switched_off(&observer.config.zone.prefixes),
        offloads: status.offloads.clone(),
        etcd: observer.etcd.as_ref().map(|board| board.state()),
    };
    let mut found = troubles::of_machine(&machine);
    found.extend(observer.ledger.read(troubles::of_mesh));
    found.extend(observer.keepalives.findings());
    found.extend(observer.refusals.findings(Instant::now()));
    found.extend(observer.cas.findings());
    let peers = observer.peers.borrow().clone();
    for peer in peers.iter() {
        let tunnel = observer.tunnel.peer_status(&peer.wireguard_key);
        found.extend(troubles::of_peer(&sight(observer, peer, tunnel.as_ref())));
    }
    observer.findings.settle(troubles::CODES, found);
}

fn sight(observer: &Observer, peer: &PeerPlan, tunnel: Option<&PeerStatus>) -> PeerSight {
    let path = observer.paths.path(&peer.wireguard_key);
    let entry = observer.board.entry(&peer.zone);
    let lanes = tunnel.iter().flat_map(|tunnel| tunnel.lanes.iter().skip(1));
    PeerSight {
        zone: peer.zone.clone(),
        rests: !peer.keeps_alive,
        state: state(path, tunnel),
        reason: path.and_then(|path| path.summary.reason),
        endpoint: tunnel.and_then(|tunnel| tunnel.endpoint),
        unanswered: tunnel.map_or(0, |tunnel| tunnel.handshake_attempts_unanswered),
        mtu: path.map_or(0, |path| path.summary.mtu),
        black_hole: path.is_some_and(|path| path.summary.black_hole),
        underlay_mtu: path.and_then(|path| path.underlay_mtu),
        stream: StreamSight {
            is_wanted: peer.is_neighbour,
            is_open: entry.open > 0,
            is_refused: entry.refused,
            error: entry.error,
        },
        clock_offset_ms: entry.clock_offset.map(|offset| offset.millis),
        lanes: lanes.map(|lane| lane.handshake_attempts_unanswered).collect(),
    }
}

/// The path's state, if that is watched, else its handshake's.
fn state(path: Option<PathView>, tunnel: Option<&PeerStatus>) -> State {
    match path.map(|path| path.summary.state) {
        Some(State::Never) | None => {}
        Some(state) => return state,
    }
    match tunnel {
        Some(tunnel) if is_up(tunnel, SystemTime::now()) => State::Up,
        Some(tunnel) if tunnel.latest_handshake.is_some() => State::Down,
        _ => State::Never,
    }
}
