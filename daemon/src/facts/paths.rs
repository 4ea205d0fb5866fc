//! What is known of the paths, for those who ask, and how often what happened.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::path::PathSummary;

/// What happens to paths, by its stable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happening {
    Up,
    Degraded,
    Down,
    Stopped,
    MtuLowered,
    MtuRaised,
    KeepaliveLate,
    KeepaliveMismatch,
}

impl Happening {
    const ALL: [Self; 8] = [
        Self::Up,
        Self::Degraded,
        Self::Down,
        Self::Stopped,
        Self::MtuLowered,
        Self::MtuRaised,
        Self::KeepaliveLate,
        Self::KeepaliveMismatch,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "tunnel_up",
            Self::Degraded => "tunnel_degraded",
            Self::Down => "tunnel_down",
            Self::Stopped => "tunnel_stopped",
            Self::MtuLowered => "mtu_lowered",
            Self::MtuRaised => "mtu_raised",
            Self::KeepaliveLate => "keepalive_late",
            Self::KeepaliveMismatch => "keepalive_mismatch",
        }
    }
}

/// A path as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PathView {
    /// What its monitor knows.
    pub(crate) summary: PathSummary,
    /// When its state was entered.
    pub(crate) since: Option<SystemTime>,
    /// MTU of the underlay towards the peer's endpoint, if it is known.
    pub(crate) underlay_mtu: Option<u16>,
    /// The two places between which the peer goes to and fro, if it does.
    pub(crate) two_places: Option<[SocketAddr; 2]>,
}

/// All paths.
#[derive(Default)]
pub(crate) struct PathBoard(Mutex<Paths>);

#[derive(Default)]
struct Paths {
    views: BTreeMap<GatewayId, PathView>,
    counts: [u64; Happening::ALL.len()],
}

impl PathBoard {
    /// The path to this gateway; `None` before it is watched.
    pub(crate) fn path(&self, gateway: &GatewayId) -> Option<PathView> {
        self.lock().views.get(gateway).copied()
    }

    /// The paths to these gateways, one for each, all of one moment.
    pub(crate) fn of<'a>(
        &self,
        gateways: impl Iterator<Item = &'a GatewayId>,
    ) -> Vec<Option<PathView>> {
        let paths = self.lock();
        gateways.map(|gateway| paths.views.get(gateway).copied()).collect()
    }

    /// Name and count of everything that can happen, zeros included.
    pub(crate) fn counters(&self) -> Vec<(&'static str, u64)> {
        self.lock().counters()
    }

    /// The other end of a connection has told keepalives that do not fit.
    pub(crate) fn count_keepalive_mismatch(&self) {
        self.count(Happening::KeepaliveMismatch);
    }

    pub(crate) fn count(&self, what: Happening) {
        self.lock().counts[what as usize] += 1;
    }

    pub(crate) fn show(&self, gateway: GatewayId, view: PathView) {
        self.lock().views.insert(gateway, view);
    }

    pub(crate) fn keep_only(&self, is_watched: impl Fn(&GatewayId) -> bool) {
        self.lock().views.retain(|gateway, _| is_watched(gateway));
    }

    fn lock(&self) -> MutexGuard<'_, Paths> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paths {
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Happening::ALL.iter().map(|what| (what.as_str(), self.counts[*what as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_happens_has_its_own_counter() {
        let board = PathBoard::default();
        for (times, what) in Happening::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| board.count(what));
        }
        let names: Vec<_> = board.counters();
        let expected = [
            ("tunnel_up", 0),
            ("tunnel_degraded", 1),
            ("tunnel_down", 2),
            ("tunnel_stopped", 3),
            ("mtu_lowered", 4),
            ("mtu_raised", 5),
            ("keepalive_late", 6),
            ("keepalive_mismatch", 7),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn the_paths_to_two_gateways_of_a_zone_are_kept_apart() {
        let board = PathBoard::default();
        let [one, two] = ["madrid/gw1", "madrid/gw2"].map(|id| id.parse::<GatewayId>().unwrap());
        let view = |mtu| {
            let summary = zonemesh_core::path::PathMonitor::new(std::time::Duration::ZERO, mtu);
            PathView {
                summary: summary.summary(),
                since: None,
                underlay_mtu: None,
                two_places: None,
            }
        };
        board.show(one.clone(), view(1420));
        board.show(two.clone(), view(1280));
        assert_eq!(board.path(&one).unwrap().summary.mtu, 1420);
        board.keep_only(|gateway| *gateway == two);
        assert_eq!(board.path(&one), None);
        assert_eq!(board.path(&two).unwrap().summary.mtu, 1280);
    }
}
