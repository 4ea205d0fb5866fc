//! The configuration file: what of it came from CONTEXT, and whether somebody has edited it since.
//!
//! The first line of a file from CONTEXT says so, with a hash of all that follows. It promises that
//! an edited file, or one that was written by hand, is never overwritten, and that CONTEXT counts
//! again once the edit is undone or the file is gone. It refuses to know what the file says.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use nix::unistd::{Group, geteuid};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;
use zonemesh_appliance::files::{FileError, FileOwner, write_atomic};
use zonemesh_context::source::read_regular;

/// How the first line begins.
const MARK: &str = "# Source: CONTEXT (";
/// What stands in it before the hash.
const HASH: &str = ", sha256 of what follows: ";
/// More than this is no configuration.
const MAX_BYTES: u64 = 16 << 20;
/// Who runs the daemon, and reads the file.
const GROUP: &str = "zonemesh";

/// A configuration that CONTEXT asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedFile {
    /// The key that it follows from.
    pub(crate) key: &'static str,
    /// The text below the first line.
    pub(crate) text: String,
}

impl WantedFile {
    /// The whole file.
    pub(crate) fn contents(&self) -> String {
        let Self { key, text } = self;
        format!("{MARK}{key}){HASH}{}\n{text}", hash(text))
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileOutcome {
    /// It was written.
    Written,
    /// It says that already.
    Unchanged,
    /// It came from CONTEXT and was edited, and stays.
    Edited,
    /// Somebody else has written it, and it stays.
    ByHand,
    /// CONTEXT asks for nothing, and what is there stays.
    Kept,
}

impl FileOutcome {
    /// True if CONTEXT asks for something that is not in force.
    pub(crate) const fn is_passed_over(self) -> bool {
        matches!(self, Self::Edited | Self::ByHand)
    }

    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Written => "written from CONTEXT",
            Self::Unchanged => "as CONTEXT asks for",
            Self::Edited => {
                "edited here since it was written from CONTEXT, and stays: CONTEXT counts again once the edit is undone or the file is removed"
            }
            Self::ByHand => "written by hand, and stays: CONTEXT counts once the file is removed",
            Self::Kept => "kept: CONTEXT asks for none",
        }
    }
}

/// Whose a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileOrigin {
    Context,
    Edited,
    Hand,
}

