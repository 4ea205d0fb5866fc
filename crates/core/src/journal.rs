//! The lines of a gateway's journal: findings that came and went, and who changed what.
//!
//! One line of text for each, written once and never changed; fields are apart by tabs. Promises
//! that what was written is read back as it was, that a line which a crash has cut off costs only
//! itself, and that the store stays within its bound by losing its oldest lines. Refuses to know the
//! file and who asks for it.

use crate::finding::{Code, Severity, StandingFinding};
use crate::kernel::{ChangeInWords, KernelChange};
use crate::time::UnixMillis;
use crate::visible::visible;

/// A line, and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalLine {
    /// By the gateway's clock.
    pub at: UnixMillis,
    /// What it says.
    pub event: JournalEvent,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalEvent {
    /// A finding came, or is worse or less bad than it was.
    Raised {
        /// Its code.
        code: Code,
        /// How bad it is.
        severity: Severity,
        /// What it is about.
        subject: String,
        /// The evidence in one sentence.
        sentence: String,
    },
    /// A finding is over.
    Cleared {
        /// Its code.
        code: Code,
        /// What it was about.
        subject: String,
        /// How long it lasted, in milliseconds.
        lasted_ms: u64,
        /// How often it has happened.
        count: u64,
    },
    /// Somebody had changed what this gateway has in the kernel, and it is as it should be again.
    Repaired {
        /// `link`, `address`, `mtu`, `route`, `rule` or `guard`.
        kind: String,
        /// Which of these.
        object: String,
        /// As it was found.
        before: String,
        /// As it is now.
        after: String,
    },
    /// Somebody changed the mesh or this gateway.
    Changed(AuditEntry),
}

/// A change, for those who ask later who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// What was done.
    pub act: AuditAct,
    /// Who asked for it: a user of this machine, or the zone that redeemed an invitation.
    pub by: String,
    /// The zone or key that it is about; empty for the mesh itself.
    pub about: String,
    /// Names of the items and their numbers, never a secret.
    pub detail: String,
}

/// What can be done to a mesh or a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAct {
    /// The mesh was founded.
    Found,
    /// A zone was invited.
    Invite,
    /// This zone joined a mesh, or came back to it.
    Join,
    /// This zone left its mesh.
    Leave,
    /// A zone was granted.
    Grant,
    /// A zone was put out.
    Revoke,
    /// Who may sign was changed.
    Authorities,
    /// Items that others had signed were taken.
    Import,
    /// The gateway's WireGuard key was changed, or is being changed.
    Rotate,
    /// A zone was blocked here.
    Block,
    /// A zone is no longer blocked here.
    Unblock,
    /// A token of a VM was given up.
    RemoveToken,
    /// A changed configuration file was taken.
    Reload,
}

impl AuditAct {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Found,
        Self::Invite,
        Self::Join,
        Self::Leave,
        Self::Grant,
        Self::Revoke,
        Self::Authorities,
        Self::Import,
        Self::Rotate,
        Self::Block,
        Self::Unblock,
        Self::RemoveToken,
        Self::Reload,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Invite => "invite",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Authorities => "authorities",
            Self::Import => "import",
            Self::Rotate => "rotate",
            Self::Block => "block",
            Self::Unblock => "unblock",
            Self::RemoveToken => "remove_token",
            Self::Reload => "reload",
        }
    }
}

const RAISED: &str = "raised";
const CLEARED: &str = "cleared";
const REPAIRED: &str = "repaired";
const CHANGED: &str = "changed";

impl JournalEvent {
    /// Of a finding that is new or has changed.
    #[must_use]
    pub fn raised(standing: &StandingFinding) -> Self {
        let finding = &standing.finding;
        Self::Raised {
            code: finding.code,
            severity: finding.severity,
            subject: finding.subject.to_string(),
            sentence: finding.sentence(),
        }
    }

    /// Of a change that puts right what somebody else had changed.
    #[must_use]
    pub fn repaired(change: &KernelChange) -> Self {
        let ChangeInWords { kind, object, before, after } = change.in_words();
        Self::Repaired { kind: kind.to_owned(), object, before, after }
    }

