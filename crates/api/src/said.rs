//! What ends a call, in words: what the other end says, or what has happened to the connection.
//!
//! Promises that no library's own text comes through: those of HTTP/2 nest three deep and name types.
//! What the system says of a connection is kept, and what is wrong with a certificate. Refuses to know what was asked.

use std::error::Error;
use std::io;

use tonic::{Status, transport};

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Said(String);

impl From<Status> for Said {
    fn from(status: Status) -> Self {
        Self::from(&status)
    }
}

impl From<&Status> for Said {
    fn from(status: &Status) -> Self {
        // What came from the other end has no cause here.
        Self(match status.source() {
            Some(cause) => broken(cause),
            None if status.message().is_empty() => status.code().description().to_owned(),
            None => status.message().to_owned(),
        })
    }
}

impl From<transport::Error> for Said {
    fn from(error: transport::Error) -> Self {
        Self(broken(&error))
    }
}

/// The innermost cause that is the system's; those around it name libraries.
fn broken(error: &(dyn Error + 'static)) -> String {
    let mut found = None;
    let mut next = Some(error);
    while let Some(cause) = next {
        found = cause.downcast_ref::<io::Error>().or(found);
        next = cause.source();
    }
    match found {
        Some(system) if system.raw_os_error().is_some() => {
            format!("the connection broke: {system}")
        }
        Some(other) => match other.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(tls @ rustls::Error::InvalidCertificate(_)) => format!("TLS failed: {tls}"),
            Some(tls @ rustls::Error::AlertReceived(_)) => format!("TLS was refused: {tls}"),
            _ => format!("the connection broke: {}", other.kind()),
        },
        None => "the connection broke".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As HTTP/2 nests them.
    #[derive(Debug, thiserror::Error)]
    #[error("hyper::Error(Io, Custom {{ kind: BrokenPipe }})")]
    struct Library(#[source] io::Error);

    fn broke(cause: io::Error) -> String {
        Said::from(Status::from_error(Box::new(Library(cause)))).to_string()
    }

    #[test]
    fn what_the_other_end_says_is_told_as_it_is() {
        let refused = Status::failed_precondition("this zone is not a member");
        assert_eq!(Said::from(refused).to_string(), "this zone is not a member");
        let silent = Said::from(Status::new(tonic::Code::Internal, "")).to_string();
        assert_eq!(silent, "Internal error");
    }

    #[test]
    fn a_connection_that_breaks_is_told_in_the_systems_words_alone() {
        let reset = io::Error::from_raw_os_error(104);
        assert_eq!(broke(reset), "the connection broke: Connection reset by peer (os error 104)");
        let custom = io::Error::new(io::ErrorKind::BrokenPipe, Library(io::Error::other("h2")));
        let of_tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let untrusted = broke(io::Error::new(io::ErrorKind::InvalidData, of_tls));
        assert_eq!(untrusted, "TLS failed: invalid peer certificate: UnknownIssuer");
        let told = broke(custom);
        assert!(told.starts_with("the connection broke: ") && !told.contains("hyper"), "{told}");
    }
}
