//! How all Zonemesh programs end: one list of exit codes, one line that says why.
//!
//! The table in `docs/REFERENCE.md` is checked against this one. Refuses to print.

use std::error::Error;
use std::io;
use std::process::ExitCode;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// Degraded, a negative answer, or something else failed.
    Negative = 1,
    /// The command cannot mean anything. clap ends with the same code.
    Usage = 2,
    /// No daemon at the admin socket.
    Unreachable = 3,
    /// A certificate, an invitation or a trust item cannot be used.
    Trust = 4,
    /// A socket, device or route cannot be had, or another gateway cannot be reached.
    Network = 5,
    /// A permission is missing, the mesh refuses, or a file is not overwritten.
    Policy = 6,
    /// The configuration, a setting or a key file is not valid.
    Configuration = 7,
    /// The daemon is of another version.
    VersionSkew = 8,
    /// No answer in time.
    Timeout = 9,
    /// A companion's `plan`: nothing is wrong here, and what is missing may still come.
    NotYet = 10,
}

impl Exit {
    /// All of them, by their number.
    pub const ALL: [Self; 11] = [
        Self::Ok,
        Self::Negative,
        Self::Usage,
        Self::Unreachable,
        Self::Trust,
        Self::Network,
        Self::Policy,
        Self::Configuration,
        Self::VersionSkew,
        Self::Timeout,
        Self::NotYet,
    ];

    /// The number that the program ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, as the table in the documents says.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "well",
            Self::Negative => "degraded, a negative answer, or something else failed",
            Self::Usage => "wrong usage",
            Self::Unreachable => "no daemon at the admin socket",
            Self::Trust => "a certificate, an invitation or a trust item cannot be used",
            Self::Network => {
                "a socket, device or route cannot be had; another gateway cannot be reached"
            }
            Self::Policy => {
                "a permission is missing, the mesh refuses, or a file is not overwritten"
            }
            Self::Configuration => "the configuration, a setting or a key file is not valid",
            Self::VersionSkew => "the daemon is of another version",
            Self::Timeout => "no answer in time",
            Self::NotYet => "`plan`: not yet; what is missing may still come",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// True if the system denied this user something: that is among the causes.
#[must_use]
pub fn is_denied(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        let said = cause.downcast_ref::<io::Error>();
        if said.is_some_and(|said| said.kind() == io::ErrorKind::PermissionDenied) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// An error and its causes in one line.
#[must_use]
pub fn error_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        line.push_str(": ");
        line.push_str(&next.to_string());
        cause = next.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_their_places_in_the_list() {
        assert!(Exit::ALL.iter().map(|exit| exit.code()).eq(0..11));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the file")]
    struct DeniedCause(#[source] io::Error);

    #[test]
    fn what_this_user_may_not_do_is_told_from_what_is_not_there() {
        for (kind, denied) in
            [(io::ErrorKind::PermissionDenied, true), (io::ErrorKind::NotFound, false)]
        {
            assert_eq!(is_denied(&DeniedCause(io::Error::from(kind))), denied);
        }
        assert!(!is_denied(&std::fmt::Error));
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the file")]
        struct Outer(#[source] std::fmt::Error);

        let cause = std::fmt::Error;
        assert_eq!(error_line(&Outer(cause)), format!("cannot read the file: {cause}"));
        assert_eq!(error_line(&cause), cause.to_string());
    }
}
