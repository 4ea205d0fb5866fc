//! The values of keys that are left out.
//!
//! A default stands in the table of keys as TOML and goes through the same parser as a value of the
//! file. Some follow from another key; [`Known`] holds what they follow from.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::complaint::Parse;

/// What a default may name in angle brackets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) zone: String,
    pub(crate) state_dir: PathBuf,
}

impl Known {
    /// The text with its names replaced.
    pub(crate) fn fill(&self, text: &str) -> String {
        text.replace("<zone>", &self.zone).replace("<state_dir>", &self.state_dir.to_string_lossy())
    }
}

/// The value of a default, or `None` if what it follows from makes it unreadable.
pub(crate) fn value_of<T>(toml: &str, known: &Known, parse: Parse<T>) -> Option<T> {
    let value = DeValue::parse(toml).ok()?.into_inner();
    // Filled after the parser of TOML: a quote in a path is then no quote of TOML.
    let value = match value {
        DeValue::String(text) => DeValue::String(known.fill(&text).into()),
        other => other,
    };
    parse(&value).ok()
}
