//! Which peers a screen shows where there is no room for all.

use std::cmp::Reverse;

use zonemesh_core::path::PathState;

use crate::plan::PeerPlan;

/// Peers and their states, in the order of their zones.
type Seen<'a> = (&'a PeerPlan, PathState);

/// About so many peers, in their order: whole zones, those first whose tunnels need a look.
pub(super) fn shown<'a>(
    peers: impl Iterator<Item = Seen<'a>>,
    at_most: usize,
) -> Vec<&'a PeerPlan> {
    let peers: Vec<_> = peers.collect();
    let mut zones: Vec<_> = peers.chunk_by(|(a, _), (b, _)| a.is_beside(b)).collect();
    if peers.len() > at_most {
        zones.sort_by_key(|zone| Reverse(zone.iter().map(|(_, state)| need(*state)).max()));
        let mut room = at_most;
        zones.retain(|zone| {
            let fits = room > 0;
            room = room.saturating_sub(zone.len());
            fits
        });
        zones.sort_by_key(|zone| zone.first().map(|(plan, _)| (plan.is_plain(), &plan.id.zone)));
    }
    zones.into_iter().flatten().map(|(plan, _)| *plan).collect()
}

/// How much a tunnel needs a look.
const fn need(state: PathState) -> u8 {
    match state {
        PathState::Up => 0,
        PathState::Never => 1,
        PathState::Stopped => 2,
        PathState::Degraded => 3,
        PathState::Down => 4,
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_core::key::WireGuardPublicKey;

    use super::*;

    fn plan(id: &str) -> PeerPlan {
        PeerPlan {
            id: id.parse().unwrap(),
            role: crate::plan::peers::GatewayRole::Active,
            wireguard_key: WireGuardPublicKey([1; 32]),
            next_key: None,
            lanes: Vec::new(),
            endpoints: Vec::new(),
            prefixes: Vec::new(),
            tunnel_ips: Vec::new(),
            aside: Vec::new(),
            registry_port: 51821,
            is_neighbour: true,
            keeps_alive: true,
            plain: None,
        }
    }

    /// The gateways that a screen for `at_most` shows of five in four zones.
    fn on_screen(at_most: usize) -> Vec<String> {
        let peers = [
            ("a/gw1", PathState::Up),
            ("b/gw1", PathState::Degraded),
            ("c/gw1", PathState::Up),
            ("c/gw2", PathState::Down),
            ("d/gw1", PathState::Never),
        ]
        .map(|(id, state)| (plan(id), state));
        let seen = peers.iter().map(|(plan, state)| (plan, *state));
        shown(seen, at_most).iter().map(|plan| plan.id.to_string()).collect()
    }

    #[test]
    fn a_screen_shows_all_peers_that_it_has_room_for() {
        let all = ["a/gw1", "b/gw1", "c/gw1", "c/gw2", "d/gw1"];
        assert_eq!(on_screen(usize::MAX), all);
        assert_eq!(on_screen(5), all);
    }

    #[test]
    fn a_screen_without_room_shows_those_that_need_a_look_in_their_order() {
        assert_eq!(on_screen(3), ["b/gw1", "c/gw1", "c/gw2"]);
        assert_eq!(on_screen(4), ["b/gw1", "c/gw1", "c/gw2", "d/gw1"]);
        assert_eq!(on_screen(1), ["c/gw1", "c/gw2"], "a zone is shown with all its gateways");
    }
}
