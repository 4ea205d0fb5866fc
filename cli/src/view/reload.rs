//! `zonemesh reload`: what has changed, or why nothing has.

use serde::Serialize;
use zonemesh_api::v1::{DifferingKey, ReloadReply};
use zonemesh_api::view::known;

use super::config_check::Mistake;
use crate::failure::Exit;
use crate::output::{Page, Rendered};
use crate::table::plain;

/// The answer of a reload.
#[derive(Debug, Serialize)]
pub(crate) struct ReloadView {
    schema: &'static str,
    applied: bool,
    changed: Vec<DifferenceView>,
    starts_anew: bool,
    reason: Option<String>,
    /// That of the errors.
    file: Option<String>,
    errors: Vec<Mistake>,
    unfinished: Vec<String>,
    /// What to type about a refusal.
    next: Option<String>,
    /// The daemon's user lacks a permission.
    denied: bool,
}

/// A key or section that differs.
#[derive(Debug, Serialize)]
pub(crate) struct DifferenceView {
    key: String,
    change: String,
    takes_effect: String,
}

impl From<&DifferingKey> for DifferenceView {
    fn from(one: &DifferingKey) -> Self {
        let DifferingKey { key, change, takes_effect } = one.clone();
        Self { key, change, takes_effect }
    }
}

impl DifferenceView {
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// True if a reload refuses a file for it.
    pub(crate) fn takes_restart(&self) -> bool {
        self.takes_effect == "restart"
    }

    /// `peer[madrid]: added`, and what it takes if a reload alone does not do.
    pub(crate) fn line(&self) -> String {
        let Self { key, change, takes_effect } = self;
        match takes_effect.as_str() {
            "restart" => format!("{key}: {change}, takes `systemctl restart zonemeshd`"),
            "anew" => format!("{key}: {change}, tunnels stand still for a second"),
            _ => format!("{key}: {change}"),
        }
    }
}

impl From<ReloadReply> for ReloadView {
    fn from(reply: ReloadReply) -> Self {
        Self {
            schema: "zonemesh/reload/v1",
            applied: reply.applied,
            changed: reply.changed.iter().map(DifferenceView::from).collect(),
            starts_anew: reply.starts_anew,
            reason: (!reply.applied).then_some(reply.reason),
            file: reply.mistakes.first().map(|first| first.file.clone()),
            errors: reply.mistakes.iter().map(Mistake::from).collect(),
            unfinished: reply.unfinished,
            next: known(reply.next),
            denied: reply.denied,
        }
    }
}

impl ReloadView {
    pub(crate) fn exit(&self) -> Exit {
        match self.applied {
            false if self.denied => Exit::Policy,
            false => Exit::Configuration,
            true if self.unfinished.is_empty() => Exit::Ok,
            true => Exit::Negative,
        }
    }

    /// What has changed, and what did not follow.
    fn taken(&self) -> Vec<String> {
        let mut lines = match self.changed.is_empty() {
            true => vec!["reloaded: nothing differs".to_owned()],
            false => {
                let end = if self.starts_anew { "in force in a moment" } else { "in force" };
                let keys = self.changed.iter().map(|one| format!("  {}", one.line()));
                std::iter::once(format!("reloaded, {end}:")).chain(keys).collect()
            }
        };
        lines.extend(self.unfinished.iter().map(|sentence| format!("but {sentence}")));
        lines
    }

    /// What is left as it was, and why.
    fn refused(&self, reason: &str) -> Vec<String> {
        let file = self.file.as_deref().unwrap_or_default();
        let mut lines: Vec<_> = self.errors.iter().map(|error| error.told(file)).collect();
        if lines.is_empty() {
            lines.push(reason.to_owned());
            lines.extend(self.changed.iter().map(DifferenceView::line));
        }
        lines.push("refused: nothing has changed, what was in force stays".to_owned());
        lines.extend(self.next.iter().map(|next| format!("next: {next}")));
        lines
    }
}

