//! Prefixes, tunnel addresses, endpoints: every address has one owner.
//!
//! A prefix of two zones, a tunnel address inside another zone's prefix or an endpoint inside a
//! routed prefix would send packets to the wrong gateway or back into the tunnel they came from.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use zonemesh_core::finding::Code;

use super::{own_zone, peer_zone, wireguard_peer};
use crate::complaint::Complaint;
use crate::draft::ConfigDraft;
use crate::endpoint::Endpoint;
use crate::mistakes::{Mistakes, Placed};

/// A value and whom it belongs to; `owner` 0 is this zone, those after the zones are plain WireGuard
/// peers.
struct OwnedByZone<'d, T> {
    owner: usize,
    name: String,
    placed: &'d Placed<T>,
}

fn all_prefixes(draft: &ConfigDraft) -> Vec<OwnedByZone<'_, IpNet>> {
    let own = draft.zone.prefixes.iter().map(|placed| OwnedByZone {
        owner: 0,
        name: own_zone(draft),
        placed,
    });
    let peers = draft.peers.iter().enumerate().flat_map(|(index, peer)| {
        peer.prefixes.iter().map(move |placed| OwnedByZone {
            owner: index + 1,
            name: peer_zone(peer),
            placed,
        })
    });
    let zones = 1 + draft.peers.len();
    let plain = draft.wireguard_peers.iter().enumerate().flat_map(move |(index, peer)| {
        peer.allowed_ips.iter().map(move |placed| OwnedByZone {
            owner: zones + index,
            name: wireguard_peer(peer),
            placed,
        })
    });
    own.chain(peers).chain(plain).collect()
}

fn all_tunnel_addresses(draft: &ConfigDraft) -> Vec<OwnedByZone<'_, IpAddr>> {
    let own = draft.tunnel.addresses.iter().map(|placed| OwnedByZone {
        owner: 0,
        name: own_zone(draft),
        placed,
    });
    let peers = draft.peers.iter().enumerate().flat_map(|(index, peer)| {
        peer.tunnel_addresses.iter().map(move |placed| OwnedByZone {
            owner: index + 1,
            name: peer_zone(peer),
            placed,
        })
    });
    own.chain(peers).collect()
}

pub(super) fn prefixes(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let all = all_prefixes(draft);
    for (index, later) in all.iter().enumerate() {
        let (prefix, placed) = (&later.placed.value, later.placed);
        for earlier in &all[..index] {
            let other = &earlier.placed.value;
            if !(prefix.contains(other) || other.contains(prefix)) {
                continue;
            }
            let line = mistakes.line_of(earlier.placed);
            let found = format!(
                "{prefix} of {} overlaps {other} of {} in line {line}",
                later.name, earlier.name
            );
            let (expected, fix) = if later.owner == earlier.owner {
                ("each subnet once", "keep the wider of the two")
            } else if later.owner > draft.peers.len() {
                (
                    "addresses that belong to nobody else",
                    "renumber one of the two networks, or name only the subnets that this peer alone has",
                )
            } else {
                (
                    "subnets that belong to one zone only",
                    "renumber one of the zones, or name only the subnets that are shared across zones",
                )
            };
            mistakes.report_conflict(placed, Complaint::new(found, expected, fix));
        }
    }
}

/// Where members are written by hand nobody grants an address.
pub(super) fn own_tunnel_address(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    if mistakes.is_written("tunnel.addresses") {
        return;
    }
    let Some(zone) = draft.peers.iter().find_map(|peer| peer.zone.as_ref()) else { return };
    let complaint = Complaint::new(
        "nothing is written, and a mesh by hand grants no address",
        "this gateway's address inside the tunnels",
        "add addresses = [\"10.255.0.1\"] to [tunnel]",
    );
    mistakes.report("tunnel.addresses", zone.offset, complaint.coded(Code::ConfigMissingKey));
}

pub(super) fn tunnel_addresses(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let addresses = all_tunnel_addresses(draft);
    let prefixes = all_prefixes(draft);
    for (index, later) in addresses.iter().enumerate() {
        let address = later.placed.value;
        let twin = addresses[..index].iter().find(|known| known.placed.value == address);
        if let Some(twin) = twin {
            let line = mistakes.line_of(twin.placed);
            let found = format!(
                "{address} of {} is also the address of {} in line {line}",
                later.name, twin.name
            );
            let fix = "give every gateway tunnel addresses of its own";
            mistakes.report_conflict(
                later.placed,
                Complaint::new(found, "each tunnel address once", fix),
            );
        }
        let foreign = |prefix: &&OwnedByZone<'_, IpNet>| {
            prefix.owner != later.owner && prefix.placed.value.contains(&address)
        };
        if let Some(prefix) = prefixes.iter().find(foreign) {
            let line = mistakes.line_of(prefix.placed);
            let found = format!(
                "{address} of {} lies in {} of {} (line {line})",
                later.name, prefix.placed.value, prefix.name
            );
            let complaint = Complaint::new(
                found,
                "an address outside the other zones' prefixes",
                "take tunnel addresses from a range that no zone uses, such as 10.255.0.0/24",
            );
            mistakes.report_conflict(later.placed, complaint);
        }
    }
}

