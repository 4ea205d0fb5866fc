//! Who belongs to the mesh, who waits, who was put out, what contradicts: `zonemesh zone list`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Timestamp, counters, known};
use crate::v1::{DisputedZone, OpenInvitation, PendingZone, ZoneListReply, ZoneState, ZoneView};

/// The mesh.
#[derive(Debug, Serialize)]
pub struct ZonesView {
    pub schema: &'static str,
    pub mesh: String,
    pub threshold: u32,
    pub authority_keys: Vec<String>,
    pub zones: Vec<ZoneEntry>,
    pub pending: Vec<PendingEntry>,
    pub disputed: Vec<DisputedEntry>,
    pub invitations: Vec<InvitationEntry>,
    pub alarms: Vec<String>,
    pub accepted: BTreeMap<String, u64>,
    pub rejected: BTreeMap<String, u64>,
}

/// One zone.
#[derive(Debug, Serialize)]
pub struct ZoneEntry {
    pub zone: String,
    pub state: &'static str,
    pub own: bool,
    pub zone_key: String,
    pub prefixes: Vec<String>,
    pub tunnel_addresses: Vec<String>,
    /// What it may do for which federation; empty: all.
    pub federations: Vec<String>,
    pub serial: u64,
    pub issued_at: Timestamp,
    pub reason: Option<String>,
    pub revoked_by: Vec<String>,
}

/// A zone that waits for approval.
#[derive(Debug, Serialize)]
pub struct PendingEntry {
    pub zone: String,
    pub zone_key: String,
    pub prefixes: Vec<String>,
    pub tunnel_addresses: Vec<String>,
    /// What it will be granted to do for which federation; empty: what it may now.
    pub federations: Vec<String>,
}

/// A member, and another key that has used an invitation of it.
#[derive(Debug, Serialize)]
pub struct DisputedEntry {
    pub zone: String,
    /// No member by it.
    pub zone_key: String,
    pub granted_key: String,
}

/// An invitation that nobody has used.
#[derive(Debug, Serialize)]
pub struct InvitationEntry {
    pub zone: String,
    pub expires_at: Timestamp,
}

impl From<ZoneListReply> for ZonesView {
    fn from(reply: ZoneListReply) -> Self {
        Self {
            schema: "zonemesh/zones/v1",
            mesh: reply.mesh,
            threshold: reply.threshold,
            authority_keys: reply.authority_keys,
            zones: reply.zones.into_iter().map(ZoneEntry::from).collect(),
            pending: reply.pending.into_iter().map(PendingEntry::from).collect(),
            disputed: reply.disputed.into_iter().map(DisputedEntry::from).collect(),
            invitations: reply.invitations.into_iter().map(InvitationEntry::from).collect(),
            alarms: reply.alarms,
            accepted: counters(reply.accepted),
            rejected: counters(reply.rejected),
        }
    }
}

impl ZonesView {
    /// True if somebody has to do something: grants contradict each other, or a zone waits.
    #[must_use]
    pub fn needs_somebody(&self) -> bool {
        !self.alarms.is_empty() || !self.pending.is_empty()
    }
}

impl From<ZoneView> for ZoneEntry {
    fn from(zone: ZoneView) -> Self {
        Self {
            state: state(zone.state()),
            zone: zone.zone,
            own: zone.own,
            zone_key: zone.zone_key,
            prefixes: zone.prefixes,
            tunnel_addresses: zone.tunnel_ips,
            federations: zone.federations,
            serial: zone.serial,
            issued_at: Timestamp::from(zone.issued_at_unix_ms),
            reason: known(zone.reason),
            revoked_by: zone.revoked_by,
        }
    }
}

impl From<PendingZone> for PendingEntry {
    fn from(zone: PendingZone) -> Self {
        let PendingZone { zone, zone_key, prefixes, tunnel_ips, federations } = zone;
        Self { zone, zone_key, prefixes, tunnel_addresses: tunnel_ips, federations }
    }
}

impl From<DisputedZone> for DisputedEntry {
    fn from(zone: DisputedZone) -> Self {
        let DisputedZone { zone, zone_key, granted_key } = zone;
        Self { zone, zone_key, granted_key }
    }
}

impl From<OpenInvitation> for InvitationEntry {
    fn from(invitation: OpenInvitation) -> Self {
        let expires_at = Timestamp::from(invitation.expires_at_unix_ms);
        Self { zone: invitation.zone, expires_at }
    }
}

fn state(state: ZoneState) -> &'static str {
    match state {
        ZoneState::Unspecified => "unknown",
        ZoneState::Member => "member",
        ZoneState::Configured => "configured",
        ZoneState::Blocked => "blocked",
        ZoneState::Revoked => "revoked",
        ZoneState::Left => "left",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_waits_needs_somebody_as_a_contradiction_does() {
        let view = |change: fn(&mut ZoneListReply)| {
            let mut reply = ZoneListReply::default();
            change(&mut reply);
            ZonesView::from(reply)
        };
        assert!(!view(|_| {}).needs_somebody());
        assert!(view(|reply| reply.alarms.push("overlap".to_owned())).needs_somebody());
        assert!(view(|reply| reply.pending.push(PendingZone::default())).needs_somebody());
    }
}
