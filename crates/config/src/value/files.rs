//! Paths of files and sockets.
//!
//! Absolute, because a service starts in a folder of the system's choice. Nothing is opened here.

use std::path::PathBuf;

use toml::de::DeValue;

use super::text;
use crate::complaint::Complaint;

/// The longest path of a unix socket (`sun_path` of 108 bytes, with its final zero).
const SOCKET_PATH_MAX: usize = 107;

/// The longest folder in which the socket of an interface of 15 bytes fits: `/<interface>.sock`.
const SOCKETS_FOLDER_MAX: usize = SOCKET_PATH_MAX - 21;

/// Where the socket is that `wg` speaks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WgSockets {
    /// Nowhere.
    Off,
    /// In this folder, under the interface's name.
    In(PathBuf),
}

pub(crate) fn wg_sockets(value: &DeValue<'_>) -> Result<WgSockets, Complaint> {
    if value.as_str() == Some("off") {
        return Ok(WgSockets::Off);
    }
    let folder = file(value).map_err(|complaint| Complaint {
        expected: "an absolute path, or \"off\"".to_owned(),
        ..complaint
    })?;
    match folder.as_os_str().len() {
        0..=SOCKETS_FOLDER_MAX => Ok(WgSockets::In(folder)),
        length => Err(Complaint::new(
            format!("found a path of {length} bytes"),
            format!("at most {SOCKETS_FOLDER_MAX} bytes, so that a unix socket in it has a name"),
            "leave it out: `wg` looks in /var/run/wireguard",
        )),
    }
}

pub(crate) fn file(value: &DeValue<'_>) -> Result<PathBuf, Complaint> {
    let expected = "an absolute path";
    let path = text(value, expected)?;
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(PathBuf::from(path));
    }
    let fix = "begin it with '/': a service starts in a folder of the system's choice";
    Err(Complaint::new(format!("found {path:?}"), expected, fix))
}

pub(crate) fn socket(value: &DeValue<'_>) -> Result<PathBuf, Complaint> {
    let path = file(value)?;
    let length = path.as_os_str().len();
    if length <= SOCKET_PATH_MAX {
        return Ok(path);
    }
    Err(Complaint::new(
        format!("found a path of {length} bytes"),
        format!("at most {SOCKET_PATH_MAX} bytes, the limit of unix sockets"),
        "choose a shorter folder, such as /run/zonemesh",
    ))
}
