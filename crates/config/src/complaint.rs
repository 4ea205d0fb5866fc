//! What is wrong with one value, in words; the place comes later.
//!
//! Also the words that all complaints share: what kind of value stands there, and which known word
//! was probably meant.

use toml::de::DeValue;
use zonemesh_core::finding::Code;
use zonemesh_core::suggestion;
use zonemesh_core::visible::{brief_lines, visible};

use crate::error::ConfigError;
use crate::source::FilePlace;

/// What is wrong with one value, before its place is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) code: Code,
    pub(crate) found: String,
    pub(crate) expected: String,
    pub(crate) fix: String,
}

impl Complaint {
    /// A value that its key does not take; [`Complaint::coded`] says what else it is.
    pub(crate) fn new(
        found: impl Into<String>,
        expected: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (found, expected, fix) = (found.into(), expected.into(), fix.into());
        Self { code: Code::ConfigValue, found, expected, fix }
    }

    pub(crate) fn coded(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// The mistake that it is where it stands.
    pub(crate) fn at(self, file: &str, place: FilePlace, key: &str) -> ConfigError {
        ConfigError {
            code: self.code,
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            key: in_a_line(key),
            // A value is quoted as it stands in the file: it may hold what would steer a terminal, and
            // be as long as the file.
            found: in_a_line(&self.found),
            expected: in_a_line(&self.expected),
            fix: in_a_line(&self.fix),
        }
    }
}

fn in_a_line(words: &str) -> String {
    brief_lines(&visible(words))
}

/// A parser of one value.
pub(crate) type Parse<T> = fn(&DeValue<'_>) -> Result<T, Complaint>;

/// What a value is, for people.
pub(crate) fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a text".to_owned(),
        DeValue::Integer(number) => format!("the number {}", number.as_str()),
        DeValue::Float(number) => format!("the number {}", number.as_str()),
        DeValue::Boolean(truth) => format!("{truth}"),
        DeValue::Datetime(time) => format!("the date-time {time} without quotes"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The candidate that `text` was probably meant to be.
pub(crate) fn nearest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let text = text.to_lowercase().replace('-', "_");
    suggestion::nearest(&text, candidates)
}
