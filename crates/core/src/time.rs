//! Points in time as milliseconds since 1970, as they stand in records and messages.
//!
//! The core never reads a clock: `now` is an argument. Clocks may jump, so that every difference
//! here saturates and no order of records depends on it.

use std::fmt;

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The last moment that [`UnixMillis::to_calendar`] writes with a year of four digits, which is
    /// what all others read: the end of 9999.
    pub const LATEST: Self = Self(253_402_300_799_999);

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

    /// This point plus `millis`, if that still has a form for people.
    #[must_use]
    pub fn plus_until_latest(self, millis: u64) -> Option<Self> {
        Some(self.plus(millis)).filter(|time| *time <= Self::LATEST)
    }

    /// This point minus `other`, with its sign: positive if this one is later.
    #[must_use]
    pub fn offset_from(self, other: Self) -> i64 {
        let distance = i64::try_from(self.0.abs_diff(other.0)).unwrap_or(i64::MAX);
        if self >= other { distance } else { -distance }
    }

    /// The moment in UTC for people, to the second: `2027-01-15T08:00:00Z`.
    #[must_use]
    pub fn to_calendar(self) -> String {
        let (seconds, days) = (self.0 / 1000 % 86_400, self.0 / 86_400_000);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// Reads what [`UnixMillis::to_calendar`] writes, from 1970 to 9999.
    #[must_use]
    pub fn from_calendar(text: &str) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        // From March on, as below.
        let (shifted, of_year) = (year.checked_sub(u64::from(month <= 2))?, (month + 9) % 12);
        let day_of_year = (153 * of_year + 2) / 5 + day.checked_sub(1)?;
        let leap = shifted / 4 - shifted / 100 + shifted / 400;
        let days = (365 * shifted + leap + day_of_year).checked_sub(719_468)?;
        let time = Self((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000);
        // There is no 30 February, no 25 o'clock and no other form.
        Some(time).filter(|time| time.to_calendar() == text)
    }
}

/// Year, month and day of the `days`th day after 1 January 1970 (H. Hinnant, `civil_from_days`):
/// years begin in March, so that a leap day is a year's last.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * day_of_year + 2) / 153;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as u64;
    (year, month, day_of_year - (153 * march + 2) / 5 + 1)
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
    fn a_moment_has_a_date_for_people() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_800_000_000_999, "2027-01-15T08:00:00Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(UnixMillis(millis).to_calendar(), text);
        }
        assert!(UnixMillis(u64::MAX).to_calendar().ends_with('Z'));
    }

    #[test]
    fn what_has_no_form_for_people_is_no_end() {
        assert_eq!(UnixMillis::LATEST.to_calendar(), "9999-12-31T23:59:59Z");
        assert_eq!(UnixMillis::LATEST.plus(1).to_calendar().len(), "10000-01-01T00:00:00Z".len());
        assert_eq!(UnixMillis(5).plus_until_latest(2), Some(UnixMillis(7)));
        assert_eq!(UnixMillis::LATEST.plus_until_latest(0), Some(UnixMillis::LATEST));
        assert_eq!(UnixMillis::LATEST.plus_until_latest(1), None);
        assert_eq!(UnixMillis(5).plus_until_latest(u64::MAX), None);
    }

    #[test]
    fn system_time_goes_both_ways() {
        let time = UnixMillis(1_790_000_000_123);
        assert_eq!(UnixMillis::from(std::time::SystemTime::from(time)), time);
    }
}
