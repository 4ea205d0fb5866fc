//! The times of our own handshakes, over restarts of the process and of the machine.
//!
//! A peer refuses initiations that are not later than those it knows from us. The noise layer stamps
//! them with the wall clock and takes no other time: a clock that went back is raised before the start
//! ([`raise`]), by those who may; else it is found out, reported, and initiating is left to the peer as
//! far as that is possible. The latest time is kept in a file: written at the start, within seconds of
//! a handshake, every few minutes and at the end. A file that cannot be used is set aside and no
//! reason not to start. Stamps: WireGuard paper, section 5.1.

mod file;
pub(crate) mod raise;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::linux::time;
use crate::linux::wake::StopSignal;

use file::KeptTime;

/// A clock that is less behind is not: peers count in smaller steps, but people do not.
const TOLERANCE: Duration = Duration::from_secs(1);
/// How often the clock is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Looks between two writes without a handshake.
const LOOKS_PER_WRITE: u32 = 60;

/// The latest time that our initiations have borne, or could have.
#[derive(Debug, Default)]
pub(crate) struct HandshakeClock {
    /// Milliseconds since 1970; 0 if there was none yet.
    latest: AtomicU64,
}

impl HandshakeClock {
    /// An initiation bore this time.
    pub(crate) fn note(&self, stamp: SystemTime) {
        self.latest.fetch_max(millis(stamp), Ordering::Relaxed);
    }

    /// How far `now` is behind the latest time.
    pub(crate) fn behind(&self, now: SystemTime) -> Option<Duration> {
        let latest = UNIX_EPOCH + Duration::from_millis(self.latest.load(Ordering::Relaxed));
        latest.duration_since(now).ok().filter(|behind| *behind >= TOLERANCE)
    }

    fn latest(&self) -> u64 {
        self.latest.load(Ordering::Relaxed)
    }
}

/// The latest time that stands in `file`, in milliseconds since 1970, if a time stands there.
#[must_use]
pub fn latest_kept(file: &Path) -> Option<u64> {
    match file::read(file) {
        Ok(KeptTime::Millis(kept)) => Some(kept),
        Ok(KeptTime::Missing | KeptTime::Unusable) | Err(_) => None,
    }
}

/// Keeps a clock in its file until it is dropped.
pub(crate) struct ClockKeeper {
    stop: StopSignal,
    thread: Option<JoinHandle<()>>,
}

impl ClockKeeper {
    /// Takes the time in `file` over and begins to keep it.
    pub(crate) fn start(file: &Path, clock: Arc<HandshakeClock>) -> io::Result<Self> {
        match file::read(file) {
            Ok(KeptTime::Millis(kept)) => clock.note(UNIX_EPOCH + Duration::from_millis(kept)),
            Ok(KeptTime::Missing) => {}
            Ok(KeptTime::Unusable) => file::set_aside(file),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the time of the last handshakes cannot be read");
            }
        }
        let stop = StopSignal::new()?;
        let mut watch = ClockWatch { file: file.to_owned(), clock, written: 0, was_behind: false };
        // At once, so that it stands in the log beside the start.
        watch.look();
        watch.write();
        let until = stop.clone();
        let keep = move || {
            let mut looks = 0_u32;
            while matches!(until.wait_timeout(LOOK), Ok(false)) {
                watch.look();
                looks = looks.wrapping_add(1);
                if watch.is_pending() || looks.is_multiple_of(LOOKS_PER_WRITE) {
                    watch.write();
                }
            }
            watch.write();
        };
        let thread = thread::Builder::new().name("zm-clock".to_owned()).spawn(keep)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for ClockKeeper {
    fn drop(&mut self) {
        self.stop.raise();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the keeper of the clock ended in a panic");
        }
    }
}

struct ClockWatch {
    file: PathBuf,
    clock: Arc<HandshakeClock>,
    written: u64,
    was_behind: bool,
}

