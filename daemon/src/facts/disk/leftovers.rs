//! What killed writes have left in the state folder: temporary files that nobody will ever rename.
//!
//! Promises: removes what bears exactly a name that the writer gives, in its own folders, and
//! nothing else; follows no link. Each temporary may hold a key, and a gateway that is killed again
//! and again would fill its disk. (The clock's one temporary has a fixed name, written over.)

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir};

use super::DiskWriter;

/// How temporary names begin; so many letters and digits follow.
const PREFIX: &str = ".tmp";
const RANDOM: usize = 6;

/// Where the writer works below the state folder, besides the folders of the federations.
const FOLDERS: [&str; 5] = ["", "records", "trust", "trust/drafts", "invitations"];
const FEDERATIONS: &str = "federations";

/// A file that takes its place later.
pub(super) fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    Builder::new().prefix(PREFIX).rand_bytes(RANDOM).tempfile_in(folder)
}

/// A folder that takes its place later; only files go into it.
pub(super) fn temporary_folder(folder: &Path) -> io::Result<TempDir> {
    Builder::new().prefix(PREFIX).rand_bytes(RANDOM).tempdir_in(folder)
}

/// Removes what is left below the state folder, in the writer's turn: none of it is being written.
pub(crate) async fn remove_all(state_folder: PathBuf, disk: &DiskWriter) {
    let removing = move |_: &mut dyn super::Disk| {
        let removed = remove_in(&state_folder);
        if removed > 0 {
            let folder = state_folder.display();
            tracing::info!(%folder, removed, "removed what killed writes have left");
        }
    };
    if let Err(error) = disk.run(removing).await {
        tracing::warn!(%error, "what killed writes have left is not removed");
    }
}

/// How many files and folders were removed.
fn remove_in(state_folder: &Path) -> usize {
    let federations = state_folder.join(FEDERATIONS);
    let mut folders: Vec<_> = FOLDERS.iter().map(|below| state_folder.join(below)).collect();
    let entries = entries(&federations).into_iter();
    folders.extend(entries.filter(is_folder).map(|entry| entry.path()));
    let files: usize = folders.iter().map(|folder| remove_files(folder)).sum();
    let left = self::entries(&federations).into_iter();
    let left = left.filter(|entry| is_folder(entry) && is_temporary(&entry.file_name()));
    files + left.filter(|entry| is_done(&entry.path(), remove_folder(&entry.path()))).count()
}

fn remove_files(folder: &Path) -> usize {
    let is_file = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    let left = entries(folder).into_iter();
    let left = left.filter(|entry| is_temporary(&entry.file_name()) && is_file(entry));
    left.filter(|entry| is_done(&entry.path(), std::fs::remove_file(entry.path()))).count()
}

/// Its files, which nobody has seen yet, and then itself: not what the writer does not put there.
fn remove_folder(folder: &Path) -> io::Result<()> {
    for name in super::federation::PAIR {
        match std::fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::remove_dir(folder)
}

fn is_done(path: &Path, removed: io::Result<()>) -> bool {
    if let Err(error) = &removed {
        tracing::warn!(path = %path.display(), %error, "cannot remove what a killed write has left");
    }
    removed.is_ok()
}

/// True for a name that only this gateway's writer gives.
pub(super) fn is_temporary(name: &OsStr) -> bool {
    let random = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
    random.is_some_and(|rest| {
        rest.len() == RANDOM && rest.bytes().all(|letter| letter.is_ascii_alphanumeric())
    })
}

fn is_folder(entry: &std::fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}

/// What lies in a folder; one that cannot be read is none to be cleared.
fn entries(folder: &Path) -> Vec<std::fs::DirEntry> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::disk::writer;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            entries(folder).iter().map(|e| e.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_a_killed_writer_left_goes_wherever_it_writes() {
        let state = tempfile::tempdir().unwrap();
        let federation = state.path().join("federations/health-eu");
        std::fs::create_dir_all(&federation).unwrap();
        for below in FOLDERS {
            let folder = state.path().join(below);
            std::fs::create_dir_all(&folder).unwrap();
            temporary_file(&folder).unwrap().keep().unwrap();
        }
        temporary_file(&federation).unwrap().keep().unwrap();
        let pair = temporary_folder(&state.path().join(FEDERATIONS)).unwrap().keep();
        std::fs::write(pair.join("ca.key"), "secret").unwrap();
        temporary_file(&pair).unwrap().keep().unwrap();
        remove_all(state.path().to_owned(), &writer()).await;
        assert_eq!(names(state.path()), ["federations", "invitations", "records", "trust"]);
        assert_eq!(names(&state.path().join("trust")), ["drafts"]);
        for below in ["records", "trust/drafts", "invitations", "federations/health-eu"] {
            assert!(names(&state.path().join(below)).is_empty(), "{below}");
        }
        assert_eq!(names(&state.path().join(FEDERATIONS)), ["health-eu"]);
    }

    #[test]
    fn nothing_goes_that_the_writer_did_not_name() {
        let state = tempfile::tempdir().unwrap();
        let others = [".tmp", ".tmp12345", ".tmp1234567", ".tmp12.456", "tmp123456", ".TMP123456"];
        for name in others.into_iter().chain(["wireguard.key", "clock.bad1", "x.tmp123456"]) {
            std::fs::write(state.path().join(name), "kept").unwrap();
        }
        std::fs::create_dir(state.path().join(".tmp123456")).unwrap();
        std::os::unix::fs::symlink("clock.bad1", state.path().join(".tmpabcdef")).unwrap();
        std::fs::create_dir(state.path().join("mine")).unwrap();
        std::fs::write(state.path().join("mine/.tmp123456"), "kept").unwrap();
        let pair = state.path().join("federations/.tmpABCDEF");
        std::fs::create_dir_all(&pair).unwrap();
        std::fs::write(pair.join("notes"), "kept").unwrap();
        let before = names(state.path());
        assert_eq!(remove_in(state.path()), 0);
        assert_eq!(names(state.path()), before);
        assert!(state.path().join("mine/.tmp123456").exists() && pair.join("notes").exists());
    }
}
