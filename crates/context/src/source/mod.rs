//! Where settings come from: the environment first, then the context.
//!
//! It promises that each problem names its key, where it was found, what was expected and an
//! example, that all problems of one start are told together, and that a secret's value is in none
//! of them. It refuses to know which keys there are: that is `settings`. Another platform's way to
//! hand settings over is another [`SettingsSource`].

pub mod context;

use std::fmt;

use context::ContextFile;
use zeroize::Zeroizing;

/// A place that may hold values of settings.
pub trait SettingsSource {
    /// The value of a key, if this place has it.
    fn find(&self, key: &str) -> Option<FoundSetting>;
}

/// A value with the place where it was found, for messages.
pub struct FoundSetting {
    /// The value; it may be secret.
    pub value: Zeroizing<String>,
    /// For example `environment` or `context.sh:7`.
    pub place: String,
}

/// The environment of a process: what `std::env::var` answers, or a test's stand-in.
pub struct Environment<F>(pub F);

impl<F: Fn(&str) -> Option<String>> SettingsSource for Environment<F> {
    fn find(&self, key: &str) -> Option<FoundSetting> {
        let value = Zeroizing::new((self.0)(key)?);
        Some(FoundSetting { value, place: "environment".to_owned() })
    }
}

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

impl SettingsSource for ContextFile {
    fn find(&self, key: &str) -> Option<FoundSetting> {
        let value = Zeroizing::new(self.get(key)?.to_owned());
        let line = self.line_of(key).unwrap_or_default();
        Some(FoundSetting { value, place: format!("{}:{line}", self.file().display()) })
    }
}

/// All that is known about a key apart from its value: the table of keys is made of these.
#[derive(Debug, Clone, Copy)]
pub struct ContextKey {
    /// The variable's name.
    pub name: &'static str,
    /// Which companions read it.
    pub readers: KeyReaders,
    /// What holds without it, as the documents say it.
    pub default: &'static str,
    /// What it is for, as the documents say it.
    pub meaning: &'static str,
    /// What its value must be.
    pub expected: &'static str,
    /// An example value.
    pub example: &'static str,
    /// Secret values appear in no message.
    pub secret: bool,
}

/// Which companions read a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyReaders {
    /// `zonemesh-superlink` and `zonemesh-supernode`.
    Both,
    /// `zonemesh-superlink`.
    SuperLink,
    /// `zonemesh-supernode`.
    SuperNode,
    /// `zonemesh-gateway`.
    Gateway,
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