impl ClockWatch {
    fn look(&mut self) {
        let now = SystemTime::now();
        let behind = self.clock.behind(now);
        match (behind, self.was_behind) {
            (Some(behind), false) => tracing::warn!(
                now = text(now),
                before = text(UNIX_EPOCH + Duration::from_millis(self.clock.latest())),
                behind_s = behind.as_secs(),
                synchronised = time::is_synchronised().unwrap_or_default(),
                "the clock went back: peers refuse handshakes from here until it is right, so they have to begin; if it is right now, stop, remove {}, start",
                self.file.display()
            ),
            (None, true) => tracing::info!(now = text(now), "the clock is right again"),
            _ => {}
        }
        self.was_behind = behind.is_some();
    }

    /// True if a handshake has borne a time that is not written down yet.
    fn is_pending(&self) -> bool {
        self.clock.latest() > self.written
    }

    fn write(&mut self) {
        self.clock.note(SystemTime::now());
        let latest = self.clock.latest();
        if latest == self.written {
            return;
        }
        match file::replace(&self.file, latest) {
            Ok(()) => self.written = latest,
            Err(error) => {
                tracing::warn!(file = %self.file.display(), %error, "the time of the last handshakes cannot be kept");
            }
        }
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// For people; `humantime` knows no times before 1970 and after 9999, and panics at some of them.
fn text(time: SystemTime) -> String {
    match time.duration_since(UNIX_EPOCH) {
        Ok(_) if millis(time) > file::LATEST => "after 9999".to_owned(),
        Ok(_) => humantime::format_rfc3339_seconds(time).to_string(),
        Err(_) => "before 1970".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_clock_before_its_latest_stamp_is_behind() {
        let clock = HandshakeClock::default();
        assert_eq!(clock.behind(at(5)), None);
        clock.note(at(1000));
        clock.note(at(900));
        assert_eq!(clock.behind(at(400)), Some(Duration::from_secs(600)));
        assert_eq!(clock.behind(at(1000)), None);
        assert!(clock.behind(UNIX_EPOCH - Duration::from_secs(1)).is_some());
    }

    pub(super) fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("zonemesh-clock-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_latest_stamp_is_there_for_the_next_start_and_never_goes_back() {
        let folder = folder("kept");
        let file = folder.join("clock");
        for (stamp, kept) in [(2_000_000_000, 2_000_000_000), (1_000_000_000, 2_000_000_000)] {
            let clock = Arc::new(HandshakeClock::default());
            let keeper = ClockKeeper::start(&file, Arc::clone(&clock)).unwrap();
            clock.note(at(stamp));
            drop(keeper);
            assert_eq!(file::read(&file).unwrap(), KeptTime::Millis(kept * 1000));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// What no gateway has written: text, nothing, the first moment of the year 10000, all ones.
    pub(super) const NO_TIMES: [&[u8]; 6] =
        [b"yesterday", b"", b"253402300800000\n", b"18446744073709551615\n", &[0xff; 8], b"-1"];

    #[test]
    fn a_file_that_holds_no_time_is_set_aside_and_no_reason_not_to_start() {
        let folder = folder("damaged");
        let file = folder.join("clock");
        for content in NO_TIMES {
            let before = millis(SystemTime::now());
            std::fs::write(&file, content).unwrap();
            let clock = Arc::new(HandshakeClock::default());
            drop(ClockKeeper::start(&file, Arc::clone(&clock)).unwrap());
            let KeptTime::Millis(kept) = file::read(&file).unwrap() else { panic!("no time") };
            assert!((before..=millis(SystemTime::now())).contains(&kept), "{content:?}");
            assert_eq!(clock.behind(SystemTime::now()), None);
        }
        for (n, content) in NO_TIMES.iter().enumerate() {
            let aside = folder.join(format!("clock.bad{}", n + 1));
            assert_eq!(&std::fs::read(aside).unwrap(), content);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn no_time_is_too_odd_to_be_written_down() {
        assert_eq!(text(at(1_790_000_000)), "2026-09-21T14:13:20Z");
        assert_eq!(text(UNIX_EPOCH - Duration::from_secs(9)), "before 1970");
        let end = UNIX_EPOCH + Duration::from_millis(file::LATEST);
        assert_eq!(text(end), "9999-12-31T23:59:59Z");
        assert_eq!(text(end + Duration::from_millis(1)), "after 9999");
        assert_eq!(text(UNIX_EPOCH + Duration::from_millis(u64::MAX)), "after 9999");
    }
}
