//! What an engineer should know, with its data beside its words.
//!
//! Words that the daemon does not send are those of the list of codes.

use serde::{Serialize, Serializer};

use zonemesh_core::finding::{Code, Fix, sentence};

use super::Timestamp;
use crate::v1::{Finding, FindingEvidence, FindingSeverity};

/// A finding.
#[derive(Debug, Serialize)]
pub struct FindingView {
    pub code: String,
    pub title: String,
    pub severity: &'static str,
    pub subject: SubjectView,
    pub sentence: String,
    pub evidence: Vec<EvidenceView>,
    pub fix: String,
    pub since: Timestamp,
    pub seen_at: Timestamp,
    pub count: u64,
}

/// What a finding is about.
#[derive(Debug, Serialize)]
pub struct SubjectView {
    pub kind: String,
    pub name: String,
}

/// What was seen.
#[derive(Debug, Serialize)]
pub struct EvidenceView {
    pub name: String,
    pub value: SeenValue,
}

/// A figure, or a text.
#[derive(Debug)]
pub enum SeenValue {
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
        let words = ListedWords::of(Code::of(&reply.code));
        let or = |own: String, listed: String| if own.is_empty() { listed } else { own };
        Self {
            severity: match reply.severity() {
                FindingSeverity::Note => "note",
                // A severity of a later release is worth a look.
                FindingSeverity::Unspecified | FindingSeverity::Degraded => "degraded",
                FindingSeverity::Down => "down",
            },
            code: reply.code,
            title: words.title,
            subject: SubjectView { kind: reply.subject_kind, name: reply.subject },
            sentence: or(reply.sentence, words.sentence),
            evidence: reply.evidence.into_iter().map(EvidenceView::from).collect(),
            fix: or(reply.fix, words.fix),
            since: reply.since_unix_ms.into(),
            seen_at: reply.seen_at_unix_ms.into(),
            count: reply.count,
        }
    }
}

/// What the list of this build says of a code by itself.
struct ListedWords {
    title: String,
    sentence: String,
    fix: String,
}

impl ListedWords {
    fn of(code: Option<Code>) -> Self {
        let Some(code) = code else {
            return Self {
                title: "a code of another release".to_owned(),
                sentence: "this release does not know the code".to_owned(),
                fix: "install the same version of both; `zonemesh --version`".to_owned(),
            };
        };
        Self {
            title: code.title().to_owned(),
            sentence: sentence(code.sentence(), |_| None),
            fix: Fix::from(code.fix()).spelled(),
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
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        self.severity != "note"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_not_sent_are_the_list_s() {
        let view = FindingView::from(Finding { code: "N207".into(), ..Finding::default() });
        assert_eq!(view.title, "no endpoint of a peer is known");
        assert_eq!(view.sentence, "no endpoint is known, and it has not called");
        assert!(view.fix.starts_with("set gateway.endpoints in that zone"), "{}", view.fix);
    }

    #[test]
    fn words_that_are_sent_stand_as_they_are() {
        let (sentence, fix) = ("two of them".to_owned(), "ask paris".to_owned());
        let reply = Finding { code: "N207".into(), sentence, fix, ..Finding::default() };
        let view = FindingView::from(reply);
        assert_eq!((view.sentence.as_str(), view.fix.as_str()), ("two of them", "ask paris"));
    }

    #[test]
    fn a_code_of_another_release_is_said_to_be_one() {
        let view = FindingView::from(Finding { code: "N999".into(), ..Finding::default() });
        assert_eq!(view.code, "N999");
        assert!(view.title.contains("another release") && !view.fix.is_empty(), "{view:?}");
    }
}
