//! What changed in the mesh: `zonemesh mesh init`, `zone invite|join|approve|revoke|block`,
//! `trust import`. An invitation's secret has no view.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use zonemesh_api::v1::{LackingItem, LackingReason, TrustReply, ZoneInviteReply, ZoneJoinProgress};
use zonemesh_api::view::{BlockView, LeaveView, MeshView, Timestamp, counters};
use zonemesh_core::membership::TrustRejected;

use super::counted;
use crate::arguments::Invite;
use crate::output::{Page, Rendered};
use crate::quantity;
use crate::table::plain;

impl Rendered for MeshView {
    fn text(&self, _page: Page) -> String {
        let zones = plain(&self.zones.join(", "));
        let (zones, next) = match self.zones.is_empty() {
            true => (
                "none yet: other authorities must sign the first grants",
                "zonemesh trust export --out FILE; then trust sign, trust import",
            ),
            false => (
                zones.as_str(),
                "zonemesh zone invite NAME --prefix PREFIX --out FILE; and keep a copy: zonemesh state backup FILE",
            ),
        };
        let (mesh, key) = (plain(&self.mesh), plain(&self.authority_key));
        let owners = owner_lines(&self.owner_key_files);
        format!("mesh       {mesh}\nauthority  {key}\n{owners}zones      {zones}\nnext: {next}\n")
    }
}

impl Rendered for LeaveView {
    fn text(&self, _page: Page) -> String {
        let mut told: Vec<_> = self.told.iter().map(|zone| plain(zone)).collect();
        told.extend(self.etcd.then(|| "etcd".to_owned()));
        let told = match told.is_empty() {
            true => "! nobody could be told: to all others this zone is silent".to_owned(),
            false => format!("told: {}", told.join(", ")),
        };
        let zone = plain(&self.zone);
        format!(
            "zone {zone} has left the mesh; its tunnels are down\n{told}\nnext: to come back, zonemesh zone join FILE with a new invitation\n"
        )
    }
}

/// Where the owner keys lie, and what to do with them.
fn owner_lines(files: &[String]) -> String {
    match files {
        [] => String::new(),
        files => format!(
            "owner key  {}\n           It changes who may sign, and does nothing else: move it to a place that no gateway\n           reads, keep a copy. Nobody can make it again.\n",
            plain(&files.join(", "))
        ),
    }
}

/// A mesh that was made in a folder.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct FoundedView(pub(crate) MeshView);

impl Rendered for FoundedView {
    fn text(&self, _page: Page) -> String {
        let MeshView { mesh, authority_key, zones, owner_key_files, .. } = &self.0;
        let owners = owner_lines(owner_key_files);
        let (mesh, key, zones) = (plain(mesh), plain(authority_key), plain(&zones.join(", ")));
        format!(
            "mesh       {mesh}\nauthority  {key}\n{owners}zones      {zones}, a folder each\nnext: put each folder's context into the CONTEXT of that zone's gateway, and what else ends in .context into that of its VMs, by a way that nobody else reads\n"
        )
    }
}

/// An invitation that was written into a file.
#[derive(Debug, Serialize)]
pub(crate) struct InvitationView {
    schema: &'static str,
    zone: String,
    tunnel_addresses: Vec<String>,
    federations: Vec<String>,
    tokens: Vec<String>,
    expires_at: Timestamp,
    file: String,
    /// What is to be known beside it.
    notes: Vec<String>,
}

impl InvitationView {
    pub(crate) fn new(invite: &Invite, reply: ZoneInviteReply) -> Self {
        Self {
            schema: "zonemesh/invitation/v1",
            zone: invite.name.clone(),
            tunnel_addresses: reply.tunnel_ips,
            federations: invite.federations.iter().map(ToString::to_string).collect(),
            tokens: invite.tokens.iter().map(ToString::to_string).collect(),
            expires_at: reply.expires_at_unix_ms.into(),
            file: invite.out.display().to_string(),
            notes: reply.notes,
        }
    }
}

impl Rendered for InvitationView {
    fn text(&self, page: Page) -> String {
        let left = self.expires_at.0.since(page.now);
        let federations = match self.federations.as_slice() {
            [] => String::new(),
            named => format!("federations  {}\n", named.join(", ")),
        };
        let tokens: String = self.tokens.iter().map(|token| format!("token  {token}\n")).collect();
        let notes: String =
            self.notes.iter().map(|note| format!("note: {}\n", plain(note))).collect();
        format!(
            "invited {} as {}: {}, good once and for {}\n{federations}{tokens}{notes}next: take it to the gateway of {0} by a way that nobody else reads, then there: zonemesh zone join FILE\n",
            self.zone,
            self.tunnel_addresses.join(", "),
            self.file,
            quantity::span(std::time::Duration::from_millis(left))
        )
    }
}

