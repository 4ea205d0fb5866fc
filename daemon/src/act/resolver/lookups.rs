//! Which name is asked for when, and how many at once.
//!
//! Promises: however many names there are, a few look-ups run at once, and fewer of one zone's: a zone
//! whose names nobody answers for takes neither descriptors nor its turn from another's. A name whose
//! peer falls silent is due at once, one that nobody knows with growing distance and jitter.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::task::{JoinError, JoinSet};
use zonemesh_core::name::ZoneName;

use super::system::{ResolvedName, SystemResolver};

/// Bounds of the time between two look-ups of a name.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_secs(300);
/// Look-ups at once. Each has up to six sockets for a server that does not answer: both families,
/// asked three times.
const AT_ONCE: usize = 16;
const AT_ONCE_OF_A_ZONE: usize = 4;

/// A look-up that has ended.
pub(super) struct EndedLookup {
    pub(super) name: String,
    pub(super) answer: anyhow::Result<ResolvedName>,
}

/// The names that are looked after.
pub(super) struct Lookups {
    names: BTreeMap<String, WatchedName>,
    running: JoinSet<EndedLookup>,
    system: SystemResolver,
}

/// A name and when to ask for it again.
struct WatchedName {
    /// A zone that has it.
    zone: ZoneName,
    next: Instant,
    failures: u32,
    /// Why it was not resolved last; empty if it was.
    error: String,
    /// Times it was asked for since its peer fell silent.
    asked_in_silence: u32,
    is_asked_for: bool,
}

impl Lookups {
    pub(super) fn new(system: SystemResolver) -> Self {
        Self { names: BTreeMap::new(), running: JoinSet::new(), system }
    }

    /// Looks after these names, each with a zone that has it; what is known of them stays known.
    pub(super) fn keep(&mut self, wanted: &BTreeMap<&str, &ZoneName>) {
        self.names.retain(|name, _| wanted.contains_key(name.as_str()));
        for (name, zone) in wanted {
            if let Some(watched) = self.names.get_mut(*name) {
                watched.zone = (*zone).clone();
            } else {
                self.names.insert((*name).to_owned(), WatchedName::new((*zone).clone()));
            }
        }
    }

    /// Takes which names silent peers have; all others' peers answer.
    pub(super) fn heed_silence(&mut self, silent: &BTreeSet<String>, now: Instant) {
        for (name, watched) in &mut self.names {
            watched.heed_silence(silent.contains(name), now);
        }
    }

    /// Asks for what is due, as far as there is room.
    pub(super) fn start_due(&mut self, now: Instant) {
        while self.running.len() < AT_ONCE
            && let Some(name) = self.next_due(now)
        {
            if let Some(watched) = self.names.get_mut(&name) {
                watched.is_asked_for = true;
            }
            let resolver = self.system.shared();
            self.running.spawn(async move {
                let answer = match resolver {
                    Ok(resolver) => resolver.look_up(&name).await,
                    Err(error) => Err(error),
                };
                EndedLookup { name, answer }
            });
        }
    }

    /// The name to ask for first: of the zone that is asked for least, one that is known before one
    /// that nobody knew last time, and the one that has waited longest.
    fn next_due(&self, now: Instant) -> Option<String> {
        let mut running: BTreeMap<&ZoneName, usize> = BTreeMap::new();
        for watched in self.names.values().filter(|watched| watched.is_asked_for) {
            *running.entry(&watched.zone).or_default() += 1;
        }
        let of_zone = |watched: &WatchedName| running.get(&watched.zone).copied().unwrap_or(0);
        let is_due = |watched: &WatchedName| {
            watched.next <= now && !watched.is_asked_for && of_zone(watched) < AT_ONCE_OF_A_ZONE
        };
        let due = self.names.iter().filter(|(_, watched)| is_due(watched));
        let first = due.min_by_key(|(_, name)| (of_zone(name), name.failures, name.next));
        first.map(|(name, _)| name.clone())
    }

    /// The next look-up that ends; `None` if none runs.
    pub(super) async fn next_ended(&mut self) -> Option<Result<EndedLookup, JoinError>> {
        self.running.join_next().await
    }

