//! The configuration file, and the last one that was in force, which is kept in the state folder.
//!
//! Promises: what is kept was in force, whole, and says of which file it is, so that it is never taken
//! for another's; only its owner can read it. A file is read again only when it has been touched.
//! Refuses to know what is made of a difference: `administration::reload`, `plan::troubles`.

use std::fs::{Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zonemesh_config::{Config, FileStanding, KeyDifference};

use super::{DiskWriter, folder_of, leftovers, regular, sync_folder_of};

/// The name in the state folder.
const KEPT: &str = "in-force.toml";
/// The line above what is kept.
const OF: &str = "# zonemeshd keeps here what was in force last of ";

/// The configuration file of this gateway.
pub(crate) struct ConfigFile {
    path: PathBuf,
    known: Mutex<KnownFile>,
}

#[derive(Default)]
struct KnownFile {
    /// What is in force is not what the file said at the start, which was broken.
    is_of_before: bool,
    refused: Option<RefusedText>,
    seen: Option<SeenFile>,
}

/// What a reload has refused.
struct RefusedText {
    bytes: Vec<u8>,
    reason: String,
}

/// What was read last, and how the file looked then.
struct SeenFile {
    stamp: FileStamp,
    bytes: Vec<u8>,
    /// What it means, or why it means nothing.
    read: Result<Box<Config>, String>,
    /// With what it was compared last, and what differed.
    compared: Option<ComparedFile>,
}

struct ComparedFile {
    with: Arc<Config>,
    differs: Vec<KeyDifference>,
}

impl SeenFile {
    /// What it has otherwise, or why it means nothing. Compared anew only where one of the two is.
    fn differs(&mut self, in_force: &Arc<Config>) -> Result<Vec<KeyDifference>, String> {
        let config = self.read.as_ref().map_err(Clone::clone)?;
        let known = self.compared.take().filter(|known| Arc::ptr_eq(&known.with, in_force));
        let compare =
            || ComparedFile { with: in_force.clone(), differs: in_force.difference(config) };
        let compared = self.compared.insert(known.unwrap_or_else(compare));
        Ok(compared.differs.clone())
    }
}

/// What tells that a file was not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: i64,
    changed_nanos: i64,
}

impl FileStamp {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            changed: found.ctime(),
            changed_nanos: found.ctime_nsec(),
        }
    }
}

impl ConfigFile {
    /// The file at `path`; `is_of_before` if it is broken and what was kept of it runs.
    pub(crate) fn new(path: &Path, is_of_before: bool) -> Self {
        let known = KnownFile { is_of_before, ..KnownFile::default() };
        Self { path: path.to_owned(), known: Mutex::new(known) }
    }

    /// As messages name it.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// What stands there now, no more than it takes to see that it is too long.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        read(&self.path)
    }

    /// A reload has refused this.
    pub(crate) fn refuse(&self, bytes: Vec<u8>, reason: String) {
        self.lock().refused = Some(RefusedText { bytes, reason });
    }

    /// What stands there is in force.
    pub(crate) fn take(&self) {
        let mut known = self.lock();
        (known.refused, known.is_of_before) = (None, false);
    }

    /// True while the file is broken and what was kept of it runs.
    pub(crate) fn is_of_before(&self) -> bool {
        self.lock().is_of_before
    }

    /// How it stands to what is in force now.
    pub(crate) fn look(&self, in_force: &Arc<Config>) -> FileStanding {
        let known = &mut *self.lock();
        if let Err(error) = known.look(&self.path) {
            return FileStanding::Unreadable(error.to_string());
        }
        let Some(seen) = known.seen.as_mut() else { return FileStanding::InForce };
        let differs = seen.differs(in_force);
        if differs.as_ref().is_ok_and(Vec::is_empty) {
            known.refused = None;
            known.is_of_before = false;
            return FileStanding::InForce;
        }
        let bytes = &seen.bytes;
        if let Some(refused) = known.refused.as_ref().filter(|one| one.bytes == *bytes) {
            return FileStanding::Refused(refused.reason.clone());
        }
        match differs {
            Ok(keys) => FileStanding::Differs(keys),
            Err(reason) => FileStanding::Broken(reason),
        }
    }

    /// Keeps `text`, which is in force, in the state folder.
    pub(crate) async fn keep(
        &self,
        state_folder: &Path,
        text: Vec<u8>,
        disk: &DiskWriter,
    ) -> io::Result<()> {
        let place = state_folder.join(KEPT);
        let kept = [format!("{OF}{}\n", self.name()).as_bytes(), &text].concat();
        disk.run(move |_| {
            if regular::read(&place).is_ok_and(|old| old == kept) {
                Ok(())
            } else {
                seal(&place, &kept)
            }
        })
        .await?
    }

    fn lock(&self) -> MutexGuard<'_, KnownFile> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownFile {
    /// Reads the file if it was touched.
    fn look(&mut self, path: &Path) -> io::Result<()> {
        let stamp = FileStamp::of(&std::fs::metadata(path)?);
        if self.seen.as_ref().is_some_and(|seen| seen.stamp == stamp) {
            return Ok(());
        }
        let bytes = read(path)?;
        let config = Config::parse_bytes(&bytes, &path.display().to_string());
        let read = config.map(Box::new).map_err(|mistakes| in_brief(&mistakes));
        self.seen = Some(SeenFile { stamp, bytes, read, compared: None });
        Ok(())
    }
}

