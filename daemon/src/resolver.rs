//! Resolves the peers' endpoint names again and again, and switches endpoints of silent peers.
//!
//! Promises: never blocks the data path; DNS trouble never takes a working endpoint away; what a
//! name resolves to is asked for again when its TTL ends, and soon while its peer is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use tokio::task::JoinSet;
use zonemesh_config::Endpoint;
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::name::ZoneName;
use zonemesh_tunnel::Tunnel;

use crate::endpoints::{Candidates, Seen};
use crate::mesh::{PeerPlan, PeerTable};

const TICK: Duration = Duration::from_secs(1);
/// Bounds of the time between two look-ups of a name.
const SOONEST: Duration = Duration::from_secs(5);
const LATEST: Duration = Duration::from_secs(300);

/// A peer whose endpoints are looked after.
struct Watched {
    zone: ZoneName,
    key: WireGuardPublicKey,
    endpoints: Vec<Endpoint>,
    candidates: Candidates,
}

/// A name and when to ask for it again.
struct Name {
    next: Instant,
    failures: u32,
}

type Answer = anyhow::Result<(Vec<IpAddr>, Instant)>;

/// Looks after the endpoints of the peers in `table` until it is dropped.
pub(crate) async fn run(mut table: PeerTable, tunnel: Arc<Tunnel>) -> anyhow::Result<()> {
    let mut names: BTreeMap<String, Name> = BTreeMap::new();
    let mut peers = Vec::new();
    follow(&table.borrow_and_update(), &mut peers, &mut names);
    let mut lookups: JoinSet<(String, Answer)> = JoinSet::new();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let silent = switch_endpoints(&mut peers, &tunnel);
                start_due(&mut names, &silent, &mut lookups);
            }
            changed = table.changed() => {
                changed?;
                follow(&table.borrow_and_update(), &mut peers, &mut names);
            }
            Some(done) = lookups.join_next() => {
                let (name, answer) = done?;
                take_answer(&name, answer, &mut names, &mut peers);
            }
        }
    }
}

/// Takes the peers as they are now; what is known of unchanged ones stays known.
fn follow(table: &[PeerPlan], peers: &mut Vec<Watched>, names: &mut BTreeMap<String, Name>) {
    let mut known = std::mem::take(peers);
    for peer in table.iter().filter(|peer| !peer.endpoints.is_empty()) {
        let same = known
            .iter()
            .position(|old| old.key == peer.wireguard_key && old.endpoints == peer.endpoints);
        peers.push(match same {
            Some(index) => known.swap_remove(index),
            None => Watched {
                zone: peer.zone.clone(),
                key: peer.wireguard_key,
                endpoints: peer.endpoints.clone(),
                candidates: Candidates::new(peer.endpoints.clone()),
            },
        });
    }
    let in_use: BTreeSet<_> = peers.iter().flat_map(|peer| peer.candidates.names()).collect();
    names.retain(|name, _| in_use.contains(name.as_str()));
    for name in in_use {
        let now = || Name { next: Instant::now(), failures: 0 };
        names.entry(name.to_owned()).or_insert_with(now);
    }
}

/// Moves silent peers to their next endpoint; returns the names that silent peers have.
fn switch_endpoints(peers: &mut [Watched], tunnel: &Tunnel) -> Vec<String> {
    let status = tunnel.status();
    let mut silent = Vec::new();
    for peer in peers {
        let Some(now) = status.peers.iter().find(|status| status.public_key == peer.key) else {
            continue;
        };
        let unanswered = now.handshake_attempts_unanswered;
        if let Some(next) = peer.candidates.choose(Seen { endpoint: now.endpoint, unanswered }) {
            tracing::info!(zone = %peer.zone, endpoint = %next, "trying another endpoint");
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
        let soon = silent.contains(text).then(|| now + back_off(name.failures));
        name.next = soon.map_or(name.next, |soon| name.next.min(soon));
        if name.next <= now {
            name.next = now + LATEST;
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
    peers: &mut [Watched],
) {
    let Some(name) = names.get_mut(text) else { return };
    let now = Instant::now();
    match answer {
        Ok((addresses, valid_until)) => {
            name.failures = 0;
            name.next = valid_until.clamp(now + SOONEST, now + LATEST);
            tracing::debug!(name = text, ?addresses, "resolved");
            for peer in peers.iter_mut().filter(|peer| peer.candidates.names().any(|n| n == text)) {
                peer.candidates.set_resolved(text, addresses.clone());
            }
        }
        Err(error) => {
            if name.failures == 0 {
                tracing::warn!(
                    name = text,
                    error = format!("{error:#}"),
                    "cannot resolve an endpoint name, trying again; known endpoints stay in use"
                );
            }
            name.failures = name.failures.saturating_add(1);
            name.next = now + back_off(name.failures);
        }
    }
}

/// 5 s, 10 s, 20 s, 30 s, 30 s, ...
fn back_off(failures: u32) -> Duration {
    (SOONEST * 2u32.pow(failures.saturating_sub(1).min(3))).min(Duration::from_secs(30))
}
