//! How much one caller may ask for, so that a flood of one is nobody else's.
//!
//! Rates ([`RateLimiter`]) and numbers at one time ([`Slots`]) for each caller. Memory is bounded, whoever
//! calls: when there are too many callers, the rate of the one that has been quiet longest is forgotten.
//! What is refused is counted by its name, and said once in a while ([`RefusedCalls`]).

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use zonemesh_api::serve::Door;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};

/// Most callers whose rate is remembered.
const MAX_CALLERS: usize = 1024;
/// Time between two log lines about the same thing.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What is refused when there is too much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LimitedCall {
    VmConnections,
    ForeignConnections,
    VmReads,
    VmWrites,
    VmSessions,
    StuckSessions,
    ViewConnections,
    ViewReads,
    ViewWaits,
    ZoneConnections,
    StrangeConnections,
    ZoneStreams,
    ZoneMessages,
    JoinConnections,
    JoinRequests,
    PlainPeerConnections,
    UserConnections,
}

impl LimitedCall {
    /// The name in `zonemesh status`, and what the log says.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::VmConnections => ("vm_connections", "too many connections of one VM"),
            Self::ForeignConnections => {
                ("foreign_connections", "a caller at the local API from outside zone.prefixes")
            }
            Self::VmReads => ("vm_reads", "too many questions of one VM"),
            Self::VmWrites => ("vm_writes", "too many registrations and reports of one VM"),
            Self::VmSessions => ("vm_sessions", "too many sessions of one VM"),
            Self::StuckSessions => ("stuck_sessions", "a companion does not read, it was cut off"),
            Self::ViewConnections => {
                ("view_connections", "too many connections of one VM to the OneGate view")
            }
            Self::ViewReads => ("view_reads", "too many questions of one VM at the OneGate view"),
            Self::ViewWaits => {
                ("view_waits", "too many questions that wait of one VM at the OneGate view")
            }
            Self::ZoneConnections => ("zone_connections", "too many connections of one zone"),
            Self::StrangeConnections => {
                ("strange_connections", "a caller at the registry that has no gateway's address")
            }
            Self::ZoneStreams => ("zone_streams", "too many registry streams of one zone"),
            Self::ZoneMessages => {
                ("zone_messages", "too many messages of one zone, it is slowed down")
            }
            Self::JoinConnections => ("join_connections", "too many connections to the join port"),
            Self::JoinRequests => ("join_requests", "too many requests to join"),
            Self::PlainPeerConnections => {
                ("plain_peer_connections", "a caller at the join port from a plain WireGuard peer")
            }
            Self::UserConnections => {
                ("user_connections", "too many connections of one user to the admin socket")
            }
        }
    }
}

/// Counts what was refused.
#[derive(Default)]
pub(crate) struct RefusedCalls(Mutex<BTreeMap<LimitedCall, Tally>>);

#[derive(Default)]
struct Tally {
    count: u64,
    said_at: Option<Instant>,
    /// Who was refused last, and when.
    last: Option<(String, Instant)>,
}

impl RefusedCalls {
    /// Counts one more, and says so unless it was said a short while ago.
    pub(crate) fn count(&self, flood: LimitedCall, caller: &dyn Display) {
        let now = Instant::now();
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.entry(flood).or_default();
        tally.count += 1;
        tally.last = Some((caller.to_string(), now));
        let due = |said: Instant| now.saturating_duration_since(said) >= SAY_AGAIN;
        if tally.said_at.is_none_or(due) {
            tally.said_at = Some(now);
            let (name, text) = flood.names();
            tracing::warn!(%caller, refused = tally.count, counted_as = name, "{text}");
        }
    }

