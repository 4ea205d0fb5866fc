//! What a companion is going to do, as data: files to write and the program to run.
//!
//! It promises that a plan can be printed: the contents of files are in it only by their purpose, so
//! no secret is. It refuses to compute a plan: that is each companion's `plan`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::files::{FileError, Owner, make_folder, write_atomic};
use crate::runner::child::Program;

/// A folder to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedFolder {
    /// Absolute path.
    pub path: PathBuf,
    /// Permission bits.
    #[serde(serialize_with = "octal")]
    pub mode: u32,
    /// Whom it belongs to; the companion's own user if not given.
    pub owner: Option<Owner>,
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
    pub owner: Option<Owner>,
    /// What it is for.
    pub purpose: &'static str,
    /// Its bytes, never printed.
    #[serde(skip)]
    pub contents: Zeroizing<Vec<u8>>,
}

/// Folders, files, then the program.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Made first, in this order.
    pub folders: Vec<PlannedFolder>,
    /// Written next, in this order.
    pub files: Vec<PlannedFile>,
    /// Run last.
    pub program: Program,
}

impl Plan {
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

/// Where things are in a companion's state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The folder itself.
    pub root: PathBuf,
}

impl Layout {
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

    /// The folders, the innermost with the owner that Flower runs as.
    #[must_use]
    pub fn folders(&self, owner: Option<Owner>) -> Vec<PlannedFolder> {
        let folder =
            |path: &Path, mode, owner| PlannedFolder { path: path.to_owned(), mode, owner };
        vec![
            folder(&self.root, 0o755, None),
            folder(&self.shim(), 0o755, None),
            folder(&self.log(), 0o750, None),
            folder(&self.tls(), 0o750, owner),
            folder(&self.flower(), 0o700, owner),
        ]
    }

    /// The shim's file.
    #[must_use]
    pub fn shim_file(&self) -> PlannedFile {
        PlannedFile {
            path: self.shim().join("sitecustomize.py"),
            mode: 0o644,
            owner: None,
            purpose: "keepalive shim",
            contents: Zeroizing::new(crate::flower::SHIM.as_bytes().to_vec()),
        }
    }
}

fn octal<S: serde::Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{mode:04o}"))
}
