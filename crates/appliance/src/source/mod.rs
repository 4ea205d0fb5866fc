//! Where settings come from: the environment first, then the context.
//!
//! It promises that each problem names its key, where it was found, what was expected and an
//! example, that all problems of one start are told together, and that a secret's value is in none
//! of them. It refuses to know which keys there are: that is `settings.rs`.

pub mod context;

use std::fmt;

use zeroize::Zeroizing;

use crate::source::context::Context;

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

/// What is known about a key apart from its value.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The variable's name.
    pub name: &'static str,
    /// What its value must be.
    pub expected: &'static str,
    /// An example value.
    pub example: &'static str,
    /// Secret values appear in no message.
    pub secret: bool,
}

type Lookup<'a> = Box<dyn Fn(&str) -> Option<String> + 'a>;

/// Looks keys up and collects what is wrong with them.
pub struct Variables<'a> {
    environment: Lookup<'a>,
    context: Option<(&'a Context, String)>,
    problems: Vec<SettingError>,
}

struct Found {
    value: Zeroizing<String>,
    place: String,
}

impl<'a> Variables<'a> {
    /// `environment` answers like `std::env::var`; `context` comes with its file name.
    pub fn new(
        environment: impl Fn(&str) -> Option<String> + 'a,
        context: Option<(&'a Context, String)>,
    ) -> Self {
        Self { environment: Box::new(environment), context, problems: Vec::new() }
    }

    /// An empty value is as good as none: OpenNebula hands unset inputs over as empty texts.
    fn find(&self, name: &str) -> Option<Found> {
        if let Some(value) = (self.environment)(name).map(Zeroizing::new)
            && !value.trim().is_empty()
        {
            return Some(Found { value, place: " (environment)".to_owned() });
        }
        let (context, file) = self.context.as_ref()?;
        let value = context.get(name).filter(|value| !value.trim().is_empty())?;
        let line = context.line_of(name).unwrap_or_default();
        Some(Found { value: Zeroizing::new(value.to_owned()), place: format!(" ({file}:{line})") })
    }

    /// A plain value without rules, for example OneGate's.
    pub fn raw(&self, name: &str) -> Option<Zeroizing<String>> {
        self.find(name).map(|found| Zeroizing::new(found.value.trim().to_owned()))
    }

    /// A value that may be absent. `None` also if it is wrong, which is then recorded.
    pub fn optional<T, E: fmt::Display>(
        &mut self,
        key: Key,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let found = self.find(key.name)?;
        match parse(found.value.trim()) {
            Ok(value) => Some(value),
            Err(_) if key.secret => {
                self.problem(key, found.place, "its value is not usable".to_owned());
                None
            }
            Err(error) => {
                let problem = format!("{:?} is not usable: {error}", found.value.as_str());
                self.problem(key, found.place, problem);
                None
            }
        }
    }

    /// A value that must be there.
    pub fn required<T, E: fmt::Display>(
        &mut self,
        key: Key,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.find(key.name).is_none() {
            self.problem(key, String::new(), "is not set".to_owned());
            return None;
        }
        self.optional(key, parse)
    }

    /// Records a problem that was found otherwise.
    pub fn problem(&mut self, key: Key, place: String, problem: String) {
        let Key { name, expected, example, .. } = key;
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
