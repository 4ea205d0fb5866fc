//! Why a command ended, the exit code that says so and the command to type next.
//!
//! The codes are the documented ones of all Zonemesh programs. A failure is reported once, on
//! standard error, with its causes.

use std::io::{self, Write};
use std::process::ExitCode;

/// The documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Ok = 0,
    /// Degraded, or a negative answer.
    Negative = 1,
    /// The command cannot mean anything. clap ends with the same code.
    Usage = 2,
    /// No daemon at the socket.
    Unreachable = 3,
    /// A certificate, an invitation or a trust item cannot be used.
    Trust = 4,
    /// Another gateway cannot be reached.
    Network = 5,
    /// A permission is missing, or something is not overwritten.
    Policy = 6,
    /// A configuration or key file is not valid.
    Configuration = 7,
    /// The daemon is of another version.
    VersionSkew = 8,
    /// No answer in time.
    Timeout = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A failure with its exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    error: anyhow::Error,
    next: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into(), next: None }
    }

    pub(crate) fn message(exit: Exit, message: String) -> Self {
        Self { exit, error: anyhow::Error::msg(message), next: None }
    }

    /// Adds the command to type next.
    pub(crate) fn next(self, command: impl Into<String>) -> Self {
        Self { next: Some(command.into()), ..self }
    }

    /// True if nobody reads the output any more, which is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let cause = self.error.downcast_ref::<io::Error>();
        cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Writes the message, its causes and the next command.
    pub(crate) fn report(&self, err: &mut impl Write) {
        // Nothing is left to do when standard error is closed.
        let _ = writeln!(err, "zonemesh: {:#}", self.error);
        if let Some(next) = &self.next {
            let _ = writeln!(err, "next: {next}");
        }
    }
}

/// Writing the answer is all that commands do with I/O errors of their own.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Negative, error)
    }
}

/// Gives an error its context and exit code.
pub(crate) trait OrExit<T> {
    fn or_exit(self, exit: Exit, message: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit, message: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(exit, error.into().context(message())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_causes_and_the_next_command() {
        let cause = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let failed: Result<(), Failure> =
            Err(cause).or_exit(Exit::Unreachable, || "cannot ask".to_owned());
        let mut text = Vec::new();
        failed.unwrap_err().next("systemctl status zonemeshd").report(&mut text);
        let expected = "zonemesh: cannot ask: no such file\nnext: systemctl status zonemeshd\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn only_a_closed_pipe_is_a_broken_pipe() {
        let failure = |kind| Failure::from(io::Error::from(kind));
        assert!(failure(io::ErrorKind::BrokenPipe).is_broken_pipe());
        assert!(!failure(io::ErrorKind::StorageFull).is_broken_pipe());
    }
}
