//! Where things are in a companion's state folder.
//!
//! It promises one place for each path, and one companion in it at a time. It refuses to make any of
//! them: that is the plan's.
//! Specification: *State of a companion* in docs/REFERENCE.md.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::files::FileError;

/// The right to work in a state folder, for as long as it lives and no longer than this process.
pub struct CompanionLock {
    _folder: File,
}

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

    /// Takes the folder, which must be there, for this process.
    ///
    /// # Errors
    /// [`FileError::Taken`] if another one has it; it cannot be opened.
    pub fn lock(&self) -> Result<CompanionLock, FileError> {
        let path = || self.root.clone();
        let opened = File::open(&self.root);
        let folder =
            opened.map_err(|source| FileError::Io { step: "open", path: path(), source })?;
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(FileError::Taken { path: path() }),
            // Not every file system can: that is no reason not to run.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(folder = %self.root.display(), %error, "the state folder cannot be locked");
            }
            Ok(()) => {}
        }
        Ok(CompanionLock { _folder: folder })
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

    /// The key that Flower knows this VM's SuperNode by.
    #[must_use]
    pub fn node_key(&self) -> PathBuf {
        self.tls().join("supernode.key")
    }

    /// Which SuperNode has which number at this VM's SuperLink.
    #[must_use]
    pub fn nodes(&self) -> PathBuf {
        self.root.join("supernodes.json")
    }

    /// Home of the `flwr` that registers SuperNodes: apps, which run as Flower's user, write nothing
    /// here.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.root.join("control")
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

    /// Where the gateway was that has proved itself last, if CONTEXT does not say.
    #[must_use]
    pub fn gateway_address(&self) -> PathBuf {
        self.root.join("gateway-address")
    }

    /// Which part of its role's data this VM has, if CONTEXT does not say.
    #[must_use]
    pub fn partition(&self) -> PathBuf {
        self.root.join("partition")
    }

    /// What the companion says about itself.
    #[must_use]
    pub fn status_file(&self) -> PathBuf {
        self.root.join("status.json")
    }
}
