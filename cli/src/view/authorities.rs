//! `zonemesh authority list`: who may sign for the mesh.

use zonemesh_api::view::AuthoritiesView;

use crate::output::{Page, Rendered};
use crate::table::Table;

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
