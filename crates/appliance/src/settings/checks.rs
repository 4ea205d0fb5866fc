//! The kinds of values that settings have: text to type, with what is wrong in a few words.
//!
//! It refuses to know which key has which kind.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::LOCAL_API_PORT;

pub(super) fn port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(0) => Err("0 is no port".to_owned()),
        Ok(port) => Ok(port),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) fn gateway(text: &str) -> Result<SocketAddr, &'static str> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, LOCAL_API_PORT));
    }
    match text.parse::<SocketAddr>() {
        Ok(gateway) if gateway.port() != 0 => Ok(gateway),
        _ => Err("it is no IP:PORT (an IPv6 address stands in brackets)"),
    }
}

pub(super) fn own_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|error| format!("{error}"))?;
    if address.is_unspecified() || address.is_multicast() {
        return Err("SuperNodes cannot connect to such an address".to_owned());
    }
    Ok(address)
}

/// What a question can be sent to.
pub(super) fn endpoint(text: &str) -> Result<String, &'static str> {
    let url = reqwest::Url::parse(text).ok().filter(|url| url.has_host());
    match url.as_ref().map(reqwest::Url::scheme) {
        Some("http" | "https") => Ok(text.to_owned()),
        _ => Err("it is no http:// address"),
    }
}

/// What can stand in a header.
pub(super) fn header(text: &str) -> Result<String, &'static str> {
    match reqwest::header::HeaderValue::from_str(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("it has a character that no header can have"),
    }
}

pub(super) fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err("it is not absolute") }
}

pub(super) fn user(text: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if text.chars().all(allowed) { Ok(text.to_owned()) } else { Err("that is no user name") }
}

/// A truth as OpenNebula and people write it.
pub(super) fn yes_or_no(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err("it is neither YES nor NO"),
    }
}

/// The same, where only one of the two is possible.
pub(super) fn tls(text: &str) -> Result<(), &'static str> {
    match yes_or_no(text)? {
        true => Ok(()),
        false => Err("Flower never runs without TLS across zones"),
    }
}

/// `onegate`, where the VM has one.
pub(super) fn identity(text: &str, has_onegate: bool) -> Result<(), &'static str> {
    match (text, has_onegate) {
        ("onegate", true) => Ok(()),
        ("onegate", false) => Err("this VM has no OneGate: its CONTEXT lacks TOKEN=YES"),
        _ => Err("that is no way to prove a VM"),
    }
}