    /// One for each caller that was refused within the last minute.
    pub(crate) fn findings(&self, now: Instant) -> Vec<Finding> {
        let tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = |at: Instant| now.saturating_duration_since(at) < SAY_AGAIN;
        let finding = |(flood, tally): (&LimitedCall, &Tally)| {
            let (caller, _) = tally.last.as_ref().filter(|(_, at)| lasts(*at))?;
            let (name, text) = flood.names();
            Some(
                Finding::new(Code::TooManyRequests, subject(caller))
                    .with(Evidence::Kind(name.to_owned()))
                    .with(Evidence::Reason(text.to_owned()))
                    .with(Evidence::Count(tally.count)),
            )
        };
        tallies.iter().filter_map(finding).collect()
    }

    /// All counts that are not zero.
    pub(crate) fn counters(&self) -> Vec<(&'static str, u64)> {
        let tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.iter().map(|(flood, tally)| (flood.names().0, tally.count)).collect()
    }
}

fn subject(caller: &str) -> Subject {
    let address = caller.parse().map(Subject::Caller).ok();
    let zone = || caller.parse().map(Subject::Zone).ok();
    address.or_else(zone).unwrap_or(Subject::Here)
}

/// Calls at once, and how many more each second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) burst: f64,
    pub(crate) per_second: f64,
}

impl Rate {
    /// What is worth a log line: once in a while.
    pub(crate) const LOG: Self = Self { burst: 1.0, per_second: 1.0 / 60.0 };
}

struct Bucket {
    left: f64,
    at: Instant,
}

/// A rate for each caller.
pub(crate) struct RateLimiter<K> {
    rate: Rate,
    callers: Mutex<BTreeMap<K, Bucket>>,
}

impl<K: Ord + Clone> RateLimiter<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, callers: Mutex::new(BTreeMap::new()) }
    }

    /// True if `caller` may ask now.
    pub(crate) fn allow(&self, caller: &K, now: Instant) -> bool {
        let mut callers = self.lock();
        let left = bucket(&mut callers, caller, self.rate, now);
        let allowed = *left >= 1.0;
        if allowed {
            *left -= 1.0;
        }
        allowed
    }

    /// Takes `cost` in any case; `caller` should be heard again only after the time that is returned.
    pub(crate) fn charge(&self, caller: &K, cost: usize, now: Instant) -> Duration {
        let mut callers = self.lock();
        let left = bucket(&mut callers, caller, self.rate, now);
        *left -= cost as f64;
        Duration::from_secs_f64((-*left).max(0.0) / self.rate.per_second)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<K, Bucket>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `caller` has left now.
fn bucket<'a, K: Ord + Clone>(
    callers: &'a mut BTreeMap<K, Bucket>,
    caller: &K,
    rate: Rate,
    now: Instant,
) -> &'a mut f64 {
    if !callers.contains_key(caller) && callers.len() >= MAX_CALLERS {
        let quiet = callers.iter().min_by_key(|(_, bucket)| bucket.at);
        if let Some(quiet) = quiet.map(|(caller, _)| caller.clone()) {
            callers.remove(&quiet);
        }
    }
    let bucket = callers.entry(caller.clone()).or_insert(Bucket { left: rate.burst, at: now });
    let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
    bucket.left = (bucket.left + passed * rate.per_second).min(rate.burst);
    bucket.at = now;
    &mut bucket.left
}

/// At most so many at one time: of one caller, and of all.
pub(crate) struct Slots<K> {
    each: usize,
    all: usize,
    taken: Arc<Mutex<BTreeMap<K, usize>>>,
}

impl<K: Ord + Clone> Slots<K> {
    pub(crate) fn new(each: usize, all: usize) -> Self {
        Self { each, all, taken: Arc::default() }
    }

    /// A slot for `caller`, given back when it is dropped; `None` if there is none.
    pub(crate) fn enter(&self, caller: &K) -> Option<Slot<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(caller).copied().unwrap_or_default();
        if own >= self.each || taken.values().sum::<usize>() >= self.all {
            return None;
        }
        taken.insert(caller.clone(), own + 1);
        Some(Slot { taken: self.taken.clone(), caller: caller.clone() })
    }
}