    /// Of a finding that is over since `now`.
    #[must_use]
    pub fn cleared(standing: &StandingFinding, now: UnixMillis) -> Self {
        Self::Cleared {
            code: standing.finding.code,
            subject: standing.finding.subject.to_string(),
            lasted_ms: now.since(standing.since),
            count: standing.count,
        }
    }

    /// True for what an auditor asks for.
    #[must_use]
    pub const fn is_audit(&self) -> bool {
        matches!(self, Self::Changed(_))
    }
}

impl JournalLine {
    /// The line with its newline.
    #[must_use]
    pub fn to_text(&self) -> String {
        let at = self.at.to_string();
        let fields = match &self.event {
            JournalEvent::Raised { code, severity, subject, sentence } => {
                [RAISED, code.as_str(), severity.as_str(), subject, sentence].map(escaped)
            }
            JournalEvent::Cleared { code, subject, lasted_ms, count } => [
                escaped(CLEARED),
                escaped(code.as_str()),
                escaped(subject),
                lasted_ms.to_string(),
                count.to_string(),
            ],
            JournalEvent::Repaired { kind, object, before, after } => {
                [REPAIRED, kind, object, before, after].map(escaped)
            }
            JournalEvent::Changed(AuditEntry { act, by, about, detail }) => {
                [CHANGED, act.as_str(), by, about, detail].map(escaped)
            }
        };
        format!("{at}\t{}\n", fields.join("\t"))
    }

    /// Reads a line without its newline; `None` if it is none, or of a later release.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let fields: Vec<String> = line.split('\t').map(plain).collect();
        let [at, kind, first, second, third, fourth] = &fields[..] else { return None };
        let text = |field: &String| field.clone();
        let event = match kind.as_str() {
            RAISED => JournalEvent::Raised {
                code: Code::of(first)?,
                severity: Severity::of(second)?,
                subject: text(third),
                sentence: text(fourth),
            },
            CLEARED => JournalEvent::Cleared {
                code: Code::of(first)?,
                subject: text(second),
                lasted_ms: third.parse().ok()?,
                count: fourth.parse().ok()?,
            },
            REPAIRED => JournalEvent::Repaired {
                kind: text(first),
                object: text(second),
                before: text(third),
                after: text(fourth),
            },
            CHANGED => JournalEvent::Changed(AuditEntry {
                act: AuditAct::ALL.into_iter().find(|act| act.as_str() == first)?,
                by: text(second),
                about: text(third),
                detail: text(fourth),
            }),
            _ => return None,
        };
        Some(Self { at: UnixMillis(at.parse().ok()?), event })
    }
}

/// The lines of a store, oldest first; what is none is left out.
pub fn lines(store: &str) -> impl DoubleEndedIterator<Item = JournalLine> {
    store.lines().filter_map(JournalLine::parse)
}

/// What stays of a store of at most `most` bytes: the whole of it, or its newest whole lines that
/// fill half of the bound, so that not every new line moves all others.
#[must_use]
pub fn trimmed(store: &[u8], most: usize) -> &[u8] {
    if store.len() <= most {
        return store;
    }
    let newest = &store[store.len() - most / 2..];
    let end_of_first = newest.iter().position(|byte| *byte == b'\n');
    end_of_first.map_or(&[], |at| &newest[at + 1..])
}

/// A field that holds neither a tab nor the end of a line, nor what steers the terminal of who
/// prints the file: other zones and VMs have words in it.
fn escaped(field: &str) -> String {
    visible(&field.replace('\\', "\\\\")).into_owned()
}

fn plain(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut letters = field.chars();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\\' => match letters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('u') => spelled_out(&mut letters),
                _ => '\\',
            },
            letter => letter,
        });
    }
    text
}