/// How a zone has joined.
#[derive(Debug, Serialize)]
pub(crate) struct JoinView {
    schema: &'static str,
    steps: Vec<String>,
    done: bool,
}

impl Default for JoinView {
    fn default() -> Self {
        Self { schema: "zonemesh/join/v1", steps: Vec::new(), done: false }
    }
}

impl JoinView {
    pub(crate) fn take(&mut self, progress: ZoneJoinProgress) {
        self.steps.push(progress.step);
        self.done = progress.done;
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }
}

impl Rendered for JoinView {
    fn text(&self, _page: Page) -> String {
        self.steps.iter().map(|step| format!("{}\n", plain(step))).collect()
    }
}

impl Rendered for BlockView {
    fn text(&self, _page: Page) -> String {
        let before = if self.changed { "" } else { "nothing was changed: " };
        match self.blocked.is_empty() {
            true => format!("{before}no zone is blocked here\n"),
            false => format!("{before}blocked here: {}\n", plain(&self.blocked.join(", "))),
        }
    }
}

/// What a change of trust has brought.
#[derive(Debug, Serialize)]
pub(crate) struct TrustView {
    schema: &'static str,
    stored: u32,
    rejected: BTreeMap<String, u64>,
    added: Vec<String>,
    removed: Vec<String>,
    signatures_missing: u32,
    lacking: Vec<String>,
    warnings: Vec<String>,
    notes: Vec<String>,
    unfinished: Option<String>,
    file: Option<String>,
    /// Why each of `lacking` has no effect.
    #[serde(skip)]
    reasons: Vec<LackingReason>,
    /// The command, for the case that what it drafts is to be written into a file.
    #[serde(skip)]
    again: String,
}

impl TrustView {
    /// `unfinished` are the lines of what others must sign, and the file that they went into.
    pub(crate) fn new(reply: TrustReply, unfinished: Option<(String, Option<&Path>)>) -> Self {
        let (unfinished, file) = unfinished.unzip();
        Self {
            schema: "zonemesh/trust/v1",
            stored: reply.stored,
            rejected: counters(reply.rejected),
            added: reply.added,
            removed: reply.removed,
            signatures_missing: reply.signatures_missing,
            reasons: reply.lacking.iter().map(LackingItem::reason).collect(),
            lacking: reply.lacking.into_iter().map(|item| item.sentence).collect(),
            warnings: reply.warnings,
            notes: reply.notes,
            unfinished,
            file: file.flatten().map(|file| file.display().to_string()),
            again: String::new(),
        }
    }

    /// The command that has said this.
    pub(crate) fn by(self, command: &str) -> Self {
        Self { again: command.to_owned(), ..self }
    }

    /// True if nobody else has to sign, all that was offered has its effect, and it takes nothing
    /// from somebody.
    pub(crate) fn is_complete(&self) -> bool {
        self.unfinished.is_none() && self.lacking.is_empty() && self.warnings.is_empty()
    }

    /// True if an item was refused for more than signatures that it may still get.
    pub(crate) fn has_refusals(&self) -> bool {
        let (waiting, refused): (Vec<_>, Vec<_>) = self.rejected.iter().partition(|(reason, _)| {
            TrustRejected::of(reason).is_some_and(TrustRejected::awaits_signatures)
        });
        let waiting: u64 = waiting.into_iter().map(|(_, count)| count).sum();
        let is_unsigned = |reason: &&LackingReason| **reason == LackingReason::Unsigned;
        let unsigned = self.reasons.iter().filter(is_unsigned).count() as u64;
        !refused.is_empty() || waiting > unsigned
    }

    /// True if only an operator can say which of two authority sets counts.
    fn needs_pin(&self) -> bool {
        let is_told = self.reasons.contains(&LackingReason::NotFollowed);
        let mut reasons = self.rejected.keys().filter_map(|reason| TrustRejected::of(reason));
        !is_told && reasons.any(|reason| reason == TrustRejected::Contradicted)
    }
}