/// One of the [`Slots`].
pub(crate) struct Slot<K: Ord> {
    taken: Arc<Mutex<BTreeMap<K, usize>>>,
    caller: K,
}

impl<K: Ord> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

/// Lets callers in by their address.
pub(crate) struct ConnectionLimiter {
    pub(crate) rate: RateLimiter<IpAddr>,
    pub(crate) slots: Slots<IpAddr>,
    pub(crate) refusals: Arc<RefusedCalls>,
    pub(crate) counted_as: LimitedCall,
}

impl Door for ConnectionLimiter {
    fn enter(&self, caller: IpAddr) -> Option<Box<dyn Send>> {
        let caller = caller.to_canonical();
        let slot = self.slots.enter(&caller);
        let slot = slot.filter(|_| self.rate.allow(&caller, Instant::now()));
        if slot.is_none() {
            self.refusals.count(self.counted_as, &caller);
        }
        slot.map(|slot| Box::new(slot) as Box<dyn Send>)
    }

    fn ended(&self, caller: IpAddr) {
        self.refusals.count(self.counted_as, &caller.to_canonical());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 20.0, per_second: 5.0 };

    #[test]
    fn a_flood_is_cut_to_the_rate_and_is_nobody_elses() {
        let start = Instant::now();
        let limits = RateLimiter::new(RATE);
        assert_eq!((0..10_000).filter(|_| limits.allow(&1, start)).count(), 20);
        assert!(limits.allow(&2, start));
        let later = start + Duration::from_secs(2);
        assert_eq!((0..1000).filter(|_| limits.allow(&1, later)).count(), 10);
    }

    #[test]
    fn many_callers_do_not_fill_the_memory() {
        let now = Instant::now();
        let limits = RateLimiter::new(RATE);
        assert!((0..10_000).all(|caller| limits.allow(&caller, now)));
        assert_eq!(limits.lock().len(), MAX_CALLERS);
    }

    #[test]
    fn who_says_much_waits_for_as_long_as_it_costs() {
        let start = Instant::now();
        let limits = RateLimiter::new(RATE);
        assert_eq!(limits.charge(&1, 20, start), Duration::ZERO);
        assert_eq!(limits.charge(&1, 10, start), Duration::from_secs(2));
        assert_eq!(limits.charge(&2, 1, start), Duration::ZERO);
        assert_eq!(limits.charge(&1, 0, start + Duration::from_secs(2)), Duration::ZERO);
    }

    #[test]
    fn places_are_few_for_one_and_are_given_back() {
        let slots = Slots::new(16, 20);
        let taken: Vec<_> = (0..10_000).filter_map(|_| slots.enter(&"madrid")).collect();
        assert_eq!(taken.len(), 16);
        let others: Vec<_> = (0..10_000).filter_map(|_| slots.enter(&"paris")).collect();
        assert_eq!(others.len(), 4);
        drop((taken, others));
        assert!(slots.enter(&"madrid").is_some());
        assert!(slots.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn refusals_are_counted_by_name() {
        let refusals = RefusedCalls::default();
        assert!(refusals.counters().is_empty());
        for _ in 0..3 {
            refusals.count(LimitedCall::VmWrites, &"10.10.10.5");
        }
        refusals.count(LimitedCall::ZoneStreams, &"madrid");
        assert_eq!(refusals.counters(), [("vm_writes", 3), ("zone_streams", 1)]);
    }

    #[test]
    fn who_is_refused_is_a_finding_until_it_is_quiet() {
        let refusals = RefusedCalls::default();
        refusals.count(LimitedCall::VmWrites, &"10.10.10.5");
        refusals.count(LimitedCall::ZoneStreams, &"madrid");
        let now = Instant::now();
        let found = refusals.findings(now);
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "N218 10.10.10.5: too many registrations and reports of one VM, 1 refused",
                "N218 madrid: too many registry streams of one zone, 1 refused",
            ]
        );
        assert!(refusals.findings(now + SAY_AGAIN).is_empty());
    }
}
