//! Why the agent ended, with the exit code that says so (`zonemesh_core::exit`).
//!
//! A failure is reported once, on standard error, with its causes.

use std::fmt::Display;
use std::io::Write as _;

pub use zonemesh_core::exit::Exit;
use zonemesh_core::exit::is_denied;

/// Who may do it: the unit's user has the rights that a gateway needs.
const AS_ROOT: &str = "run it as root, or by its unit: systemctl start zonemeshd";

/// A failure with its exit code.
#[derive(Debug)]
pub struct Failure {
    /// What the program ends with.
    pub exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// A failure without a cause of another kind.
    pub fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, error: anyhow::anyhow!("{message}") }
    }

    /// A failure with a cause; `message` says what failed.
    pub fn caused(exit: Exit, cause: impl Into<anyhow::Error>, message: &str) -> Self {
        let error = cause.into();
        // A permission that is missing is told as one, whatever it was needed for.
        let exit = if is_denied(error.as_ref()) { Exit::Policy } else { exit };
        Self { exit, error: error.context(message.to_owned()) }
    }

    /// The error without its exit code: for one that does not end the agent.
    pub fn into_error(self) -> anyhow::Error {
        self.error
    }

    /// Writes the message and its causes to standard error.
    pub fn report(&self) {
        let mut err = std::io::stderr();
        // Nothing is left to do when standard error is closed.
        let _ = writeln!(err, "zonemeshd: {:#}", self.error);
        if is_denied(self.error.as_ref()) {
            let _ = writeln!(err, "next: {AS_ROOT}");
        }
    }
}

/// Gives an error its context and exit code.
pub trait OrExit<T> {
    /// `message` says what failed and what to do; the cause is kept.
    fn or_exit(self, exit: Exit, message: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit, message: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::caused(exit, error, &message()))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_missing_permission_is_one_and_what_is_not_there_is_a_matter_of_configuration() {
        for (kind, exit) in [
            (io::ErrorKind::PermissionDenied, Exit::Policy),
            (io::ErrorKind::NotFound, Exit::Configuration),
        ] {
            let failed: Result<(), _> = Err(io::Error::from(kind));
            let failure = failed.or_exit(Exit::Configuration, || "no folder".to_owned());
            assert_eq!(failure.unwrap_err().exit, exit, "{kind}");
        }
    }
}
