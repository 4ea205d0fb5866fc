//! The mesh as engineers see it: zones, alarms, authorities.

use std::net::IpAddr;

use ipnet::IpNet;
use zonemesh_core::member::Member;
use zonemesh_core::membership::{self, Membership, TrustAccepted, TrustRejected};
use zonemesh_core::registry::{MembershipChange, Registry, SignedRevocation};

use super::admin::counter;
use crate::v1;

/// The zones of a mesh. Pending zones and open invitations are the daemon's to add.
#[must_use]
pub fn zones(registry: &Registry) -> v1::ZoneListReply {
    let own = registry.zone().as_str();
    let mut zones: Vec<_> = registry.all_members().map(|m| zone(m, registry)).collect();
    let membership = registry.membership();
    for told in registry.signed_revocations() {
        if zones.iter().all(|zone| zone.zone_key != told.revocation.zone_key.to_string()) {
            zones.push(revoked(told));
        }
    }
    zones.sort_by(|a, b| (&a.zone, a.serial).cmp(&(&b.zone, b.serial)));
    zones.iter_mut().for_each(|zone| zone.own = zone.zone == own);
    let mut reply = v1::ZoneListReply {
        mesh: registry.mesh().to_string(),
        zones,
        ..v1::ZoneListReply::default()
    };
    if let Some(membership) = membership {
        authorities(membership, &mut reply);
    }
    reply
}

fn authorities(membership: &Membership, reply: &mut v1::ZoneListReply) {
    let (_, set) = membership.authority_set();
    reply.authority_keys = set.keys.iter().map(ToString::to_string).collect();
    reply.threshold = set.threshold;
    reply.alarms = membership.alarms().iter().map(alarm).collect();
    let counters = membership.counters();
    reply.accepted = counters.accepted().map(|(name, count)| counter(name, count)).collect();
    let rejected = counters.rejected().map(|(reason, count)| counter(reason.as_str(), count));
    reply.rejected = rejected.collect();
}

/// The alarm and its cause in one line.
fn alarm(alarm: &membership::Alarm) -> String {
    match std::error::Error::source(alarm) {
        Some(cause) => format!("{alarm}: {cause}"),
        None => alarm.to_string(),
    }
}

fn right(right: &membership::FederationRight) -> String {
    right.to_string()
}

fn zone(member: &Member, registry: &Registry) -> v1::ZoneView {
    let grant = registry.membership().and_then(|m| m.grant(&member.zone));
    let grant = grant.filter(|grant| grant.zone_key == member.key);
    let left_since = registry.left_since(&member.zone);
    let state = match grant {
        _ if registry.is_blocked(&member.zone) => v1::ZoneState::Blocked,
        _ if left_since.is_some() => v1::ZoneState::Left,
        Some(_) => v1::ZoneState::Member,
        None => v1::ZoneState::Configured,
    };
    let since = left_since.or(grant.map(|grant| grant.issued_at));
    v1::ZoneView {
        zone: member.zone.to_string(),
        state: state.into(),
        zone_key: member.key.to_string(),
        prefixes: member.prefixes.iter().map(IpNet::to_string).collect(),
        tunnel_ips: member.tunnel_ips.iter().map(IpAddr::to_string).collect(),
        federations: grant.into_iter().flat_map(|g| &g.federations).map(right).collect(),
        serial: grant.map_or(0, |grant| grant.serial),
        issued_at_unix_ms: since.map_or(0, |since| since.0),
        ..v1::ZoneView::default()
    }
}

fn revoked(told: SignedRevocation) -> v1::ZoneView {
    let SignedRevocation { revocation, signers } = told;
    v1::ZoneView {
        zone: revocation.zone.to_string(),
        state: v1::ZoneState::Revoked.into(),
        zone_key: revocation.zone_key.to_string(),
        serial: revocation.serial,
        issued_at_unix_ms: revocation.issued_at.0,
        reason: revocation.reason,
        revoked_by: signers.iter().map(ToString::to_string).collect(),
        ..v1::ZoneView::default()
    }
}

/// What trust items have brought that were offered here.
#[must_use]
pub fn trust_reply(
    outcomes: &[Result<TrustAccepted, TrustRejected>],
    change: &MembershipChange,
) -> v1::TrustReply {
    let stored = outcomes.iter().filter(|outcome| matches!(outcome, Ok(TrustAccepted::Stored(_))));
    let refused = |reason: TrustRejected| {
        let count = outcomes.iter().filter(|outcome| **outcome == Err(reason)).count();
        (count > 0).then(|| counter(reason.as_str(), count as u64))
    };
    v1::TrustReply {
        stored: u32::try_from(stored.count()).unwrap_or(u32::MAX),
        rejected: TrustRejected::ALL.into_iter().filter_map(refused).collect(),
        added: change.added.iter().map(ToString::to_string).collect(),
        removed: change.removed.iter().map(ToString::to_string).collect(),
        ..v1::TrustReply::default()
    }
}
