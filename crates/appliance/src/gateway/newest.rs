//! The newest authority set that a gateway has shown here, kept over restarts.
//!
//! Promises that it is on disk before anybody goes on, and that a damaged file is told and never
//! taken for none: it is what keeps a removed signing key from posing as the zone.
//! The file: the mesh id, a space, the hash of the set, both in hexadecimal digits.

use std::path::{Path, PathBuf};

use zonemesh_core::membership::SetHash;
use zonemesh_core::mesh::MeshId;

use super::pin::SetFile;
use crate::files::{FileError, write_atomic};

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum NewestSetError {
    /// The system does not give the file.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Something else stands in it.
    #[error(
        "{} holds no mesh id and authority set: restore it, or remove it if no authority key was ever removed from this mesh",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be kept.
    #[error(transparent)]
    Write(#[from] FileError),
}

/// A set with its mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SeenSet {
    mesh: MeshId,
    head: SetHash,
}

/// The newest set, as the file has it.
pub(super) struct NewestSet {
    file: SetFile,
    seen: Option<SeenSet>,
}

impl NewestSet {
    pub(super) fn new(file: SetFile) -> Self {
        Self { file, seen: None }
    }

    /// The newest one of this mesh; one of another mesh is none.
    pub(super) fn of(&mut self, mesh: &MeshId) -> Result<Option<SetHash>, NewestSetError> {
        if self.seen.is_none() {
            let (SetFile::Kept(path) | SetFile::Read(path)) = &self.file;
            self.seen = read(path)?;
        }
        let seen = self.seen.as_ref().filter(|seen| seen.mesh == *mesh);
        Ok(seen.map(|seen| seen.head))
    }

    /// Keeps a newer one; `plan` keeps nothing.
    pub(super) fn keep(&mut self, mesh: &MeshId, head: SetHash) -> Result<(), NewestSetError> {
        let next = SeenSet { mesh: mesh.clone(), head };
        if self.seen.as_ref() == Some(&next) {
            return Ok(());
        }
        if let SetFile::Kept(path) = &self.file {
            let digits: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = format!("{mesh} {digits}\n");
            write_atomic(path, text.as_bytes(), 0o600, None)?;
        }
        self.seen = Some(next);
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<SeenSet>, NewestSetError> {
    let damaged = || NewestSetError::Damaged { path: path.to_owned() };
    let text = match std::fs::read(path) {
        Ok(text) => String::from_utf8(text).ok().ok_or_else(damaged)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(NewestSetError::Read { path: path.to_owned(), source }),
    };
    let (mesh, head) = text.trim_end().split_once(' ').ok_or_else(damaged)?;
    let mesh = MeshId::new(mesh);
    let is_hash = MeshId::new(head).is_managed();
    if !mesh.is_managed() || !is_hash {
        return Err(damaged());
    }
    let digits: Vec<u8> = head.bytes().map(digit).collect();
    Ok(Some(SeenSet {
        mesh,
        head: std::array::from_fn(|i| digits[2 * i] << 4 | digits[2 * i + 1]),
    }))
}

/// Of what `is_managed` has found to be digits in lower case.
const fn digit(text: u8) -> u8 {
    if text <= b'9' { text - b'0' } else { text - b'a' + 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_set_outlives_a_restart_and_is_of_one_mesh() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority-set");
        let kept = || NewestSet::new(SetFile::Kept(path.clone()));
        let [mesh, other] = ["ab", "cd"].map(|text| MeshId::new(text.repeat(32)));
        let mut newest = kept();
        assert_eq!(newest.of(&mesh).unwrap(), None);
        newest.keep(&mesh, [0x9f; 32]).unwrap();
        assert_eq!(newest.of(&mesh).unwrap(), Some([0x9f; 32]));
        assert_eq!(kept().of(&mesh).unwrap(), Some([0x9f; 32]));
        assert_eq!(kept().of(&other).unwrap(), None);
        let mut looking = NewestSet::new(SetFile::Read(path.clone()));
        assert_eq!(looking.of(&mesh).unwrap(), Some([0x9f; 32]));
        looking.keep(&mesh, [1; 32]).unwrap();
        assert_eq!(kept().of(&mesh).unwrap(), Some([0x9f; 32]), "a plan changes nothing");
    }

    #[test]
    fn a_damaged_file_is_told_and_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authority-set");
        for text in ["", "x", &"ab".repeat(32), &format!("{} {}", "ab".repeat(32), "AB".repeat(32))]
        {
            std::fs::write(&path, text).unwrap();
            let mut newest = NewestSet::new(SetFile::Kept(path.clone()));
            let error = newest.of(&MeshId::new("ab".repeat(32))).unwrap_err();
            assert!(error.to_string().contains("authority-set"), "{error}");
        }
    }
}
