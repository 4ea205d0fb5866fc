//! The companions of this zone's VMs, a line for each: a part of `zonemesh status`.

use zonemesh_api::view::{CompanionEntry, Timestamp};

use crate::output::Page;
use crate::quantity::ago;
use crate::table::Table;

/// The lines about all `companions`.
pub(super) fn table(companions: &[CompanionEntry], now: Timestamp, page: Page) -> String {
    let mut header = vec!["VM", "RUNS", "FEDERATION", "STATE", "SESSION", "FINDINGS"];
    header.extend(page.wide.then_some("FLOWER"));
    let mut table = Table::new(&header);
    for one in companions {
        let state = one.state.iter().chain(&one.activity).cloned().collect::<Vec<_>>();
        let since = ago(one.since.0, now.0);
        let session = if one.connected { since } else { format!("gone {since}") };
        let findings: Vec<_> = one.findings.iter().map(|found| found.code.clone()).collect();
        let cells = [
            one.vm.clone(),
            one.role.clone(),
            one.federation.clone(),
            state.join(", "),
            session,
            findings.join(", "),
        ];
        let flower = page.wide.then(|| one.flower_version.clone().unwrap_or_default());
        table.row(cells.into_iter().chain(flower));
    }
    table.text(page.header)
}
