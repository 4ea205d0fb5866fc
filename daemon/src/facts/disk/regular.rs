//! Reading what somebody may have put in the place of a file.
//!
//! Promises: a pipe is never waited for, a file without end does not fill the memory, and an error
//! names the file. Refuses to know what stands in it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// Far more than any file of ours has.
const MOST: u64 = 16 << 20;

/// Opens what may be a device, but no pipe: whoever opens one waits for its other end. The error does
/// not name the file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    match file.metadata()?.file_type().is_fifo() {
        true => Err(io::Error::new(ErrorKind::InvalidInput, "it is a pipe, and no file")),
        false => Ok(file),
    }
}

/// Why a file was not read. The errors name it.
#[derive(Debug)]
pub(crate) enum Unread {
    /// Because of what it is.
    File(io::Error),
    /// As this process has no memory or no descriptor for it.
    Machine(io::Error),
}

/// All of a file, or whose fault it is.
pub(crate) fn try_read(path: &Path) -> Result<Vec<u8>, Unread> {
    use nix::libc::{EMFILE, ENFILE, ENOMEM};
    whole(path).map_err(|error| match error.raw_os_error() {
        Some(EMFILE | ENFILE | ENOMEM) => Unread::Machine(named(path, &error)),
        _ => Unread::File(named(path, &error)),
    })
}

/// All of a file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    whole(path).map_err(|error| named(path, &error))
}

/// The same of a text, which may be secret.
pub(crate) fn read_text(path: &Path) -> io::Result<Zeroizing<String>> {
    let text = String::from_utf8(read(path)?);
    let no_text = |error: std::string::FromUtf8Error| {
        io::Error::new(ErrorKind::InvalidData, error.utf8_error())
    };
    text.map(Zeroizing::new).map_err(|error| named(path, &no_text(error)))
}

fn whole(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()).is_ok_and(|length| length <= MOST) {
        true => Ok(bytes),
        false => {
            let too_long = format!("it has more than {} MiB", MOST >> 20);
            Err(io::Error::new(ErrorKind::InvalidData, too_long))
        }
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn a_pipe_a_folder_and_a_file_without_end_are_refused_at_once_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&place("pipe"), Mode::S_IRWXU).unwrap();
        std::fs::create_dir(place("folder")).unwrap();
        std::fs::File::create(place("sparse")).unwrap().set_len(1 << 40).unwrap();
        std::fs::write(place("text"), "good").unwrap();
        std::fs::write(place("bytes"), [0xff]).unwrap();
        let begin = Instant::now();
        for (name, expected) in [
            ("pipe", "it is a pipe, and no file"),
            ("folder", "it is no file"),
            ("sparse", "it has more than 16 MiB"),
            ("bytes", "invalid utf-8"),
            ("missing", "No such file"),
        ] {
            let error = read_text(&place(name)).unwrap_err().to_string();
            assert!(error.starts_with(&place(name).display().to_string()), "{error}");
            assert!(error.contains(expected), "{error}");
        }
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert_eq!(read_text(&place("text")).unwrap().as_str(), "good");
        let missing = read(&place("missing")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }
}
