//! The zones that this gateway has blocked: one name in each line of `blocked`.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zonemesh_core::finding::{Code, Evidence, Finding, Severity, Subject};
use zonemesh_core::name::ZoneName;

use super::{Write, regular};

/// Reasons that are told at one time.
const REASONS: usize = 3;
/// What helps where a line blocks nobody.
const MEND: &str = "this blocks nobody: `zonemesh zone block` the zones that were meant, which \
    writes the file anew";

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockedZones {
    pub(crate) zones: BTreeSet<ZoneName>,
    /// What in it names no zone, or why it cannot be read.
    pub(crate) unusable: Vec<String>,
}

/// The file of blocked zones.
pub(crate) struct BlockedFile(PathBuf);

impl BlockedFile {
    pub(crate) fn new(state_folder: &Path) -> Self {
        Self(state_folder.join("blocked"))
    }

    /// The zones; a line that is no name blocks nobody and is said.
    pub(crate) fn read(&self) -> BlockedZones {
        let mut read = BlockedZones::default();
        let bytes = match regular::read(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return read,
            Err(error) => {
                read.unusable.push(error.to_string());
                return read;
            }
            Ok(bytes) => bytes,
        };
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let line = String::from_utf8_lossy(line);
            match line.trim() {
                "" => {}
                name => match name.parse() {
                    Ok(zone) => drop(read.zones.insert(zone)),
                    Err(error) => read.unusable.push(format!("line {number}: {error}")),
                },
            }
        }
        read
    }

    /// What findings about it are about.
    pub(crate) fn subject(&self) -> Subject {
        Subject::File(self.0.display().to_string())
    }

    /// What cannot be used in it: one finding, with the first reasons.
    pub(crate) fn trouble(&self, unusable: &[String]) -> Option<Finding> {
        let found = Finding::new(Code::FileUnusable, self.subject());
        let found = found.severity(Severity::Degraded).fix(MEND);
        let reasons = unusable.iter().take(REASONS).cloned().map(Evidence::Reason);
        (!unusable.is_empty()).then(|| reasons.fold(found, Finding::with))
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
        assert_eq!(file.read(), BlockedZones::default());
        let zones = BTreeSet::from(["madrid".parse().unwrap(), "paris".parse().unwrap()]);
        write_all(&mut FileSystem, &[file.write(&zones)]).unwrap();
        assert_eq!(file.read(), BlockedZones { zones, unusable: Vec::new() });
        assert_eq!(file.trouble(&[]), None);
    }

    #[test]
    fn a_line_that_is_no_text_blocks_nobody_and_keeps_no_other_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = BlockedFile::new(folder.path());
        std::fs::write(folder.path().join("blocked"), b"madrid\n\xff\xfe\nparis\r\n").unwrap();
        let BlockedZones { zones, unusable } = file.read();
        assert_eq!(zones, BTreeSet::from(["madrid".parse().unwrap(), "paris".parse().unwrap()]));
        let told = file.trouble(&unusable).unwrap();
        assert!(told.severity.is_alarming() && told.to_string().contains("line 2"), "{told}");
        std::fs::remove_file(folder.path().join("blocked")).unwrap();
        std::fs::create_dir(folder.path().join("blocked")).unwrap();
        assert_eq!(file.read().unusable.len(), 1);
    }
}
