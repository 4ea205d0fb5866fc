//! The configuration file: what of it came from CONTEXT, and whether somebody has edited it since.
//!
//! The first line of a file from CONTEXT says so, with a hash of all that follows. It promises that
//! an edited file, or one that was written by hand, is never overwritten, and that CONTEXT counts
//! again once the edit is undone or the file is gone. It refuses to know what the file says.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User, geteuid};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;
use zonemesh_appliance::files::{FileError, FileOwner, PreparedFile};
use zonemesh_context::source::read_regular;

/// How the first line begins.
const MARK: &str = "# Source: CONTEXT (";
/// What stands in it before the hash.
const HASH: &str = ", sha256 of what follows: ";
/// More than this is no configuration.
const MAX_BYTES: u64 = 16 << 20;
/// More than this is no secret of a line.
const MAX_SECRET_BYTES: u64 = 4096;
/// Who runs the daemon, and reads the file.
const GROUP: &str = "zonemesh";

/// A configuration that CONTEXT asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedFile {
    /// The key that it follows from.
    pub(crate) key: &'static str,
    /// The text below the first line.
    pub(crate) text: String,
    pub(crate) secret: WantedSecret,
}

/// A secret that the text names by its file. The file is this program's alone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WantedSecret {
    pub(crate) place: PathBuf,
    /// `None`: there is no such file.
    pub(crate) contents: Option<Zeroizing<String>>,
}

impl fmt::Debug for WantedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WantedSecret").field("place", &self.place).finish_non_exhaustive()
    }
}

impl WantedSecret {
    /// What is to be put there, for whoever runs the daemon alone, unless it lies there already.
    fn prepared(&self) -> Result<Option<PreparedFile>, WrittenError> {
        let Some(contents) = &self.contents else { return Ok(None) };
        let line = Zeroizing::new(format!("{}\n", contents.as_str()));
        let is_there = read_regular(&self.place, MAX_SECRET_BYTES);
        if is_there.is_ok_and(|there| there.as_slice() == line.as_bytes()) {
            return Ok(None);
        }
        let user = User::from_name(GROUP).map_err(WrittenError::NoGroups)?;
        let user = user.filter(|_| geteuid().is_root());
        let owner = user.map(|user| FileOwner { uid: user.uid.as_raw(), gid: user.gid.as_raw() });
        Ok(Some(PreparedFile::new(&self.place, line.as_bytes(), 0o600, owner)?))
    }

    /// Takes away what nothing names any more.
    fn clear(&self) -> Result<(), WrittenError> {
        if self.contents.is_some() {
            return Ok(());
        }
        match std::fs::remove_file(&self.place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(WrittenError::NotRemoved(self.place.display().to_string(), error))
            }
            _ => Ok(()),
        }
    }
}

impl WantedFile {
    /// The whole file.
    pub(crate) fn contents(&self) -> String {
        let Self { key, text, .. } = self;
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
    #[error("cannot remove {0}")]
    NotRemoved(String, #[source] io::Error),
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
    if !outcome.is_passed_over() {
        // Neither takes its place before there was room for both.
        let secret = wanted.secret.prepared()?;
        let text =
            (outcome == FileOutcome::Written).then(|| prepared(file, &contents)).transpose()?;
        // A file is there before it is named, and until it is no more.
        for new in [secret, text].into_iter().flatten() {
            new.put()?;
        }
    }
    if !outcome.is_passed_over() {
        wanted.secret.clear()?;
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
fn prepared(file: &Path, contents: &str) -> Result<PreparedFile, WrittenError> {
    let group = Group::from_name(GROUP).map_err(WrittenError::NoGroups)?;
    let group = group.filter(|_| geteuid().is_root());
    let owner = group.map(|group| FileOwner { uid: 0, gid: group.gid.as_raw() });
    let mode = if owner.is_some() { 0o640 } else { 0o600 };
    Ok(PreparedFile::new(file, contents.as_bytes(), mode, owner)?)
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

    fn wanted(file: &Path, text: &str) -> WantedFile {
        with_secret(file, text, None)
    }

    fn with_secret(file: &Path, text: &str, secret: Option<&str>) -> WantedFile {
        let contents = secret.map(|secret| Zeroizing::new(secret.to_owned()));
        let secret = WantedSecret { place: file.with_file_name("wg-peer.psk"), contents };
        WantedFile { key: "ONEAPP_ZONEMESH_INVITATION", text: text.to_owned(), secret }
    }

    fn outcome(file: &Path, text: &str) -> FileOutcome {
        settle(file, Some(&wanted(file, text))).unwrap().unwrap()
    }

    #[test]
    fn a_secret_lies_beside_for_the_daemon_alone_and_goes_when_nothing_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zonemesh.toml");
        let psk = folder.path().join("wg-peer.psk");
        let settled = |text: &str, secret| {
            settle(&file, Some(&with_secret(&file, text, secret))).unwrap().unwrap()
        };
        assert_eq!(settled("[zone]\n", Some("one")), FileOutcome::Written);
        assert_eq!(std::fs::read_to_string(&psk).unwrap(), "one\n");
        assert_eq!(std::fs::metadata(&psk).unwrap().permissions().mode() & 0o777, 0o600);
        // Another secret under the same text.
        assert_eq!(settled("[zone]\n", Some("two")), FileOutcome::Unchanged);
        assert_eq!(std::fs::read_to_string(&psk).unwrap(), "two\n");
        // A file that somebody has edited may name it still.
        let first = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{first}# mine\n")).unwrap();
        assert_eq!(settled("[zone]\n", None), FileOutcome::Edited);
        assert!(psk.exists());
        std::fs::write(&file, first).unwrap();
        assert_eq!(settled("[zone]\n", None), FileOutcome::Unchanged);
        assert!(!psk.exists());
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
        let error = settle(folder.path(), Some(&wanted(folder.path(), "[zone]\n"))).unwrap_err();
        assert!(matches!(error, WrittenError::Unreadable(..)), "{error}");
        // A secret stays as it was where the text that names it has no room.
        let psk = folder.path().join("wg-peer.psk");
        std::fs::write(&psk, "old\n").unwrap();
        let mut wanted_there =
            with_secret(&folder.path().join("no/zonemesh.toml"), "x", Some("new"));
        wanted_there.secret.place = psk.clone();
        let error =
            settle(&folder.path().join("no/zonemesh.toml"), Some(&wanted_there)).unwrap_err();
        assert!(matches!(error, WrittenError::Unwritten(_)), "{error}");
        assert_eq!(std::fs::read_to_string(&psk).unwrap(), "old\n");
        std::fs::remove_file(&psk).unwrap();
        nix::unistd::mkfifo(&psk, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let file = folder.path().join("zonemesh.toml");
        settle(&file, Some(&with_secret(&file, "[zone]\n", Some("new")))).unwrap();
        assert_eq!(std::fs::read_to_string(&psk).unwrap(), "new\n", "nobody waits for a pipe");
        for made in [&psk, &file] {
            std::fs::remove_file(made).unwrap();
        }
        let nowhere = folder.path().join("missing/zonemesh.toml");
        let error = settle(&nowhere, Some(&wanted(&nowhere, "[zone]\n"))).unwrap_err();
        assert!(matches!(error, WrittenError::Unwritten(_)), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
