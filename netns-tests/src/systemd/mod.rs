//! Debian with its systemd in a container, and the packages of Zonemesh in it.
//!
//! Owns which releases are booted (`ZONEMESH_RELEASES`, Debian 12 without it) and where the
//! packages are (`ZONEMESH_PACKAGES`, which `make` sets). Refuses to build either:
//! `netns-tests/rootfs.sh` and `configs/debian/build.sh` do.

mod booted;
mod disk;
mod site;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

pub use booted::BootedDebian;
pub use disk::MachineDisk;
pub use site::{FAILED, Site};

/// The Debian releases to try, by their names.
#[must_use]
pub fn releases() -> Vec<String> {
    let names = std::env::var("ZONEMESH_RELEASES").unwrap_or_else(|_| "bookworm".to_owned());
    names.split_whitespace().map(str::to_owned).collect()
}

/// The package of this name that was built last.
///
/// # Errors
/// When there is none; the message says what makes it.
pub fn package(name: &str) -> Result<PathBuf> {
    let folder = packages()?;
    let start = format!("{name}_");
    let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut found = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        file.starts_with(&start) && file.ends_with(".deb")
    });
    found.next().with_context(|| format!("no {start}*.deb in {} -> make package", folder.display()))
}

/// The folder with the packages.
///
/// # Errors
/// When nobody says which it is.
pub fn packages() -> Result<PathBuf> {
    let folder = std::env::var_os("ZONEMESH_PACKAGES").map(PathBuf::from);
    folder.context("ZONEMESH_PACKAGES is not set -> make test-package")
}

/// What `netns-tests/setup.sh` has put into its cache under this name.
///
/// # Errors
/// When nobody says where the cache is.
pub fn cached(name: &str) -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let folder = cache.context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(folder.join("zonemesh").join(name))
}

/// The root file system of a release.
fn rootfs(release: &str) -> Result<PathBuf> {
    let folder = cached("rootfs")?.join(release);
    ensure!(
        folder.join("usr/bin/systemctl").exists(),
        "{} is missing -> netns-tests/rootfs.sh {release}",
        folder.display()
    );
    Ok(folder)
}
