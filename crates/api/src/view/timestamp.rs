//! A moment as programs read it. The wire's 0 means "never": it is never shown as a time.

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zonemesh_core::time::UnixMillis;

/// Never (`null` in JSON), or a moment in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp(pub UnixMillis);

impl From<u64> for Timestamp {
    fn from(millis: u64) -> Self {
        Self(UnixMillis(millis))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        rfc3339(self.0).serialize(serializer)
    }
}

/// RFC 3339 in UTC, or `None` for never.
#[must_use]
pub fn rfc3339(time: UnixMillis) -> Option<String> {
    if time.0 == 0 {
        return None;
    }
    let date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000_000);
    let text = date.ok().and_then(|date| date.format(&Rfc3339).ok());
    Some(text.unwrap_or_else(|| format!("{time} ms after 1970")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_never() {
        assert_eq!(rfc3339(UnixMillis(0)), None);
    }

    #[test]
    fn every_other_moment_has_a_text() {
        let now = UnixMillis(1_800_000_000_000);
        assert_eq!(rfc3339(now).unwrap(), "2027-01-15T08:00:00Z");
        assert_eq!(rfc3339(UnixMillis(now.0 + 5)).unwrap(), "2027-01-15T08:00:00.005Z");
        assert_eq!(rfc3339(UnixMillis(u64::MAX)).unwrap(), "18446744073709551615 ms after 1970");
    }
}
