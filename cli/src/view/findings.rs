//! What an engineer should know, as lines and as JSON.
//!
//! Promises: a line with `!` for each finding that is degraded or down, and for no other; each fits
//! 80 columns. The words are the daemon's.

use serde::{Serialize, Serializer};
use zonemesh_api::v1::{Finding, FindingEvidence, FindingSeverity};

use super::Moment;
use crate::quantity::span;
use crate::table::plain;

/// Columns of a terminal that nobody has widened.
const WIDTH: usize = 80;
/// What stands before all lines of a finding but its first.
const INDENT: &str = "  ";

/// A finding.
#[derive(Debug, Serialize)]
pub(crate) struct FindingView {
    code: String,
    title: String,
    severity: &'static str,
    subject: SubjectView,
    sentence: String,
    evidence: Vec<EvidenceView>,
    fix: String,
    since: Moment,
    seen_at: Moment,
    count: u64,
}

/// What a finding is about.
#[derive(Debug, Serialize)]
struct SubjectView {
    kind: String,
    name: String,
}

/// What was seen.
#[derive(Debug, Serialize)]
struct EvidenceView {
    name: String,
    value: SeenValue,
}

/// A figure, or a text.
#[derive(Debug)]
enum SeenValue {
    Figure(i64),
    Text(String),
}

impl Serialize for SeenValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Figure(figure) => figure.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
        }
    }
}

impl From<Finding> for FindingView {
    fn from(reply: Finding) -> Self {
        Self {
            severity: match reply.severity() {
                FindingSeverity::Note => "note",
                // A severity of a later release is worth a look.
                FindingSeverity::Unspecified | FindingSeverity::Degraded => "degraded",
                FindingSeverity::Down => "down",
            },
            code: reply.code,
            title: reply.title,
            subject: SubjectView { kind: reply.subject_kind, name: reply.subject },
            sentence: reply.sentence,
            evidence: reply.evidence.into_iter().map(EvidenceView::from).collect(),
            fix: reply.fix,
            since: reply.since_unix_ms.into(),
            seen_at: reply.seen_at_unix_ms.into(),
            count: reply.count,
        }
    }
}

impl From<FindingEvidence> for EvidenceView {
    fn from(reply: FindingEvidence) -> Self {
        let value = reply.figure.map_or(SeenValue::Text(reply.text), SeenValue::Figure);
        Self { name: reply.name, value }
    }
}

impl FindingView {
    /// True if it is worth a `!` and exit code 1.
    pub(crate) fn is_alarming(&self) -> bool {
        self.severity != "note"
    }

    /// True if it is about this zone.
    pub(crate) fn is_about_zone(&self, zone: &str) -> bool {
        self.subject.kind == "zone" && self.subject.name == zone
    }

    /// Its lines: what it is, since when, and what to do next.
    pub(crate) fn text(&self, now: Moment) -> String {
        let mark = if self.is_alarming() { '!' } else { ' ' };
        let about = match self.subject.kind.as_str() {
            "here" => String::new(),
            _ => format!("{}: ", self.subject.name),
        };
        let lasts = span(std::time::Duration::from_millis(now.0.since(self.since.0)));
        let often = match self.count {
            0 | 1 => String::new(),
            count => format!(", {count} times"),
        };
        let what = format!("{mark} {} {about}{}", self.code, self.sentence);
        let next = format!("{INDENT}for {lasts}{often}  -> {}", self.fix);
        wrapped(&plain(&what)) + &wrapped(&plain(&next))
    }
}

/// Lines of at most 80 columns, all but the first indented; a longer word has a line of its own.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        let wide = line + word.trim_end().chars().count() > WIDTH;
        if wide && line > INDENT.len() {
            lines.push(INDENT.to_owned());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: FindingSeverity, sentence: &str) -> FindingView {
        FindingView::from(Finding {
            code: "N206".into(),
            severity: severity.into(),
            subject_kind: "zone".into(),
            subject: "paris".into(),
            sentence: sentence.into(),
            fix: "check the peer's endpoint, its UDP port and both public keys".into(),
            since_unix_ms: 1_000,
            count: 3,
            ..Finding::default()
        })
    }

    #[test]
    fn a_finding_is_what_it_is_since_when_and_what_to_do() {
        let silent = finding(FindingSeverity::Down, "12 handshake initiations unanswered");
        assert_eq!(
            silent.text(Moment::from(42_000)),
            "! N206 paris: 12 handshake initiations unanswered\n  for 41s, 3 times  -> check the peer's endpoint, its UDP port and both public\n  keys\n"
        );
        assert!(silent.is_alarming() && silent.is_about_zone("paris"));
    }

    #[test]
    fn only_what_is_alarming_has_a_mark() {
        let note = finding(FindingSeverity::Note, "uso refused");
        assert!(
            !note.is_alarming() && note.text(Moment::from(2_000)).starts_with("  N206 paris: ")
        );
        let later = finding(FindingSeverity::Unspecified, "of a later release");
        assert!(later.is_alarming());
    }

    #[test]
    fn no_line_is_wider_than_a_terminal_but_for_a_word_that_is() {
        let word = "x".repeat(100);
        let sentence = format!("{} {word} end", "long words ".repeat(30));
        let text = finding(FindingSeverity::Down, &sentence).text(Moment::from(1_000));
        let wide: Vec<_> = text.lines().filter(|line| line.chars().count() > WIDTH).collect();
        assert_eq!(wide, [format!("  {word}")]);
        assert!(text.lines().skip(1).all(|line| line.starts_with(INDENT)));
    }

    #[test]
    fn nothing_that_a_zone_says_reaches_the_terminal() {
        let evil = finding(FindingSeverity::Down, "\u{1b}[2J");
        assert!(!evil.text(Moment::from(1_000)).contains('\u{1b}'));
    }
}
