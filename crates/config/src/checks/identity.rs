//! Names, keys and tokens: every peer is somebody else, every name is used once.

use zonemesh_core::token::VmRole;

use super::report_twins;
use crate::complaint::{Complaint, nearest};
use crate::draft::ConfigDraft;
use crate::keys::DraftToken;
use crate::mistakes::Mistakes;

pub(super) fn peers(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let peers = || draft.peers.iter();
    report_twins(
        mistakes,
        peers().filter_map(|peer| peer.zone.as_ref()),
        "each zone once",
        "merge the two [[peer]] sections, or correct the name",
    );
    let plain = draft.wireguard_peers.iter().filter_map(|peer| peer.public_key.as_ref());
    report_twins(
        mistakes,
        peers().filter_map(|peer| peer.wireguard_key.as_ref()).chain(plain),
        "a WireGuard key of its own for each peer",
        "ask the peer for its public key",
    );
    report_twins(
        mistakes,
        peers().filter_map(|peer| peer.zone_key.as_ref()),
        "a zone key of its own for each peer",
        "ask the peer for its public key",
    );
    let Some(own) = &draft.zone.name else {
        return;
    };
    for zone in peers().filter_map(|peer| peer.zone.as_ref()) {
        if zone.value == own.value {
            let line = mistakes.line_of(own);
            let complaint = Complaint::new(
                format!("{:?} is this zone itself (line {line})", zone.value.as_str()),
                "the name of another zone",
                "remove this [[peer]], or correct one of the names",
            );
            mistakes.report_conflict(zone, complaint);
        }
    }
}

/// A plain WireGuard peer is told from zones, and from others of its kind, by its name.
pub(super) fn wireguard_peers(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let zones = draft.peers.iter().filter_map(|peer| peer.zone.as_ref());
    let taken: Vec<_> = draft.zone.name.iter().chain(zones).collect();
    let names = || draft.wireguard_peers.iter().filter_map(|peer| peer.name.as_ref());
    report_twins(mistakes, names(), "each name once", "rename one of the two");
    for name in names() {
        if let Some(zone) = taken.iter().find(|zone| zone.value == name.value) {
            let line = mistakes.line_of(zone);
            let complaint = Complaint::new(
                format!("{:?} is a zone's name (line {line})", name.value.as_str()),
                "a name that no zone has",
                "rename it: a zone's gateway stands in [[peer]], anybody else's WireGuard here",
            );
            mistakes.report_conflict(name, complaint);
        }
    }
}

pub(super) fn federations(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let names = draft.federations.iter().filter_map(|federation| federation.name.as_ref());
    report_twins(mistakes, names, "each federation once", "merge the two [[federation]] sections");
    for federation in &draft.federations {
        report_twins(mistakes, &federation.extra_sans, "each name once", "remove one of the two");
    }
}

pub(super) fn tokens(draft: &ConfigDraft, mistakes: &mut Mistakes<'_>) {
    let Some(api) = &draft.local_api else {
        return;
    };
    let tokens = || api.tokens.iter();
    report_twins(
        mistakes,
        tokens().filter_map(|token| token.name.as_ref()),
        "a name of its own for each token",
        "rename one of the two: logs tell tokens apart by their names",
    );
    report_twins(
        mistakes,
        tokens().filter_map(|token| token.sha256.as_ref()),
        "each token once",
        "make another with `zonemesh key generate token`",
    );
    let held: Vec<&str> = draft
        .federations
        .iter()
        .filter_map(|federation| federation.name.as_ref())
        .map(|name| name.value.as_str())
        .collect();
    // A SuperNode's federation may have its SuperLink in any zone.
    let is_held = |token: &&DraftToken| {
        token.role.as_ref().is_none_or(|role| role.value == VmRole::SuperLink)
    };
    for federation in tokens().filter(is_held).filter_map(|token| token.federation.as_ref()) {
        let name = federation.value.as_str();
        if held.contains(&name) {
            continue;
        }
        let expected = match held.as_slice() {
            [] => "a federation of this zone, which has none".to_owned(),
            held => format!("one of this zone's federations: {}", held.join(", ")),
        };
        let fix = match nearest(name, &held) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("add [[federation]] with name = {name:?}"),
        };
        let complaint = Complaint::new(format!("found {name:?}"), expected, fix);
        mistakes.report_conflict(federation, complaint);
    }
}
