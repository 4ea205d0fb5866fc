//! What an engineer should know: one kind of value for whatever complains, anywhere in Zonemesh.
//!
//! The parts of a finding: how bad it is, what it is about, what was seen, what to do next, all as
//! data. Refuses to know who shows them and how the platform's settings are stored.

mod code;
mod evidence;
mod fix;
mod sentence;
mod subject;

use std::fmt;

pub use code::Code;
pub use evidence::Evidence;
pub use fix::{Fix, Spelling};
pub use sentence::{placeholders, sentence};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_notes_are_not_alarming() {
        assert!(Severity::ALL.is_sorted());
        assert_eq!(Severity::ALL.map(Severity::is_alarming), [false, true, true]);
        assert!(Severity::ALL.iter().all(|one| Severity::of(one.as_str()) == Some(*one)));
    }
}
