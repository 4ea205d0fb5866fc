//! What the kernel is asked to do in bulk, and what happens where it does not.
//!
//! Every kind of bulk work can be turned off for debugging by an environment variable, read in one
//! place here: `ZONEMESH_DEBUG_NO_TSO` (TCP super-packets from the TUN), `_NO_USO` (the same for
//! UDP, both ways), `_NO_GSO` (many datagrams in one send), `_NO_GRO` (many in one receive),
//! `_NO_MERGE` (merged packets to the TUN). Any value but the empty one counts. The bytes carried
//! are the same either way. Work that is refused at run time is done without for a while and then
//! tried again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long bulk work that was refused is done without.
const PAUSE: Duration = Duration::from_secs(60);

/// Which kinds of bulk work are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WantedOffloads {
    pub(crate) tso: bool,
    pub(crate) uso: bool,
    pub(crate) gso: bool,
    pub(crate) gro: bool,
    pub(crate) merge: bool,
}

impl WantedOffloads {
    #[cfg(test)]
    pub(crate) const ALL: Self = Self { tso: true, uso: true, gso: true, gro: true, merge: true };

    /// All, except for what the environment turns off.
    pub(crate) fn from_environment() -> Self {
        Self::unless(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
    }

    fn unless(is_set: impl Fn(&str) -> bool) -> Self {
        let wanted = |kind: &str| {
            let off = is_set(&format!("ZONEMESH_DEBUG_NO_{kind}"));
            if off {
                tracing::warn!(kind, "bulk work is turned off by the environment");
            }
            !off
        };
        Self {
            tso: wanted("TSO"),
            uso: wanted("USO"),
            gso: wanted("GSO"),
            gro: wanted("GRO"),
            merge: wanted("MERGE"),
        }
    }
}

/// Which packets the device takes merged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mergeable {
    pub(crate) tcp: bool,
    pub(crate) udp: bool,
}

/// Whether a kind of bulk work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Offload {
    /// Asked for, and the kernel does it.
    InUse,
    /// The environment turned it off.
    Off,
    /// The kernel does not do it.
    Refused,
    /// The kernel refused it just now; it is tried again within a minute.
    Paused,
}

impl Offload {
    pub(crate) fn of(wanted: bool, granted: bool) -> Self {
        match (wanted, granted) {
            (false, _) => Self::Off,
            (true, true) => Self::InUse,
            (true, false) => Self::Refused,
        }
    }

    /// Its stable name, as `zonemesh status` shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "in_use",
            Self::Off => "off",
            Self::Refused => "refused",
            Self::Paused => "paused",
        }
    }
}

/// A kind of bulk work that is paused after it was refused.
#[derive(Debug)]
pub(crate) struct OffloadPause {
    epoch: Instant,
    /// Milliseconds after the epoch; 0 means that it was never refused.
    until: AtomicU64,
    refusals: AtomicU64,
}

impl OffloadPause {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self { epoch, until: AtomicU64::new(0), refusals: AtomicU64::new(0) }
    }

    /// The work was refused: it is done without until some time after `now`.
    pub(crate) fn start(&self, now: Instant) {
        let until = now.saturating_duration_since(self.epoch) + PAUSE;
        self.until.store(until.as_millis() as u64, Ordering::Relaxed);
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_on(&self, now: Instant) -> bool {
        let until = self.until.load(Ordering::Relaxed);
        until != 0 && (now.saturating_duration_since(self.epoch).as_millis() as u64) < until
    }

    /// How often it was refused.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_turns_off_its_own_kind() {
        assert_eq!(WantedOffloads::unless(|_| false), WantedOffloads::ALL);
        let without =
            |kind: &str| WantedOffloads::unless(|name| name == format!("ZONEMESH_DEBUG_NO_{kind}"));
        assert_eq!(without("TSO"), WantedOffloads { tso: false, ..WantedOffloads::ALL });
        assert_eq!(without("USO"), WantedOffloads { uso: false, ..WantedOffloads::ALL });
        assert_eq!(without("GSO"), WantedOffloads { gso: false, ..WantedOffloads::ALL });
        assert_eq!(without("GRO"), WantedOffloads { gro: false, ..WantedOffloads::ALL });
        assert_eq!(without("MERGE"), WantedOffloads { merge: false, ..WantedOffloads::ALL });
    }

    #[test]
    fn what_was_refused_is_tried_again_after_a_minute() {
        let start = Instant::now();
        let pause = OffloadPause::new(start);
        assert!(!pause.is_on(start));
        pause.start(start + Duration::from_secs(5));
        assert!(pause.is_on(start + Duration::from_secs(64)));
        assert!(!pause.is_on(start + Duration::from_secs(65)));
        assert_eq!(pause.refusals(), 1);
    }
}
