//! The kinds of values that a gateway is told, as far as the value alone tells.
//!
//! It promises that what was given in the place of another thing is told apart, and that no error
//! repeats a part of a secret. It refuses to know the VM's addresses, and whether a configuration
//! is one that a daemon can run with.

use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zonemesh_core::founding::FoundingBundle;
use zonemesh_core::invitation::Invitation;
use zonemesh_core::offered::OfferedText;

use super::companion::LOCAL_API_PORT;
use super::{UnfitValue, port, words};
use crate::values;

/// Why a value is no configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoConfiguration {
    /// What an input of type text64 does to what was encoded already.
    #[error(
        "it is encoded twice: an input of type text64 encodes by itself, give it the text as it is"
    )]
    Twice,
    /// The other key's value.
    #[error("it is {}: give it as ONEAPP_ZONEMESH_INVITATION", .0.words())]
    WayIn(OfferedText),
    /// Something else.
    #[error("it is neither the text of a configuration nor base64 of one")]
    Other,
}

/// What a gateway is let in by, or founds its mesh with.
pub(super) fn way_in(text: &str) -> Result<(), UnfitValue> {
    match OfferedText::of(text) {
        OfferedText::Invitation => Invitation::from_text(text).map(drop)?,
        OfferedText::FoundingBundle => FoundingBundle::from_text(text).map(drop)?,
        other => return Err(UnfitValue::NoWayIn(other)),
    }
    Ok(())
}

/// Where it listens; without a port it has the usual one.
///
/// # Errors
/// It is no IP and no IP:PORT.
pub fn listen(text: &str) -> Result<SocketAddr, UnfitValue> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match (bare.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(ip), _) => Ok(SocketAddr::new(ip, LOCAL_API_PORT)),
        (_, Ok(at)) if at.port() != 0 => Ok(at),
        _ => Err(UnfitValue::Form(
            "it is no IP and no IP:PORT (an IPv6 address with a port stands in brackets)",
        )),
    }
}

/// The text of a configuration, given as it is or in base64. Base64 has no dot, quote or bracket, and a
/// configuration is none of it without.
///
/// # Errors
/// It is no such text.
pub fn configuration(value: &str) -> Result<String, NoConfiguration> {
    let given = OfferedText::of(value);
    if matches!(given, OfferedText::Invitation | OfferedText::FoundingBundle) {
        return Err(NoConfiguration::WayIn(given));
    }
    let Some(decoded) = decode(value) else {
        return has_settings(value)
            .then(|| format!("{}\n", value.trim_end()))
            .ok_or(NoConfiguration::Other);
    };
    match decode(&decoded) {
        Some(inner) if has_settings(&inner) => Err(NoConfiguration::Twice),
        _ if has_settings(&decoded) => Ok(decoded),
        _ => Err(NoConfiguration::Other),
    }
}

fn has_settings(text: &str) -> bool {
    text.contains('=')
}

fn decode(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    String::from_utf8(STANDARD.decode(compact).ok()?).ok()
}

/// Where other zones reach it.
pub(super) fn endpoints(text: &str) -> Result<(), UnfitValue> {
    match words(text).find(|word| !is_endpoint(word)) {
        None => Ok(()),
        Some(word) => Err(UnfitValue::NoEndpoint(word.to_owned())),
    }
}

/// As people write where a gateway is reached: an address or a name, with or without a port.
pub(super) fn is_endpoint(word: &str) -> bool {
    let is_one = |ip: IpAddr| !ip.is_unspecified() && !ip.is_multicast();
    let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')).unwrap_or(word);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return is_one(ip);
    }
    if let Ok(at) = word.parse::<SocketAddr>() {
        return at.port() != 0 && is_one(at.ip());
    }
    let (host, port_of) = word.rsplit_once(':').map_or((word, None), |(h, port)| (h, Some(port)));
    let labels_fit =
        || host.split('.').all(|label| !label.starts_with('-') && !label.ends_with('-'));
    // Else it would be an address that was mistyped.
    let is_number =
        || host.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    values::is_name(host) && labels_fit() && !is_number() && port_of.is_none_or(|p| port(p).is_ok())
}
