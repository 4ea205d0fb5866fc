//! Starts that fail one after another under a service manager: each waits longer before it ends.
//!
//! systemd starts a service again after the same second for ever; its own steps (`RestartSteps=`) came
//! with release 254, and Debian 12 has 252. Promises: the reason is told before the wait; a first
//! failure does not wait, nor one that a person has asked for; a touched file ends the wait, and so
//! does a signal that asks to end.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sd_notify::NotifyState;

use crate::signals::EndSignals;

/// Where it stands how many have failed, in the folder that the service manager keeps over restarts.
const MARK: &str = "failed-starts";
/// A start that begins later than this after the last has ended is not the manager's: that one waits
/// a second.
const IN_A_ROW: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(60);
/// How often it is looked whether the file was touched.
const LOOK: Duration = Duration::from_millis(250);

/// How long to wait after so many failures in a row.
fn wait_after(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => Duration::from_secs(1 << (more - 1).min(6)).min(LONGEST),
    }
}

/// Why a start that has failed ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The next one may follow.
    ForTheNext,
    /// It was asked to end: no other follows.
    AskedToEnd,
}

/// Waits before this start, which has failed, ends. Without a service manager nobody starts it again.
pub fn wait(file: &Path) -> Waited {
    let Some(folder) = std::env::var_os("RUNTIME_DIRECTORY") else { return Waited::ForTheNext };
    wait_in(&folder, file)
}

/// A start has not failed.
pub(crate) fn over() {
    if let Some(folder) = std::env::var_os("RUNTIME_DIRECTORY") {
        // It is not there after most starts.
        let _ = std::fs::remove_file(mark(&folder));
    }
}

fn wait_in(folder: &OsStr, file: &Path) -> Waited {
    let mut waited = Waited::ForTheNext;
    let mark = mark(folder);
    let failures = in_a_row(&mark, SystemTime::now()) + 1;
    let wait = wait_after(failures);
    if !wait.is_zero() {
        let text =
            format!("{failures} starts have failed, the next follows in {} s", wait.as_secs());
        // Nothing is left to do where nobody listens.
        let _ =
            writeln!(std::io::stderr(), "zonemeshd: {text}, or when {} changes", file.display());
        let _ = sd_notify::notify(&[NotifyState::Status(&text)]);
        waited = wait_or_touched(wait, file);
    }
    // Without it the next start is a first one.
    let _ = std::fs::write(mark, failures.to_string());
    waited
}

fn mark(folder: &OsStr) -> PathBuf {
    Path::new(folder).join(MARK)
}

/// How many starts have failed until just now.
fn in_a_row(mark: &Path, now: SystemTime) -> u32 {
    let age = |found: Metadata| now.duration_since(found.modified().ok()?).ok();
    let is_fresh = std::fs::metadata(mark).ok().and_then(age).is_some_and(|age| age < IN_A_ROW);
    let count = || std::fs::read_to_string(mark).ok()?.trim().parse().ok();
    if is_fresh { count().unwrap_or(0) } else { 0 }
}

fn wait_or_touched(wait: Duration, file: &Path) -> Waited {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Without one the service manager's own pause has to do.
    runtime.map_or(Waited::ForTheNext, |runtime| {
        runtime.block_on(async {
            let Ok(mut signals) = EndSignals::listen() else { return Waited::ForTheNext };
            tokio::select! {
                _ = tokio::time::timeout(wait, touched(file)) => Waited::ForTheNext,
                _ = signals.asked() => Waited::AskedToEnd,
            }
        })
    })
}

async fn touched(file: &Path) {
    let stamp = || std::fs::metadata(file).ok().map(|found| (found.ino(), found.ctime_nsec()));
    let before = stamp();
    while stamp() == before {
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_first_failure_waits_for_nothing_and_a_row_for_a_minute_at_most() {
        let waits: Vec<_> = (1..10).map(|n| wait_after(n).as_secs()).collect();
        assert_eq!(waits, [0, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait_after(u32::MAX), LONGEST);
    }

    #[test]
    fn a_start_much_later_is_a_first_one() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join(MARK);
        assert_eq!(in_a_row(&mark, SystemTime::now()), 0);
        std::fs::write(&mark, "4").unwrap();
        assert_eq!(in_a_row(&mark, SystemTime::now()), 4);
        assert_eq!(in_a_row(&mark, SystemTime::now() + IN_A_ROW * 2), 0);
        std::fs::write(&mark, "many").unwrap();
        assert_eq!(in_a_row(&mark, SystemTime::now()), 0);
    }

    #[test]
    fn a_touched_file_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zonemesh.toml");
        std::fs::write(&file, "broken").unwrap();
        std::fs::write(folder.path().join(MARK), "7").unwrap();
        let (place, mended) = (folder.path().to_owned(), file.clone());
        let waiting = std::thread::spawn(move || {
            let start = Instant::now();
            wait_in(place.as_os_str(), &file);
            start.elapsed()
        });
        std::thread::sleep(Duration::from_millis(400));
        assert!(!waiting.is_finished());
        std::fs::write(mended, "mended").unwrap();
        assert!(waiting.join().unwrap() < Duration::from_secs(5));
        assert_eq!(std::fs::read_to_string(folder.path().join(MARK)).unwrap(), "8");
    }
}
