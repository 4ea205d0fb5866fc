//! Where a gateway is reached: a socket address, or a DNS name with a port.
//!
//! A name is kept as a name, because it must be resolved again whenever the path is lost; resolving
//! is the daemon's. Text form: `203.0.113.1:51820`, `[2001:db8::1]:51820`, `gw.example.org:51820`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// Where a gateway is reached from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// An IP address and a port.
    Address(SocketAddr),
    /// A DNS name, in lower case, and a port.
    Name {
        /// The name, to be resolved again and again.
        host: String,
        /// The UDP port.
        port: u16,
    },
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No `:port` at the end.
    #[error("the port is missing")]
    NoPort,
    /// What follows the last colon is no port.
    #[error("{0:?} is no port")]
    Port(String),
    /// An IPv6 address without brackets.
    #[error("an IPv6 address needs brackets")]
    Brackets,
    /// The host is neither an IP address nor a DNS name.
    #[error("{0:?} is neither an IP address nor a DNS name")]
    Host(String),
    /// The address means "any" or is not one machine's.
    #[error("{0} is not the address of one machine")]
    NotOneMachine(std::net::IpAddr),
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text.parse::<std::net::IpAddr>().is_ok() {
            let v6 = text.contains(':');
            return Err(if v6 { EndpointError::Brackets } else { EndpointError::NoPort });
        }
        let (host, port_text) = text.rsplit_once(':').ok_or(EndpointError::NoPort)?;
        if port_text.ends_with(']') {
            return Err(EndpointError::NoPort);
        }
        let port = match port_text.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return Err(EndpointError::Port(port_text.to_owned())),
        };
        if let Ok(address) = text.parse::<SocketAddr>() {
            // An IPv4 address that is written as one of IPv6 is the same machine's.
            let ip = address.ip().to_canonical();
            let is_broadcast = ip == std::net::IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
            if ip.is_unspecified() || ip.is_multicast() || is_broadcast {
                return Err(EndpointError::NotOneMachine(ip));
            }
            return Ok(Self::Address(SocketAddr::new(ip, address.port())));
        }
        if host.contains(':') && !host.starts_with('[') {
            return Err(EndpointError::Brackets);
        }
        if !is_dns_name(host) {
            return Err(EndpointError::Host(host.to_owned()));
        }
        Ok(Self::Name { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// True for a host name of RFC 1123 that cannot be mistaken for an IPv4 address.
pub(crate) fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let last_is_a_number =
        text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && !last_is_a_number && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_endpoint_prints_as_it_is_written() {
        for text in ["203.0.113.1:51820", "[2001:db8::1]:1", "gw.madrid.example.org:65535"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_name_is_kept_in_lower_case() {
        let endpoint: Endpoint = "GW.Example.org:51820".parse().unwrap();
        assert_eq!(endpoint.to_string(), "gw.example.org:51820");
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let reason = |text: &str| text.parse::<Endpoint>().unwrap_err();
        assert_eq!(reason("203.0.113.1"), EndpointError::NoPort);
        assert_eq!(reason("gw.example.org"), EndpointError::NoPort);
        assert_eq!(reason("[2001:db8::1]"), EndpointError::NoPort);
        assert_eq!(reason("2001:db8::1"), EndpointError::Brackets);
        assert_eq!(reason("2001:db8:0:0:0:0:0:0:1:51820"), EndpointError::Brackets);
        assert_eq!(reason("gw:0"), EndpointError::Port("0".to_owned()));
        assert_eq!(reason("gw:70000"), EndpointError::Port("70000".to_owned()));
        assert_eq!(reason("1.2.3.999:1"), EndpointError::Host("1.2.3.999".to_owned()));
        assert_eq!(reason("a_b:1"), EndpointError::Host("a_b".to_owned()));
        assert_eq!(reason(":1"), EndpointError::Host(String::new()));
        let any = std::net::Ipv4Addr::UNSPECIFIED.into();
        assert_eq!(reason("0.0.0.0:1"), EndpointError::NotOneMachine(any));
        assert_eq!(reason("[::ffff:0.0.0.0]:1"), EndpointError::NotOneMachine(any));
        let all = std::net::Ipv4Addr::BROADCAST.into();
        assert_eq!(reason("255.255.255.255:1"), EndpointError::NotOneMachine(all));
        let mapped = "[::ffff:203.0.113.1]:1".parse::<Endpoint>().unwrap();
        assert_eq!(mapped, "203.0.113.1:1".parse().unwrap(), "the same machine's");
    }
}
