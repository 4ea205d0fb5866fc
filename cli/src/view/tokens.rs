//! `zonemesh token list`: which tokens the gateway takes, and where each is known from.

use zonemesh_api::view::{TakenTokenEntry, TokensView};
use zonemesh_core::time::UnixMillis;

use crate::output::{Page, Rendered};
use crate::table::Table;

impl Rendered for TokensView {
    fn text(&self, page: Page) -> String {
        if self.tokens.is_empty() && page.header {
            return "no token is taken here\n".to_owned();
        }
        let mut header = vec!["TOKEN", "ROLE", "FEDERATION", "ENDS", "FROM"];
        header.extend(page.wide.then_some("SHA256"));
        let mut table = Table::new(&header);
        for token in &self.tokens {
            let cells = [
                token.name.clone(),
                token.role.clone(),
                token.federation.clone().unwrap_or_else(|| "any".to_owned()),
                token.expires_at.map_or("never".to_owned(), |end| ends(end.0, page.now)),
                from(token),
            ];
            table.row(cells.into_iter().chain(page.wide.then(|| token.sha256.clone())));
        }
        let mut text = table.text(page.header);
        if !self.served && page.header {
            text += "the configuration has no [local_api]: no VM is served\n";
        }
        text
    }
}

fn ends(end: UnixMillis, now: UnixMillis) -> String {
    match end <= now {
        true => format!("{} (over)", end.to_calendar()),
        false => end.to_calendar(),
    }
}

fn from(token: &TakenTokenEntry) -> String {
    match (token.source.as_str(), &token.inviter) {
        ("invitation", Some(inviter)) => format!("invitation by {inviter}"),
        ("founding", _) => "founding bundle".to_owned(),
        (source, _) => source.to_owned(),
    }
}
