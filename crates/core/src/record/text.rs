//! Texts in a record that others put into certificates, files and command lines.
//!
//! Each has its own narrow form; whatever lies outside is refused when the record is decoded, so
//! that no reader has to quote or filter. Names of zones and federations are in `crate::name`.

use std::net::{IpAddr, SocketAddr};

/// Longest DNS name in characters (RFC 1035, section 2.3.4).
const MAX_DNS_NAME: usize = 253;
/// Longest version text in characters.
const MAX_VERSION: usize = 64;

/// Why a text has not the form that its field needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    /// Not a DNS name.
    #[error("{0:?} is no DNS name in lower case")]
    DnsName(String),
    /// Not an endpoint.
    #[error("{0:?} is no endpoint: expected IP:port, [IPv6]:port or name:port")]
    Endpoint(String),
    /// Not a version.
    #[error("{0:?} is no version: 1 to 64 of 0-9, A-Z, a-z, '.', '+', '-'")]
    Version(String),
    /// Not one certificate.
    #[error("not exactly one certificate of at most 6 KiB (8 KiB in PEM)")]
    Certificate,
}

/// Checks a DNS name: labels of `a-z`, `0-9` and `-`, joined by dots.
pub(super) fn dns_name(text: &str) -> Result<(), TextProblem> {
    let label = |label: &str| {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= MAX_DNS_NAME && text.split('.').all(label) {
        return Ok(());
    }
    Err(TextProblem::DnsName(shortened(text)))
}

/// Checks `IP:port`, `[IPv6]:port` or `name:port`.
pub(super) fn endpoint(text: &str) -> Result<(), TextProblem> {
    let valid = match text.parse::<SocketAddr>() {
        Ok(address) => address.port() != 0,
        Err(_name_and_port) => text.rsplit_once(':').is_some_and(|(host, port)| {
            let looks_like_ip = host.parse::<IpAddr>().is_ok();
            !looks_like_ip
                && dns_name(&host.to_ascii_lowercase()).is_ok()
                && port.parse::<u16>().is_ok_and(|port| port != 0)
        }),
    };
    if valid {
        return Ok(());
    }
    Err(TextProblem::Endpoint(shortened(text)))
}

/// Checks a version text.
pub(super) fn version(text: &str) -> Result<(), TextProblem> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b".+-".contains(&c);
    if (1..=MAX_VERSION).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(TextProblem::Version(shortened(text)))
}

/// For messages: a hostile text must not fill the log.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses_or_names_with_a_port() {
        for text in ["203.0.113.1:51820", "[2001:db8::1]:51820", "gw.madrid.example.org:1"] {
            assert_eq!(endpoint(text), Ok(()), "{text}");
        }
        for text in ["203.0.113.1", "203.0.113.1:0", "2001:db8::1:51820", "a b:1", ":1", "x:99999"]
        {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_version_cannot_carry_a_command() {
        assert_eq!(version("1.25.0"), Ok(()));
        assert!(version("").is_err());
        assert!(version("1.25.0; reboot").is_err());
        assert!(version(&"1".repeat(65)).is_err());
    }

    #[test]
    fn messages_shorten_a_hostile_text() {
        let message = dns_name(&"x".repeat(10_000)).unwrap_err().to_string();
        assert!(message.len() < 120, "{message}");
    }
}
