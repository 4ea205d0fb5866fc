//! Waiting for a condition with a deadline.
//!
//! Owns the only sleep of the scenarios. Promises an error that names what was waited for and what
//! was seen last. Refuses to sleep for luck: every wait has a condition.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at what takes long: most looks start a program.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// What is waited for is seen this share of its time late at most.
const LATE: u32 = 40;

/// What one look at a condition found.
#[derive(Debug)]
pub enum Look<T> {
    /// The condition holds.
    Done(T),
    /// Not yet; the text says what was seen, for the error message.
    Not(String),
}

impl<T> Look<T> {
    /// Turns a fallible look into "not yet, because of this error".
    pub fn retry(result: Result<T>) -> Self {
        match result {
            Ok(value) => Self::Done(value),
            Err(error) => Self::Not(format!("{error:#}")),
        }
    }

    /// `Done(())` when `holds`, else `Not` with what was seen.
    pub fn when(holds: bool, seen: impl Display) -> Look<()> {
        if holds { Look::Done(()) } else { Look::Not(seen.to_string()) }
    }
}

/// Looks every 50 ms, and less often at what takes long, until the condition holds; returns its value
/// and the time it took.
///
/// # Errors
/// After `timeout`: what was waited for, and the last thing seen. An `Err` of `look` ends the wait.
pub fn until<T>(
    what: &str,
    timeout: Duration,
    mut look: impl FnMut() -> Result<Look<T>>,
) -> Result<(T, Duration)> {
    let start = Instant::now();
    loop {
        match look()? {
            Look::Done(value) => return Ok((value, start.elapsed())),
            Look::Not(seen) if start.elapsed() >= timeout => {
                bail!("waited {:.1} s for {what}; last seen: {seen}", timeout.as_secs_f64())
            }
            Look::Not(_) => std::thread::sleep(pause_after(start.elapsed())),
        }
    }
}

/// How long to rest before the next look.
fn pause_after(waited: Duration) -> Duration {
    (waited / LATE).clamp(PAUSE, LONGEST_PAUSE)
}

/// Checks for `period` that the condition keeps holding.
///
/// # Errors
/// As soon as `look` says `Not`, with what was seen and when.
pub fn holds_for(
    what: &str,
    period: Duration,
    mut look: impl FnMut() -> Result<Look<()>>,
) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < period {
        if let Look::Not(seen) = look()? {
            let after = start.elapsed().as_secs_f64();
            bail!("{what} should hold, but after {after:.1} s: {seen}");
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_seen_within_a_fortieth_of_its_time_and_never_late_by_more() {
        assert_eq!(pause_after(Duration::ZERO), PAUSE);
        assert_eq!(pause_after(Duration::from_secs(2)), PAUSE);
        assert_eq!(pause_after(Duration::from_secs(4)), Duration::from_millis(100));
        assert_eq!(pause_after(Duration::from_secs(300)), LONGEST_PAUSE);
    }
}
