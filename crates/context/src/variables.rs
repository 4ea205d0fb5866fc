//! Values by their keys, and what is wrong with them: the environment first, then the context.
//!
//! It promises that each problem names its key, where it was found, what was expected and an
//! example, that all problems of one start are told together, and that a secret's value is in none
//! of them. It refuses to know which keys there are: that is `keys`.

use std::fmt;

use zeroize::Zeroizing;
use zonemesh_core::offered::without_secrets;
use zonemesh_core::visible::{brief_lines, quoted};

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

/// A value with the spelling of its key that was used.
struct SpelledSetting {
    name: &'static str,
    found: FoundSetting,
}

impl SpelledSetting {
    fn value(&self) -> &str {
        self.found.value.trim()
    }
}

fn error(key: ContextKey, name: &'static str, place: &str, problem: String) -> SettingError {
    let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
    let ContextKey { expected, example, .. } = key;
    SettingError { key: name, place, problem, expected, example }
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
    fn find_spelled(&self, name: &'static str) -> Option<SpelledSetting> {
        let found = self.sources.iter().filter_map(|source| source.find(name));
        let found = found.into_iter().find(|found| !found.value.trim().is_empty())?;
        Some(SpelledSetting { name, found })
    }

    /// The preferred spelling first.
    fn find(&self, key: ContextKey) -> Option<SpelledSetting> {
        key.names().find_map(|name| self.find_spelled(name))
    }

    /// A plain value without rules, for example OneGate's.
    pub fn raw(&self, key: ContextKey) -> Option<Zeroizing<String>> {
        self.find(key).map(|spelled| Zeroizing::new(spelled.value().to_owned()))
    }

    /// A value that may be absent. `None` also if it is wrong, which is then recorded.
    pub fn optional<T, E: fmt::Display>(
        &mut self,
        key: ContextKey,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let spelled = self.find(key)?;
        let parsed = parse(spelled.value());
        if let Some(other) = self.contradicted(key, &spelled) {
            let problem =
                format!("is given beside {other} with another value: take one of them out");
            self.problem(key, &spelled, problem);
            return None;
        }
        match parsed {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(key, &error.to_string());
                None
            }
        }
    }

    /// The other spelling, if it is there with another value.
    fn contradicted(&self, key: ContextKey, spelled: &SpelledSetting) -> Option<&'static str> {
        let others = key.names().filter(|name| *name != spelled.name);
        let found = others.filter_map(|name| self.find_spelled(name));
        found.into_iter().find(|other| other.value() != spelled.value()).map(|other| other.name)
    }

    /// Records that the value that is there cannot be used, or not beside others. What is wrong with a
    /// secret is said by its parser, which never repeats it; a token or an invitation as the value of
    /// another key is named and not told.
    pub fn wrong(&mut self, key: ContextKey, problem: &str) {
        let Some(spelled) = self.find(key) else { return self.lacks(key, problem) };
        let value = spelled.found.value.as_str();
        let shown = without_secrets(value);
        let problem = match key.secret {
            true => format!("its value is not usable: {}", brief_lines(problem)),
            // Its parser may repeat a part of it.
            false if shown != value => {
                format!("{} is not usable: it holds a secret", quoted(&shown))
            }
            // A parser may repeat what it was given, which may be long or steer a terminal.
            false => format!("{} is not usable: {}", quoted(value), brief_lines(problem)),
        };
        self.problem(key, &spelled, problem);
    }

    /// A value that must be there.
    pub fn required<T, E: fmt::Display>(
        &mut self,
        key: ContextKey,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.find(key).is_none() {
            self.lacks(key, "is not set");
            return None;
        }
        self.optional(key, parse)
    }

    /// Records that a value is not there, for a reason of its own.
    pub fn lacks(&mut self, key: ContextKey, problem: &str) {
        self.problems.push(error(key, key.name, "", problem.to_owned()));
    }

    fn problem(&mut self, key: ContextKey, spelled: &SpelledSetting, problem: String) {
        self.problems.push(error(key, spelled.name, &spelled.found.place, problem));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::flower::NODE_CONFIG;
    use crate::source::Environment;
    use crate::source::context::ContextFile;

    const NEW: &str = "ONEAPP_FL_NODE_CONFIG";
    const OLD: &str = "ONEAPP_ZONEMESH_NODE_CONFIG";

    fn read(environment: &[(&str, &str)], context: &str) -> Result<String, String> {
        let environment = Environment(|name: &str| {
            let found = environment.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        });
        let context = ContextFile::parse(context.as_bytes(), "context.sh".as_ref());
        let mut variables = Variables::new(vec![&environment, &context]);
        let value = variables.required(NODE_CONFIG, |text| match text.contains('=') {
            true => Ok(text.to_owned()),
            false => Err("no pair"),
        });
        variables.finish(value).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_key_is_read_by_each_of_its_spellings_and_a_mistake_names_the_one_that_was_used() {
        for name in [NEW, OLD] {
            assert_eq!(read(&[(name, "a=1")], ""), Ok("a=1".to_owned()));
            let error = read(&[], &format!("{name}='x'")).unwrap_err();
            assert!(error.starts_with(&format!("{name} (context.sh:1): \"x\"")), "{error}");
        }
        assert_eq!(read(&[(NEW, "a=1"), (OLD, "a=1 ")], ""), Ok("a=1".to_owned()));
        assert_eq!(read(&[(NEW, " "), (OLD, "a=1")], ""), Ok("a=1".to_owned()));
        assert!(read(&[], "").unwrap_err().starts_with(&format!("{NEW}: is not set")));
    }

    #[test]
    fn two_spellings_with_different_values_are_refused() {
        let words = "is given beside ONEAPP_ZONEMESH_NODE_CONFIG with another value: take one";
        let context = format!("{OLD}='a=2'");
        for error in [read(&[(NEW, "a=1"), (OLD, "a=2")], ""), read(&[(NEW, "a=1")], &context)] {
            let error = error.unwrap_err();
            assert!(error.starts_with(NEW) && error.contains(words), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
