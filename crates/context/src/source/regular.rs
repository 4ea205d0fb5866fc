//! A file that somebody named: read if it is a regular one, and up to a size.
//!
//! It promises that nobody waits for a pipe and that no device fills the memory, whatever the path
//! leads to by the time that it is opened; and words that say what was there instead. It refuses to
//! know what the bytes mean.

use std::fs::{FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// All bytes of a regular file, if it has up to `most`.
///
/// # Errors
/// The system refuses; of kind [`io::ErrorKind::InvalidInput`]: it is something else, or longer.
pub fn read_regular(file: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // Without waiting for whoever writes into a pipe.
    let opened = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(file)?;
    let found = opened.metadata()?;
    if let Some(other) = other_than_a_file(found.file_type()) {
        return Err(unfit(format!("it is {other}, and no regular file")));
    }
    // One more than it may have: it may grow meanwhile, and files of /proc say that they have none.
    let room = usize::try_from(found.len().min(most)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 1));
    opened.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        true => Ok(bytes),
        false => Err(unfit(format!("it is longer than {most} bytes, which no such file is"))),
    }
}

fn unfit(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

fn other_than_a_file(kind: FileType) -> Option<&'static str> {
    match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a folder"),
        _ if kind.is_fifo() => Some("a pipe"),
        _ => Some("a device or a socket"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_read_and_only_up_to_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&place("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", place("zero")).unwrap();
        std::fs::write(place("long"), [b'a'; 9]).unwrap();
        std::fs::write(place("good"), [b'a'; 8]).unwrap();
        let told = |name: &str| read_regular(&place(name), 8).unwrap_err().to_string();
        assert_eq!(told("pipe"), "it is a pipe, and no regular file");
        assert_eq!(told("."), "it is a folder, and no regular file");
        assert_eq!(told("zero"), "it is a device or a socket, and no regular file");
        assert_eq!(told("long"), "it is longer than 8 bytes, which no such file is");
        assert!(told("missing").contains("No such file"));
        assert_eq!(*read_regular(&place("good"), 8).unwrap(), [b'a'; 8]);
        // It says that it has no bytes, and has some.
        assert!(read_regular(Path::new("/proc/self/status"), 1 << 16).unwrap().len() > 100);
    }
}
