//! Points in time as milliseconds since 1970, as they stand in records and messages.
//!
//! The core never reads a clock: `now` is an argument. Clocks may jump, so that every difference
//! here saturates and no order of records depends on it.

use std::fmt;

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Milliseconds from `earlier` to here; 0 if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This point plus `millis`.
    #[must_use]
    pub fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// This point minus `other`, with its sign: positive if this one is later.
    #[must_use]
    pub fn offset_from(self, other: Self) -> i64 {
        let distance = i64::try_from(self.0.abs_diff(other.0)).unwrap_or(i64::MAX);
        if self >= other { distance } else { -distance }
    }
}

impl From<std::time::SystemTime> for UnixMillis {
    fn from(time: std::time::SystemTime) -> Self {
        let since = time.duration_since(std::time::UNIX_EPOCH);
        Self(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl From<UnixMillis> for std::time::SystemTime {
    /// Saturates at the last time that the system can express.
    fn from(time: UnixMillis) -> Self {
        let since = std::time::Duration::from_millis(time.0);
        Self::UNIX_EPOCH.checked_add(since).unwrap_or(Self::UNIX_EPOCH)
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_carry_a_sign_and_never_overflow() {
        assert_eq!(UnixMillis(5).offset_from(UnixMillis(7)), -2);
        assert_eq!(UnixMillis(7).offset_from(UnixMillis(5)), 2);
        assert_eq!(UnixMillis(0).offset_from(UnixMillis(u64::MAX)), -i64::MAX);
        assert_eq!(UnixMillis(3).since(UnixMillis(9)), 0);
        assert_eq!(UnixMillis(u64::MAX).plus(1), UnixMillis(u64::MAX));
    }

    #[test]
    fn system_time_goes_both_ways() {
        let time = UnixMillis(1_790_000_000_123);
        assert_eq!(UnixMillis::from(std::time::SystemTime::from(time)), time);
    }
}
