//! `zonemesh registry list`: which zone records this gateway holds, and which it still waits for.

use zonemesh_api::view::RecordsView;

use crate::output::{Page, Rendered};
use crate::quantity::{ago, bytes};
use crate::table::Table;

impl Rendered for RecordsView {
    fn text(&self, page: Page) -> String {
        let mut table = Table::new(&["ZONE", "VERSION", "ISSUED", "RECEIVED", "SIZE", "SIGNATURE"]);
        for record in &self.records {
            let name = if record.own { " (local)" } else { "" };
            table.row([
                format!("{}{name}", record.zone),
                format!("{}.{}", record.incarnation, record.seq),
                ago(record.issued_at.0, page.now),
                if record.own { String::new() } else { ago(record.received_at.0, page.now) },
                bytes(record.size.into()),
                if record.verified { "verified" } else { "not verified" }.to_owned(),
            ]);
        }
        for zone in &self.missing {
            let never = || "never".to_owned();
            table.row([
                zone.clone(),
                String::new(),
                String::new(),
                never(),
                String::new(),
                String::new(),
            ]);
        }
        table.text(page.header)
    }
}
