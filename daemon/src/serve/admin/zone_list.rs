//! The zones of a mesh on the wire: members, and those that were invited.
//!
//! Names of counters are stable: docs/REFERENCE.md (*Invitations redeemed and refused*).

use zonemesh_api::v1::{Counter, DisputedZone, OpenInvitation, PendingZone, ZoneListReply};
use zonemesh_core::invitation::IssuedInvitation;

use crate::administration::{self, InvitedZones};

/// The members with those who were invited.
pub(super) fn zone_list(members: ZoneListReply, invited: &InvitedZones) -> ZoneListReply {
    let pending = |issued: &IssuedInvitation| PendingZone {
        zone: issued.zone.to_string(),
        zone_key: issued.used_by.map(|joiner| joiner.zone_key.to_string()).unwrap_or_default(),
        prefixes: texts(&issued.prefixes),
        tunnel_ips: texts(&issued.tunnel_ips),
        federations: texts(&issued.federations),
    };
    let disputed = |one: &administration::DisputedZone| DisputedZone {
        zone: one.invitation.zone.to_string(),
        zone_key: one.keys.joiner.to_string(),
        granted_key: one.keys.granted.to_string(),
    };
    let open = |issued: &IssuedInvitation| OpenInvitation {
        zone: issued.zone.to_string(),
        expires_at_unix_ms: issued.expires_at.0,
    };
    let mut reply = members;
    reply.pending = invited.joiners.pending.iter().map(pending).collect();
    reply.disputed = invited.joiners.disputed.iter().map(disputed).collect();
    reply.alarms.extend(reply.disputed.iter().map(told));
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

/// Nothing to be typed without a thought: it would put a member out.
fn told(disputed: &DisputedZone) -> String {
    let DisputedZone { zone, zone_key, granted_key } = disputed;
    format!(
        "zone {zone} is granted with {granted_key}; {zone_key} has used an invitation of it too, and is no member"
    )
}

pub(super) fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::administration::tests::approval::disputed;

    #[tokio::test]
    async fn a_zone_that_two_keys_claim_is_told_with_both_and_does_not_wait() {
        let (invited, keys) = disputed().await;
        let reply = zone_list(ZoneListReply::default(), &invited);
        assert_eq!(reply.pending, []);
        let [joiner, granted] = [keys.joiner, keys.granted].map(|key| key.to_string());
        let told = format!(
            "zone madrid is granted with {granted}; {joiner} has used an invitation of it too, and is no member"
        );
        assert_eq!(reply.alarms, [told]);
        assert_eq!(
            (&reply.disputed[0].zone_key, &reply.disputed[0].granted_key),
            (&joiner, &granted)
        );
    }
}
