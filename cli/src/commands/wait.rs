//! `zonemesh wait`: until the tunnels to all zones, or to those that are named, are up. A plain
//! WireGuard peer, which may come and go, is waited for only by its name.
//!
//! A daemon that is not there yet is waited for as well, and so is a mesh that a gateway is not in
//! yet. Prints nothing: the exit code is the answer, and what is missing at the end is named.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use zonemesh_api::v1::{PeersRequest, StatusRequest};
use zonemesh_api::view::{FindingView, PeerEntry, PeersView};
use zonemesh_core::finding::Code;

use crate::arguments::Wait;
use crate::daemon::{ask, body};
use crate::failure::{CommandFailure, Exit};

/// Time between two questions.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) fn wait(socket: &Path, wanted: &Wait) -> Result<Exit, CommandFailure> {
    let end = Instant::now() + Duration::from_secs(wanted.timeout);
    loop {
        let answer = look(socket, wanted);
        let is_over = Instant::now() >= end;
        match answer {
            Ok(None) => return Ok(Exit::Ok),
            Ok(Some(lack)) if is_over => return Err(lack.told(wanted)),
            Ok(Some(_)) => {}
            Err(failure) if is_over || !is_passing(&failure) => return Err(failure),
            Err(_) => {}
        }
        thread::sleep(PAUSE);
    }
}

/// What is waited for still.
enum Lack {
    /// Tunnels to these zones.
    Zones(Vec<String>),
    /// The first of these zones, of which no gateway is known here.
    Unknown(String),
    /// A mesh, and why this gateway is in none.
    Mesh(Box<FindingView>),
}

/// What is missing now, if anything is.
fn look(socket: &Path, wanted: &Wait) -> Result<Option<Lack>, CommandFailure> {
    let zones = zones(socket, wanted)?;
    if zones.is_empty() && wanted.zones.is_empty() {
        return outside(socket).map(|why| why.map(Box::new).map(Lack::Mesh));
    }
    let missing = missing(&zones, wanted);
    if let Some(unknown) = missing.iter().find(|zone| !zones.contains_key(*zone)) {
        return Ok(Some(Lack::Unknown(unknown.clone())));
    }
    Ok((!missing.is_empty()).then_some(Lack::Zones(missing)))
}

/// Each zone, and whether a tunnel to one of its gateways is up; also each plain WireGuard peer that is
/// waited for by its name, as that is no zone's.
fn zones(socket: &Path, wanted: &Wait) -> Result<BTreeMap<String, bool>, CommandFailure> {
    let all = PeersRequest::default();
    let reply = ask(socket, async |mut client| client.peers(all).await.map(body))?;
    let peers = PeersView::from(reply).peers;
    let (plain, of_zones): (Vec<_>, Vec<_>) =
        peers.into_iter().partition(PeerEntry::is_wireguard_peer);
    let mut zones = BTreeMap::new();
    for peer in of_zones {
        let is_up = peer.is_up();
        *zones.entry(peer.zone).or_insert(false) |= is_up;
    }
    let is_named = |peer: &PeerEntry| wanted.zones.iter().any(|zone| zone.as_str() == peer.zone);
    for peer in plain.into_iter().filter(is_named) {
        let is_up = peer.is_up();
        zones.entry(peer.zone).or_insert(is_up);
    }
    Ok(zones)
}

/// Findings that say that this gateway is in no mesh.
const OUTSIDE: [Code; 5] =
    [Code::NoMesh, Code::NotAMember, Code::KeyRevoked, Code::GrantedOtherKey, Code::ZoneLeft];

/// Why this gateway is in no mesh, if it is in none.
fn outside(socket: &Path) -> Result<Option<FindingView>, CommandFailure> {
    let question = StatusRequest { at_most: 0 };
    let reply = ask(socket, async |mut client| client.status(question).await.map(body))?;
    let mut findings = reply.findings.into_iter().map(FindingView::from);
    let says = |one: &FindingView| Code::of(&one.code).is_some_and(|code| OUTSIDE.contains(&code));
    Ok(findings.find(says))
}

/// The zones that are waited for still.
fn missing(zones: &BTreeMap<String, bool>, wanted: &Wait) -> Vec<String> {
    let is_up = |zone: &String| zones.get(zone).copied().unwrap_or(false);
    let named = wanted.zones.iter().map(ToString::to_string);
    let awaited: Vec<String> = match wanted.zones.is_empty() {
        true => zones.keys().cloned().collect(),
        false => named.collect(),
    };
    awaited.into_iter().filter(|zone| !is_up(zone)).collect()
}

/// Whether the daemon may still come, or come to itself.
fn is_passing(failure: &CommandFailure) -> bool {
    matches!(failure.exit, Exit::Unreachable | Exit::Network | Exit::Timeout)
}

impl Lack {
    /// What was missing when the time was over.
    fn told(self, wanted: &Wait) -> CommandFailure {
        let seconds = wanted.timeout;
        let why = match self {
            Self::Mesh(why) => why,
            Self::Unknown(zone) => {
                let message = format!("after {seconds} s no such zone is known here: {zone}");
                return CommandFailure::message(Exit::Negative, message).next("zonemesh zone list");
            }
            Self::Zones(zones) => {
                let zones = zones.join(", ");
                let message = format!("after {seconds} s no tunnel is up to: {zones}");
                return CommandFailure::message(Exit::Timeout, message).next("zonemesh status");
            }
        };
        let message = format!("after {seconds} s there is no tunnel: {}", why.sentence);
        let failure = CommandFailure::message(Exit::Negative, message).next(why.fix);
        match Code::of(&why.code) {
            Some(code) => failure.code(code),
            None => failure,
        }
    }
}
