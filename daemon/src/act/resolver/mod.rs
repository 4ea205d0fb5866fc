//! Resolves the peers' endpoint names again and again, and switches endpoints of silent peers.
//!
//! Promises: never blocks the data path; DNS trouble never takes a working endpoint away; what a
//! name resolves to is asked for again when its TTL ends, at once when its peer falls silent, and
//! then with back-off and jitter as long as it is. Questions go to the servers of the system, a few
//! at once however many names there are (`lookups`).

mod lookups;
mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zonemesh_config::Endpoint;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::name::ZoneName;
use zonemesh_core::path::PathState;

use crate::act::PeersInService;
use crate::facts::findings::FindingBoard;
use crate::facts::paths::PathBoard;
use crate::facts::tunnel::DataPlane;
use crate::plan::PeerPlan;
use crate::plan::endpoints::{Candidates, PeerSeen};

use lookups::{EndedLookup, Lookups};
use system::SystemResolver;

const TICK: Duration = Duration::from_secs(1);
/// EAFNOSUPPORT, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH: this machine has no way to an address.
const NO_WAY: [i32; 4] = [97, 99, 101, 113];

/// A peer whose endpoints are looked after.
struct ResolvedPeer {
    id: GatewayId,
    subject: Subject,
    key: WireGuardPublicKey,
    endpoints: Vec<Endpoint>,
    candidates: Candidates,
}

/// Looks after the endpoints of the peers in `table` until it is dropped.
pub(crate) async fn run(
    mut table: PeersInService,
    tunnel: Arc<dyn DataPlane>,
    paths: Arc<PathBoard>,
    findings: Arc<FindingBoard>,
) -> anyhow::Result<()> {
    let mut lookups = Lookups::new(SystemResolver::new());
    let mut peers = Vec::new();
    follow(&table.borrow_and_update(), &mut peers, &mut lookups);
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let silent = switch_endpoints(&mut peers, &*tunnel, &paths);
                lookups.heed_silence(&silent, Instant::now());
            }
            changed = table.changed() => {
                changed?;
                follow(&table.borrow_and_update(), &mut peers, &mut lookups);
                findings.settle(&[Code::NameUnresolved], unresolved(&lookups, &peers));
            }
            Some(ended) = lookups.next_ended() => {
                take(ended?, &mut lookups, &mut peers);
                findings.settle(&[Code::NameUnresolved], unresolved(&lookups, &peers));
            }
        }
        lookups.start_due(Instant::now());
    }
}

/// Takes the peers as they are now; what is known of unchanged ones stays known.
fn follow(table: &[PeerPlan], peers: &mut Vec<ResolvedPeer>, lookups: &mut Lookups) {
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
                subject: peer.subject(),
                key: peer.wireguard_key,
                endpoints: peer.endpoints.clone(),
                candidates: Candidates::new(peer.endpoints.clone()),
            },
        });
    }
    lookups.keep(&names_with_zones(peers));
}

/// The names, each with the zone that has it. A name that several have counts for the one with the
/// fewest: a zone with many must not make another's wait by having that too.
fn names_with_zones(peers: &[ResolvedPeer]) -> BTreeMap<&str, &ZoneName> {
    let mut counts: BTreeMap<&ZoneName, usize> = BTreeMap::new();
    for peer in peers {
        *counts.entry(&peer.id.zone).or_default() += peer.candidates.names().count();
    }
    let mut names: BTreeMap<&str, &ZoneName> = BTreeMap::new();
    for peer in peers {
        for name in peer.candidates.names() {
            let holder = names.entry(name).or_insert(&peer.id.zone);
            if counts[&peer.id.zone] < counts[*holder] {
                *holder = &peer.id.zone;
            }
        }
    }
    names
}

