//! Files that other programs read: written whole or not at all, with their mode before their content.
//!
//! It promises that a reader never sees half a file, that a secret never lies on disk with a wider
//! mode than asked for, and that what was written survives a power cut. It refuses to know what the
//! contents mean. Order: temporary file in the same folder, mode, owner, content, fsync, rename,
//! fsync of the folder.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::unistd::{Gid, Uid, User};

/// Why a file or folder was not written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// One step failed.
    #[error("cannot {step} {}", path.display())]
    Io {
        /// The step, as a verb.
        step: &'static str,
        /// The file that was to be written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another companion of this machine holds it.
    #[error(
        "another companion works in the state folder {}: stop that one, or give this one a folder of its own (ONEAPP_ZONEMESH_STATE_DIR)",
        path.display()
    )]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// The path has no folder or no file name.
    #[error("{} is not a path of a file", path.display())]
    NoFile {
        /// The path in question.
        path: PathBuf,
    },
    /// The user does not exist on this machine.
    #[error(
        "there is no user {user:?} on this machine: create it, or set another with ONEAPP_ZONEMESH_FLOWER_USER"
    )]
    NoUser {
        /// The name that was looked up.
        user: String,
    },
    /// The user database could not be read.
    #[error("cannot look up the user {user:?}")]
    Lookup {
        /// The name that was looked up.
        user: String,
        /// What the system said.
        #[source]
        source: nix::Error,
    },
}

/// Whom a file belongs to, and as whom a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct FileOwner {
    /// User.
    pub uid: u32,
    /// The user's main group.
    pub gid: u32,
}

/// A text is no `UID:GID`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no UID:GID")]
pub struct OwnerError(String);

impl std::str::FromStr for FileOwner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let numbers = text.split_once(':');
        let parsed = numbers
            .and_then(|(uid, gid)| Some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? }));
        parsed.ok_or_else(|| OwnerError(text.to_owned()))
    }
}

impl FileOwner {
    /// Looks a user name up.
    ///
    /// # Errors
    /// The user is unknown, or the user database cannot be read.
    pub fn of_user(user: &str) -> Result<Self, FileError> {
        match User::from_name(user) {
            Ok(Some(found)) => Ok(Self { uid: found.uid.as_raw(), gid: found.gid.as_raw() }),
            Ok(None) => Err(FileError::NoUser { user: user.to_owned() }),
            Err(source) => Err(FileError::Lookup { user: user.to_owned(), source }),
        }
    }
}

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Replaces `path` by a file with exactly these bytes, this mode and this owner.
///
/// # Errors
/// The step that failed; the old file is then untouched and no temporary file is left.
pub fn write_atomic(
    path: &Path,
    contents: &[u8],
    mode: u32,
    owner: Option<FileOwner>,
) -> Result<(), FileError> {
    PreparedFile::new(path, contents, mode, owner)?.put()
}

/// A file that is whole on the disk, beside the place that it is for: of several that belong together
/// none takes its place before there was room for all. Dropped, it is gone.
#[derive(Debug)]
pub struct PreparedFile {
    path: PathBuf,
    folder: PathBuf,
    temporary: PathBuf,
}

impl PreparedFile {
    /// Writes it.
    ///
    /// # Errors
    /// The step that failed; no temporary file is left.
    pub fn new(
        path: &Path,
        contents: &[u8],
        mode: u32,
        owner: Option<FileOwner>,
    ) -> Result<Self, FileError> {
        let no_file = || FileError::NoFile { path: path.to_owned() };
        let name = path.file_name().ok_or_else(no_file)?.to_string_lossy();
        let folder = match path.parent().ok_or_else(no_file)? {
            // A bare name is one of this folder.
            none if none.as_os_str().is_empty() => Path::new("."),
            folder => folder,
        };
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!(".{name}.{}.{serial}.tmp", std::process::id()));
        let prepared = Self { path: path.to_owned(), folder: folder.to_owned(), temporary };
        write_new(&prepared.temporary, contents, mode, owner)?;
        Ok(prepared)
    }

    /// Puts it into its place.
    ///
    /// # Errors
    /// The step that failed; before the last one the old file is untouched.
    pub fn put(self) -> Result<(), FileError> {
        let path = &self.path;
        step("rename to", path, std::fs::rename(&self.temporary, path))?;
        let folder = File::open(&self.folder);
        step("sync the folder of", path, folder.and_then(|folder| folder.sync_all()))
    }
}

