//! The kinds of values that settings have: text to type, with what is wrong in a few words.
//!
//! It refuses to know which key has which kind.

use std::net::{IpAddr, SocketAddr};
use std::path::{Component, PathBuf};
use std::time::Duration;

use zonemesh_context::values::truth;

use super::LOCAL_API_PORT;

/// Linux hands no longer text to a program (MAX_ARG_STRLEN: 32 pages of 4 KiB, with a byte behind it);
/// of a variable its name counts.
const LONGEST_ARGUMENT: usize = 128 * 1024 - 1;
/// Linux takes no path of 4096 bytes (PATH_MAX), and files lie below most of these.
const LONGEST_PATH: usize = 4000;
/// No URL of a machine is longer.
const LONGEST_URL: usize = 2000;
/// LOGIN_NAME_MAX.
const LONGEST_USER: usize = 255;

/// What is longer than it can be, and is told before the kernel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has {length} bytes, and {what} has at most {most}")]
pub(super) struct TooLong {
    what: &'static str,
    length: usize,
    most: usize,
}

fn within(text: &str, what: &'static str, most: usize) -> Result<(), TooLong> {
    match text.len() {
        length if length > most => Err(TooLong { what, length, most }),
        _ => Ok(()),
    }
}

/// An argument of Flower's.
pub(super) fn argument(text: &str) -> Result<(), TooLong> {
    within(text, "what a program can be started with", LONGEST_ARGUMENT)
}

fn path(text: &str) -> Result<PathBuf, TooLong> {
    within(text, "a path here", LONGEST_PATH).map(|()| PathBuf::from(text))
}

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

/// Where SuperNodes connect: an address of this VM, or any for the one that it has in its zone.
pub(super) fn fleet_address(text: &str) -> Result<SocketAddr, String> {
    let at: SocketAddr = text
        .parse()
        .map_err(|_no_address| "it is no ADDRESS:PORT (an IPv6 address stands in brackets)")?;
    if at.port() == 0 || at.ip().is_multicast() || at.ip().is_loopback() {
        return Err("SuperNodes cannot connect there".to_owned());
    }
    Ok(at)
}

/// Only Flower's own way of running apps is.
pub(super) fn isolation(text: &str) -> Result<(), &'static str> {
    match text {
        "subprocess" => Ok(()),
        "process" => Err("nobody here would start the processes of the apps: no run would begin"),
        _ => Err("it is no way to run apps"),
    }
}

/// Where the SuperLink keeps what it knows.
pub(super) fn database(text: &str) -> Result<PathBuf, String> {
    let path = path(text).map_err(|error| error.to_string())?;
    let climbs = path.components().any(|part| matches!(part, Component::ParentDir));
    let placed = match text {
        _ if text.starts_with(':') => {
            Err("without a file a restart makes every SuperNode unknown to its SuperLink")
        }
        _ if climbs || text.contains('\0') => Err("it leads out of the folder"),
        _ if text.ends_with('/') => Err("it names no file"),
        _ if path.is_absolute() => Ok(path),
        // No folders are made in the one that Flower's user may change.
        _ => path.file_name().map(PathBuf::from).ok_or("it names no file"),
    };
    placed.map_err(str::to_owned)
}

/// None stands for all that there are.
pub(super) fn accelerators(text: &str) -> Result<Option<String>, String> {
    let most = LONGEST_ARGUMENT - "CUDA_VISIBLE_DEVICES=".len();
    within(text, "what Flower can be given", most).map_err(|error| error.to_string())?;
    let is_device = |word: &str| {
        let is_uuid = ["GPU-", "MIG-"].iter().any(|begin| word.starts_with(begin));
        let is_inside = |c: char| c.is_ascii_alphanumeric() || "-/".contains(c);
        word.parse::<u32>().is_ok() || word == "-1" || (is_uuid && word.chars().all(is_inside))
    };
    match text {
        "all" => Ok(None),
        _ if text.split(',').all(is_device) => Ok(Some(text.to_owned())),
        _ => Err("that names no GPUs".to_owned()),
    }
}

/// The law's value, and no other: a server cuts a client that pings more often than it accepts.
pub(super) fn keepalive(text: &str, law: Duration) -> Result<(), String> {
    match text.parse::<u64>() {
        Ok(seconds) if seconds == law.as_secs() => Ok(()),
        Ok(_) => Err(format!(
            "all ends of all zones keep {} s, and one that differed would be cut off",
            law.as_secs()
        )),
        Err(_) => Err("it is no whole number of seconds".to_owned()),
    }
}

/// What a question can be sent to.
pub(super) fn endpoint(text: &str) -> Result<String, String> {
    within(text, "such an address", LONGEST_URL).map_err(|error| error.to_string())?;
    let url = reqwest::Url::parse(text).ok().filter(|url| url.has_host());
    match url.as_ref().map(reqwest::Url::scheme) {
        Some("http" | "https") => Ok(text.to_owned()),
        _ => Err("it is no http:// address".to_owned()),
    }
}

/// What can stand in a header.
pub(super) fn header(text: &str) -> Result<String, &'static str> {
    match reqwest::header::HeaderValue::from_str(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("it has a character that no header can have"),
    }
}

pub(super) fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = path(text).map_err(|error| error.to_string())?;
    match path.is_absolute() {
        _ if text.contains('\0') => Err("no path has a zero byte".to_owned()),
        true => Ok(path),
        false => Err("it is not absolute".to_owned()),
    }
}

pub(super) fn user(text: &str) -> Result<String, String> {
    within(text, "the name of a user", LONGEST_USER).map_err(|error| error.to_string())?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_name = text.chars().all(allowed);
    if is_name { Ok(text.to_owned()) } else { Err("that is no user name".to_owned()) }
}

/// A truth as OpenNebula and people write it; only one of the two is possible.
pub(super) fn tls(text: &str) -> Result<(), String> {
    match truth(text) {
        Ok(true) => Ok(()),
        Ok(false) => Err("Flower never runs without TLS across zones".to_owned()),
        Err(error) => Err(error.to_string()),
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
