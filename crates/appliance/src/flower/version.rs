//! A version of Flower, as its programs tell it.
//!
//! It promises that what is no release (three numbers) is none. It refuses to know which are supported.

use std::fmt;
use std::str::FromStr;

use zonemesh_context::judged::companion;
use zonemesh_core::visible::quoted;

/// Why a text is no version of Flower.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no version of Flower: expected three numbers, for example 1.25.0", quoted(.0))]
pub struct FlowerVersionError(pub String);

/// A version of Flower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowerVersion {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number.
    pub patch: u16,
}

impl FromStr for FlowerVersion {
    type Err = FlowerVersionError;

    fn from_str(text: &str) -> Result<Self, FlowerVersionError> {
        let no_release = |_form| FlowerVersionError(text.to_owned());
        let [major, minor, patch] = companion::flower_release(text).map_err(no_release)?;
        Ok(Self { major, minor, patch })
    }
}

impl fmt::Display for FlowerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FlowerVersion {
    /// The version of these three numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Whether both are of one release line: the first two numbers are the same.
    #[must_use]
    pub const fn is_of_line(self, other: Self) -> bool {
        self.major == other.major && self.minor == other.minor
    }

    /// Reads the answer of `flwr --version`: `Flower version: 1.25.0`.
    ///
    /// # Errors
    /// The answer names no version.
    pub fn from_program_output(output: &str) -> Result<Self, FlowerVersionError> {
        let named = output.lines().find_map(|line| line.trim().strip_prefix("Flower version:"));
        named
            .ok_or_else(|| FlowerVersionError(output.trim().chars().take(80).collect()))?
            .trim()
            .parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_programs_answer() {
        let version = FlowerVersion::from_program_output("Flower version: 1.25.0\n").unwrap();
        assert_eq!(version.to_string(), "1.25.0");
        assert!(FlowerVersion::from_program_output("Warning: x\nFlower version: 1.25.0").is_ok());
        for output in [
            "",
            "1.25.0",
            "Flower version: 1.25",
            "Flower version: 1.25.0.dev1",
            "Flower version: x",
        ] {
            assert!(FlowerVersion::from_program_output(output).is_err(), "{output:?}");
        }
    }
}
