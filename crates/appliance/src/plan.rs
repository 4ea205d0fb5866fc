//! What a companion is going to do, as data: files to write and the program to run.
//!
//! It promises that a plan can be printed: the contents of files are in it only by their purpose, so
//! no secret is. It refuses to compute a plan: that is each companion's `plan`.

use std::path::PathBuf;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::files::{FileError, FileOwner, make_folder, write_atomic};
use crate::flower::{InstalledFlower, SHIM};
use crate::reason::Reason;
use crate::runner::child::Program;
use crate::state_folder::StateFolder;

/// A folder to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedFolder {
    /// Absolute path.
    pub path: PathBuf,
    /// Permission bits.
    #[serde(serialize_with = "octal")]
    pub mode: u32,
    /// Whom it belongs to; the companion's own user if not given.
    pub owner: Option<FileOwner>,
}

/// A file to write.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PlannedFile {
    /// Absolute path.
    pub path: PathBuf,
    /// Permission bits.
    #[serde(serialize_with = "octal")]
    pub mode: u32,
    /// Whom it belongs to; the companion's own user if not given.
    pub owner: Option<FileOwner>,
    /// What it is for.
    pub purpose: &'static str,
    /// Its bytes, never printed.
    #[serde(skip)]
    pub contents: Zeroizing<Vec<u8>>,
}

/// Folders, files, then the program.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct LaunchPlan {
    /// Made first, in this order.
    pub folders: Vec<PlannedFolder>,
    /// Written next, in this order.
    pub files: Vec<PlannedFile>,
    /// Run last.
    pub program: Program,
}

/// Why Flower would not be started now, as `plan` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrintedReason {
    code: &'static str,
    reason: String,
    fix: String,
}

impl From<&Reason> for PrintedReason {
    fn from(reason: &Reason) -> Self {
        Self { code: reason.code(), reason: reason.to_string(), fix: reason.fix() }
    }
}

impl LaunchPlan {
    /// Makes the folders and writes the files.
    ///
    /// # Errors
    /// The first that failed.
    pub fn write(&self) -> Result<(), FileError> {
        for folder in &self.folders {
            make_folder(&folder.path, folder.mode, folder.owner)?;
        }
        for file in &self.files {
            write_atomic(&file.path, &file.contents, file.mode, file.owner)?;
        }
        Ok(())
    }
}

/// The folders of a companion, the innermost with the owner that Flower runs as.
#[must_use]
pub fn state_folders(state: &StateFolder, owner: Option<FileOwner>) -> Vec<PlannedFolder> {
    let folder = |path: PathBuf, mode, owner| PlannedFolder { path, mode, owner };
    vec![
        folder(state.root().to_owned(), 0o755, None),
        folder(state.shim(), 0o755, None),
        folder(state.log(), 0o750, None),
        // Flower's user reads its files there and cannot put others in their place.
        folder(state.tls(), 0o755, None),
        folder(state.flower(), 0o700, owner),
    ]
}

/// The keepalive shim's file, if this Flower has a use for it.
#[must_use]
pub fn shim_file(state: &StateFolder, flower: InstalledFlower) -> Option<PlannedFile> {
    flower.generation.keepalive().map(|_| PlannedFile {
        path: state.shim().join("sitecustomize.py"),
        mode: 0o644,
        owner: None,
        purpose: "keepalive shim",
        contents: Zeroizing::new(SHIM.as_bytes().to_vec()),
    })
}

fn octal<S: serde::Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}
