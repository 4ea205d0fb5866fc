//! `zonemesh authority list`: who may sign for the mesh; and what a change of that does.

use zonemesh_api::view::{AuthoritiesView, AuthorityChangeView};

use crate::output::{Page, Rendered};
use crate::table::{Table, plain};

impl Rendered for AuthoritiesView {
    fn text(&self, page: Page) -> String {
        let mut table = Table::new(&["KEY", "SIGNS", "HERE"]);
        for authority in &self.authorities {
            let here = if authority.here { "yes" } else { "no" };
            table.row([authority.key.clone(), "zones".to_owned(), here.to_owned()]);
        }
        for owner in &self.owners {
            table.row([owner.clone(), "this list".to_owned(), "no".to_owned()]);
        }
        let mut text = table.text(page.header);
        if page.header {
            let majority = self.owners.len() / 2 + 1;
            let least = format!(
                "{} of {} must sign a zone, {majority} of {} owners this list\nset {}{}\n",
                self.threshold,
                self.authorities.len(),
                self.owners.len(),
                plain(&self.set),
                if self.pinned { ", pinned at this gateway" } else { "" },
            );
            text.insert_str(0, &least);
        }
        for conflict in &self.conflicts {
            let next = "zonemesh authority pin SET, at each gateway";
            text.push_str(&format!("! {}\n  next: {next}\n", plain(conflict)));
        }
        text
    }
}

impl Rendered for AuthorityChangeView {
    fn text(&self, _page: Page) -> String {
        let mut text = String::new();
        let mut line = |what: &str, zones: &[String]| {
            if !zones.is_empty() {
                text.push_str(&format!("{what:<22}{}\n", plain(&zones.join(", "))));
            }
        };
        line("set", std::slice::from_ref(&self.set));
        line("stay", &self.stay);
        line("out", &self.out);
        line("back", &self.back);
        line("granted since", &self.since_last);
        line("only by removed keys", &self.by_removed);
        line("not heard from", &self.not_compared);
        match (self.signatures_missing, &self.file) {
            (0, _) => text.push_str("in force\n"),
            (missing, Some(file)) => {
                let missing = signatures(missing);
                text.push_str(&format!(
                    "nothing has changed: {missing} missing\nwritten: {}\n\
                     next: zonemesh trust sign FILE --key KEY --authorities --out SIGNED; \
                     zonemesh trust import SIGNED\n",
                    plain(file)
                ));
            }
            (missing, None) => {
                let missing = signatures(missing);
                text.push_str(&format!(
                    "nothing has changed: {missing} missing\n\
                     next: the same with --key FILE for each owner key and added key, or --out FILE\n"
                ));
            }
        }
        if !self.tokens_anew.is_empty() {
            let once = if self.signatures_missing > 0 { "once it is in force, " } else { "" };
            let zones = plain(&self.tokens_anew.join(", "));
            text.push_str(&format!(
                "{once}make the VMs' tokens of {zones} anew: zonemesh key generate token\n"
            ));
        }
        text
    }
}

fn signatures(count: u32) -> String {
    if count == 1 { "1 signature is".to_owned() } else { format!("{count} signatures are") }
}
