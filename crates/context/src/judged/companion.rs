//! The kinds of values that the companions of Flower are told: text to type, with what is wrong in a
//! few words.
//!
//! It promises that the companion in the VM and whoever writes values for it judge by the same
//! functions. It refuses to know which key has which kind, and what the VM has: a file, a OneGate.

use std::net::{IpAddr, SocketAddr};
use std::path::{Component, PathBuf};
use std::time::Duration;

use super::UnfitValue;
use crate::node_config;
use crate::values::{self, truth};

/// Port of a gateway's local API, unless ONEAPP_ZONEMESH_GATEWAY names another.
pub const LOCAL_API_PORT: u16 = 51822;

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
fn within(text: &str, what: &'static str, most: usize) -> Result<(), UnfitValue> {
    match text.len() {
        length if length > most => Err(UnfitValue::TooLong { what, length, most }),
        _ => Ok(()),
    }
}

fn path(text: &str) -> Result<PathBuf, UnfitValue> {
    within(text, "a path here", LONGEST_PATH).map(|()| PathBuf::from(text))
}

/// A node config that can be handed to a program.
///
/// # Errors
/// It is none, or too long.
pub fn pairs(text: &str) -> Result<String, UnfitValue> {
    within(text, "what a program can be started with", LONGEST_ARGUMENT)?;
    Ok(node_config::parse(text)?)
}

/// Where a gateway's local API is; without a port it has the usual one.
///
/// # Errors
/// It is no IP and no IP:PORT.
pub fn local_api(text: &str) -> Result<SocketAddr, UnfitValue> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, LOCAL_API_PORT));
    }
    match text.parse::<SocketAddr>() {
        Ok(gateway) if gateway.port() != 0 => Ok(gateway),
        _ => Err(UnfitValue::Form("it is no IP:PORT (an IPv6 address stands in brackets)")),
    }
}

/// A VM's own address, at which others connect.
///
/// # Errors
/// It is no address of one machine.
pub fn own_address(text: &str) -> Result<IpAddr, UnfitValue> {
    let no_address = |_malformed| UnfitValue::Form("it is no IP address");
    let address: IpAddr = text.parse().map_err(no_address)?;
    match address.is_unspecified() || address.is_multicast() {
        true => Err(UnfitValue::Form("SuperNodes cannot connect to such an address")),
        false => Ok(address),
    }
}

/// Where SuperNodes connect: an address of this VM, or any for the one that it has in its zone.
///
/// # Errors
/// It is no place at which they could.
pub fn fleet_address(text: &str) -> Result<SocketAddr, UnfitValue> {
    let form = "it is no ADDRESS:PORT (an IPv6 address stands in brackets)";
    let at: SocketAddr = text.parse().map_err(|_malformed| UnfitValue::Form(form))?;
    match at.port() == 0 || at.ip().is_multicast() || at.ip().is_loopback() {
        true => Err(UnfitValue::Form("SuperNodes cannot connect there")),
        false => Ok(at),
    }
}

/// Where a SuperLink without a mesh is.
///
/// # Errors
/// Nobody can be dialled there.
pub fn superlink_address(text: &str) -> Result<(), UnfitValue> {
    values::host_port(text)?;
    let is_nobodys = |at: SocketAddr| at.ip().is_unspecified() || at.ip().is_multicast();
    match text.parse::<SocketAddr>().is_ok_and(is_nobodys) {
        true => Err(UnfitValue::Form("nobody can be dialled there")),
        false => Ok(()),
    }
}

/// Only Flower's own way of running apps is.
///
/// # Errors
/// It is another, or none.
pub fn isolation(text: &str) -> Result<(), UnfitValue> {
    Err(UnfitValue::Form(match text {
        "subprocess" => return Ok(()),
        "process" => "nobody here would start the processes of the apps: no run would begin",
        _ => "it is no way to run apps",
    }))
}

/// Where the SuperLink keeps what it knows.
///
/// # Errors
/// It is no file that it could have.
pub fn database(text: &str) -> Result<PathBuf, UnfitValue> {
    let path = path(text)?;
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
    placed.map_err(UnfitValue::Form)
}