/// The character of `{1b}`.
fn spelled_out(letters: &mut std::str::Chars<'_>) -> char {
    let number: String = letters.skip(1).take_while(|letter| *letter != '}').collect();
    let number = u32::from_str_radix(&number, 16).ok();
    number.and_then(char::from_u32).unwrap_or('\u{fffd}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::finding::{Evidence, Finding, Findings, Subject};
    use crate::visible::is_hidden;

    fn change(by: &str, about: &str, detail: &str) -> JournalLine {
        let [by, about, detail] = [by, about, detail].map(str::to_owned);
        let act = AuditAct::Revoke;
        let event = JournalEvent::Changed(AuditEntry { act, by, about, detail });
        JournalLine { at: UnixMillis(1_800_000_000_000), event }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(by: String, about: String, detail: String) {
            let line = change(&by, &about, &detail);
            let text = line.to_text();
            prop_assert_eq!(text.matches('\n').count(), 1);
            let hidden: Vec<_> = text.chars().filter(|letter| is_hidden(*letter)).collect();
            prop_assert_eq!(hidden, ['\t', '\t', '\t', '\t', '\t', '\n']);
            prop_assert_eq!(JournalLine::parse(text.trim_end_matches('\n')), Some(line));
        }

        #[test]
        fn any_text_is_a_line_or_none(text: String) {
            for line in lines(&text) {
                prop_assert!(JournalLine::parse(line.to_text().trim_end_matches('\n')).is_some());
            }
        }

        #[test]
        fn a_store_within_its_bound_has_whole_lines(count in 0_usize..40, most in 0_usize..600) {
            let line = change("root", "rome", "grant 3").to_text();
            let store = line.repeat(count);
            let kept = trimmed(store.as_bytes(), most);
            prop_assert!(kept.len() <= most && kept.len().is_multiple_of(line.len()));
            prop_assert!(kept.len() == store.len() || kept.len() + line.len() >= most / 2);
        }
    }

    #[test]
    fn a_finding_comes_and_goes_in_two_lines() {
        let mut findings = Findings::default();
        let rome = Subject::Zone("rome".parse().unwrap());
        let silent = Finding::new(Code::HandshakesUnanswered, rome.clone());
        findings.raise(silent.with(Evidence::Count(3)), UnixMillis(1_000));
        let standing = &findings.all()[0];
        let came = JournalEvent::raised(standing);
        let went = JournalEvent::cleared(standing, UnixMillis(61_000));
        assert!(!came.is_audit());
        let text =
            [came, went].map(|event| JournalLine { at: UnixMillis(61_000), event }.to_text());
        assert_eq!(
            text[0],
            "61000\traised\tN206\tdown\trome\t3 handshake initiations unanswered\n"
        );
        assert_eq!(text[1], "61000\tcleared\tN206\trome\t60000\t1\n");
        assert_eq!(lines(&text.concat()).count(), 2);
    }

    #[test]
    fn a_repair_is_one_line_that_is_read_back() {
        let event = JournalEvent::repaired(&KernelChange::LinkMtu { from: 1300, to: 1420 });
        let line = JournalLine { at: UnixMillis(61_000), event };
        assert_eq!(line.to_text(), "61000\trepaired\tmtu\tthe tunnel's\t1300\t1420\n");
        assert_eq!(JournalLine::parse(line.to_text().trim_end()), Some(line));
    }

    #[test]
    fn what_steers_a_terminal_is_spelled_out_in_the_file_and_read_back() {
        let line = change("root", "rome", "\u{1b}[2J\u{9b}\u{202e}\u{2028}\\u{1b}");
        let text = line.to_text();
        let spelled = "rome\t\\u{1b}[2J\\u{9b}\\u{202e}\\u{2028}\\\\u{1b}\n";
        assert!(text.ends_with(spelled), "{text:?}");
        assert_eq!(JournalLine::parse(text.trim_end_matches('\n')), Some(line));
    }

    #[test]
    fn a_line_that_was_cut_off_costs_only_itself() {
        let whole = change("root", "rome", "").to_text();
        let store = format!("{}{whole}", &whole[10..30]) + &whole + "garbage";
        assert_eq!(lines(&store).count(), 1, "the first is glued to what was cut off");
    }
}