impl Rendered for ReloadView {
    fn text(&self, _page: Page) -> String {
        let lines = match &self.reason {
            Some(reason) => self.refused(reason),
            None => self.taken(),
        };
        lines.iter().map(|line| format!("{}\n", plain(line))).collect()
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_api::v1::ConfigMistake;
    use zonemesh_core::time::UnixMillis;

    use super::*;

    fn shown(reply: ReloadReply) -> String {
        ReloadView::from(reply).text(Page { header: true, wide: false, now: UnixMillis(0) })
    }

    fn key(key: &str, change: &str, takes_effect: &str) -> DifferingKey {
        let [key, change, takes_effect] = [key, change, takes_effect].map(str::to_owned);
        DifferingKey { key, change, takes_effect }
    }

    #[test]
    fn what_has_changed_stands_line_by_line() {
        let changed =
            vec![key("peer[rome]", "added", "reload"), key("tunnel.lanes", "changed", "anew")];
        let reply = ReloadReply { applied: true, starts_anew: true, changed, ..Default::default() };
        let text = "reloaded, in force in a moment:\n  peer[rome]: added\n  \
            tunnel.lanes: changed, tunnels stand still for a second\n";
        assert_eq!(shown(reply), text);
        let nothing = ReloadReply { applied: true, ..ReloadReply::default() };
        assert_eq!(shown(nothing), "reloaded: nothing differs\n");
    }

    #[test]
    fn what_did_not_follow_stands_below_and_the_command_ends_with_1() {
        let unfinished = vec!["this zone's record does not follow yet: disk full".to_owned()];
        let changed = vec![key("log.level", "changed", "reload")];
        let reply = ReloadReply { applied: true, changed, unfinished, ..ReloadReply::default() };
        let text = "reloaded, in force:\n  log.level: changed\n\
            but this zone's record does not follow yet: disk full\n";
        assert_eq!(shown(reply.clone()), text);
        let ends = |reply| ReloadView::from(reply).exit();
        assert_eq!(ends(reply.clone()), Exit::Negative);
        assert_eq!(ends(ReloadReply { unfinished: Vec::new(), ..reply }), Exit::Ok);
        assert_eq!(ends(ReloadReply::default()), Exit::Configuration);
    }

    #[test]
    fn a_file_that_the_daemon_may_not_read_is_6_and_says_what_to_type() {
        let reason = "cannot read /etc/zonemesh/zonemesh.toml: Permission denied".to_owned();
        let next = "chmod g+r".to_owned();
        let reply = ReloadReply { reason, denied: true, next, ..ReloadReply::default() };
        assert_eq!(ReloadView::from(reply.clone()).exit(), Exit::Policy);
        assert!(shown(reply).ends_with("what was in force stays\nnext: chmod g+r\n"));
    }

    #[test]
    fn a_refusal_names_each_place_or_each_key_and_says_that_nothing_has_changed() {
        let mistake = ConfigMistake {
            code: "C113".to_owned(),
            file: "zm.toml".to_owned(),
            line: 3,
            column: 8,
            key: "zone.name".to_owned(),
            found: "found \"X\"".to_owned(),
            expected: "a-z".to_owned(),
            fix: "write it small".to_owned(),
        };
        let (reason, mistakes) = ("zm.toml:3:8".to_owned(), vec![mistake]);
        let text = shown(ReloadReply { reason, mistakes, ..ReloadReply::default() });
        let end = "refused: nothing has changed, what was in force stays\n";
        let line = "zm.toml:3:8: zone.name: found \"X\"; expected a-z; write it small\n";
        assert_eq!(text, format!("{line}{end}"));
        let changed = vec![key("tunnel.interface", "changed", "restart")];
        let reason = "tunnel.interface cannot change while the gateway runs".to_owned();
        let text = shown(ReloadReply { reason: reason.clone(), changed, ..ReloadReply::default() });
        let line = "tunnel.interface: changed, takes `systemctl restart zonemeshd`\n";
        assert_eq!(text, format!("{reason}\n{line}{end}"));
    }
}
