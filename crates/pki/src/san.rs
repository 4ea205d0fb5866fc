//! Subject alternative names: what a certificate may be dialled as.
//!
//! Promises that an IP address is always an iPAddress entry, never a DNS name that looks like one
//! (Flower 1.25 accepts that, OpenSSL does not).
//! Specification: RFC 5280 section 4.2.1.6.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rcgen::SanType;
use rustls::pki_types::{DnsName, ServerName};

/// Why a text is no subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IP address nor a DNS name")]
pub struct SanError(pub String);

/// One subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum San {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A DNS name, compared in lower case.
    Dns(String),
}

impl San {
    pub(crate) fn to_rcgen(&self) -> Result<SanType, rcgen::Error> {
        Ok(match self {
            Self::Ip(address) => SanType::IpAddress(*address),
            Self::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        })
    }

    /// The name as rustls wants it for dialling.
    ///
    /// # Errors
    /// [`SanError`] if a DNS name holds characters that TLS cannot carry.
    pub fn to_server_name(&self) -> Result<ServerName<'static>, SanError> {
        match self {
            Self::Ip(address) => Ok(ServerName::from(*address)),
            Self::Dns(name) => match DnsName::try_from(name.clone()) {
                Ok(name) => Ok(ServerName::DnsName(name)),
                Err(_not_dns) => Err(SanError(name.clone())),
            },
        }
    }

    /// The address in an iPAddress entry of 4 or 16 bytes.
    pub(crate) fn from_ip_bytes(bytes: &[u8]) -> Option<Self> {
        if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
            return Some(Self::Ip(IpAddr::from(v4)));
        }
        let v6 = <[u8; 16]>::try_from(bytes).ok()?;
        Some(Self::Ip(IpAddr::from(v6)))
    }

    /// The text without its kind.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Ip(address) => address.to_string(),
            Self::Dns(name) => name.clone(),
        }
    }
}

impl FromStr for San {
    type Err = SanError;

    fn from_str(text: &str) -> Result<Self, SanError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let numeric = text.rsplit('.').next().is_some_and(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit())
        });
        match DnsName::try_from(text) {
            Ok(name) if !numeric => Ok(Self::Dns(name.as_ref().to_ascii_lowercase())),
            _ => Err(SanError(text.to_owned())),
        }
    }
}

impl From<IpAddr> for San {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "IP:{address}"),
            Self::Dns(name) => write!(f, "DNS:{name}"),
        }
    }
}

/// `IP:10.0.0.1, DNS:a.example`, or `none`.
pub(crate) fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_never_a_dns_name() {
        assert_eq!("10.0.0.1".parse(), Ok(San::Ip(IpAddr::from([10, 0, 0, 1]))));
        assert_eq!("::1".parse::<San>().map(|san| san.to_string()), Ok("IP:::1".into()));
        for text in ["10.0.0", "10.0.0.256", "a b", "", "a,b", "[::1]"] {
            assert_eq!(text.parse::<San>(), Err(SanError(text.to_owned())));
        }
    }

    #[test]
    fn dns_names_are_lower_case() {
        let san: San = "SuperLink.Example.ORG".parse().unwrap();
        assert_eq!(san.to_string(), "DNS:superlink.example.org");
    }
}