/// None stands for all that there are.
///
/// # Errors
/// It names no GPUs.
pub fn accelerators(text: &str) -> Result<Option<String>, UnfitValue> {
    let most = LONGEST_ARGUMENT - "CUDA_VISIBLE_DEVICES=".len();
    within(text, "what Flower can be given", most)?;
    let is_device = |word: &str| {
        let is_uuid = ["GPU-", "MIG-"].iter().any(|begin| word.starts_with(begin));
        let is_inside = |c: char| c.is_ascii_alphanumeric() || "-/".contains(c);
        word.parse::<u32>().is_ok() || word == "-1" || (is_uuid && word.chars().all(is_inside))
    };
    match text {
        "all" => Ok(None),
        _ if text.split(',').all(is_device) => Ok(Some(text.to_owned())),
        _ => Err(UnfitValue::Form("that names no GPUs")),
    }
}

/// The law's value, and no other: a server cuts a client that pings more often than it accepts.
///
/// # Errors
/// It is another, or no number.
pub fn keepalive(text: &str, law: Duration) -> Result<(), UnfitValue> {
    match text.parse::<u64>() {
        Ok(seconds) if seconds == law.as_secs() => Ok(()),
        Ok(_) => Err(UnfitValue::OtherKeepalive(law.as_secs())),
        Err(_) => Err(UnfitValue::Form("it is no whole number of seconds")),
    }
}

/// A release of Flower: three numbers.
///
/// # Errors
/// It is none.
pub fn flower_release(text: &str) -> Result<[u16; 3], UnfitValue> {
    let numbers: Vec<u16> = text.split('.').map_while(|part| part.parse().ok()).collect();
    match <[u16; 3]>::try_from(numbers) {
        Ok(release) if text.split('.').count() == 3 => Ok(release),
        _ => Err(UnfitValue::Form("it is no version of Flower: expected three numbers")),
    }
}

/// What OneGate is asked at, as far as its beginning tells.
///
/// # Errors
/// It is no URL of HTTP, or too long.
pub fn onegate_endpoint(text: &str) -> Result<(), UnfitValue> {
    within(text, "such an address", LONGEST_URL)?;
    let is_http = text.split_once("://").is_some_and(|(scheme, rest)| {
        ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) && !rest.is_empty()
    });
    if is_http { Ok(()) } else { Err(UnfitValue::Form("it is no http:// address")) }
}

/// What can stand in a header (RFC 9110, section 5.5).
///
/// # Errors
/// It has a character that cannot.
pub fn header(text: &str) -> Result<String, UnfitValue> {
    let fits = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    match text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(UnfitValue::Form("it has a character that no header can have")),
    }
}

/// An absolute path.
///
/// # Errors
/// It is none.
pub fn absolute(text: &str) -> Result<PathBuf, UnfitValue> {
    let path = path(text)?;
    if text.contains('\0') {
        return Err(UnfitValue::Form("no path has a zero byte"));
    }
    Ok(values::absolute(text).map(|()| path)?)
}

/// The name of a user.
///
/// # Errors
/// It is none.
pub fn user(text: &str) -> Result<String, UnfitValue> {
    within(text, "the name of a user", LONGEST_USER)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_name = text.chars().all(allowed);
    if is_name { Ok(text.to_owned()) } else { Err(UnfitValue::Form("that is no user name")) }
}

/// A truth as OpenNebula and people write it; only one of the two is possible.
///
/// # Errors
/// It is the other, or none.
pub fn tls(text: &str) -> Result<(), UnfitValue> {
    match truth(text)? {
        true => Ok(()),
        false => Err(UnfitValue::Form("Flower never runs without TLS across zones")),
    }
}

/// What else may prove a VM.
///
/// # Errors
/// It is nothing that does.
pub fn identity(text: &str) -> Result<(), UnfitValue> {
    match text {
        "onegate" => Ok(()),
        _ => Err(UnfitValue::Form("that is no way to prove a VM")),
    }
}
