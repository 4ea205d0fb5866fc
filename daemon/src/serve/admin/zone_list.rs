//! The zones of a mesh on the wire: members, and those that were invited.
//!
//! Names of counters are stable: docs/REFERENCE.md (*Invitations redeemed and refused*).

use zonemesh_api::v1::{Counter, OpenInvitation, PendingZone, ZoneListReply};
use zonemesh_core::invitation::IssuedInvitation;

use crate::administration::InvitedZones;

/// The members with those who were invited.
pub(super) fn zone_list(members: ZoneListReply, invited: &InvitedZones) -> ZoneListReply {
    let pending = |issued: &IssuedInvitation| PendingZone {
        zone: issued.zone.to_string(),
        zone_key: issued.used_by.map(|joiner| joiner.zone_key.to_string()).unwrap_or_default(),
        prefixes: texts(&issued.prefixes),
        tunnel_ips: texts(&issued.tunnel_ips),
        federations: texts(&issued.federations),
    };
    let open = |issued: &IssuedInvitation| OpenInvitation {
        zone: issued.zone.to_string(),
        expires_at_unix_ms: issued.expires_at.0,
    };
    let mut reply = members;
    reply.pending = invited.pending.iter().map(pending).collect();
    reply.invitations = invited.open.iter().map(open).collect();
    reply.invitations.sort_by(|a, b| a.zone.cmp(&b.zone));
    let Some(counters) = &invited.counters else { return reply };
    let counter = |name: &str, count: u64| Counter { name: name.to_owned(), count };
    reply.accepted.push(counter("invitation_redeemed", counters.redeemed));
    reply.accepted.push(counter("invitation_repeated", counters.repeated));
    let refused = counters.refused();
    reply
        .rejected
        .extend(refused.map(|(reason, count)| counter(&format!("invitation_{reason}"), count)));
    reply
}

pub(super) fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
