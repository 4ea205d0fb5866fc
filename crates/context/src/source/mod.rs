//! Where settings come from: the environment, or the context.
//!
//! It promises a value with the place where it was found. It refuses to know which keys there are, and
//! which place comes first. Another platform's way to hand settings over is another
//! [`SettingsSource`].

pub mod context;
mod regular;

use context::ContextFile;
use zeroize::Zeroizing;

pub use regular::read_regular;

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

impl SettingsSource for ContextFile {
    fn find(&self, key: &str) -> Option<FoundSetting> {
        let value = Zeroizing::new(self.get(key)?.to_owned());
        let line = self.line_of(key).unwrap_or_default();
        Some(FoundSetting { value, place: format!("{}:{line}", self.file().display()) })
    }
}
