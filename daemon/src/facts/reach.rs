//! Whether packets reach another zone, as far as this gateway can tell.
//!
//! The probes of a path say so. Of a tunnel that is not watched, or whose peer answers no probes, the
//! handshake and the registry stream do.

use std::time::SystemTime;

use zonemesh_core::path::PathState;
use zonemesh_tunnel::PeerStatus;

use crate::facts::paths::PathView;
use crate::facts::tunnel::is_up;

/// The state of a tunnel: its path's, if that is watched, else its handshake's.
pub(crate) fn state_of(path: Option<PathView>, tunnel: Option<&PeerStatus>) -> PathState {
    match path.map(|path| path.summary.state) {
        Some(PathState::Never) | None => {}
        Some(state) => return state,
    }
    match tunnel {
        Some(tunnel) if is_up(tunnel, SystemTime::now()) => PathState::Up,
        Some(tunnel) if tunnel.latest_handshake.is_some() => PathState::Down,
        _ => PathState::Never,
    }
}

/// What the probes say outranks a stream, which outlives its path by a minute.
pub(crate) fn is_reached(
    path: Option<PathView>,
    tunnel: Option<&PeerStatus>,
    has_stream: bool,
) -> bool {
    let answers = path.is_some_and(|path| path.summary.answers);
    passes(state_of(path, tunnel)) || (has_stream && !answers)
}

/// True if what is said over a stream on this path arrives: one that stands outlives its path by a
/// minute, and carries nothing while that is down.
pub(crate) fn carries_stream(path: Option<PathView>) -> bool {
    let summary = path.map(|path| path.summary).filter(|summary| summary.answers);
    !summary.is_some_and(|one| matches!(one.state, PathState::Down | PathState::Stopped))
}

/// True if packets get through, if not all of them.
pub(crate) fn passes(state: PathState) -> bool {
    matches!(state, PathState::Up | PathState::Degraded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zonemesh_core::path::{PathSummary, ProbeLoss};

    fn path(state: PathState, answers: bool) -> Option<PathView> {
        let summary = PathSummary {
            state,
            reason: None,
            delay: None,
            jitter: None,
            loss: ProbeLoss::default(),
            mtu: 1420,
            black_hole: false,
            mtu_confirmed: false,
            answers,
            one_way: false,
            mtu_back: None,
        };
        Some(PathView { summary, since: None, underlay_mtu: None, two_places: None })
    }

    #[test]
    fn a_zone_is_reached_as_its_path_is_and_not_as_a_stream_still_hopes() {
        for has_stream in [false, true] {
            assert!(is_reached(path(PathState::Up, true), None, has_stream));
            assert!(is_reached(path(PathState::Degraded, true), None, has_stream));
            assert!(!is_reached(path(PathState::Down, true), None, has_stream));
        }
    }

    #[test]
    fn a_stream_is_not_up_beside_a_path_that_is_known_to_be_down() {
        for (state, answers, expected) in [
            (PathState::Up, true, true),
            (PathState::Degraded, true, true),
            (PathState::Down, true, false),
            (PathState::Stopped, true, false),
            (PathState::Down, false, true),
            (PathState::Never, false, true),
        ] {
            assert_eq!(carries_stream(path(state, answers)), expected, "{state:?} {answers}");
        }
        assert!(carries_stream(None));
    }

    #[test]
    fn where_nothing_is_probed_a_stream_tells() {
        for unknown in [None, path(PathState::Never, false), path(PathState::Down, false)] {
            assert!(is_reached(unknown, None, true));
            assert!(!is_reached(unknown, None, false));
        }
    }
}