/// The first mistake with its place, and how many there are.
pub(crate) fn in_brief(mistakes: &zonemesh_config::ConfigErrors) -> String {
    let first = mistakes.iter().next().map(ToString::to_string).unwrap_or_default();
    match mistakes.count() {
        0 | 1 => first,
        count => format!("{first} (and {} more)", count - 1),
    }
}

/// Enough of a file to see that it is too long: a device may have no end.
pub(crate) fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(Config::MAX_BYTES + 1).unwrap_or(u64::MAX);
    regular::open(file)?.take(most).read_to_end(&mut bytes).map(|_length| bytes)
}

/// What was in force last of the file at `path`, if it is kept in this state folder.
pub(crate) fn kept_of(path: &Path, state_folder: &Path) -> Option<Vec<u8>> {
    let kept = read(&state_folder.join(KEPT)).ok()?;
    let line = format!("{OF}{}\n", path.display());
    kept.strip_prefix(line.as_bytes()).map(<[u8]>::to_vec)
}

/// Replaces `path` whole with what only its owner can read (mode 0400).
fn seal(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = leftovers::temporary_file(folder_of(path))?;
    file.write_all(content)?;
    file.as_file().set_permissions(Permissions::from_mode(0o400))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder_of(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::disk::writer;

    const GOOD: &str = "[zone]\nname = \"berlin\"\nprefixes = [\"10.1.0.0/16\"]\n";

    fn parse(text: &str) -> Arc<Config> {
        Arc::new(Config::parse(text, "test").unwrap())
    }

    #[tokio::test]
    async fn what_was_in_force_is_kept_for_its_owner_alone_and_for_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zonemesh.toml");
        let file = ConfigFile::new(&path, false);
        assert_eq!(kept_of(&path, folder.path()), None);
        for text in [GOOD, "two"] {
            file.keep(folder.path(), text.into(), &writer()).await.unwrap();
            assert_eq!(kept_of(&path, folder.path()).unwrap(), text.as_bytes());
        }
        let mode = std::fs::metadata(folder.path().join(KEPT)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
        assert_eq!(kept_of(Path::new("/etc/zonemesh/zonemesh.toml"), folder.path()), None);
    }

    #[test]
    fn a_file_stands_to_what_is_in_force_as_its_content_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zonemesh.toml");
        let (file, in_force) = (ConfigFile::new(&path, false), parse(GOOD));
        let write = |text: &str| {
            let new = folder.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, &path).unwrap();
        };
        assert!(matches!(file.look(&in_force), FileStanding::Unreadable(_)));
        write(GOOD);
        assert_eq!(file.look(&in_force), FileStanding::InForce);
        write(&format!("# mine\n{GOOD}"));
        assert_eq!(file.look(&in_force), FileStanding::InForce, "a comment is no difference");
        let louder = format!("{GOOD}[log]\nlevel = \"debug\"\n");
        write(&louder);
        let FileStanding::Differs(keys) = file.look(&in_force) else { panic!() };
        assert_eq!(keys[0].key, "log.level");
        file.refuse(louder.clone().into(), "no".to_owned());
        assert_eq!(file.look(&in_force), FileStanding::Refused("no".to_owned()));
        write("[zone\n");
        let FileStanding::Broken(reason) = file.look(&in_force) else { panic!() };
        assert!(reason.contains("zonemesh.toml:1:"), "{reason}");
        write(&louder);
        assert_eq!(file.look(&in_force), FileStanding::Refused("no".to_owned()), "as it was");
        write(GOOD);
        assert_eq!(file.look(&in_force), FileStanding::InForce);
        write(&louder);
        assert!(matches!(file.look(&in_force), FileStanding::Differs(_)), "that is over");
    }

    #[test]
    fn a_start_with_a_broken_file_is_over_when_the_file_is_restored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zonemesh.toml");
        std::fs::write(&path, "[zone\n").unwrap();
        let (file, in_force) = (ConfigFile::new(&path, true), parse(GOOD));
        assert!(matches!(file.look(&in_force), FileStanding::Broken(_)) && file.is_of_before());
        std::fs::write(&path, GOOD).unwrap();
        assert_eq!(file.look(&in_force), FileStanding::InForce);
        assert!(!file.is_of_before());
    }
}
