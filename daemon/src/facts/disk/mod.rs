//! What the gateway keeps on disk: its keys, signed records, trust items, invitations, its CAs.
//!
//! Promises: a file is replaced whole or not at all, also over a power cut; secrets are 0600 in
//! a folder that is 0700; a file that cannot be read back is set aside, never deleted.

pub(crate) mod aside;
pub(crate) mod barred;
pub(crate) mod blocked;
pub(crate) mod config_file;
pub(crate) mod federation;
pub(crate) mod head;
pub(crate) mod invitations;
pub(crate) mod keys;
#[cfg(test)]
mod killed;
pub(crate) mod leftovers;
pub(crate) mod records;
pub(crate) mod regular;
pub(crate) mod state_folder;
pub(crate) mod tokens;
mod transaction;
pub(crate) mod trust;
mod writer;

use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;
use zonemesh_core::journal::trimmed;

use regular::Unread;

pub(crate) use state_folder::{FolderLock, open_folder};
pub(crate) use transaction::Together;
#[cfg(test)]
pub(crate) use writer::tests::{TrialDisk, writer};
pub(crate) use writer::{Disk, DiskWriter, FileSystem, SlowDisk, Write, write_all};

/// Most bytes of a journal.
const JOURNAL_BYTES: usize = 1 << 20;

/// Replaces `path` with `content` (mode 0600): temporary file, fsync, rename, fsync of the folder.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = leftovers::temporary_file(folder_of(path))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder_of(path)
}

/// The whole file or none, mode 0600: half a key would keep the gateway from starting. Overwrites
/// nothing.
fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut new = leftovers::temporary_file(folder_of(path))?;
    new.write_all(content)?;
    new.as_file().sync_all()?;
    new.persist_noclobber(path)?;
    sync_folder_of(path)
}

/// Adds a line; a file that would grow beyond its bound loses its oldest lines.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let size = match std::fs::symlink_metadata(path) {
        // Whatever somebody has put there, the line is not for it.
        Ok(found) if !found.is_file() => return replace(path, line.as_bytes()),
        Ok(found) => usize::try_from(found.len()).unwrap_or(usize::MAX),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return replace(path, line.as_bytes());
        }
        Err(error) => return Err(error),
    };
    if size + line.len() > JOURNAL_BYTES {
        let whole = regular::read(path).unwrap_or_default();
        let kept = trimmed(&whole, JOURNAL_BYTES - line.len());
        return replace(path, &[kept, line.as_bytes()].concat());
    }
    let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Makes a folder that is closed to others, whatever the umask; one that is there stays as it is.
fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn sync_folder_of(file: &Path) -> io::Result<()> {
    std::fs::File::open(folder_of(file))?.sync_all()
}

/// The files of a folder whose names end so. What is no regular file is left alone; what cannot be
/// looked at is among them: who reads it says why.
fn files_of(folder: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != suffix) {
            continue;
        }
        match std::fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            true => tracing::warn!(file = %path.display(), "no regular file: it is not read"),
            false => files.push(path),
        }
    }
    Ok(files)
}

/// What such a file says; `None` of one that is gone, or that cannot be used and is set aside.
fn usable<T, E: std::fmt::Display>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
) -> io::Result<Option<T>> {
    let bytes = match regular::try_read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(Unread::Machine(error)) => return Err(error),
        Err(Unread::File(error)) => {
            // A link to nowhere is there, and the file is not.
            if path.symlink_metadata().is_ok() {
                set_aside(path, &error);
            }
            return Ok(None);
        }
    };
    Ok(match parse(&bytes) {
        Ok(said) => Some(said),
        Err(error) => {
            set_aside(path, &error);
            None
        }
    })
}

/// Moves a file that cannot be used out of the way and says where to.
pub(crate) fn set_aside(path: &Path, reason: &dyn std::fmt::Display) {
    let aside = aside_name(path);
    match std::fs::rename(path, &aside) {
        Ok(()) => tracing::warn!(
            file = %path.display(), kept_as = %aside.display(), %reason,
            "a stored file could not be used and was set aside"
        ),
        Err(error) => tracing::error!(
            file = %path.display(), %reason, %error,
            "a stored file can be neither used nor set aside"
        ),
    }
}

/// Removes a file that is of no use any more.
pub(crate) fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) => tracing::info!(file = %path.display(), "removed a file of no more use"),
        Err(error) => tracing::warn!(file = %path.display(), %error, "cannot remove a file"),
    }
}

fn aside_name(path: &Path) -> PathBuf {
    let numbered = |n: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".bad{n}"));
        PathBuf::from(name)
    };
    let free = (1..1000).map(numbered).find(|name| !name.exists());
    free.unwrap_or_else(|| numbered(1000))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_replaced_file_is_private_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("berlin.record");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary is left");
    }

    #[test]
    fn a_line_is_for_no_link_and_no_pipe_that_somebody_has_put_there() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        std::fs::write(place("of-somebody"), "theirs\n").unwrap();
        std::os::unix::fs::symlink(place("of-somebody"), place("events")).unwrap();
        nix::unistd::mkfifo(&place("audit"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["events", "audit"] {
            append(&place(name), "one\n").unwrap();
            append(&place(name), "two\n").unwrap();
            assert_eq!(std::fs::read_to_string(place(name)).unwrap(), "one\ntwo\n");
        }
        assert_eq!(std::fs::read_to_string(place("of-somebody")).unwrap(), "theirs\n");
    }

    #[test]
    fn a_bad_file_is_set_aside_and_never_overwrites_an_earlier_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("berlin.record");
        for text in ["first", "second"] {
            std::fs::write(&path, text).unwrap();
            set_aside(&path, &"not a record");
        }
        assert!(!path.exists());
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("berlin.record.bad1"), "first");
        assert_eq!(read("berlin.record.bad2"), "second");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_set_aside_as_one_that_says_nothing() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        std::fs::write(place("good.record"), "good").unwrap();
        std::fs::write(place("bad.record"), "garbage").unwrap();
        std::fs::File::create(place("long.record")).unwrap().set_len(17 << 20).unwrap();
        std::fs::write(place("closed.record"), "good").unwrap();
        let closed = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(place("closed.record"), closed).unwrap();
        symlink(place("loop.record"), place("loop.record")).unwrap();
        symlink(place("nowhere"), place("dangling.record")).unwrap();
        let parse = |bytes: &[u8]| match bytes {
            b"good" => Ok(()),
            _ => Err("it says nothing"),
        };
        for path in files_of(folder.path(), "record").unwrap() {
            // Root may read what is closed to all.
            let is_open = std::fs::read(&path).is_ok_and(|bytes| bytes == b"good");
            assert_eq!(usable(&path, parse).unwrap().is_some(), is_open, "{path:?}");
        }
        for name in ["bad", "long", "loop", "dangling"] {
            let aside = place(&format!("{name}.record.bad1"));
            assert!(aside.symlink_metadata().is_ok(), "{name}");
        }
        assert!(place("good.record").exists());
        assert_eq!(usable(&place("gone.record"), parse).unwrap(), None);
        assert!(!place("gone.record.bad1").exists());
    }
}
