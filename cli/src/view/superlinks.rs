//! `zonemesh superlink list`: where each federation's SuperLink is and whether it is ready.

use zonemesh_api::view::{SuperLinkEntry, SuperLinksView};

use super::addresses;
use crate::output::{Page, Rendered};
use crate::table::Table;

/// The lines about all `superlinks`.
pub(super) fn table(superlinks: &[SuperLinkEntry], page: Page) -> String {
    let mut table =
        Table::new(&["SUPERLINK", "ZONE", "ENDPOINT", "FLOWER", "TRANSPORT", "READINESS", "CA"]);
    for one in superlinks {
        let readiness = if one.shadowed {
            format!("{} (another zone's is in use)", one.readiness)
        } else {
            one.readiness.to_owned()
        };
        let states: Vec<&str> = one.cas.iter().map(|ca| ca.state.as_str()).collect();
        table.row([
            one.federation.clone(),
            one.zone.clone(),
            addresses(&one.addresses, one.fleet_port).join(", "),
            one.flower_version.clone(),
            one.transport.to_owned(),
            readiness,
            states.join(", "),
        ]);
    }
    table.text(page.header)
}

impl Rendered for SuperLinksView {
    fn text(&self, page: Page) -> String {
        if self.superlinks.is_empty() && page.header {
            return "no SuperLink is registered in any zone\n".to_owned();
        }
        table(&self.superlinks, page)
    }
}
