//! What is wrong with a configuration file, and where.
//!
//! One [`ConfigError`] per mistake, each with its place and the way out; [`ConfigErrors`] holds all
//! that one reading found, in the order of the file, and is never empty.

use std::fmt;

use zonemesh_core::finding::{Code, Evidence, Finding, Subject};

/// One mistake in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {key}: {found}; expected {expected}; {fix}")]
pub struct ConfigError {
    /// Which kind of mistake it is.
    pub code: Code,
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The dotted key, for example `peer[0].endpoints[1]` (arrays count from 0).
    pub key: String,
    /// What stands there.
    pub found: String,
    /// What would be valid there.
    pub expected: String,
    /// What to do about it.
    pub fix: String,
}

impl From<&ConfigError> for Finding {
    fn from(error: &ConfigError) -> Self {
        let ConfigError { code, file, line, column, key, found, expected, fix } = error;
        Self::new(*code, Subject::Here)
            .with(Evidence::File(format!("{file}:{line}:{column}")))
            .with(Evidence::Setting(key.clone()))
            .with(Evidence::Found(found.clone()))
            .with(Evidence::Expected(expected.clone()))
            .fix(fix.clone())
    }
}

/// All mistakes that were found in a configuration file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// `Ok` with `value` if there is no error.
    pub(crate) fn unless_empty<T>(
        value: Option<T>,
        mut errors: Vec<ConfigError>,
    ) -> Result<T, Self> {
        errors.sort_by_key(|error| (error.line, error.column));
        match value {
            Some(value) if errors.is_empty() => Ok(value),
            _ => Err(Self(errors)),
        }
    }

    /// This one alone.
    pub(crate) fn one(error: ConfigError) -> Self {
        Self(vec![error])
    }

    /// The mistakes, in the order of the file; at least one.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