/// Why the file is not as it is wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WrittenError {
    #[error("cannot read {0}")]
    Unreadable(String, #[source] io::Error),
    #[error(transparent)]
    Unwritten(#[from] FileError),
    #[error("cannot look up the group {GROUP}")]
    NoGroups(#[source] nix::Error),
}

/// Has the file say what is wanted, unless somebody else has a hand in it.
pub(crate) fn settle(
    file: &Path,
    wanted: Option<&WantedFile>,
) -> Result<Option<FileOutcome>, WrittenError> {
    let there = match read(file) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(WrittenError::Unreadable(file.display().to_string(), error)),
    };
    let Some(wanted) = wanted else { return Ok(there.map(|_| FileOutcome::Kept)) };
    let contents = wanted.contents();
    let outcome = match there.as_deref().map(Vec::as_slice) {
        Some(there) if there == contents.as_bytes() => FileOutcome::Unchanged,
        // Of an image that wrote it without a first line, and of people who say the same.
        Some(there) if there == wanted.text.as_bytes() => FileOutcome::Written,
        Some(there) => match origin(there) {
            FileOrigin::Context => FileOutcome::Written,
            FileOrigin::Edited => FileOutcome::Edited,
            FileOrigin::Hand => FileOutcome::ByHand,
        },
        None => FileOutcome::Written,
    };
    if outcome == FileOutcome::Written {
        write(file, &contents)?;
    }
    Ok(Some(outcome))
}

/// The text below the first line, of a file from CONTEXT that nobody has edited.
pub(crate) fn of_context(file: &Path) -> Option<String> {
    let there = read(file).ok()?;
    let is_ours = origin(&there) == FileOrigin::Context;
    let text = std::str::from_utf8(&there).ok().filter(|_| is_ours)?;
    text.split_once('\n').map(|(_, rest)| rest.to_owned())
}

/// What stands there now, if that is a file.
pub(crate) fn read(file: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    read_regular(file, MAX_BYTES)
}

/// As the package has it: root writes, the daemon reads. Without its group only root does.
fn write(file: &Path, contents: &str) -> Result<(), WrittenError> {
    let group = Group::from_name(GROUP).map_err(WrittenError::NoGroups)?;
    let group = group.filter(|_| geteuid().is_root());
    let owner = group.map(|group| FileOwner { uid: 0, gid: group.gid.as_raw() });
    let mode = if owner.is_some() { 0o640 } else { 0o600 };
    Ok(write_atomic(file, contents.as_bytes(), mode, owner)?)
}

fn origin(there: &[u8]) -> FileOrigin {
    let Ok(there) = std::str::from_utf8(there) else { return FileOrigin::Hand };
    let Some((first, rest)) = there.split_once('\n') else { return FileOrigin::Hand };
    let said = first.strip_prefix(MARK).and_then(|said| said.split_once(HASH));
    match said {
        Some((_, said)) if said.trim_end() == hash(rest) => FileOrigin::Context,
        Some(_) => FileOrigin::Edited,
        None => FileOrigin::Hand,
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        // Writing into a String does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn wanted(text: &str) -> WantedFile {
        WantedFile { key: "ONEAPP_ZONEMESH_INVITATION", text: text.to_owned() }
    }

    fn outcome(file: &Path, text: &str) -> FileOutcome {
        settle(file, Some(&wanted(text))).unwrap().unwrap()
    }

    #[test]
    fn an_edit_stays_is_told_and_context_counts_again_when_it_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zonemesh.toml");
        assert_eq!(outcome(&file, "[zone]\n"), FileOutcome::Written);
        let first = std::fs::read_to_string(&file).unwrap();
        assert!(first.starts_with("# Source: CONTEXT (ONEAPP_ZONEMESH_INVITATION), "), "{first}");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o027, 0);
        assert_eq!(outcome(&file, "[zone]\n"), FileOutcome::Unchanged);
        assert_eq!(of_context(&file).as_deref(), Some("[zone]\n"));
        // Behind the same first line, in whatever place.
        for edited in [format!("{first}# mine\n"), first.replace("[zone]", "[zone]\nname='x'")] {
            std::fs::write(&file, &edited).unwrap();
            for text in ["[zone]\n", "[zone] # a new CONTEXT\n"] {
                assert_eq!(outcome(&file, text), FileOutcome::Edited);
            }
            assert_eq!(std::fs::read_to_string(&file).unwrap(), edited);
            assert_eq!(of_context(&file), None);
        }
        std::fs::write(&file, &first).unwrap();
        assert_eq!(outcome(&file, "[zone] # a new CONTEXT\n"), FileOutcome::Written);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(outcome(&file, "[zone]\n"), FileOutcome::Written);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing stays behind");
    }

    #[test]
    fn a_file_by_hand_stays_and_one_that_says_the_same_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zonemesh.toml");
        assert_eq!(settle(&file, None).unwrap(), None);
        for by_hand in ["[zone]\nname = 'berlin'\n", "no newline", "", "# Source: me\n[zone]\n"] {
            std::fs::write(&file, by_hand).unwrap();
            assert_eq!(outcome(&file, "[zone]\n"), FileOutcome::ByHand, "{by_hand:?}");
            assert_eq!(settle(&file, None).unwrap(), Some(FileOutcome::Kept));
            assert_eq!(std::fs::read_to_string(&file).unwrap(), by_hand);
        }
        std::fs::write(&file, b"\xff\n").unwrap();
        assert_eq!(outcome(&file, "[zone]\n"), FileOutcome::ByHand);
        // As images before this release have written what CONTEXT gave whole.
        std::fs::write(&file, "[zone]\n").unwrap();
        assert_eq!(outcome(&file, "[zone]\n"), FileOutcome::Written);
        assert!(std::fs::read_to_string(&file).unwrap().starts_with(MARK));
    }

    #[test]
    fn what_cannot_be_read_or_written_is_told_and_nothing_stays_behind() {
        let folder = tempfile::tempdir().unwrap();
        let error = settle(folder.path(), Some(&wanted("[zone]\n"))).unwrap_err();
        assert!(matches!(error, WrittenError::Unreadable(..)), "{error}");
        let nowhere = folder.path().join("missing/zonemesh.toml");
        let error = settle(&nowhere, Some(&wanted("[zone]\n"))).unwrap_err();
        assert!(matches!(error, WrittenError::Unwritten(_)), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