pub(super) fn endpoints(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    super::report_twins(
        mistakes,
        &draft.gateway.endpoints,
        "each endpoint once",
        "remove one of the two",
    );
    let peers = draft.peers.iter();
    let plain_endpoints = || draft.wireguard_peers.iter().filter_map(|peer| peer.endpoint.as_ref());
    super::report_twins(
        mistakes,
        peers.flat_map(|peer| &peer.endpoints).chain(plain_endpoints()),
        "each endpoint once",
        "two gateways cannot be reached at one endpoint: correct one of the two",
    );
    for placed in draft.peers.iter().flat_map(|peer| &peer.endpoints).chain(plain_endpoints()) {
        endpoint_is_not_oneself(draft, placed, mistakes);
        endpoint_is_outside_the_tunnels(draft, placed, mistakes);
    }
}

fn endpoint_is_not_oneself(
    draft: &ConfigDraft,
    placed: &Placed<Endpoint>,
    mistakes: &mut Mistakes<'_>,
) {
    let own = &draft.gateway.endpoints;
    if let Some(twin) = own.iter().find(|own| own.value == placed.value) {
        let line = mistakes.line_of(twin);
        let complaint = Complaint::new(
            format!("{} is this gateway's own endpoint (line {line})", placed.value),
            "the endpoint of the peer's gateway",
            "ask the peer for its public address and port",
        );
        mistakes.report_conflict(placed, complaint);
    }
}

/// A packet to an endpoint inside a routed prefix would go into the tunnel that has to carry it.
fn endpoint_is_outside_the_tunnels(
    draft: &ConfigDraft,
    placed: &Placed<Endpoint>,
    mistakes: &mut Mistakes<'_>,
) {
    let Endpoint::Address(address) = &placed.value else {
        return;
    };
    let routed = all_prefixes(draft);
    let inside = |prefix: &&OwnedByZone<'_, IpNet>| {
        prefix.owner > 0 && prefix.placed.value.contains(&address.ip())
    };
    if let Some(prefix) = routed.iter().find(inside) {
        let line = mistakes.line_of(prefix.placed);
        let complaint = Complaint::new(
            format!(
                "{address} lies in {} of {} (line {line}), which is reached through a tunnel",
                prefix.placed.value, prefix.name
            ),
            "an address outside the peers' prefixes",
            "give the gateway's outer address, or a narrower prefix",
        );
        mistakes.report_conflict(placed, complaint);
    }
}

/// What else than the zone's LAN may be listened at.
struct BesideTheLan {
    is_taken: fn(&IpAddr) -> bool,
    words: &'static str,
}

pub(super) fn local_api(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let Some(api) = &draft.local_api else { return };
    // Whoever is not of the zone is turned away at the door, wherever it listens.
    let beside = BesideTheLan {
        is_taken: |ip| ip.is_loopback() || ip.is_unspecified(),
        words: ", loopback, 0.0.0.0 or [::]",
    };
    on_the_lan(draft, api.listen.as_ref(), &beside, mistakes);
    // What goes without TLS is offered on no other network.
    let beside = BesideTheLan { is_taken: IpAddr::is_loopback, words: " or loopback" };
    on_the_lan(draft, api.onegate_view.as_ref(), &beside, mistakes);
}

fn on_the_lan(
    draft: &ConfigDraft,
    listen: Option<&Placed<SocketAddr>>,
    beside: &BesideTheLan,
    mistakes: &mut Mistakes<'_>,
) {
    let prefixes = &draft.zone.prefixes;
    let Some(placed) = listen.filter(|_| !prefixes.is_empty()) else { return };
    let ip = placed.value.ip();
    if (beside.is_taken)(&ip) || prefixes.iter().any(|prefix| prefix.value.contains(&ip)) {
        return;
    }
    let prefixes: Vec<_> = prefixes.iter().map(|prefix| prefix.value.to_string()).collect();
    let complaint = Complaint::new(
        format!("{ip} is not on the zone's LAN"),
        format!("an address in {}{}", prefixes.join(", "), beside.words),
        "give this gateway's LAN address: only the zone's own VMs may use the local API",
    );
    mistakes.report_conflict(placed, complaint);
}
