//! Where the binaries under test are.
//!
//! Owns the one rule that finds them: `ZONEMESH_BIN_DIR`, else the profile folder of the running
//! program (`target/debug`, `target/release`). Refuses to build anything.

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

fn folder() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("ZONEMESH_BIN_DIR") {
        return Ok(PathBuf::from(dir));
    }
    let me = std::env::current_exe().context("cannot tell where this program is")?;
    let dir = me.parent().unwrap_or(Path::new("/"));
    // Test programs lie in `deps`, one folder below the binaries.
    if dir.ends_with("deps") {
        Ok(dir.parent().unwrap_or(dir).to_path_buf())
    } else {
        Ok(dir.to_path_buf())
    }
}
