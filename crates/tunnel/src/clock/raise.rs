//! Raising the machine's clock to the time of the last handshakes, before the tunnels start.
//!
//! For machines whose clock starts anywhere: without one that runs while they are off, restored from
//! an image. Handshakes bear the machine's time, and peers refuse those that are not later than what
//! they remember. So the clock is raised as systemd-timesyncd and fake-hwclock do, in a step of its
//! own that has the right to; whatever sets clocks goes on from there. Never lowers it, and never
//! touches one that the kernel says is in step with others.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::file::{self, KeptTime};
use super::{LOOK, TOLERANCE, text};
use crate::linux::time;

/// Before this program was there (2026-01-01): a clock that shows it is wrong, however far that is.
const FIRST: Duration = Duration::from_secs(1_767_225_600);
/// Later (2041-01-01) is no time that anybody can have noted in earnest.
const LAST: Duration = Duration::from_secs(2_240_611_200);
/// The most that a clock is raised which shows a time that can be right.
const MOST: Duration = Duration::from_secs(31 * 24 * 3600);
/// The file is at most this far behind the last handshake, also after a power cut.
const KEPT_WITHIN: Duration = LOOK.saturating_mul(2);

/// What becomes of the machine's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockVerdict {
    /// Nothing: it is not behind the last time on disk.
    NotBehind,
    /// It is raised beyond the last time on disk: the file may be some seconds old.
    Raised {
        /// How far it is behind the last time on disk.
        behind: Duration,
        /// What it shows from now on.
        to: SystemTime,
    },
    /// Nothing: the kernel says that it is in step with others, so the time on disk was wrong.
    Synchronised {
        /// How far it is behind.
        behind: Duration,
    },
    /// Nothing: no clock is raised that far on the word of a file.
    TooFar {
        /// The time on disk, to the millisecond.
        stored: SystemTime,
    },
    /// Nothing: the file holds no time.
    Unusable,
}

impl fmt::Display for ClockVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBehind => f.write_str("the clock is not behind the last handshakes"),
            Self::Raised { behind, to } => write!(
                f,
                "the clock was {} s behind the last handshakes and nothing had set it: raised to {}",
                behind.as_secs(),
                text(*to)
            ),
            Self::Synchronised { behind } => write!(
                f,
                "the clock is {} s behind the last handshakes and synchronised, so they bore a wrong time: nothing is changed; peers may refuse handshakes from here until they have begun one",
                behind.as_secs()
            ),
            Self::TooFar { stored } => write!(
                f,
                "the clock is behind the last handshakes, of {}, by more than it is raised for: nothing is changed; set the clock, or remove the file if the clock is right",
                text(*stored)
            ),
            Self::Unusable => f.write_str(
                "the file holds no time of the last handshakes: nothing is changed; the start that follows sets it aside",
            ),
        }
    }
}

/// Decides about a clock that shows `now`, with `stored` on disk.
fn decide(now: SystemTime, stored: SystemTime, is_synchronised: bool) -> ClockVerdict {
    let behind = match stored.duration_since(now) {
        Ok(behind) if behind >= TOLERANCE => behind,
        _ => return ClockVerdict::NotBehind,
    };
    if is_synchronised {
        return ClockVerdict::Synchronised { behind };
    }
    let can_be_right = now >= UNIX_EPOCH + FIRST;
    if stored > UNIX_EPOCH + LAST || (can_be_right && behind > MOST) {
        return ClockVerdict::TooFar { stored };
    }
    ClockVerdict::Raised { behind, to: stored + KEPT_WITHIN }
}

/// Raises the machine's clock to the time in `file`, if it is behind and nothing keeps it in step.
/// A file that is missing or holds no time is no reason to do anything.
///
/// # Errors
/// When the file cannot be read, or the kernel refuses; nothing is changed then.
pub fn raise_clock(file: &Path) -> io::Result<ClockVerdict> {
    let stored = match file::read(file)? {
        KeptTime::Millis(kept) => UNIX_EPOCH + Duration::from_millis(kept),
        KeptTime::Missing => return Ok(ClockVerdict::NotBehind),
        KeptTime::Unusable => return Ok(ClockVerdict::Unusable),
    };
    let verdict = decide(SystemTime::now(), stored, time::is_synchronised()?);
    if let ClockVerdict::Raised { to, .. } = verdict {
        time::set(to)?;
    }
    Ok(verdict)
}

