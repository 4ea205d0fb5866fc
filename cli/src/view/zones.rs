//! `zonemesh zone list`: who belongs to the mesh, who waits, who was put out, and what contradicts.

use zonemesh_api::view::{ZoneEntry, ZonesView};

use crate::output::{Page, Rendered};
use crate::quantity;
use crate::table::{Table, plain};

impl Rendered for ZonesView {
    fn text(&self, page: Page) -> String {
        let mesh = match self.threshold {
            0 => format!("MESH {}\n", plain(&self.mesh)),
            least => format!(
                "MESH {}\n{least} of {} authorities must sign\n",
                plain(&self.mesh),
                self.authority_keys.len()
            ),
        };
        let mut text = if page.header { mesh } else { String::new() };
        text += &table(self, page);
        for zone in self.zones.iter().filter(|zone| !zone.revoked_by.is_empty()) {
            text += &revoked(zone, page);
        }
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

/// The zones, then those that wait.
fn table(view: &ZonesView, page: Page) -> String {
    let mut header = vec!["ZONE", "STATE", "SINCE", "TUNNEL ADDRESSES", "PREFIXES"];
    header.extend(page.wide.then_some(["FEDERATIONS", "ZONE KEY"]).into_iter().flatten());
    let more =
        |parts: String, key: &String| page.wide.then(|| [parts, key.clone()]).into_iter().flatten();
    let mut table = Table::new(&header);
    for zone in &view.zones {
        let name = if zone.own { format!("{} (local)", zone.zone) } else { zone.zone.clone() };
        let since = match zone.issued_at.0.0 {
            0 => String::new(),
            _ => quantity::ago(zone.issued_at.0, page.now),
        };
        let cells = [
            name,
            zone.state.to_owned(),
            since,
            zone.tunnel_addresses.join(", "),
            zone.prefixes.join(", "),
        ];
        table.row(cells.into_iter().chain(more(parts(zone), &zone.zone_key)));
    }
    for zone in &view.pending {
        let cells = [
            zone.zone.clone(),
            "waits".to_owned(),
            String::new(),
            zone.tunnel_addresses.join(", "),
            zone.prefixes.join(", "),
        ];
        table.row(cells.into_iter().chain(more(zone.federations.join(" "), &zone.zone_key)));
    }
    table.text(page.header)
}

/// What a zone may do for which federation. A member whose grant names none may do all.
fn parts(zone: &ZoneEntry) -> String {
    match zone.federations.as_slice() {
        [] if zone.state == "member" => "any".to_owned(),
        named => named.join(" "),
    }
}

fn revoked(zone: &ZoneEntry, page: Page) -> String {
    let by = plain(&zone.revoked_by.join(", "));
    let ago = quantity::ago(zone.issued_at.0, page.now);
    let why = zone.reason.as_ref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
    format!("revoked: {} by {by}, {ago}{why}\n", plain(&zone.zone))
}
