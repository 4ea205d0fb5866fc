//! Where the binaries under test are.
//!
//! Owns the one rule that finds them: `ZONEMESH_BIN_DIR`, else the profile folder of the running
//! program (`target/debug`, `target/release`). Those of the release before this one lie where
//! `netns-tests/older.sh` puts them. Refuses to build anything.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Path of a built binary such as `zonemeshd`.
///
/// # Errors
/// When it was not built; the message names the command that builds it.
pub fn find(name: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    if !path.is_file() {
        bail!(
            "{} is missing -> cargo build --workspace --bins (or set ZONEMESH_BIN_DIR)",
            path.display()
        );
    }
    Ok(path)
}

/// The folder of the programs of an earlier release.
///
/// # Errors
/// When they were not built; the message names the command that builds them.
pub fn release(version: &str) -> Result<PathBuf> {
    let older = match std::env::var_os("ZONEMESH_OLDER_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => profile_folder()?.parent().unwrap_or(Path::new("/")).join("older"),
    };
    let folder = older.join(version);
    if !folder.join("zonemeshd").is_file() {
        bail!(
            "release {version} is not in {} -> netns-tests/older.sh target {version} (or set \
             ZONEMESH_OLDER_DIR)",
            folder.display()
        );
    }
    Ok(folder)
}

fn folder() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("ZONEMESH_BIN_DIR") {
        return Ok(PathBuf::from(dir));
    }
    profile_folder()
}

fn profile_folder() -> Result<PathBuf> {
    let me = std::env::current_exe().context("cannot tell where this program is")?;
    let dir = me.parent().unwrap_or(Path::new("/"));
    // Test programs lie in `deps`, one folder below the binaries.
    if dir.ends_with("deps") {
        Ok(dir.parent().unwrap_or(dir).to_path_buf())
    } else {
        Ok(dir.to_path_buf())
    }
}
