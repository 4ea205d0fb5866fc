//! The UAPI socket: where `wg` looks for it, for root alone, removed with its owner.
//!
//! An answer contains the private key: the folder is 0700, the socket 0600. A socket that a dead
//! process left behind is replaced, one that somebody answers on is not.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::ServeError;

/// Where `wg` looks for sockets.
pub(super) const FOLDER: &str = "/var/run/wireguard";

/// The socket, which is removed with its owner.
pub(super) struct UapiSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Tells ours from one that has been put in its place.
    inode: u64,
}

impl UapiSocket {
    /// Makes the socket of interface `name`.
    pub(super) fn bind(folder: &Path, name: &str) -> Result<Self, ServeError> {
        let path = path_of(folder, name);
        match bind_path(&path) {
            Ok((listener, inode)) => Ok(Self { listener, path, inode }),
            Err(source) => Err(ServeError::Socket { path, source }),
        }
    }

    pub(super) fn as_raw_fd(&self) -> RawFd {
        self.listener.as_raw_fd()
    }
}

/// True if somebody answers there.
pub(super) fn is_served(name: &str) -> bool {
    UnixStream::connect(path_of(Path::new(FOLDER), name)).is_ok()
}

fn path_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.sock"))
}

fn bind_path(path: &Path) -> io::Result<(UnixListener, u64)> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    if path.exists() {
        if UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok((listener, fs::metadata(path)?.ino()))
}

impl Drop for UapiSocket {
    fn drop(&mut self) {
        let is_ours = fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        let removed = if is_ours { fs::remove_file(&self.path) } else { Ok(()) };
        if let Err(error) = removed {
            tracing::debug!(%error, "the socket was gone already");
        }
    }
}
