//! The checks between values: who owns which addresses, names and keys.
//!
//! Each mistake is reported at the later of the two values and names both owners. What is checked
//! here would otherwise break at run time and far from its cause: WireGuard gives overlapping
//! prefixes to the peer that was set last, without a word.

mod addresses;
mod bounds;
mod etcd;
mod identity;
mod keepalive;
mod ports;

use crate::complaint::Complaint;
use crate::draft::ConfigDraft;
use crate::keys::{DraftPeer, DraftWireGuardPeer};
use crate::mistakes::{Mistakes, Placed};

pub(crate) fn run(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    gateway_name(draft, mistakes);
    addresses::prefixes(draft, mistakes);
    addresses::own_tunnel_address(draft, mistakes);
    addresses::tunnel_addresses(draft, mistakes);
    addresses::endpoints(draft, mistakes);
    addresses::local_api(draft, mistakes);
    bounds::are_kept(draft, mistakes);
    ports::each_has_one_use(draft, mistakes);
    ports::lanes_have_theirs(draft, mistakes);
    etcd::is_complete(draft, mistakes);
    identity::peers(draft, mistakes);
    identity::wireguard_peers(draft, mistakes);
    identity::federations(draft, mistakes);
    identity::tokens(draft, mistakes);
    keepalive::obeys_the_law(draft, mistakes);
}

/// How messages call this zone.
fn own_zone(draft: &ConfigDraft) -> String {
    match &draft.zone.name {
        Some(name) => format!("this zone {:?}", name.value.as_str()),
        None => "this zone".to_owned(),
    }
}

/// How messages call a peer's zone.
fn peer_zone(peer: &DraftPeer) -> String {
    match &peer.zone {
        Some(name) => format!("zone {:?}", name.value.as_str()),
        None => "a zone without a readable name".to_owned(),
    }
}

/// How messages call a plain WireGuard peer.
fn wireguard_peer(peer: &DraftWireGuardPeer) -> String {
    match &peer.name {
        Some(name) => format!("the WireGuard peer {:?}", name.value.as_str()),
        None => "a WireGuard peer without a readable name".to_owned(),
    }
}

fn gateway_name(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let Some(zone) = &draft.zone.name else {
        return;
    };
    let name = draft.default_gateway_name();
    if draft.gateway.name.is_none() && name.len() > 63 {
        let complaint = Complaint::new(
            format!("the default {name:?} has {} characters", name.len()),
            "a gateway name of 1 to 63 characters",
            "add name = \"gw1\" to [gateway]",
        );
        mistakes.report("gateway.name", zone.offset, complaint);
    }
}

/// Reports every value that equals an earlier one.
fn report_twins<'d, T: PartialEq + 'd>(
    mistakes: &mut Mistakes<'_>,
    values: impl IntoIterator<Item = &'d Placed<T>>,
    expected: &str,
    fix: &str,
) {
    let mut earlier: Vec<&Placed<T>> = Vec::new();
    for placed in values {
        match earlier.iter().find(|known| known.value == placed.value) {
            Some(twin) => {
                let line = mistakes.line_of(twin);
                let found = format!("found the same as {} in line {line}", twin.key);
                mistakes.report_conflict(placed, Complaint::new(found, expected, fix));
            }
            None => earlier.push(placed),
        }
    }
}
