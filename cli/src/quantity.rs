//! Times and sizes as people and programs read them.
//!
//! The daemon's 0 means "never": it is never shown as a time.

use std::net::IpAddr;
use std::time::Duration;

use zonemesh_core::time::UnixMillis;

/// `41s ago`, or `never`.
pub(crate) fn ago(time: UnixMillis, now: UnixMillis) -> String {
    match time.0 {
        0 => "never".to_owned(),
        _ => format!("{} ago", span(Duration::from_millis(now.since(time)))),
    }
}

/// The two largest units: `41s`, `5m 3s`, `3h 5m`, `12d 4h`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let first = units.iter().position(|(_, size)| seconds >= *size).unwrap_or(3);
    let shown = units[first..].iter().take(2).scan(seconds, |rest, (unit, size)| {
        let count = *rest / size;
        *rest %= size;
        Some((count, unit))
    });
    let words: Vec<String> = shown
        .enumerate()
        .filter(|(place, (count, _))| *place == 0 || *count > 0)
        .map(|(_, (count, unit))| format!("{count}{unit}"))
        .collect();
    words.join(" ")
}

/// `90s`, `30m`, `24h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, DurationError> {
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(DurationError),
    };
    let digits = &text[..text.len() - 1];
    let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    let count: u32 = digits.parse().ok().filter(|_| plain).ok_or(DurationError)?;
    match count {
        0 => Err(DurationError),
        _ => Ok(Duration::from_secs(u64::from(count) * unit)),
    }
}

/// A text is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is a number and s, m, h or d, like 24h")]
pub(crate) struct DurationError;

/// A whole number within bounds.
pub(crate) fn whole<N: TryFrom<u64>, const LEAST: u64, const MOST: u64>(
    text: &str,
) -> Result<N, WholeError> {
    let error = WholeError { least: LEAST, most: MOST };
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number =
        text.parse::<u64>().ok().filter(|number| is_plain && (LEAST..=MOST).contains(number));
    number.and_then(|number| N::try_from(number).ok()).ok_or(error)
}

/// A text is no such number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a whole number from {least} to {most}")]
pub(crate) struct WholeError {
    least: u64,
    most: u64,
}

/// An IP address.
pub(crate) fn address(text: &str) -> Result<IpAddr, AddressError> {
    text.parse().map_err(|_no_address| AddressError)
}

/// A text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an IP address, such as 10.255.0.3")]
pub(crate) struct AddressError;

/// `999 B`, `1.2 KiB`, `88 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // Tenths of the unit below the one that is shown keep the sum in integers.
    let mut tenths = u128::from(count) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < units.len() {
        tenths /= 1024;
        unit += 1;
    }
    match tenths {
        0..100 => format!("{}.{} {}", tenths / 10, tenths % 10, units[unit]),
        _ => format!("{} {}", tenths / 10, units[unit]),
    }
}

/// Milliseconds with their sign: `+12ms`, `-3.4s`.
pub(crate) fn offset(millis: i64) -> String {
    let sign = if millis < 0 { '-' } else { '+' };
    match millis.unsigned_abs() {
        millis @ 0..1000 => format!("{sign}{millis}ms"),
        millis => format!("{sign}{}.{}s", millis / 1000, millis % 1000 / 100),
    }
}

/// Milliseconds as one reads them: `0.4ms`, `31ms`.
pub(crate) fn delay(millis: f64) -> String {
    if millis < 10.0 { format!("{millis:.1}ms") } else { format!("{millis:.0}ms") }
}

/// `0.0%`, `12.5%`.
pub(crate) fn percent(share: f64) -> String {
    format!("{share:.1}%")
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_never() {
        assert_eq!(ago(UnixMillis(0), UnixMillis(5)), "never");
    }

    #[test]
    fn times_are_relative_for_people() {
        let now = UnixMillis(1_800_000_000_000);
        assert_eq!(ago(UnixMillis(now.0 - 41_900), now), "41s ago");
        assert_eq!(ago(UnixMillis(now.0 + 9_000), now), "0s ago");
    }

    #[test]
    fn a_span_shows_its_two_largest_units() {
        let texts = [0, 59, 60, 61, 3_600, 3_661, 90_061, 1_000_000_000]
            .map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(texts, ["0s", "59s", "1m", "1m 1s", "1h", "1h 1m", "1d 1h", "11574d 1h"]);
    }

    #[test]
    fn a_duration_has_a_unit_and_is_never_nothing() {
        let seconds = |text| duration(text).map(|time| time.as_secs());
        assert_eq!(["90s", "30m", "24h", "7d"].map(seconds), [90, 1_800, 86_400, 604_800].map(Ok));
        for text in ["", "24", "h", "0s", "-1h", "+1h", "1.5h", "1 h", "99999999999h", "1é"] {
            assert_eq!(seconds(text), Err(DurationError), "{text:?}");
        }
    }

    #[test]
    fn a_number_is_whole_and_within_its_bounds() {
        let read = |text| whole::<u8, 1, 16>(text).map_err(|error| error.to_string());
        assert_eq!((read("1"), read("16")), (Ok(1), Ok(16)));
        for text in ["0", "17", "+1", "1.0", "x", "", "99999999999999999999"] {
            assert_eq!(read(text), Err("write a whole number from 1 to 16".to_owned()), "{text:?}");
        }
    }

    #[test]
    fn sizes_have_two_or_more_digits_and_never_overflow() {
        let texts = [0, 1023, 1024, 1229, 10_240, 92_274_688, 1 << 30, u64::MAX].map(bytes);
        let expected =
            ["0 B", "1023 B", "1.0 KiB", "1.2 KiB", "10 KiB", "88 MiB", "1.0 GiB", "15 EiB"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn delays_have_two_digits_or_more_and_shares_one_behind_the_point() {
        assert_eq!(
            [0.04, 0.42, 9.94, 31.4, 1200.0].map(delay),
            ["0.0ms", "0.4ms", "9.9ms", "31ms", "1200ms"]
        );
        assert_eq!([0.0, 0.4, 12.5, 100.0].map(percent), ["0.0%", "0.4%", "12.5%", "100.0%"]);
    }

    #[test]
    fn clock_offsets_keep_their_sign() {
        assert_eq!(
            [12, -999, -3_450, i64::MIN].map(offset),
            ["+12ms", "-999ms", "-3.4s", "-9223372036854775.8s"]
        );
    }
}
