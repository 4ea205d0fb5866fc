//! Resolves the peers' endpoint names again and again, and switches endpoints of silent peers.
//!
//! Promises: never blocks the data path; DNS trouble never takes a working endpoint away; what a
//! name resolves to is asked for again when its TTL ends, at once when its peer falls silent, and
//! then with back-off and jitter as long as it is. Questions go to the servers of the system.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use tokio::task::JoinSet;
use zonemesh_config::Endpoint;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::path::PathState;

use crate::act::PeersInService;
use crate::facts::findings::FindingBoard;
use crate::facts::paths::PathBoard;
use crate::facts::tunnel::DataPlane;
use crate::plan::PeerPlan;
use crate::plan::endpoints::{Candidates, PeerSeen};

const TICK: Duration = Duration::from_secs(1);
/// Bounds of the time between two look-ups of a name.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_secs(300);

/// A peer whose endpoints are looked after.
struct ResolvedPeer {
    id: GatewayId,
    key: WireGuardPublicKey,
    endpoints: Vec<Endpoint>,
    candidates: Candidates,
}

/// A name and when to ask for it again.
struct Name {
    next: Instant,
    failures: u32,
    /// Why it was not resolved last; empty if it was.
    error: String,
    /// Times it was asked for since its peer fell silent.
    asked_in_silence: u32,
    is_asked_for: bool,
}

type Answer = anyhow::Result<(Vec<IpAddr>, Instant)>;

/// Looks after the endpoints of the peers in `table` until it is dropped.
pub(crate) async fn run(
    mut table: PeersInService,
    tunnel: Arc<dyn DataPlane>,
    paths: Arc<PathBoard>,
    findings: Arc<FindingBoard>,
) -> anyhow::Result<()> {
    let mut names: BTreeMap<String, Name> = BTreeMap::new();
    let mut peers = Vec::new();
    follow(&table.borrow_and_update(), &mut peers, &mut names);
    let mut lookups: JoinSet<(String, Answer)> = JoinSet::new();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let silent = switch_endpoints(&mut peers, &*tunnel, &paths);
                start_due(&mut names, &silent, &mut lookups);
            }
            changed = table.changed() => {
                changed?;
                follow(&table.borrow_and_update(), &mut peers, &mut names);
                findings.settle(&[Code::NameUnresolved], unresolved(&names, &peers));
            }
            Some(done) = lookups.join_next() => {
                let (name, answer) = done?;
                take_answer(&name, answer, &mut names, &mut peers);
                findings.settle(&[Code::NameUnresolved], unresolved(&names, &peers));
            }
        }
    }
}

/// Takes the peers as they are now; what is known of unchanged ones stays known.
fn follow(table: &[PeerPlan], peers: &mut Vec<ResolvedPeer>, names: &mut BTreeMap<String, Name>) {
    let mut known = std::mem::take(peers);
    for peer in table.iter().filter(|peer| !peer.endpoints.is_empty()) {
        let same = known
            .iter()
            .position(|old| old.key == peer.wireguard_key && old.endpoints == peer.endpoints)
            .filter(|index| known[*index].id == peer.id);
        peers.push(match same {
            Some(index) => known.swap_remove(index),
            None => ResolvedPeer {
                id: peer.id.clone(),
                key: peer.wireguard_key,
                endpoints: peer.endpoints.clone(),
                candidates: Candidates::new(peer.endpoints.clone()),
            },
        });
    }
    let in_use: BTreeSet<_> = peers.iter().flat_map(|peer| peer.candidates.names()).collect();
    names.retain(|name, _| in_use.contains(name.as_str()));
    for name in in_use {
        names.entry(name.to_owned()).or_insert_with(Name::new);
    }
}

/// Moves silent peers to their next endpoint; returns the names that silent peers have.
fn switch_endpoints(
    peers: &mut [ResolvedPeer],
    tunnel: &dyn DataPlane,
    paths: &PathBoard,
) -> Vec<String> {
    let mut silent = Vec::new();
    for peer in peers {
        let Some(now) = tunnel.peer_status(&peer.key) else { continue };
        // Probes tell before handshakes do: a session outlives the path that it was made over.
        let is_down =
            paths.path(&peer.id).is_some_and(|path| path.summary.state == PathState::Down);
        let unanswered = now.handshake_attempts_unanswered.max(u64::from(is_down));
        if let Some(next) = peer.candidates.choose(PeerSeen { endpoint: now.endpoint, unanswered })
        {
            tracing::info!(zone = %peer.id.zone, endpoint = %next, "trying another endpoint");
            tunnel.set_endpoint(&peer.key, next);
        }
        if unanswered > 0 {
            silent.extend(peer.candidates.names().map(str::to_owned));
        }
    }
    silent
}