/// Moves silent peers to their next endpoint; returns the names that silent peers have.
fn switch_endpoints(
    peers: &mut [ResolvedPeer],
    tunnel: &dyn DataPlane,
    paths: &PathBoard,
) -> BTreeSet<String> {
    let mut silent = BTreeSet::new();
    for peer in peers {
        let Some(now) = tunnel.peer_status(&peer.key) else { continue };
        // Probes tell before handshakes do: a session outlives the path that it was made over.
        // One that was stopped may come back elsewhere.
        let is_gone = |state| matches!(state, PathState::Down | PathState::Stopped);
        let is_down = paths.path(&peer.id).is_some_and(|path| is_gone(path.summary.state));
        let unanswered = now.handshake_attempts_unanswered.max(u64::from(is_down));
        let has_no_way = now.send_refused.is_some_and(|errno| NO_WAY.contains(&errno));
        let seen = PeerSeen { endpoint: now.endpoint, unanswered, has_no_way };
        if let Some(next) = peer.candidates.choose(seen) {
            tracing::info!(zone = %peer.id.zone, endpoint = %next, "trying another endpoint");
            tunnel.set_endpoint(&peer.key, next);
        }
        if unanswered > 0 {
            silent.extend(peer.candidates.names().map(str::to_owned));
        }
    }
    silent
}

/// Gives what was found to all peers with that name.
fn take(ended: EndedLookup, lookups: &mut Lookups, peers: &mut [ResolvedPeer]) {
    let name = ended.name.clone();
    let Some(addresses) = lookups.take(ended, Instant::now()) else { return };
    for peer in peers.iter_mut().filter(|peer| peer.candidates.names().any(|n| n == name)) {
        peer.candidates.set_resolved(&name, addresses.clone());
    }
}

/// One for each peer with a name that nobody knows now.
fn unresolved(lookups: &Lookups, peers: &[ResolvedPeer]) -> Vec<Finding> {
    let of = |peer: &ResolvedPeer| {
        let mut names = peer.candidates.names();
        let (name, reason) = names.find_map(|name| Some((name, lookups.error_of(name)?)))?;
        let finding = Finding::new(Code::NameUnresolved, peer.subject.clone());
        let finding = finding.with(Evidence::Address(name.to_owned()));
        Some(finding.with(Evidence::Reason(reason.to_owned())))
    };
    peers.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::system::ResolvedName;
    use super::*;

    fn peer(gateway: &str, names: &[&str]) -> ResolvedPeer {
        let endpoints = names.iter().map(|name| format!("{name}:51820").parse().unwrap());
        let endpoints: Vec<Endpoint> = endpoints.collect();
        ResolvedPeer {
            id: gateway.parse().unwrap(),
            subject: Subject::Zone(gateway.split_once('/').unwrap().0.parse().unwrap()),
            key: WireGuardPublicKey([1; 32]),
            endpoints: endpoints.clone(),
            candidates: Candidates::new(endpoints),
        }
    }

    #[test]
    fn a_name_that_nobody_knows_is_a_finding_about_its_peer_until_it_is_resolved() {
        let mut peers = vec![peer("paris/paris-gw1", &["gw.paris.example"])];
        let mut lookups = Lookups::new(SystemResolver::new());
        lookups.keep(&names_with_zones(&peers));
        assert!(unresolved(&lookups, &peers).is_empty());
        let mut answer = |answer| {
            let ended = EndedLookup { name: "gw.paris.example".to_owned(), answer };
            take(ended, &mut lookups, &mut peers);
            unresolved(&lookups, &peers).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let line = "N215 paris: cannot resolve gw.paris.example: no such host";
        assert_eq!(answer(Err(anyhow::anyhow!("no such host"))), [line]);
        let addresses = vec![IpAddr::from([198, 51, 100, 7])];
        let valid_until = Instant::now() + Duration::from_secs(300);
        assert!(answer(Ok(ResolvedName { addresses, valid_until })).is_empty());
        assert!(peers[0].candidates.first_address().is_some());
    }

    #[test]
    fn a_name_of_two_zones_counts_for_the_one_with_fewer() {
        let many = ["a.example", "b.example", "gw.paris.example"];
        let peers =
            [peer("madrid/madrid-gw1", &many), peer("paris/paris-gw1", &["gw.paris.example"])];
        let names = names_with_zones(&peers);
        assert_eq!(names["gw.paris.example"].as_str(), "paris");
        assert_eq!(names["a.example"].as_str(), "madrid");
    }
}
