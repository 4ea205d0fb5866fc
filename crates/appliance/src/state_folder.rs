//! Where things are in a companion's state folder.
//!
//! It promises one place for each path. It refuses to make any of them: that is the plan's.
//! Specification: *State of a companion* in docs/REFERENCE.md.

use std::path::{Path, PathBuf};

/// A companion's own folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFolder {
    root: PathBuf,
}

impl StateFolder {
    /// The folder of `ONEAPP_ZONEMESH_STATE_DIR`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Home of the Flower process: its database, its FLWR_HOME.
    #[must_use]
    pub fn flower(&self) -> PathBuf {
        self.root.join("flower")
    }

    /// Certificates and keys.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// The keepalive shim.
    #[must_use]
    pub fn shim(&self) -> PathBuf {
        self.root.join("shim")
    }

    /// Flower's output.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The newest authority set that a gateway has shown.
    #[must_use]
    pub fn authority_set(&self) -> PathBuf {
        self.root.join("authority-set")
    }

    /// What the companion says about itself.
    #[must_use]
    pub fn status_file(&self) -> PathBuf {
        self.root.join("status.json")
    }
}
