//! A file that was named to the tool: opened if it is a regular one.
//!
//! It promises that nobody waits for a pipe and that no device is read, whatever the path leads to by
//! the time that it is opened. Standard input is not its business. It refuses to know what is read.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Opens it for reading; the error is of kind `InvalidInput` if something else stands there.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Without waiting for whoever writes into a pipe.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    match other_than_a_file(file.metadata()?.file_type()) {
        None => Ok(file),
        Some(other) => {
            let problem = format!("it {other}, and no file");
            Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
        }
    }
}

fn other_than_a_file(kind: FileType) -> Option<&'static str> {
    match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("is a folder"),
        _ if kind.is_fifo() => Some("is a pipe"),
        _ => Some("is a device or a socket"),
    }
}
