//! Names: of zones, federations, gateways, tokens, interfaces, users and certificates.
//!
//! A name that is nearly right gets the right one as its way out.

use std::net::IpAddr;

use toml::de::DeValue;
use zonemesh_core::name::{FederationName, NameError, ZoneName};

use super::text;
use crate::complaint::Complaint;
use crate::endpoint::is_dns_name;

/// The longest name of a network interface (`IFNAMSIZ` of 16, with its final zero).
const INTERFACE_NAME_MAX: usize = 15;

/// Names that no TUN device can have: the loopback's, and folders beside those of the interfaces in
/// `/proc/sys/net/ipv4/conf`.
const TAKEN_INTERFACES: [&str; 5] = ["lo", "all", "default", ".", ".."];

/// A name that a certificate may carry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectName {
    /// A DNS name, in lower case.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

pub(crate) fn zone_name(value: &DeValue<'_>) -> Result<ZoneName, Complaint> {
    label(value, "a zone name")
}

pub(crate) fn federation_name(value: &DeValue<'_>) -> Result<FederationName, Complaint> {
    label(value, "a federation name")
}

/// The name of a `[[wireguard_peer]]` obeys the same rule as a zone's.
pub(crate) fn peer_name(value: &DeValue<'_>) -> Result<ZoneName, Complaint> {
    label(value, "a name of this peer")
}

/// A gateway's name obeys the same rule as a zone's.
pub(crate) fn gateway_name(value: &DeValue<'_>) -> Result<String, Complaint> {
    label::<ZoneName>(value, "a gateway name").map(String::from)
}

fn label<N: std::str::FromStr<Err = NameError>>(
    value: &DeValue<'_>,
    what: &str,
) -> Result<N, Complaint> {
    let expected = format!("{what} of 1 to 63 characters a-z, 0-9 and '-'");
    let name = text(value, &expected)?;
    name.parse().map_err(|error: NameError| {
        let lower = name.to_lowercase().replace(['_', '.', ' '], "-");
        let fix = match lower.parse::<N>() {
            Ok(_) => format!("write {lower:?}"),
            Err(_) => error.to_string(),
        };
        Complaint::new(format!("found {name:?}"), expected, fix)
    })
}

/// A name for logs: anything printable that fits a line.
pub(crate) fn token_name(value: &DeValue<'_>) -> Result<String, Complaint> {
    let expected = "a name of 1 to 64 printable characters";
    let name = text(value, expected)?;
    if (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(Complaint::new(format!("found {name:?}"), expected, "name the VM or its owner"))
}

/// A user of etcd.
pub(crate) fn user(value: &DeValue<'_>) -> Result<String, Complaint> {
    let expected = "a user of etcd, 1 to 64 printable characters";
    let name = text(value, expected)?;
    if (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    Err(Complaint::new(format!("found {name:?}"), expected, "ask whoever runs etcd"))
}

/// The beginning of etcd keys.
pub(crate) fn key_prefix(value: &DeValue<'_>) -> Result<String, Complaint> {
    let expected =
        "a prefix of 2 to 200 printable characters that begins with '/' and does not end with one";
    let text = text(value, expected)?;
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    let fits = (2..=200).contains(&text.len()) && printable;
    if fits && text.starts_with('/') && !text.ends_with('/') {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(format!("found {text:?}"), expected, "\"/zonemesh\" is usual"))
}

pub(crate) fn interface(value: &DeValue<'_>) -> Result<String, Complaint> {
    let expected = "an interface name of 1 to 15 bytes without '/', ':', '%' and spaces";
    let name = text(value, expected)?;
    let complaint = |found: String| Complaint::new(found, expected, "\"zm0\" is usual");
    if TAKEN_INTERFACES.contains(&name) {
        return Err(complaint(format!("found {name:?}, which the kernel keeps for itself")));
    }
    // The kernel takes a byte of 0xA0 for a space, whatever character it is of; '%' for a pattern.
    let forbidden = |c: char| "/:%".contains(c) || c.is_whitespace() || c.is_control();
    let fits = (1..=INTERFACE_NAME_MAX).contains(&name.len());
    if fits && !name.contains(forbidden) && !name.bytes().any(|byte| byte == 0xa0) {
        return Ok(name.to_owned());
    }
    Err(complaint(format!("found {name:?}")))
}

pub(crate) fn subject_name(value: &DeValue<'_>) -> Result<SubjectName, Complaint> {
    let expected = "a DNS name or an IP address";
    let text = text(value, expected)?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SubjectName::Ip(ip));
    }
    if is_dns_name(text) {
        return Ok(SubjectName::Dns(text.to_ascii_lowercase()));
    }
    let fix = "write it without scheme, port, length and wildcard";
    Err(Complaint::new(format!("found {text:?}"), expected, fix))
}