/// What helps against two changes of one authority set.
const PIN: &str = "next: zonemesh authority list, then zonemesh authority pin HASH at each gateway";

/// What helps against signatures of keys that may not sign.
const STRANGER: &str = "next: zonemesh authority list says who may sign; zonemesh trust sign FILE --key KEY --out SIGNED with such a key, then zonemesh trust import SIGNED";

impl TrustView {
    /// What to type about what has no effect, once for each reason.
    fn next_steps(&self) -> Vec<String> {
        let steps = [
            (
                LackingReason::Unsigned,
                "zonemesh trust sign FILE --key KEY --out SIGNED, then zonemesh trust import SIGNED",
            ),
            (
                LackingReason::NotFollowed,
                "zonemesh authority list; ask the owners which set counts, then zonemesh authority pin SET --file FILE",
            ),
            (LackingReason::Overtaken, "zonemesh zone list; zonemesh authority list"),
        ];
        let wanted = steps.into_iter().filter(|(reason, _)| self.reasons.contains(reason));
        wanted.map(|(_, step)| format!("next: {step}")).collect()
    }
}

impl Rendered for TrustView {
    fn text(&self, _page: Page) -> String {
        let mut lines: Vec<_> =
            self.warnings.iter().map(|warning| format!("! {}", plain(warning))).collect();
        lines.extend(self.notes.iter().map(|note| format!("note: {}", plain(note))));
        let zones = |zones: &[String]| plain(&zones.join(", "));
        if !self.added.is_empty() {
            lines.push(format!("members now: {}", zones(&self.added)));
        }
        if !self.removed.is_empty() {
            lines.push(format!("members no more: {}", zones(&self.removed)));
        }
        match (&self.unfinished, &self.file) {
            (Some(_), Some(file)) => lines.push(format!(
                "{} more signatures are needed, nothing has changed yet: {file}\nnext: zonemesh trust sign {file} --key KEY --out SIGNED, then zonemesh trust import SIGNED",
                self.signatures_missing
            )),
            (Some(_), None) => lines.push(format!(
                "{} more signatures are needed, nothing has changed yet\nnext: {} --out FILE, then zonemesh trust sign FILE --key KEY --out SIGNED where an authority's key lies, then here zonemesh trust import SIGNED",
                self.signatures_missing, self.again
            )),
            (None, _) => lines.push(format!("new trust items: {}", self.stored)),
        }
        lines.extend(self.lacking.iter().map(|sentence| plain(sentence)));
        lines.extend(self.next_steps());
        if self.has_refusals() {
            lines.push(format!("refused: {}", counted(&self.rejected)));
            let is_strange =
                |reason: &String| TrustRejected::of(reason) == Some(TrustRejected::NotAuthorised);
            if self.rejected.keys().any(is_strange) {
                lines.push(STRANGER.to_owned());
            }
        }
        if self.needs_pin() {
            lines.push(PIN.to_owned());
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_api::v1::{Counter, LackingItem};
    use zonemesh_core::time::UnixMillis;

    use super::*;

    fn of(rejected: &[(&str, u64)], lacking: &[&str]) -> TrustView {
        let counter =
            |(name, count): &(&str, u64)| Counter { name: (*name).to_owned(), count: *count };
        TrustView::new(
            TrustReply {
                rejected: rejected.iter().map(counter).collect(),
                lacking: lacking.iter().map(|sentence| unsigned(sentence)).collect(),
                ..TrustReply::default()
            },
            None,
        )
    }

    fn unsigned(sentence: &str) -> LackingItem {
        let reason = zonemesh_api::v1::LackingReason::Unsigned;
        LackingItem { sentence: sentence.to_owned(), reason: reason.into() }
    }

    #[test]
    fn what_may_still_be_signed_is_no_refusal_and_what_takes_a_pin_says_so() {
        let sentence = "change 2 of the authorities lacks 1 of 2 signatures";
        for reason in ["unsigned", "not_authorised"] {
            assert!(!of(&[(reason, 1)], &[sentence]).has_refusals(), "{reason}");
            assert!(of(&[(reason, 2)], &[sentence]).has_refusals(), "{reason}");
        }
        assert!(of(&[("malformed", 1)], &[sentence]).has_refusals());
        let third = of(&[("contradicted", 1)], &[]);
        assert!(third.has_refusals());
        let text = third.text(Page { header: true, wide: false, now: UnixMillis(0) });
        assert!(text.contains("zonemesh authority pin HASH"), "{text}");
    }
}
