//! Where Flower is on this machine, and as whom it runs here.
//!
//! Owns the place of the Python environments (that of `netns-tests/flower_cache.sh`) and the user.
//! Promises a user that owns nothing, as Flower has one of its own on the images, wherever the Lab may
//! become another user: in a user namespace there is only one. Refuses to make a user.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::unistd::{User, chown};

use crate::namespace::Namespace;
use crate::privilege::{self, Privilege};

/// A user of every system: no home, no shell, no files.
const NOBODY: &str = "nobody";

/// The environment of a release, which everybody may run who is to run it.
pub(super) fn environment(version: &str, user: Option<&FlowerUser>) -> Result<PathBuf> {
    let folder = cache()?.join(format!("zonemesh/flower-{version}"));
    let there = folder.join("stamp").is_file();
    ensure!(there, "{} is missing -> netns-tests/setup.sh flowers", folder.display());
    // The Python behind it, too: it may be another folder's.
    for place in [folder.clone(), std::fs::canonicalize(folder.join("bin/python"))?] {
        is_open(&place, user).context("-> rm -r it, then netns-tests/setup.sh flowers")?;
    }
    Ok(folder)
}

fn cache() -> Result<PathBuf> {
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME").filter(|cache| !cache.is_empty()) {
        return Ok(PathBuf::from(cache));
    }
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/cache"));
    }
    let home = std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache"))
}

/// Who runs Flower beside root's companions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowerUser {
    user: User,
}

impl FlowerUser {
    /// The user, unless the Lab has only one.
    ///
    /// # Errors
    /// When this process may not make a Lab, or the system has no such user.
    pub fn here() -> Result<Option<Self>> {
        if privilege::current()? == Privilege::UserNamespace {
            return Ok(None);
        }
        let user = User::from_name(NOBODY)?;
        let user = user.with_context(|| format!("this system has no user {NOBODY}"))?;
        Ok(Some(Self { user }))
    }

    /// Its name, for `ONEAPP_ZONEMESH_FLOWER_USER`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.user.name
    }

    /// Its number.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.user.uid.as_raw()
    }

    fn command(&self, place: &Namespace, program: &OsStr) -> Command {
        let mut command = place.command("setpriv");
        command
            .args(["--reuid", &self.uid().to_string(), "--regid", &self.user.gid.to_string()])
            // setpriv itself would look the program up with root's rights.
            .args(["--clear-groups", "--no-new-privs", "--", "env"])
            .arg(program);
        command
    }
}

/// A command in a VM as this user.
pub(super) fn command_as(
    user: Option<&FlowerUser>,
    place: &Namespace,
    program: impl AsRef<OsStr>,
) -> Command {
    match user {
        Some(user) => user.command(place, program.as_ref()),
        None => place.command(program),
    }
}

/// Gives a file, or a folder with all that is in it, to this user.
pub(super) fn give(path: &Path, user: Option<&FlowerUser>) -> Result<()> {
    let Some(FlowerUser { user: to }) = user else { return Ok(()) };
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            give(&entry?.path(), user)?;
        }
    }
    chown(path, Some(to.uid), Some(to.gid)).with_context(|| format!("cannot give {path:?} away"))
}

/// Fails where a folder on the way to `path` keeps other users out.
pub(super) fn is_open(path: &Path, user: Option<&FlowerUser>) -> Result<()> {
    let Some(user) = user else { return Ok(()) };
    for folder in path.ancestors() {
        let mode = std::fs::metadata(folder)?.permissions().mode();
        let name = user.name();
        ensure!(
            mode & 0o001 != 0,
            "{} is closed to {name}, who runs Flower here: {mode:04o}",
            folder.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_folder_above_is_named() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let inner = folder.path().join("closed/inner");
        std::fs::create_dir_all(&inner).expect("made");
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        for open in [folder.path(), &folder.path().join("closed"), &inner] {
            set(open, 0o755);
        }
        let nobody = User::from_name(NOBODY).expect("read").expect("there is one");
        let nobody = FlowerUser { user: nobody };
        is_open(&inner, Some(&nobody)).expect("open");
        set(&folder.path().join("closed"), 0o700);
        let error = is_open(&inner, Some(&nobody)).expect_err("closed").to_string();
        assert!(error.contains("closed is closed to nobody") && error.contains("0700"), "{error}");
        is_open(&inner, None).expect("who is the owner gets in");
    }
}