impl Drop for PreparedFile {
    fn drop(&mut self) {
        // It has its place, or was never made: then there is nothing to remove.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

fn write_new(
    path: &Path,
    contents: &[u8],
    mode: u32,
    owner: Option<FileOwner>,
) -> Result<(), FileError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = step("create", path, opened)?;
    if let Some(owner) = owner {
        let changed = nix::unistd::fchown(
            &file,
            Some(Uid::from_raw(owner.uid)),
            Some(Gid::from_raw(owner.gid)),
        );
        step("change the owner of", path, changed.map_err(std::io::Error::from))?;
    }
    step("set the mode of", path, file.set_permissions(Permissions::from_mode(mode)))?;
    step("write", path, file.write_all(contents))?;
    step("sync", path, file.sync_all())
}

/// Makes a folder and those above it, and gives the last one this mode and owner.
///
/// # Errors
/// The step that failed.
pub fn make_folder(path: &Path, mode: u32, owner: Option<FileOwner>) -> Result<(), FileError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    step("create the folder", path, made)?;
    let own = FileOwner { uid: Uid::effective().as_raw(), gid: Gid::effective().as_raw() };
    let found = step("look at", path, std::fs::metadata(path))?.uid();
    // One that an earlier release gave to another user is taken back.
    if let Some(owner) = owner.or((found != own.uid).then_some(own)) {
        let changed = std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid));
        step("change the owner of", path, changed)?;
    }
    step("set the mode of", path, std::fs::set_permissions(path, Permissions::from_mode(mode)))
}

fn step<T>(step: &'static str, path: &Path, result: std::io::Result<T>) -> Result<T, FileError> {
    result.map_err(|source| FileError::Io { step, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_mode_is_the_one_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        for mode in [0o600, 0o640, 0o644] {
            let path = folder.path().join(format!("file-{mode:o}"));
            write_atomic(&path, b"x", mode, None).unwrap();
            assert_eq!(mode_of(&path), mode);
        }
    }

    #[test]
    fn a_second_write_replaces_content_and_mode_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.key");
        write_atomic(&path, b"first and longer", 0o644, None).unwrap();
        write_atomic(&path, b"second", 0o600, None).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(mode_of(&path), 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_keeps_the_old_file_and_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), b"kept").unwrap();
        let error = write_atomic(&path, b"x", 0o600, None).unwrap_err();
        assert!(error.to_string().starts_with("cannot rename to"), "{error}");
        assert_eq!(std::fs::read(path.join("inside")).unwrap(), b"kept");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_to_be_our_own_is_taken_back_from_another_user() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tls");
        std::fs::create_dir(&path).unwrap();
        // Who is not root has no other user's folder to begin with.
        if Uid::effective().is_root() {
            std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
        }
        make_folder(&path, 0o755, None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().uid(), Uid::effective().as_raw());
        assert_eq!(mode_of(&path), 0o755);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = write_atomic(Path::new("/nonexistent/x"), b"", 0o600, None).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/"), "{error}");
        assert!(write_atomic(Path::new("/"), b"", 0o600, None).is_err());
        assert!(write_atomic(Path::new("/"), b"", 0o600, None).is_err());
    }

    #[test]
    fn readers_see_the_old_or_the_new_file_and_never_a_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.json");
        let texts = ["a".repeat(4000), "b".repeat(9000)];
        write_atomic(&path, texts[0].as_bytes(), 0o644, None).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0..40 {
                    write_atomic(&path, texts[turn % 2].as_bytes(), 0o644, None).unwrap();
                }
            });
            for _ in 0..400 {
                let seen = std::fs::read_to_string(&path).unwrap();
                assert!(texts.contains(&seen), "saw {} bytes", seen.len());
            }
        });
    }

    #[test]
    fn a_folder_gets_its_mode_also_when_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        make_folder(&path, 0o755, None).unwrap();
        make_folder(&path, 0o700, None).unwrap();
        assert_eq!(mode_of(&path), 0o700);
    }

    #[test]
    fn an_unknown_user_is_named() {
        let error = FileOwner::of_user("no-such-user-here").unwrap_err();
        assert!(error.to_string().contains("no-such-user-here"));
        assert_eq!(FileOwner::of_user("root").unwrap(), FileOwner { uid: 0, gid: 0 });
    }
}
