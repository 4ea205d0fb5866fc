//! The state folder: made where it is missing, closed to others if it is ours, and never somebody
//! else's. One daemon works in it at a time.
//!
//! Promises: a folder that everybody may write is refused, as nothing in it could be believed; one that
//! cannot be written, or that another user owns, is worked in, and [`look`] says what it is.

use std::fs::{Metadata, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::statvfs::statvfs;
use nix::unistd::AccessFlags;

use super::{Together, leftovers};
use crate::failure::{Exit, Failure, OrExit as _};

/// What stands in a state folder, keys that were put there before the first start included. The
/// journals never stand alone, and `/var/log` has an `audit` too.
const OWN_NAMES: [&str; 10] = [
    "blocked",
    "clock",
    "federations",
    "invitations",
    "local-api.key",
    "mesh",
    "records",
    "trust",
    "wireguard.key",
    "zone.key",
];

/// True if the folder holds something and nothing of a gateway: `/etc`, named by mistake, must not be
/// closed to all others.
fn is_foreign(folder: &Path) -> io::Result<bool> {
    let mut holds_something = false;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        if OWN_NAMES.iter().any(|own| name == *own) || leftovers::is_temporary(&name) {
            return Ok(false);
        }
        // A file system of its own has that from the start.
        holds_something |= name != "lost+found";
    }
    Ok(holds_something)
}

/// The right to work in a state folder, for as long as it lives and no longer than this process.
pub(crate) struct FolderLock {
    /// Locked by itself: no file is left behind that others would have to know.
    _folder: std::fs::File,
}

impl FolderLock {
    fn take(folder: &Path) -> io::Result<Self> {
        let held = std::fs::File::open(folder)?;
        match held.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
            // Not every file system can: that is no reason not to run.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(folder = %folder.display(), %error, "the state folder cannot be locked");
            }
            Ok(()) => {}
        }
        Ok(Self { _folder: held })
    }
}

/// Folders below it that are written in.
const FOLDERS: [&str; 3] = ["records", "trust", "invitations"];
/// Files that lines are added to.
const APPENDED: [&str; 2] = ["events", "audit"];

/// How a state folder is found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FolderState {
    /// Why nothing can be written there; empty if it can be.
    pub(crate) unwritable: String,
    /// Who else can open it; empty if nobody can.
    pub(crate) open_to: String,
}

/// How the state folder is now.
pub(crate) fn look(folder: &Path) -> FolderState {
    let right = AccessFlags::W_OK | AccessFlags::X_OK;
    let unwritable = nix::unistd::eaccess(folder, right).err().or_else(|| full(folder));
    let unwritable = unwritable.map(|error| error.desc().to_owned());
    FolderState {
        unwritable: unwritable.or_else(|| unwritable_part(folder)).unwrap_or_default(),
        open_to: std::fs::metadata(folder).map(|found| open_to(&found)).unwrap_or_default(),
    }
}

/// A folder in it, or a file that is written where it lies, that this daemon cannot write.
fn unwritable_part(folder: &Path) -> Option<String> {
    let folders = FOLDERS.map(|name| (name, AccessFlags::W_OK | AccessFlags::X_OK));
    let files = APPENDED.map(|name| (name, AccessFlags::W_OK));
    folders.into_iter().chain(files).find_map(|(name, right)| {
        match nix::unistd::eaccess(&folder.join(name), right) {
            Ok(()) | Err(Errno::ENOENT) => None,
            Err(error) => Some(format!("{name}: {}", error.desc())),
        }
    })
}

/// Neither a block is left for what is written there nor, where they are counted, a file. A gateway
/// that has nothing to write would not notice until somebody wants a change.
fn full(folder: &Path) -> Option<Errno> {
    let disk = statvfs(folder).ok()?;
    let blocks = match nix::unistd::geteuid().is_root() {
        true => disk.blocks_free(),
        false => disk.blocks_available(),
    };
    let is_full =
        disk.blocks() > 0 && blocks == 0 || disk.files() > 0 && disk.files_available() == 0;
    is_full.then_some(Errno::ENOSPC)
}

fn open_to(found: &Metadata) -> String {
    match (found.mode() & 0o007, found.mode() & 0o070) {
        (0, 0) => String::new(),
        (0, _) => format!("group {}", found.gid()),
        _ => "everybody".to_owned(),
    }
}

