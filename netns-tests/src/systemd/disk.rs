//! What a machine boots from: a release, perhaps an image above it, and folders of this machine that it
//! sees.
//!
//! Promises that nothing of it is ever written to. Refuses to boot.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::rootfs;

/// A disk that any number of machines boot from at the same time.
#[derive(Debug, Clone)]
pub struct MachineDisk {
    release: String,
    image: Option<PathBuf>,
    shared: Vec<SharedFolder>,
}

/// A folder of this machine, at a place in the other one.
#[derive(Debug, Clone)]
struct SharedFolder {
    folder: PathBuf,
    place: String,
}

impl MachineDisk {
    /// A release as it is.
    #[must_use]
    pub fn of(release: &str) -> Self {
        Self { release: release.to_owned(), image: None, shared: Vec::new() }
    }

    /// An image: what [`super::BootedDebian::written`] was of a machine of the same release.
    #[must_use]
    pub fn image(mut self, written: &Path) -> Self {
        self.image = Some(written.to_owned());
        self
    }

    /// With a folder of this machine, to be read.
    #[must_use]
    pub fn with(mut self, folder: &Path, place: &str) -> Self {
        self.shared.push(SharedFolder { folder: folder.to_owned(), place: place.to_owned() });
        self
    }

    pub(super) fn release(&self) -> &str {
        &self.release
    }

    /// The layers, as overlayfs names them.
    pub(super) fn below(&self) -> Result<OsString> {
        let mut below = OsString::new();
        if let Some(image) = &self.image {
            below.push(image);
            below.push(":");
        }
        below.push(rootfs(&self.release)?);
        Ok(below)
    }

    /// What systemd-nspawn is told.
    pub(super) fn binds(&self) -> impl Iterator<Item = String> {
        let bind = |SharedFolder { folder, place }: &SharedFolder| {
            format!("--bind-ro={}:{place}", folder.display())
        };
        self.shared.iter().map(bind)
    }
}
