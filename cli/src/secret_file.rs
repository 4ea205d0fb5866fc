//! Files with secrets: written once, for their owner only, and wiped from memory.
//!
//! What root makes in somebody's folder is theirs: a daemon that runs as a user of its own can read
//! the key that `sudo` has put into its state folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use zeroize::Zeroizing;

use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::regular_file;

/// A key file has 45 bytes; more than this was named by mistake.
const KEY_FILE_MAX: u64 = 4096;

/// Writes a new file with mode 0600 and one line of text; an existing file is never touched.
pub(crate) fn create(path: &Path, line: &str) -> Result<(), CommandFailure> {
    Reserved::new(path)?.write(line)
}

/// A new, empty file, made before the secret that it will hold: so that no secret is made in vain.
/// It goes away again unless it is written.
pub(crate) struct Reserved<'a> {
    path: &'a Path,
    file: File,
    written: bool,
}

impl<'a> Reserved<'a> {
    /// Makes the file; an existing one is never touched.
    pub(crate) fn new(path: &'a Path) -> Result<Self, CommandFailure> {
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(path);
        match opened {
            Ok(file) => {
                let new = Self { path, file, written: false };
                new.give_to_owner_of_folder()
                    .or_exit(Exit::Configuration, || format!("cannot make {}", path.display()))?;
                Ok(new)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let message = format!("{} is there already and is not overwritten", path.display());
                Err(CommandFailure::message(Exit::Policy, message).next("name another file"))
            }
            Err(error) => Err(error)
                .or_exit(Exit::Configuration, || format!("cannot make {}", path.display())),
        }
    }

    fn give_to_owner_of_folder(&self) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| *folder != Path::new(""));
        let owner = std::fs::metadata(folder.unwrap_or(Path::new(".")))?;
        let mine = self.file.metadata()?;
        match mine.uid() == 0 && owner.uid() != 0 {
            true => fchown(&self.file, Some(owner.uid()), Some(owner.gid())),
            false => Ok(()),
        }
    }

    /// Writes one line of text.
    pub(crate) fn write(mut self, line: &str) -> Result<(), CommandFailure> {
        let text = Zeroizing::new(format!("{line}\n"));
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
        written.or_exit(Exit::Negative, || format!("cannot write {}", self.path.display()))?;
        self.written = true;
        Ok(())
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.written {
            // What is left behind then is an empty file.
            let _removed_or_not = std::fs::remove_file(self.path);
        }
    }
}

/// Reads a small text file.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, CommandFailure> {
    read_up_to(path, KEY_FILE_MAX)
}

/// Reads a text file, `most` bytes of it.
pub(crate) fn read_up_to(path: &Path, most: u64) -> Result<Zeroizing<String>, CommandFailure> {
    let mut text = Zeroizing::new(String::new());
    let opened = regular_file::open(path);
    let read = opened.and_then(|file| file.take(most).read_to_string(&mut text));
    let read = read.map_err(in_our_words);
    read.or_exit(Exit::Configuration, || format!("cannot read {}", path.display()))?;
    Ok(text)
}

/// What the library says of bytes that are no UTF-8 is for programmers.
pub(crate) fn in_our_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::InvalidData => io::Error::new(error.kind(), "it is no text in UTF-8"),
        _ => error,
    }
}

/// Why a file that a configuration names was not read.
#[derive(Debug)]
pub(crate) enum UnusableKey {
    /// This user may not.
    Denied,
    /// It is not what it should be, in words.
    Unfit(String),
}

/// Reads a key file that nobody has just named: only a regular one, as a pipe would be waited for.
pub(crate) fn read_regular(path: &Path) -> Result<Zeroizing<String>, UnusableKey> {
    let why = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => UnusableKey::Denied,
        io::ErrorKind::InvalidData => UnusableKey::Unfit("holds no key: it is no text".to_owned()),
        io::ErrorKind::InvalidInput => {
            let said = error.to_string();
            UnusableKey::Unfit(said.strip_prefix("it ").unwrap_or(&said).to_owned())
        }
        _ => UnusableKey::Unfit(format!("cannot be read: {error}")),
    };
    let mut text = Zeroizing::new(String::new());
    let read =
        regular_file::open(path).and_then(|file| file.take(KEY_FILE_MAX).read_to_string(&mut text));
    read.map(|_length| text).map_err(why)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_for_its_owner_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zone.key");
        create(&path, "first").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(create(&path, "second").unwrap_err().exit, Exit::Policy);
        assert_eq!(*read(&path).unwrap(), "first\n");
    }

    #[test]
    fn a_file_that_was_reserved_in_vain_is_not_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("invitation");
        drop(Reserved::new(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_failure_with_a_name() {
        let failure = create(Path::new("/nowhere/at/all"), "x").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn only_a_regular_file_is_read_where_a_configuration_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&place("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::create_dir(place("folder")).unwrap();
        std::os::unix::fs::symlink(place("loop"), place("loop")).unwrap();
        std::fs::write(place("bytes"), [0xff]).unwrap();
        std::fs::write(place("good"), "text\n").unwrap();
        for (name, expected) in [
            ("pipe", "is a pipe, and no file"),
            ("folder", "is a folder, and no file"),
            ("loop", "cannot be read: Too many levels"),
            ("bytes", "holds no key: it is no text"),
        ] {
            match read_regular(&place(name)) {
                Err(UnusableKey::Unfit(found)) => assert!(found.contains(expected), "{found}"),
                other => unreachable!("{name}: {other:?}"),
            }
        }
        assert_eq!(*read_regular(&place("good")).unwrap(), "text\n");
    }
}
