//! The keepalive law between two ends, at run time: what others have told, and what breaks it.
//!
//! Each registry stream and each call of the local API brings the other end's figures
//! (`zonemesh_api::keepalive`). A breach is one event, one line of the log and one of `zonemesh status`
//! with both figures; the connection goes on. One connection is enough to keep the line, and it goes
//! when the other end tells figures that obey.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::keepalive::{Keepalive, KeepaliveMismatch};

use crate::facts::in_force::ConfigInForce;
use crate::facts::paths::PathBoard;
use crate::facts::rate_limits::{Rate, RateLimiter};

/// Breaches that are remembered; a VM that makes up many is as good as one.
const MAX_ENDS: usize = 64;
/// How long the breach of an end that called once is shown.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What the other ends have told, as far as it breaks the law.
pub(crate) struct Keepalives {
    config: ConfigInForce,
    breaches: Mutex<BTreeMap<Subject, Breach>>,
    paths: Arc<PathBoard>,
    log: RateLimiter<Subject>,
}

struct Breach {
    mismatch: KeepaliveMismatch,
    /// Connections over which it was told and that have not ended.
    connections: usize,
    heard_at: Instant,
}

impl Breach {
    fn is_over(&self, now: Instant) -> bool {
        self.connections == 0 && now.saturating_duration_since(self.heard_at) > REMEMBERED
    }
}

impl Keepalives {
    pub(crate) fn new(config: ConfigInForce, paths: Arc<PathBoard>) -> Arc<Self> {
        let (breaches, log) = (Mutex::default(), RateLimiter::new(Rate::LOG));
        Arc::new(Self { config, breaches, paths, log })
    }

    /// This gateway's own figures, as they are in force.
    pub(crate) fn ours(&self) -> Keepalive {
        self.config.now().keepalive
    }

    /// `end` has told its figures over a connection that lives as long as what is returned.
    pub(crate) fn heard(self: &Arc<Self>, end: &Subject, theirs: Option<Keepalive>) -> Heard {
        let counts = match theirs.map(|theirs| self.ours().check_against(&theirs)) {
            None => false,
            Some(Ok(())) => {
                self.mended(end);
                false
            }
            Some(Err(mismatch)) => {
                self.breached(end, mismatch);
                true
            }
        };
        Heard { board: self.clone(), end: counts.then(|| end.clone()) }
    }

    fn mended(&self, end: &Subject) {
        if self.lock().remove(end).is_some() {
            tracing::debug!(%end, "keepalives fit again");
        }
    }

    fn breached(&self, end: &Subject, mismatch: KeepaliveMismatch) {
        let now = Instant::now();
        let mut breaches = self.lock();
        breaches.retain(|_, breach| !breach.is_over(now));
        let known = breaches.get(end);
        let is_new = known.is_none_or(|breach| breach.mismatch != mismatch);
        if known.is_none() && breaches.len() >= MAX_ENDS {
            return;
        }
        let entry = breaches.entry(end.clone());
        let breach = entry.or_insert(Breach { mismatch, connections: 0, heard_at: now });
        (breach.mismatch, breach.heard_at) = (mismatch, now);
        breach.connections += 1;
        if is_new {
            self.paths.count_keepalive_mismatch();
            if self.log.allow(&end.clone(), now) {
                tracing::warn!(%end, %mismatch, "keepalives do not fit");
            }
        }
    }

    fn ended(&self, end: &Subject) {
        if let Some(breach) = self.lock().get_mut(end) {
            breach.connections = breach.connections.saturating_sub(1);
        }
    }

    /// One for each breach that lasts.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let now = Instant::now();
        let breaches = self.lock();
        let lasting = breaches.iter().filter(|(_, breach)| !breach.is_over(now));
        let finding = |(end, breach): (&Subject, &Breach)| {
            Finding::new(Code::KeepaliveMismatch, end.clone())
                .with(Evidence::Reason(breach.mismatch.to_string()))
        };
        lasting.map(finding).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Subject, Breach>> {
        self.breaches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection over which figures were told, or not.
#[must_use]
pub(crate) struct Heard {
    board: Arc<Keepalives>,
    end: Option<Subject>,
}

impl Drop for Heard {
    fn drop(&mut self) {
        if let Some(end) = &self.end {
            self.board.ended(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> (Arc<Keepalives>, Arc<PathBoard>) {
        let paths = Arc::new(PathBoard::default());
        (Keepalives::new(ConfigInForce::smallest(), paths.clone()), paths)
    }

    fn vm(n: u32) -> Subject {
        Subject::Vm(std::net::Ipv4Addr::from(n).into())
    }

    fn events(paths: &PathBoard) -> u64 {
        let counters = paths.counters().into_iter();
        counters.filter(|(name, _)| *name == "keepalive_mismatch").map(|(_, count)| count).sum()
    }

    fn eager() -> Option<Keepalive> {
        Some(Keepalive { grpc_interval: Duration::from_secs(10), ..Keepalive::DEFAULT })
    }

    #[test]
    fn a_breach_is_one_event_and_one_line_with_both_figures_until_it_is_mended() {
        let (board, paths) = board();
        let madrid = Subject::Zone("madrid".parse().unwrap());
        let first = board.heard(&madrid, eager());
        let second = board.heard(&madrid, eager());
        assert_eq!(events(&paths), 1);
        let [line] = &board.findings()[..] else { panic!("{:?}", board.findings()) };
        let line = line.to_string();
        assert!(line.starts_with("N204 madrid: ") && line.contains("10s") && line.contains("30s"));
        drop(first);
        assert_eq!(board.findings().len(), 1);
        drop(second);
        drop(board.heard(&madrid, Some(Keepalive::DEFAULT)));
        assert!(board.findings().is_empty());
        drop(board.heard(&madrid, eager()));
        assert_eq!(events(&paths), 2);
    }

    #[test]
    fn who_tells_nothing_is_not_judged() {
        let (board, paths) = board();
        drop(board.heard(&vm(5), None));
        assert!(board.findings().is_empty());
        assert_eq!(events(&paths), 0);
    }

    #[test]
    fn a_flood_of_made_up_ends_is_bounded() {
        let (board, paths) = board();
        for n in 0..10_000 {
            drop(board.heard(&vm(n), eager()));
        }
        assert_eq!(board.findings().len(), MAX_ENDS);
        assert_eq!(events(&paths), MAX_ENDS as u64);
    }
}
