//! What an engineer should know, with its data beside its words. The words are the daemon's.

use serde::{Serialize, Serializer};

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
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        self.severity != "note"
    }
}