    /// Takes how a look-up has ended. What it found if anybody still wants that.
    pub(super) fn take(&mut self, ended: EndedLookup, now: Instant) -> Option<Vec<IpAddr>> {
        let EndedLookup { name, answer } = ended;
        let watched = self.names.get_mut(&name)?;
        watched.handle_answer(answer.as_ref().ok().map(|found| found.valid_until), now);
        match answer {
            Ok(found) => {
                tracing::debug!(name, addresses = ?found.addresses, "resolved");
                watched.error.clear();
                Some(found.addresses)
            }
            Err(error) => {
                watched.error = format!("{error:#}");
                if watched.failures == 1 {
                    tracing::warn!(
                        name,
                        error = watched.error,
                        "cannot resolve an endpoint name, trying again; known endpoints stay in use"
                    );
                }
                None
            }
        }
    }

    /// Why this name was not resolved last, if it was not.
    pub(super) fn error_of(&self, name: &str) -> Option<&str> {
        let error = self.names.get(name)?.error.as_str();
        (!error.is_empty()).then_some(error)
    }
}

impl WatchedName {
    fn new(zone: ZoneName) -> Self {
        Self {
            zone,
            next: Instant::now(),
            failures: 0,
            error: String::new(),
            asked_in_silence: 0,
            is_asked_for: false,
        }
    }

    /// Asks at once when the peer falls silent.
    fn heed_silence(&mut self, is_silent: bool, now: Instant) {
        if !is_silent {
            self.asked_in_silence = 0;
        } else if self.asked_in_silence == 0 {
            self.asked_in_silence = 1;
            self.next = self.next.min(now);
        }
    }

    /// Takes until when an answer is good; `None` if there was none.
    fn handle_answer(&mut self, valid_until: Option<Instant>, now: Instant) {
        self.is_asked_for = false;
        self.failures = if valid_until.is_some() { 0 } else { self.failures.saturating_add(1) };
        let in_vain = self.failures.max(self.asked_in_silence);
        if self.asked_in_silence > 0 {
            self.asked_in_silence = self.asked_in_silence.saturating_add(1);
        }
        self.next = match valid_until {
            Some(end) if in_vain == 0 => end.clamp(now + SOONEST, now + LATEST),
            _ => now + with_jitter(back_off(in_vain)),
        };
    }
}

/// 5 s, 10 s, 20 s, 30 s, 30 s, ...
fn back_off(in_vain: u32) -> Duration {
    (SOONEST * 2u32.pow(in_vain.saturating_sub(1).min(3))).min(Duration::from_secs(30))
}

