//! Durations with their unit, and times of RFC 3339.
//!
//! A number alone is refused: nobody knows later whether seconds were meant.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::de::DeValue;

use super::text;
use crate::complaint::Complaint;

pub(crate) fn duration(value: &DeValue<'_>) -> Result<Duration, Complaint> {
    let expected = "a duration with its unit, such as \"25s\"";
    if let Some(number) = value.as_integer() {
        let found = format!("found the number {}", number.as_str());
        let fix = format!("write \"{}s\" if seconds are meant", number.as_str());
        return Err(Complaint::new(found, expected, fix));
    }
    let text = text(value, expected)?;
    humantime::parse_duration(text)
        .map_err(|error| Complaint::new(format!("found {text:?}"), expected, error.to_string()))
}

/// A duration within `range`.
pub(crate) fn duration_within(
    value: &DeValue<'_>,
    range: RangeInclusive<Duration>,
    fix: &str,
) -> Result<Duration, Complaint> {
    let duration = duration(value)?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let shown = humantime::format_duration;
    let expected = format!("{} to {}", shown(*range.start()), shown(*range.end()));
    Err(Complaint::new(format!("found {}", shown(duration)), expected, fix))
}

pub(crate) fn expiry(value: &DeValue<'_>) -> Result<SystemTime, Complaint> {
    let expected = "a time of RFC 3339 in quotes, such as \"2027-01-01T00:00:00Z\"";
    let text = text(value, expected)?;
    OffsetDateTime::parse(text, &Rfc3339).map(SystemTime::from).map_err(|error| {
        let fix = format!("write date, 'T', time and zone ({error})");
        Complaint::new(format!("found {text:?}"), expected, fix)
    })
}