/// Closes a folder of this daemon's to others; another user's stays as that user wants it, unless
/// everybody may write there.
fn close(folder: &Path) -> io::Result<()> {
    let found = std::fs::metadata(folder)?;
    let is_ours = found.uid() == nix::unistd::geteuid().as_raw();
    if found.mode() & 0o002 != 0 {
        let reason = "everybody may write there; run: chmod o-w";
        return Err(io::Error::other(format!("{reason} {}", folder.display())));
    }
    if !is_ours || found.mode() & 0o077 == 0 {
        return Ok(());
    }
    let closed = std::fs::set_permissions(folder, Permissions::from_mode(0o700));
    match closed {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        closed => closed,
    }
}

/// Makes the state folder if it is missing, keeps others out of it, takes it for this daemon and
/// finishes what was being written.
pub(crate) fn open_folder(folder: &Path) -> Result<FolderLock, Failure> {
    let message = || {
        format!(
            "cannot use the state folder {} (gateway.state_dir): it must be a folder that zonemeshd may write",
            folder.display()
        )
    };
    super::make_folder(folder).or_exit(Exit::Configuration, message)?;
    if is_foreign(folder).or_exit(Exit::Configuration, message)? {
        return Err(Failure::new(
            Exit::Configuration,
            format!(
                "the state folder {} (gateway.state_dir) holds files of others and none of a gateway: name an empty folder, or one that is not there yet",
                folder.display()
            ),
        ));
    }
    close(folder).or_exit(Exit::Configuration, message)?;
    let lock = match FolderLock::take(folder) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(Failure::new(
            Exit::Configuration,
            format!(
                "another zonemeshd works in the state folder {} (gateway.state_dir): stop it, or give this gateway a folder of its own",
                folder.display()
            ),
        )),
        taken => taken.or_exit(Exit::Configuration, message),
    }?;
    match Together::new(folder).finish() {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            tracing::warn!(%error, "what was being written at the last stop stays unfinished");
        }
        finished => finished.or_exit(Exit::Configuration, message)?,
    }
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_that_is_made_is_closed_whatever_the_umask() {
        let above = tempfile::tempdir().unwrap();
        let state = above.path().join("state");
        let _lock = open_folder(&state).unwrap();
        super::super::records::RecordFiles::open(&state).unwrap();
        super::super::trust::TrustFiles::open(&state).unwrap();
        let folders = [state.clone(), state.join("records"), state.join("trust")];
        for folder in folders {
            let mode = std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o700, "{}", folder.display());
        }
    }

    #[test]
    fn a_folder_of_others_or_of_another_daemon_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let shared = folder.path().join("etc");
        std::fs::create_dir(&shared).unwrap();
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(shared.join("passwd"), "root").unwrap();
        std::fs::create_dir(shared.join("audit")).unwrap();
        let refused = format!("{:?}", open_folder(&shared).err().unwrap());
        assert!(refused.contains("holds files of others"), "{refused}");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&shared), 0o755);
        let first = open_folder(&folder.path().join("own")).unwrap();
        let second = format!("{:?}", open_folder(&folder.path().join("own")).err().unwrap());
        assert!(second.contains("another zonemeshd works in the state folder"), "{second}");
        drop(first);
        open_folder(&folder.path().join("own")).unwrap();
        let killed = leftovers::temporary_file(&shared).unwrap().keep().unwrap();
        open_folder(&shared).unwrap();
        std::fs::remove_file(killed.1).unwrap();
        std::fs::write(shared.join("zone.key"), "put there before the first start").unwrap();
        open_folder(&shared).unwrap();
        assert_eq!(mode(&shared), 0o700);
        let everybodys = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(&shared, everybodys).unwrap();
        let refused = format!("{:?}", open_folder(&shared).err().unwrap());
        assert!(refused.contains("everybody may write there; run: chmod o-w"), "{refused}");
        assert_eq!((mode(&shared), look(&shared).open_to.as_str()), (0o777, "everybody"));
        let own_disk = folder.path().join("disk");
        std::fs::create_dir_all(own_disk.join("lost+found")).unwrap();
        open_folder(&own_disk).unwrap();
        assert_eq!(look(&own_disk), FolderState::default());
        let missing = look(&folder.path().join("missing"));
        assert_eq!(missing.unwritable, "No such file or directory");
    }
}
