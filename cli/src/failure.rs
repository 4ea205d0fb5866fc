//! Why a command ended, with the exit code that says so (`zonemesh_core::exit`), the code of the
//! finding that it is, if it is one, and the command to type next.
//!
//! A failure is reported once, on standard error, with its causes; programs that asked for JSON have
//! the same as an answer.

use std::error::Error;
use std::io::{self, Write};

use serde::Serialize;
pub(crate) use zonemesh_core::exit::Exit;
use zonemesh_core::exit::is_denied;
use zonemesh_core::finding::Code;
use zonemesh_core::visible::{visible, visible_json};

/// What to type where this user may not do what was asked.
const AS_ROOT: &str = "the same with sudo";
/// The same where a path was mistyped.
const OTHER_PATH: &str = "correct the path";

/// A failure with its exit code.
#[derive(Debug)]
pub(crate) struct CommandFailure {
    pub(crate) exit: Exit,
    error: anyhow::Error,
    code: Option<Code>,
    next: Option<String>,
}

impl CommandFailure {
    /// A permission that is missing is told as one, whatever `exit` says of other causes; and a path
    /// that leads nowhere as one that was mistyped, where what it leads to would have been judged.
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        let (exit, next) = if is_denied(error.as_ref()) {
            (Exit::Policy, Some(AS_ROOT))
        } else if exit == Exit::Configuration && is_misnamed(error.as_ref()) {
            (Exit::Usage, Some(OTHER_PATH))
        } else {
            (exit, None)
        };
        Self { exit, error, code: None, next: next.map(str::to_owned) }
    }

    pub(crate) fn message(exit: Exit, message: String) -> Self {
        Self { exit, error: anyhow::Error::msg(message), code: None, next: None }
    }

    /// Says what is the matter by a code that has a page in docs/codes.
    pub(crate) fn code(self, code: Code) -> Self {
        Self { code: Some(code), ..self }
    }

    /// Ends with another code.
    pub(crate) fn with_exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// Adds the command to type next.
    pub(crate) fn next(self, command: impl Into<String>) -> Self {
        Self { next: Some(command.into()), ..self }
    }

    /// True if there was no answer, whatever broke the connection.
    pub(crate) fn may_be_broken(&self) -> bool {
        matches!(self.exit, Exit::Unreachable | Exit::Network)
    }

    /// True if nobody reads the output any more, which is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let cause = self.error.downcast_ref::<io::Error>();
        cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Writes the message, its causes and the next command.
    pub(crate) fn report(&self, err: &mut impl Write) {
        // Nothing is left to do when standard error is closed.
        let code = self.code.map(|code| format!("{code} ")).unwrap_or_default();
        let error = format!("{:#}", self.error);
        let _ = writeln!(err, "zonemesh: {code}{}", lines_of(&error));
        if let Some(next) = &self.next {
            let _ = writeln!(err, "next: {}", lines_of(next));
        }
    }

    /// Writes the same as one JSON object.
    pub(crate) fn answer(&self, out: &mut impl Write) {
        let view = FailureView {
            schema: "zonemesh/error/v1",
            exit: self.exit.code(),
            meaning: self.exit.meaning(),
            code: self.code.map(Code::as_str),
            error: format!("{:#}", self.error),
            next: self.next.as_deref(),
        };
        // Nothing is left to do when standard output is closed.
        let json = serde_json::to_string_pretty(&view).unwrap_or_default();
        let _ = writeln!(out, "{}", visible_json(&json));
    }
}

/// True if a path leads nowhere, or to a folder in the place of a file: that is among the causes.
fn is_misnamed(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        let said = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        if said.is_some_and(leads_nowhere) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// True of a path that was mistyped.
pub(crate) fn leads_nowhere(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Kind;
    let kinds = [Kind::NotFound, Kind::NotADirectory, Kind::IsADirectory, Kind::InvalidFilename];
    kinds.contains(&kind)
}

/// What others have written into it is spelled out; it may have several lines, as a file with
/// several mistakes has.
fn lines_of(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// A failure for programs.
#[derive(Serialize)]
struct FailureView<'a> {
    schema: &'static str,
    exit: u8,
    meaning: &'static str,
    code: Option<&'static str>,
    error: String,
    next: Option<&'a str>,
}

/// Writing the answer is all that commands do with I/O errors of their own.
impl From<io::Error> for CommandFailure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Negative, error)
    }
}

/// Gives an error its context and exit code.
pub(crate) trait OrFail<T> {
    fn or_exit(self, exit: Exit, message: impl FnOnce() -> String) -> Result<T, CommandFailure>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn or_exit(self, exit: Exit, message: impl FnOnce() -> String) -> Result<T, CommandFailure> {
        self.map_err(|error| CommandFailure::new(exit, error.into().context(message())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_causes_and_the_next_command() {
        let cause = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let failed: Result<(), CommandFailure> =
            Err(cause).or_exit(Exit::Unreachable, || "cannot ask".to_owned());
        let mut text = Vec::new();
        let failure = failed.unwrap_err().code(Code::DaemonUnreachable);
        failure.next("systemctl status zonemeshd").report(&mut text);
        let expected =
            "zonemesh: N220 cannot ask: no such file\nnext: systemctl status zonemeshd\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn a_missing_permission_is_one_whatever_it_was_needed_for() {
        for exit in [Exit::Configuration, Exit::Trust, Exit::Negative] {
            let cause = io::Error::from(io::ErrorKind::PermissionDenied);
            let failed: Result<(), CommandFailure> = Err(cause).or_exit(exit, || "no".to_owned());
            let failure = failed.unwrap_err();
            assert_eq!((failure.exit, failure.next.as_deref()), (Exit::Policy, Some(AS_ROOT)));
            assert_eq!(failure.next("id").next.as_deref(), Some("id"));
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_is_wrong_usage_where_a_file_would_be_judged() {
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::IsADirectory] {
            let failed = |exit| {
                let failed: Result<(), CommandFailure> =
                    Err(io::Error::from(kind)).or_exit(exit, || "cannot read x".to_owned());
                let failure = failed.unwrap_err();
                (failure.exit, failure.next)
            };
            let next = Some(OTHER_PATH.to_owned());
            assert_eq!(failed(Exit::Configuration), (Exit::Usage, next));
            assert_eq!(failed(Exit::Unreachable), (Exit::Unreachable, None));
        }
        let damaged = CommandFailure::new(Exit::Configuration, io::Error::other("damaged"));
        assert_eq!(damaged.exit, Exit::Configuration);
    }

    #[test]
    fn what_a_daemon_quotes_of_others_does_not_steer_the_terminal() {
        let message = "zone \u{1b}[2J\u{202e}x".to_owned();
        let failure = CommandFailure::message(Exit::Policy, message);
        let (mut text, mut json) = (Vec::new(), Vec::new());
        failure.report(&mut text);
        failure.answer(&mut json);
        assert_eq!(String::from_utf8(text).unwrap(), "zonemesh: zone \\u{1b}[2J\\u{202e}x\n");
        assert!(String::from_utf8(json).unwrap().contains("zone \\u001b[2J\\u202ex"));
    }

    #[test]
    fn only_a_closed_pipe_is_a_broken_pipe() {
        let failure = |kind| CommandFailure::from(io::Error::from(kind));
        assert!(failure(io::ErrorKind::BrokenPipe).is_broken_pipe());
        assert!(!failure(io::ErrorKind::StorageFull).is_broken_pipe());
    }
}
