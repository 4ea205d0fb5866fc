//! Values by their keys, and what is wrong with them: the environment first, then the context.
//!
//! It promises that each problem names its key, where it was found, what was expected and an
//! example, that all problems of one start are told together, and that a secret's value is in none
//! of them. It refuses to know which keys there are: that is `keys`.

use std::fmt;

use zeroize::Zeroizing;

use crate::key::ContextKey;
use crate::source::{FoundSetting, SettingsSource};

/// One setting that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}{place}: {problem}; expected {expected}, for example {key}={example}")]
pub struct SettingError {
    /// The key.
    pub key: &'static str,
    /// Where its value was found, or nothing.
    pub place: String,
    /// Not set, or the value that was found and what is wrong with it.
    pub problem: String,
    /// What was expected.
    pub expected: &'static str,
    /// An example value.
    pub example: &'static str,
}

/// All settings that are missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsErrors(pub Vec<SettingError>);

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, error) in self.0.iter().enumerate() {
            let separator = if count == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

/// Looks keys up and collects what is wrong with them.
pub struct Variables<'a> {
    sources: Vec<&'a dyn SettingsSource>,
    problems: Vec<SettingError>,
}

impl<'a> Variables<'a> {
    /// The first source that has a value wins.
    #[must_use]
    pub const fn new(sources: Vec<&'a dyn SettingsSource>) -> Self {
        Self { sources, problems: Vec::new() }
    }

    /// An empty value is as good as none: OpenNebula hands unset inputs over as empty texts.
    fn find(&self, name: &str) -> Option<FoundSetting> {
        let found = self.sources.iter().filter_map(|source| source.find(name));
        found.into_iter().find(|found| !found.value.trim().is_empty())
    }

    /// A plain value without rules, for example OneGate's.
    pub fn raw(&self, key: ContextKey) -> Option<Zeroizing<String>> {
        self.find(key.name).map(|found| Zeroizing::new(found.value.trim().to_owned()))
    }

    /// A value that may be absent. `None` also if it is wrong, which is then recorded.
    pub fn optional<T, E: fmt::Display>(
        &mut self,
        key: ContextKey,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let found = self.find(key.name)?;
        match parse(found.value.trim()) {
            Ok(value) => Some(value),
            // What is wrong with a secret is said by its parser, which never repeats it.
            Err(error) if key.secret => {
                self.problem(key, &found.place, format!("its value is not usable: {error}"));
                None
            }
            Err(error) => {
                let problem = format!("{:?} is not usable: {error}", found.value.as_str());
                self.problem(key, &found.place, problem);
                None
            }
        }
    }

    /// A value that must be there.
    pub fn required<T, E: fmt::Display>(
        &mut self,
        key: ContextKey,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.find(key.name).is_none() {
            self.problem(key, "", "is not set".to_owned());
            return None;
        }
        self.optional(key, parse)
    }

    /// Records that a value is not there, for a reason of its own.
    pub fn lacks(&mut self, key: ContextKey, problem: &str) {
        self.problem(key, "", problem.to_owned());
    }

    fn problem(&mut self, key: ContextKey, place: &str, problem: String) {
        let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
        let ContextKey { name, expected, example, .. } = key;
        self.problems.push(SettingError { key: name, place, problem, expected, example });
    }

    /// All that was wrong, if anything was.
    ///
    /// # Errors
    /// Every recorded problem.
    pub fn finish<T>(self, settings: Option<T>) -> Result<T, SettingsErrors> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(SettingsErrors(self.problems)),
        }
    }
}
