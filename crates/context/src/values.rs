//! Kinds of values that several keys have, checked without knowing what becomes of them.
//!
//! It promises to say what is wrong in a few words, and never to repeat a value that may be secret. It
//! refuses to know which key has which kind.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zonemesh_core::offered::holds_private_key;

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No whole number from 1 on.
    #[error("it is no whole number from 1 on")]
    NoCount,
    /// No part of a whole.
    #[error("it is no number above 0 and up to 1")]
    NoFraction,
    /// No truth.
    #[error("it is neither YES nor NO")]
    NoTruth,
    /// None of a list.
    #[error("it is none of {}", .0.join(", "))]
    Unlisted(&'static [&'static str]),
    /// Not absolute.
    #[error("it is not absolute")]
    NotAbsolute,
    /// No place in a network.
    #[error("it is no ADDRESS:PORT or NAME:PORT (an IPv6 address stands in brackets)")]
    NoHostPort,
    /// No names for a certificate.
    #[error("it is no list of DNS:NAME and IP:ADDRESS with commas between")]
    NoSans,
    /// Not base64 of what was expected.
    #[error("it is no base64 of a PEM text with a {0}")]
    NoPem(&'static str),
    /// A key beside certificates, which everybody may read.
    #[error("it holds a private key: give the certificates alone")]
    PrivateKey,
}

/// A truth, as OpenNebula and people write it.
///
/// # Errors
/// It is none.
pub fn truth(text: &str) -> Result<bool, ValueError> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err(ValueError::NoTruth),
    }
}

/// One of a list.
///
/// # Errors
/// It is not in there.
pub fn listed(text: &str, list: &'static [&'static str]) -> Result<&'static str, ValueError> {
    let found = list.iter().find(|known| **known == text).copied();
    found.ok_or(ValueError::Unlisted(list))
}

pub(crate) fn is_truth(text: &str) -> Result<(), ValueError> {
    truth(text).map(drop)
}

pub(crate) fn count(text: &str) -> Result<(), ValueError> {
    let is_count = text.parse::<u32>().is_ok_and(|number| number > 0);
    if is_count { Ok(()) } else { Err(ValueError::NoCount) }
}

pub(crate) fn fraction(text: &str) -> Result<(), ValueError> {
    let is_part = text.parse::<f64>().is_ok_and(|part| part > 0.0 && part <= 1.0);
    if is_part { Ok(()) } else { Err(ValueError::NoFraction) }
}

pub(crate) fn absolute(text: &str) -> Result<(), ValueError> {
    if Path::new(text).is_absolute() { Ok(()) } else { Err(ValueError::NotAbsolute) }
}

/// A place in a network.
///
/// # Errors
/// It is none.
pub fn host_port(text: &str) -> Result<(), ValueError> {
    let is_address = text.parse::<SocketAddr>().is_ok_and(|at| at.port() != 0);
    let is_name = text.rsplit_once(':').is_some_and(|(host, port)| {
        is_name(host) && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if is_address || is_name { Ok(()) } else { Err(ValueError::NoHostPort) }
}

pub(crate) fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty() && label.len() <= 63 && label.chars().all(is_inside)
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

pub(crate) fn sans(text: &str) -> Result<(), ValueError> {
    let is_san = |san: &str| match san.trim().split_once(':') {
        Some(("DNS", name)) => is_name(name),
        Some(("IP", address)) => address.parse::<IpAddr>().is_ok(),
        _ => false,
    };
    if text.split(',').all(is_san) { Ok(()) } else { Err(ValueError::NoSans) }
}

/// A certificate as PEM in base64.
///
/// # Errors
/// It is none.
pub fn certificate(text: &str) -> Result<(), ValueError> {
    if holds_private_key(text) {
        return Err(ValueError::PrivateKey);
    }
    pem(text, "CERTIFICATE")
}

pub(crate) fn private_key(text: &str) -> Result<(), ValueError> {
    pem(text, "PRIVATE KEY")
}

fn pem(text: &str, kind: &'static str) -> Result<(), ValueError> {
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let decoded = STANDARD.decode(compact).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let first = decoded.as_deref().and_then(|text| text.trim_start().lines().next());
    let is_pem = first.is_some_and(|first| {
        first.starts_with("-----BEGIN ") && first.trim_end().ends_with(&format!("{kind}-----"))
    });
    if is_pem { Ok(()) } else { Err(ValueError::NoPem(kind)) }
}