// `raise_clock` itself runs in the virtual machine of `make interop-kernel` only: a test must not
// set the clock of the machine that it runs on.
#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;
    /// 2027-01-15.
    const STORED: u64 = 1_800_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn of(now: u64) -> ClockVerdict {
        decide(at(now), at(STORED), false)
    }

    #[test]
    fn a_clock_that_is_not_behind_is_left_alone() {
        for now in [STORED, STORED + 1, STORED + 400 * DAY] {
            assert_eq!(of(now), ClockVerdict::NotBehind);
        }
        let almost = at(STORED) - Duration::from_millis(999);
        assert_eq!(decide(almost, at(STORED), false), ClockVerdict::NotBehind);
    }

    #[test]
    fn a_clock_that_is_behind_is_raised_beyond_the_last_handshake() {
        for behind in [1, 3600, 2 * DAY, 31 * DAY] {
            let verdict = of(STORED - behind);
            let ClockVerdict::Raised { behind: by, to } = verdict else {
                panic!("{behind} s behind: {verdict:?}");
            };
            assert_eq!(by, Duration::from_secs(behind));
            assert_eq!(to, at(STORED + 10));
        }
    }

    #[test]
    fn a_clock_that_cannot_be_right_is_raised_however_far_it_is() {
        for now in [0, 1_500_000_000, FIRST.as_secs() - 1] {
            assert!(matches!(of(now), ClockVerdict::Raised { .. }), "{now}");
        }
        let before_1970 = UNIX_EPOCH - Duration::from_secs(9);
        assert!(matches!(decide(before_1970, at(STORED), false), ClockVerdict::Raised { .. }));
    }

    #[test]
    fn a_clock_in_step_with_others_is_right_whatever_stands_on_disk() {
        for behind in [2, 2 * DAY, 400 * DAY] {
            let behind_by = Duration::from_secs(behind);
            assert_eq!(
                decide(at(STORED - behind), at(STORED), true),
                ClockVerdict::Synchronised { behind: behind_by }
            );
        }
    }

    #[test]
    fn no_file_raises_a_clock_without_bounds() {
        let verdict = of(STORED - 31 * DAY - 1);
        assert_eq!(verdict, ClockVerdict::TooFar { stored: at(STORED) });
        let stored = UNIX_EPOCH + LAST + Duration::from_secs(1);
        for now in [0, STORED] {
            assert_eq!(decide(at(now), stored, false), ClockVerdict::TooFar { stored });
        }
        assert!(matches!(
            decide(UNIX_EPOCH, UNIX_EPOCH + Duration::from_millis(u64::MAX), false),
            ClockVerdict::TooFar { .. }
        ));
    }

    #[test]
    fn the_kernel_says_whether_its_clock_is_in_step() {
        time::is_synchronised().unwrap();
    }

    #[test]
    fn without_a_file_nothing_is_done() {
        let nowhere = std::env::temp_dir().join("zonemesh-clock-that-was-never-kept");
        assert_eq!(raise_clock(&nowhere).unwrap(), ClockVerdict::NotBehind);
    }

    #[test]
    fn a_file_that_holds_no_time_changes_nothing_and_is_said() {
        let folder = super::super::tests::folder("unusable");
        let file = folder.join("clock");
        for content in super::super::tests::NO_TIMES {
            std::fs::write(&file, content).unwrap();
            let verdict = raise_clock(&file).unwrap();
            assert_eq!(verdict, ClockVerdict::Unusable, "{content:?}");
            assert!(verdict.to_string().contains("holds no time"));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn no_verdict_is_beyond_words() {
        for stored in [u64::MAX, file::LATEST + 1, file::LATEST] {
            let stored = UNIX_EPOCH + Duration::from_millis(stored);
            assert!(ClockVerdict::TooFar { stored }.to_string().contains("9999"));
        }
    }
}
