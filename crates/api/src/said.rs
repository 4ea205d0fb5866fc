//! What ends a call, in words: what the other end says, or what has happened to the connection.
//!
//! Promises that no library's own text comes through: those of HTTP/2 nest three deep and name types.
//! What the system says of a connection is kept, and what is wrong with a certificate. Refuses to know what was asked.

use std::error::Error;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};
use tonic::{Status, transport};
use zonemesh_core::time::UnixMillis;

/// What the other end may find of the certificate that was shown to it.
const ALERTS: [AlertDescription; 5] = [
    AlertDescription::UnknownCA,
    AlertDescription::CertificateExpired,
    AlertDescription::BadCertificate,
    AlertDescription::CertificateUnknown,
    AlertDescription::DecryptError,
];

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Said {
    text: String,
    alert: Option<AlertDescription>,
}

impl Said {
    /// What the other end found of the certificate that was shown to it, if that is why. With TLS 1.3
    /// it says so after the handshake.
    #[must_use]
    pub const fn alert(&self) -> Option<AlertDescription> {
        self.alert
    }

    pub(crate) const fn new(text: String) -> Self {
        Self { text, alert: None }
    }
}

impl From<Status> for Said {
    fn from(status: Status) -> Self {
        Self::from(&status)
    }
}

impl From<&Status> for Said {
    fn from(status: &Status) -> Self {
        // What came from the other end has no cause here.
        let text = match status.source() {
            Some(cause) => return broken(cause),
            None if status.message().is_empty() => status.code().description().to_owned(),
            None => status.message().to_owned(),
        };
        Self::new(text)
    }
}

impl From<transport::Error> for Said {
    fn from(error: transport::Error) -> Self {
        broken(&error)
    }
}

/// The innermost cause that is the system's; those around it name libraries.
fn broken(error: &(dyn Error + 'static)) -> Said {
    let mut found = None;
    let mut next = Some(error);
    while let Some(cause) = next {
        found = cause.downcast_ref::<io::Error>().or(found);
        next = cause.source();
    }
    let text = match found {
        Some(system) if system.raw_os_error().is_some() => {
            format!("the connection broke: {system}")
        }
        Some(other) => match other.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(tls @ rustls::Error::InvalidCertificate(_)) => {
                format!("TLS failed: {}", told(tls))
            }
            Some(rustls::Error::AlertReceived(alert)) => {
                return Said { text: refused(*alert), alert: Some(*alert) };
            }
            _ => match other.get_ref().and_then(|inner| alert_in(&inner.to_string())) {
                Some(alert) => return Said { text: refused(alert), alert: Some(alert) },
                None => format!("the connection broke: {}", other.kind()),
            },
        },
        None => "the connection broke".to_owned(),
    };
    Said::new(text)
}

/// The alert that a text tells of, as rustls words it: HTTP/2 keeps no more of a connection's end where
/// several wait for it.
fn alert_in(text: &str) -> Option<AlertDescription> {
    ALERTS
        .into_iter()
        .find(|alert| text.contains(&rustls::Error::AlertReceived(*alert).to_string()))
}

/// Why there is no TLS session over a connection.
pub(crate) fn of_handshake(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    tls.map_or_else(|| error.to_string(), told)
}

/// What rustls says, with times that people read and without its manual's address.
fn told(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(problem) = error else {
        return match error {
            rustls::Error::AlertReceived(alert) => refused(*alert),
            other => without_link(&other.to_string()),
        };
    };
    let at = |time: &UnixTime| UnixMillis(time.as_secs().saturating_mul(1000)).to_calendar();
    match problem {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "its certificate ended at {}, and this clock says {}: one of the two clocks is wrong",
            at(not_after),
            at(time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate begins at {}, and this clock says {}: one of the two clocks is wrong",
            at(not_before),
            at(time)
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not of the zone_key that is known here".to_owned()
        }
        other => without_link(&format!("its certificate cannot be used: {other}")),
    }
}

/// What the other end found of the certificate that was shown to it.
fn refused(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateExpired => {
            "the other end finds this gateway's certificate outside its time: one of the two clocks is wrong"
                .to_owned()
        }
        // The one where it knows no such zone, the other where it knows the zone by another key.
        AlertDescription::UnknownCA | AlertDescription::DecryptError => "the other end knows another zone_key of this zone".to_owned(),
        other => format!("the other end refused: {other:?}"),
    }
}

fn without_link(text: &str) -> String {
    text.split(": https://").next().unwrap_or_default().to_owned()
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
        assert_eq!(
            untrusted,
            "TLS failed: its certificate is not of the zone_key that is known here"
        );
        let told = broke(custom);
        assert!(told.starts_with("the connection broke: ") && !told.contains("hyper"), "{told}");
    }

    #[test]
    fn an_alert_is_known_also_where_http_2_has_kept_its_words_alone() {
        for alert in [AlertDescription::UnknownCA, AlertDescription::DecryptError] {
            let words = rustls::Error::AlertReceived(alert).to_string();
            let ended = io::Error::new(io::ErrorKind::InvalidData, words);
            let said = Said::from(Status::from_error(Box::new(Library(ended))));
            assert_eq!(said.alert(), Some(alert));
            assert_eq!(said.to_string(), "the other end knows another zone_key of this zone");
        }
        let other = io::Error::new(io::ErrorKind::InvalidData, "no frame");
        assert_eq!(broke(other), "the connection broke: invalid data");
    }

    #[test]
    fn a_certificate_outside_its_time_names_both_times_as_people_read_them() {
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let (time, not_after) = (at(1_796_116_485), at(1_796_094_679));
        let over = CertificateError::ExpiredContext { time, not_after };
        let error = io::Error::other(rustls::Error::InvalidCertificate(over));
        assert_eq!(
            of_handshake(&error),
            "its certificate ended at 2026-12-01T03:11:19Z, and this clock says 2026-12-01T09:14:45Z: one of the two clocks is wrong"
        );
        let refused = rustls::AlertDescription::CertificateExpired;
        let error = io::Error::other(rustls::Error::AlertReceived(refused));
        assert!(of_handshake(&error).ends_with("one of the two clocks is wrong"));
        let reset = io::Error::from_raw_os_error(104);
        assert_eq!(of_handshake(&reset), "Connection reset by peer (os error 104)");
    }
}
