//! The checks between values: who owns which addresses, names and keys.
//!
//! Each mistake is reported at the later of the two values and names both owners. What is checked
//! here would otherwise break at run time and far from its cause: WireGuard gives overlapping
//! prefixes to the peer that was set last, without a word.

mod addresses;
mod identity;

use std::time::Duration;

use crate::draft::{Draft, PeerDraft};
use crate::parse::{default_gateway_name, keepalive};
use crate::reader::{Complaint, Findings, Placed};

/// Silence after which WireGuard itself forgets the session (`REJECT_AFTER_TIME`).
const WIREGUARD_MAX: Duration = Duration::from_secs(180);
/// The shortest interval that gRPC implementations allow a caller.
const GRPC_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// Beyond this a dead stream would go unnoticed for too long to be of use.
const GRPC_INTERVAL_MAX: Duration = Duration::from_secs(3600);

pub(crate) fn run(draft: &Draft, findings: &mut Findings<'_>) {
    gateway_name(draft, findings);
    addresses::prefixes(draft, findings);
    addresses::tunnel_addresses(draft, findings);
    addresses::endpoints(draft, findings);
    addresses::local_api(draft, findings);
    identity::peers(draft, findings);
    identity::federations(draft, findings);
    identity::tokens(draft, findings);
    keepalives(draft, findings);
}

/// How messages call this zone.
fn own_zone(draft: &Draft) -> String {
    match &draft.zone.name {
        Some(name) => format!("this zone {:?}", name.value.as_str()),
        None => "this zone".to_owned(),
    }
}

/// How messages call a peer's zone.
fn peer_zone(peer: &PeerDraft) -> String {
    match &peer.zone {
        Some(name) => format!("zone {:?}", name.value.as_str()),
        None => "a zone without a readable name".to_owned(),
    }
}

fn gateway_name(draft: &Draft, findings: &mut Findings<'_>) {
    let Some(zone) = &draft.zone.name else {
        return;
    };
    let name = default_gateway_name(&zone.value);
    if draft.gateway.name.is_none() && name.len() > 63 {
        let complaint = Complaint::new(
            format!("the default {name:?} has {} characters", name.len()),
            "a gateway name of 1 to 63 characters",
            "add name = \"gw1\" to [gateway]",
        );
        findings.report("gateway.name", zone.offset, complaint);
    }
}

/// Reports every value that equals an earlier one.
fn report_twins<'d, T: PartialEq + 'd>(
    findings: &mut Findings<'_>,
    values: impl IntoIterator<Item = &'d Placed<T>>,
    expected: &str,
    fix: &str,
) {
    let mut earlier: Vec<&Placed<T>> = Vec::new();
    for placed in values {
        match earlier.iter().find(|known| known.value == placed.value) {
            Some(twin) => {
                let line = findings.line_of(twin);
                let found = format!("found the same as {} in line {line}", twin.key);
                findings.report_at(placed, Complaint::new(found, expected, fix));
            }
            None => earlier.push(placed),
        }
    }
}

fn keepalives(draft: &Draft, findings: &mut Findings<'_>) {
    let given = &draft.keepalive;
    let all = keepalive(given);
    let second = Duration::from_secs(1);
    let ranges = [
        (
            &given.wireguard,
            second,
            WIREGUARD_MAX,
            "NATs forget a quiet path after 30 s: \"25s\" is usual",
        ),
        (
            &given.grpc_interval,
            GRPC_INTERVAL_MIN,
            GRPC_INTERVAL_MAX,
            "servers close streams that ping oftener: \"60s\" is usual",
        ),
        (
            &given.grpc_timeout,
            second,
            all.grpc_interval,
            "a PING has to be given up before the next is due: \"20s\" is usual",
        ),
    ];
    for (placed, least, most, fix) in ranges {
        let Some(placed) = placed else { continue };
        if !(least..=most).contains(&placed.value) {
            let found = format!("found {}", humantime::format_duration(placed.value));
            let expected = format!(
                "{} to {}",
                humantime::format_duration(least),
                humantime::format_duration(most)
            );
            findings.report_at(placed, Complaint::new(found, expected, fix));
        }
    }
}
