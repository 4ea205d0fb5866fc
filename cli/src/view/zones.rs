//! `zonemesh zone list`: who belongs to the mesh, who waits, who was put out, and what contradicts.

use std::collections::BTreeMap;

use serde::Serialize;
use zonemesh_api::v1::{OpenInvitation, PendingZone, ZoneListReply, ZoneState, ZoneView};

use super::{Moment, counters, known};
use crate::output::{Page, Rendered};
use crate::quantity;
use crate::table::{Table, plain};

/// The mesh.
#[derive(Debug, Serialize)]
pub(crate) struct ZonesView {
    schema: &'static str,
    mesh: String,
    threshold: u32,
    authority_keys: Vec<String>,
    zones: Vec<Zone>,
    pending: Vec<Pending>,
    invitations: Vec<Invitation>,
    alarms: Vec<String>,
    accepted: BTreeMap<String, u64>,
    rejected: BTreeMap<String, u64>,
}

/// One zone.
#[derive(Debug, Serialize)]
struct Zone {
    zone: String,
    state: &'static str,
    own: bool,
    zone_key: String,
    prefixes: Vec<String>,
    tunnel_addresses: Vec<String>,
    serial: u64,
    issued_at: Moment,
    reason: Option<String>,
}

/// A zone that waits for approval.
#[derive(Debug, Serialize)]
struct Pending {
    zone: String,
    zone_key: String,
    prefixes: Vec<String>,
    tunnel_addresses: Vec<String>,
}

/// An invitation that nobody has used.
#[derive(Debug, Serialize)]
struct Invitation {
    zone: String,
    expires_at: Moment,
}

fn state(state: ZoneState) -> &'static str {
    match state {
        ZoneState::Unspecified => "unknown",
        ZoneState::Member => "member",
        ZoneState::Configured => "configured",
        ZoneState::Blocked => "blocked",
        ZoneState::Revoked => "revoked",
    }
}

impl From<ZoneListReply> for ZonesView {
    fn from(reply: ZoneListReply) -> Self {
        Self {
            schema: "zonemesh/zones/v1",
            mesh: reply.mesh,
            threshold: reply.threshold,
            authority_keys: reply.authority_keys,
            zones: reply.zones.into_iter().map(Zone::from).collect(),
            pending: reply.pending.into_iter().map(Pending::from).collect(),
            invitations: reply.invitations.into_iter().map(Invitation::from).collect(),
            alarms: reply.alarms,
            accepted: counters(reply.accepted),
            rejected: counters(reply.rejected),
        }
    }
}

impl From<ZoneView> for Zone {
    fn from(zone: ZoneView) -> Self {
        Self {
            state: state(zone.state()),
            zone: zone.zone,
            own: zone.own,
            zone_key: zone.zone_key,
            prefixes: zone.prefixes,
            tunnel_addresses: zone.tunnel_ips,
            serial: zone.serial,
            issued_at: Moment::from(zone.issued_at_unix_ms),
            reason: known(zone.reason),
        }
    }
}

impl From<PendingZone> for Pending {
    fn from(zone: PendingZone) -> Self {
        let PendingZone { zone, zone_key, prefixes, tunnel_ips } = zone;
        Self { zone, zone_key, prefixes, tunnel_addresses: tunnel_ips }
    }
}

impl From<OpenInvitation> for Invitation {
    fn from(invitation: OpenInvitation) -> Self {
        let expires_at = Moment::from(invitation.expires_at_unix_ms);
        Self { zone: invitation.zone, expires_at }
    }
}

impl ZonesView {
    /// True if grants contradict each other.
    pub(crate) fn is_contradictory(&self) -> bool {
        !self.alarms.is_empty()
    }
}

impl Rendered for ZonesView {
    fn text(&self, page: Page) -> String {
        let mut table =
            Table::new(&["ZONE", "STATE", "SINCE", "TUNNEL ADDRESSES", "PREFIXES", "ZONE KEY"]);
        for zone in &self.zones {
            let name = if zone.own { format!("{} (local)", zone.zone) } else { zone.zone.clone() };
            let since = match zone.issued_at.0.0 {
                0 => String::new(),
                _ => quantity::ago(zone.issued_at.0, page.now),
            };
            table.row([
                name,
                zone.state.to_owned(),
                since,
                zone.tunnel_addresses.join(", "),
                zone.prefixes.join(", "),
                zone.zone_key.clone(),
            ]);
        }
        for zone in &self.pending {
            table.row([
                zone.zone.clone(),
                "waits".to_owned(),
                String::new(),
                zone.tunnel_addresses.join(", "),
                zone.prefixes.join(", "),
                zone.zone_key.clone(),
            ]);
        }
        let mesh = match self.threshold {
            0 => format!("MESH {}\n", plain(&self.mesh)),
            least => format!(
                "MESH {}   {least} of {} authorities must sign\n",
                plain(&self.mesh),
                self.authority_keys.len()
            ),
        };
        let mut text = if page.header { mesh } else { String::new() };
        text += &table.text(page.header);
        for invitation in &self.invitations {
            let left = invitation.expires_at.0.since(page.now);
            let left = quantity::span(std::time::Duration::from_millis(left));
            text += &format!("invited: {} (for {left} more)\n", plain(&invitation.zone));
        }
        for zone in &self.pending {
            let name = plain(&zone.zone);
            text += &format!("! {name} waits for approval   -> zonemesh zone approve {name}\n");
        }
        for alarm in &self.alarms {
            text += &format!("! {}\n", plain(alarm));
        }
        text
    }
}