fn start_due(
    names: &mut BTreeMap<String, Name>,
    silent: &[String],
    lookups: &mut JoinSet<(String, Answer)>,
) {
    let now = Instant::now();
    for (text, name) in names {
        name.heed_silence(silent.contains(text), now);
        if name.next <= now && !name.is_asked_for {
            name.is_asked_for = true;
            let text = text.clone();
            lookups.spawn(async move {
                let answer = look_up(&text).await;
                (text, answer)
            });
        }
    }
}

/// Asks the system's resolvers, read anew each time: they change with DHCP.
async fn look_up(name: &str) -> Answer {
    let resolver = TokioResolver::builder_tokio()?.build()?;
    let answer = resolver.lookup_ip(name).await?;
    Ok((answer.iter().collect(), answer.valid_until()))
}

fn take_answer(
    text: &str,
    answer: Answer,
    names: &mut BTreeMap<String, Name>,
    peers: &mut [ResolvedPeer],
) {
    let Some(name) = names.get_mut(text) else { return };
    let now = Instant::now();
    name.handle_answer(answer.as_ref().ok().map(|(_, valid_until)| *valid_until), now);
    match answer {
        Ok((addresses, _)) => {
            tracing::debug!(name = text, ?addresses, "resolved");
            name.error.clear();
            for peer in peers.iter_mut().filter(|peer| peer.candidates.names().any(|n| n == text)) {
                peer.candidates.set_resolved(text, addresses.clone());
            }
        }
        Err(error) => {
            name.error = format!("{error:#}");
            if name.failures == 1 {
                tracing::warn!(
                    name = text,
                    error = name.error,
                    "cannot resolve an endpoint name, trying again; known endpoints stay in use"
                );
            }
        }
    }
}

/// One for each peer with a name that nobody knows now.
fn unresolved(names: &BTreeMap<String, Name>, peers: &[ResolvedPeer]) -> Vec<Finding> {
    let of = |peer: &ResolvedPeer| {
        let unknown = |text: &str| names.get(text).is_some_and(|name| !name.error.is_empty());
        let text = peer.candidates.names().find(|text| unknown(text))?;
        let reason = names.get(text)?.error.clone();
        let finding = Finding::new(Code::NameUnresolved, Subject::Zone(peer.id.zone.clone()));
        Some(finding.with(Evidence::Address(text.to_owned())).with(Evidence::Reason(reason)))
    };
    peers.iter().filter_map(of).collect()
}

impl Name {
    fn new() -> Self {
        Self {
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
    use super::*;

    fn asked(name: &Name, now: Instant) -> Duration {
        name.next.saturating_duration_since(now)
    }

    #[test]
    fn an_answer_is_good_for_its_ttl_within_bounds() {
        let now = Instant::now();
        for (ttl, expected) in [(1, SOONEST), (60, Duration::from_secs(60)), (9999, LATEST)] {
            let mut name = Name::new();
            name.handle_answer(Some(now + Duration::from_secs(ttl)), now);
            assert_eq!(asked(&name, now), expected);
        }
    }

    #[test]
    fn failures_and_silence_are_asked_about_with_growing_distance_and_jitter() {
        let now = Instant::now();
        let (mut failing, mut silent) = (Name::new(), Name::new());
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
        let mut name = Name::new();
        name.handle_answer(Some(now + LATEST), now);
        name.heed_silence(true, now);
        assert_eq!(asked(&name, now), Duration::ZERO);
        name.handle_answer(Some(now + LATEST), now);
        name.heed_silence(false, now);
        name.handle_answer(Some(now + LATEST), now);
        assert_eq!(asked(&name, now), LATEST);
    }

    #[test]
    fn a_name_that_nobody_knows_is_a_finding_about_its_peer_until_it_is_resolved() {
        let endpoint = || "gw.paris.example:51820".parse::<Endpoint>().unwrap();
        let mut peers = vec![ResolvedPeer {
            id: "paris/paris-gw1".parse().unwrap(),
            key: WireGuardPublicKey([1; 32]),
            endpoints: vec![endpoint()],
            candidates: Candidates::new(vec![endpoint()]),
        }];
        let mut names = BTreeMap::from([("gw.paris.example".to_owned(), Name::new())]);
        assert!(unresolved(&names, &peers).is_empty());
        let mut answer = |answer| {
            take_answer("gw.paris.example", answer, &mut names, &mut peers);
            unresolved(&names, &peers).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let line = "N215 paris: cannot resolve gw.paris.example: no such host";
        assert_eq!(answer(Err(anyhow::anyhow!("no such host"))), [line]);
        let known = (vec![IpAddr::from([198, 51, 100, 7])], Instant::now() + LATEST);
        assert!(answer(Ok(known)).is_empty());
    }
}
