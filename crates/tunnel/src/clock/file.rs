//! The file of the latest time: milliseconds since 1970 as one number.
//!
//! Promises: replaced whole or not at all; a file that holds no time is told from one that cannot be
//! read, and is set aside and never deleted.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The end of the year 9999: what is later has no form for people, and nobody has noted it.
pub(super) const LATEST: u64 = 253_402_300_799_999;
/// More than any number and its line end.
const MOST_BYTES: u64 = 32;

/// What stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeptTime {
    /// There is no file.
    Missing,
    /// Milliseconds since 1970.
    Millis(u64),
    /// Something else than a time.
    Unusable,
}

pub(super) fn read(file: &Path) -> io::Result<KeptTime> {
    // A pipe that somebody has put there is not waited for, and holds nothing.
    let mut options = OpenOptions::new();
    let opened = match options.read(true).custom_flags(libc::O_NONBLOCK).open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(KeptTime::Missing),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    opened.take(MOST_BYTES).read_to_end(&mut bytes)?;
    let text = std::str::from_utf8(&bytes).ok();
    let millis = text.and_then(|text| text.trim().parse().ok());
    let millis = millis.filter(|millis| *millis <= LATEST);
    Ok(millis.map_or(KeptTime::Unusable, KeptTime::Millis))
}

/// Replaces the file whole or not at all.
pub(super) fn replace(file: &Path, millis: u64) -> io::Result<()> {
    let new = beside(file, "new");
    let mut options = OpenOptions::new();
    let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    writeln!(out, "{millis}")?;
    out.sync_all()?;
    std::fs::rename(&new, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Moves a file that holds no time out of the way, so that it can still be looked at.
pub(super) fn set_aside(file: &Path) {
    let free = (1..1000).map(|n| beside(file, &format!("bad{n}"))).find(|name| !name.exists());
    let aside = free.unwrap_or_else(|| beside(file, "bad1000"));
    match std::fs::rename(file, &aside) {
        Ok(()) => tracing::warn!(
            file = %file.display(), kept_as = %aside.display(),
            "the file holds no time of the last handshakes and was set aside: a clock that went back before this start is not noticed"
        ),
        Err(error) => tracing::warn!(
            file = %file.display(), %error,
            "the file holds no time of the last handshakes and cannot be set aside"
        ),
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_holds_no_time_and_is_not_waited_for() {
        let folder = super::super::tests::folder("pipe");
        let file = folder.join("clock");
        let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
        assert!(made.success());
        assert_eq!(read(&file).unwrap(), KeptTime::Unusable);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_last_time_of_all_is_one_and_the_next_is_not() {
        let folder = super::super::tests::folder("times");
        let file = folder.join("clock");
        assert_eq!(read(&file).unwrap(), KeptTime::Missing);
        for millis in [0, 1_790_000_000_000, LATEST] {
            replace(&file, millis).unwrap();
            assert_eq!(read(&file).unwrap(), KeptTime::Millis(millis));
        }
        for millis in [LATEST + 1, u64::MAX] {
            replace(&file, millis).unwrap();
            assert_eq!(read(&file).unwrap(), KeptTime::Unusable);
        }
        std::fs::write(&file, "1".repeat(100)).unwrap();
        assert_eq!(read(&file).unwrap(), KeptTime::Unusable);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
