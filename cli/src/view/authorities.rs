//! `zonemesh authority list`: who may sign for the mesh.

use serde::Serialize;
use zonemesh_api::v1::AuthorityListReply;

use super::Moment;
use crate::output::{Page, Rendered};
use crate::table::Table;

/// Who may sign.
#[derive(Debug, Serialize)]
pub(crate) struct AuthoritiesView {
    schema: &'static str,
    mesh: String,
    threshold: u32,
    changes: u64,
    changed_at: Moment,
    lost_changes: u32,
    authorities: Vec<Authority>,
}

/// One authority.
#[derive(Debug, Serialize)]
struct Authority {
    key: String,
    here: bool,
}

impl From<AuthorityListReply> for AuthoritiesView {
    fn from(reply: AuthorityListReply) -> Self {
        let authority =
            |one: zonemesh_api::v1::Authority| Authority { key: one.key, here: one.here };
        Self {
            schema: "zonemesh/authorities/v1",
            mesh: reply.mesh,
            threshold: reply.threshold,
            changes: reply.epoch,
            changed_at: Moment::from(reply.issued_at_unix_ms),
            lost_changes: reply.lost_changes,
            authorities: reply.authorities.into_iter().map(authority).collect(),
        }
    }
}

impl Rendered for AuthoritiesView {
    fn text(&self, page: Page) -> String {
        let mut table = Table::new(&["AUTHORITY", "HERE"]);
        for authority in &self.authorities {
            let here = if authority.here { "yes" } else { "no" };
            table.row([authority.key.clone(), here.to_owned()]);
        }
        let mut text = table.text(page.header);
        if page.header {
            let least = format!("{} of {} must sign\n", self.threshold, self.authorities.len());
            text.insert_str(0, &least);
        }
        if self.lost_changes > 0 {
            text.push_str(&format!(
                "{} changes contradict the one in force and lost; what they were to bring must be said again\n",
                self.lost_changes
            ));
        }
        text
    }
}