/// Up to a fifth more: gateways that lost a peer together do not ask together.
fn with_jitter(time: Duration) -> Duration {
    let share = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    time + time.mul_f64(share / 5.0)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    fn named(zone: &str) -> WatchedName {
        WatchedName::new(zone.parse().unwrap())
    }

    fn asked(name: &WatchedName, now: Instant) -> Duration {
        name.next.saturating_duration_since(now)
    }

    #[test]
    fn an_answer_is_good_for_its_ttl_within_bounds() {
        let now = Instant::now();
        for (ttl, expected) in [(1, SOONEST), (60, Duration::from_secs(60)), (9999, LATEST)] {
            let mut name = named("paris");
            name.handle_answer(Some(now + Duration::from_secs(ttl)), now);
            assert_eq!(asked(&name, now), expected);
        }
    }

    #[test]
    fn failures_and_silence_are_asked_about_with_growing_distance_and_jitter() {
        let now = Instant::now();
        let (mut failing, mut silent) = (named("paris"), named("paris"));
        silent.heed_silence(true, now);
        for seconds in [5, 10, 20, 30, 30] {
            failing.handle_answer(None, now);
            silent.heed_silence(true, now);
            silent.handle_answer(Some(now + LATEST), now);
            let bounds = Duration::from_secs(seconds)..=Duration::from_secs(seconds) * 6 / 5;
            assert!(bounds.contains(&asked(&failing, now)), "{:?}", asked(&failing, now));
            assert!(bounds.contains(&asked(&silent, now)), "{:?}", asked(&silent, now));
        }
    }

    #[test]
    fn a_name_is_asked_for_at_once_when_its_peer_falls_silent_and_by_ttl_when_it_is_back() {
        let now = Instant::now();
        let mut name = named("paris");
        name.handle_answer(Some(now + LATEST), now);
        name.heed_silence(true, now);
        assert_eq!(asked(&name, now), Duration::ZERO);
        name.handle_answer(Some(now + LATEST), now);
        name.heed_silence(false, now);
        name.handle_answer(Some(now + LATEST), now);
        assert_eq!(asked(&name, now), LATEST);
    }

    /// A server that takes questions and answers none, and look-ups that ask it.
    struct DeafServer {
        folder: tempfile::TempDir,
        socket: UdpSocket,
    }

    impl DeafServer {
        fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            Self { folder, socket }
        }

        fn lookups(&self) -> Lookups {
            let file = self.folder.path().join("resolv.conf");
            std::fs::write(&file, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
            let port = self.socket.local_addr().unwrap().port();
            Lookups::new(SystemResolver::with(&file, port))
        }
    }

    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    /// As many names of each zone.
    fn watch(lookups: &mut Lookups, zones: &[&str], names: usize) {
        let zones: Vec<ZoneName> = zones.iter().map(|zone| zone.parse().unwrap()).collect();
        let names: Vec<_> = (0..names).map(|n| format!("gw{n:04}")).collect();
        let texts = zones.iter().flat_map(|zone| names.iter().map(move |n| format!("{n}.{zone}.")));
        let texts: Vec<_> = texts.collect();
        let wanted = texts.iter().enumerate();
        let wanted = wanted.map(|(n, text)| (text.as_str(), &zones[n / names.len()]));
        lookups.keep(&wanted.collect());
    }

    #[tokio::test]
    async fn two_hundred_names_that_nobody_answers_for_take_a_few_descriptors() {
        let server = DeafServer::start();
        let mut lookups = server.lookups();
        let zones: Vec<_> = (0..20).map(|n| format!("zone{n:02}")).collect();
        watch(&mut lookups, &zones.iter().map(String::as_str).collect::<Vec<_>>(), 10);
        let before = descriptors();
        let (mut most, mut ended) = (0, 0);
        while ended < 40 {
            lookups.start_due(Instant::now());
            assert_eq!(lookups.running.len(), AT_ONCE);
            let next = tokio::time::timeout(Duration::from_millis(20), lookups.next_ended());
            if let Ok(next) = next.await {
                let next = next.unwrap().unwrap();
                assert!(next.answer.is_err());
                assert!(lookups.take(next, Instant::now()).is_none());
                ended += 1;
            }
            most = most.max(descriptors() - before);
        }
        assert!(most <= 6 * AT_ONCE, "{most} descriptors");
    }

    #[tokio::test]
    async fn a_zone_whose_names_nobody_answers_for_leaves_the_others_their_turn() {
        let server = DeafServer::start();
        let mut lookups = server.lookups();
        watch(&mut lookups, &["madrid"], 2500);
        lookups.start_due(Instant::now());
        assert_eq!(lookups.running.len(), AT_ONCE_OF_A_ZONE);
        let paris: ZoneName = "paris".parse().unwrap();
        lookups.names.insert("gw.paris.".to_owned(), WatchedName::new(paris));
        lookups.start_due(Instant::now());
        assert!(lookups.names["gw.paris."].is_asked_for);
    }

    #[tokio::test]
    async fn a_name_that_is_known_goes_before_those_that_nobody_knew() {
        let server = DeafServer::start();
        let mut lookups = server.lookups();
        watch(&mut lookups, &["madrid"], 20);
        for (_, watched) in lookups.names.iter_mut().filter(|(name, _)| *name != "gw0019.madrid.") {
            watched.failures = 3;
        }
        assert_eq!(lookups.next_due(Instant::now()).as_deref(), Some("gw0019.madrid."));
    }
}
