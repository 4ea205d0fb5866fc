//! What an engineer should know: one kind of value for whatever complains, anywhere in Zonemesh.
//!
//! A [`Finding`] is data: a [`Code`] of one closed list, how bad it is, what it is about, what was
//! seen and what to do next. Whoever notices something makes one; surfaces (status, logs, reports)
//! only show it. [`Findings`] keeps those that last, by code and subject: raised and cleared by
//! whoever noticed, never by time. Refuses to know who shows them and how the platform's settings
//! are stored; each code has a page in `docs/codes`.

mod code;
mod evidence;
mod fix;
mod sentence;
mod store;
mod subject;

use std::fmt;

pub use code::Code;
pub use evidence::Evidence;
pub use fix::Fix;
pub use sentence::{placeholders, sentence};
pub use store::{Findings, Raised, Settled, StandingFinding};
pub use subject::Subject;

/// How bad it is. Only the last two are worth a `!` and exit code 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know; everything works.
    Note,
    /// Something works less well, or would not survive the next trouble.
    Degraded,
    /// Something does not work.
    Down,
}

impl Severity {
    /// All of them, the mildest first.
    pub const ALL: [Self; 3] = [Self::Note, Self::Degraded, Self::Down];

    /// The severity of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == name)
    }

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }

    /// True if somebody should look.
    #[must_use]
    pub const fn is_alarming(self) -> bool {
        !matches!(self, Self::Note)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is the matter, of a closed list.
    pub code: Code,
    /// How bad it is here; [`Code::severity`] unless the raiser knows better.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// What to do next.
    pub fix: Fix,
}

impl Finding {
    /// A finding with its code's severity and fix, and without evidence yet.
    #[must_use]
    pub fn new(code: Code, subject: Subject) -> Self {
        let fix = Fix::from(code.fix());
        Self { code, severity: code.severity(), subject, evidence: Vec::new(), fix }
    }

    /// Adds what was seen.
    #[must_use]
    pub fn with(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// Says better than the list what to do next.
    #[must_use]
    pub fn fix(self, fix: impl Into<Fix>) -> Self {
        Self { fix: fix.into(), ..self }
    }

    /// True if the list says something else of what to do next.
    #[must_use]
    pub fn has_own_fix(&self) -> bool {
        self.fix.as_str() != self.code.fix()
    }

    /// Says how bad it is here.
    #[must_use]
    pub fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// What was seen under this name; several of one name with commas between them.
    #[must_use]
    pub fn seen(&self, name: &str) -> Option<String> {
        let named = self.evidence.iter().filter(|evidence| evidence.name() == name);
        let texts: Vec<String> = named.map(ToString::to_string).collect();
        (!texts.is_empty()).then(|| texts.join(", "))
    }

    /// The evidence in one sentence, without the subject.
    #[must_use]
    pub fn sentence(&self) -> String {
        sentence(self.code.sentence(), |name| self.seen(name))
    }
}

/// `N206 paris: 12 handshake initiations unanswered (198.51.100.7:51820)`, for logs.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            Subject::Here => write!(f, "{} {}", self.code, self.sentence()),
            _ => write!(f, "{} {}: {}", self.code, self.subject, self.sentence()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_with_its_evidence() {
        let paris = Subject::Zone("paris".parse().unwrap());
        let silent = Finding::new(Code::HandshakesUnanswered, paris)
            .with(Evidence::Count(12))
            .with(Evidence::Address("198.51.100.7:51820".to_owned()));
        assert_eq!(
            silent.to_string(),
            "N206 paris: 12 handshake initiations unanswered (198.51.100.7:51820)"
        );
        assert_eq!(silent.severity, Severity::Down);
    }

    #[test]
    fn one_of_a_kind_is_told_in_the_singular() {
        let told =
            |code, count| Finding::new(code, Subject::Here).with(Evidence::Count(count)).sentence();
        let silent = Code::HandshakesUnanswered;
        assert_eq!(told(silent, 1), "1 handshake initiation unanswered");
        assert_eq!(told(silent, 2), "2 handshake initiations unanswered");
        let awaited = Code::AuthorityAwaited;
        assert_eq!(told(awaited, 1), "1 part of its list of zones is not here yet");
        assert!(told(Code::VmCutOff, 1).ends_with("(1 time)"));
    }

    #[test]
    fn several_of_one_name_are_told_together() {
        let madrid = Subject::Zone("madrid".parse().unwrap());
        let lanes = Finding::new(Code::LaneUnanswered, madrid)
            .with(Evidence::Lane(1))
            .with(Evidence::Lane(3));
        assert_eq!(lanes.seen("lane").as_deref(), Some("1, 3"));
        assert_eq!(lanes.seen("count"), None);
    }

    #[test]
    fn only_notes_are_not_alarming() {
        assert!(Severity::ALL.is_sorted());
        assert_eq!(Severity::ALL.map(Severity::is_alarming), [false, true, true]);
        assert!(Severity::ALL.iter().all(|one| Severity::of(one.as_str()) == Some(*one)));
    }
}
