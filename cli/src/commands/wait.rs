//! `zonemesh wait`: until the tunnels to all zones, or to those that are named, are up.
//!
//! A daemon that is not there yet is waited for as well. Prints nothing: the exit code is the
//! answer, and what is missing at the end is named.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use zonemesh_api::v1::PeersRequest;
use zonemesh_api::view::PeersView;

use crate::arguments::Wait;
use crate::daemon::{ask, body};
use crate::failure::{CommandFailure, Exit};

/// Time between two questions.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) fn wait(socket: &Path, wanted: &Wait) -> Result<Exit, CommandFailure> {
    let end = Instant::now() + Duration::from_secs(wanted.timeout);
    loop {
        let answer = look(socket);
        let is_over = Instant::now() >= end;
        match answer {
            Ok(zones) => match missing(&zones, wanted) {
                none if none.is_empty() => return Ok(Exit::Ok),
                some if is_over => return Err(late(wanted, &some)),
                _ => {}
            },
            Err(failure) if is_over || !is_passing(&failure) => return Err(failure),
            Err(_) => {}
        }
        thread::sleep(PAUSE);
    }
}

/// Each zone, and whether a tunnel to one of its gateways is up.
fn look(socket: &Path) -> Result<BTreeMap<String, bool>, CommandFailure> {
    let all = PeersRequest::default();
    let reply = ask(socket, async |mut client| client.peers(all).await.map(body))?;
    let mut zones = BTreeMap::new();
    for peer in PeersView::from(reply).peers {
        *zones.entry(peer.zone).or_insert(false) |= ["up", "degraded"].contains(&peer.state);
    }
    Ok(zones)
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
    matches!(failure.exit, Exit::Unreachable | Exit::Timeout)
}

fn late(wanted: &Wait, missing: &[String]) -> CommandFailure {
    let (seconds, zones) = (wanted.timeout, missing.join(", "));
    let message = format!("after {seconds} s no tunnel is up to: {zones}");
    CommandFailure::message(Exit::Timeout, message).next("zonemesh status")
}
