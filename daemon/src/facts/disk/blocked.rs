//! The zones that this gateway has blocked: one name in each line of `blocked`.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use zonemesh_core::name::ZoneName;

use super::{Write, regular};

/// The file of blocked zones.
pub(crate) struct BlockedFile(PathBuf);

impl BlockedFile {
    pub(crate) fn new(state_folder: &Path) -> Self {
        Self(state_folder.join("blocked"))
    }

    /// The zones; a line that is no name blocks nobody and is said.
    pub(crate) fn read(&self) -> io::Result<BTreeSet<ZoneName>> {
        let text = match regular::read_text(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            text => text?,
        };
        let mut zones = BTreeSet::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.parse() {
                Ok(zone) => drop(zones.insert(zone)),
                Err(error) => tracing::warn!(
                    file = %self.0.display(), line, %error, "this line blocks nobody"
                ),
            }
        }
        Ok(zones)
    }

    /// The list with exactly these.
    pub(crate) fn write(&self, zones: &BTreeSet<ZoneName>) -> Write {
        let lines: String = zones.iter().map(|zone| format!("{zone}\n")).collect();
        Write::replace(self.0.clone(), lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::disk::{FileSystem, write_all};

    #[test]
    fn a_block_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = BlockedFile::new(folder.path());
        assert!(file.read().unwrap().is_empty());
        let zones = BTreeSet::from(["madrid".parse().unwrap(), "paris".parse().unwrap()]);
        write_all(&mut FileSystem, &[file.write(&zones)]).unwrap();
        assert_eq!(file.read().unwrap(), zones);
    }
}
