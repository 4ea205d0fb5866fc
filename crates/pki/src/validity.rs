//! Times of certificates: `SystemTime` outside, X.509 times inside, RFC 3339 for people.
//!
//! Promises whole seconds and an error instead of a panic for times that X.509 cannot say.
//! Specification: RFC 5280 section 4.1.2.5.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::CertificateParams;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Sets both ends of a certificate's life; [`rcgen::Error::Time`] if X.509 has no such time.
pub(crate) fn set_validity(
    params: &mut CertificateParams,
    from: Option<SystemTime>,
    until: Option<SystemTime>,
) -> Result<(), rcgen::Error> {
    let x509 = |at: Option<SystemTime>| at.and_then(to_x509).ok_or(rcgen::Error::Time);
    params.not_before = x509(from)?;
    params.not_after = x509(until)?;
    Ok(())
}

fn to_x509(at: SystemTime) -> Option<OffsetDateTime> {
    let seconds = i64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    OffsetDateTime::from_unix_timestamp(seconds).ok()
}

/// The time of an X.509 field; `None` beyond what this system's clock type can hold.
pub(crate) fn from_x509(at: x509_parser::time::ASN1Time) -> Option<SystemTime> {
    let seconds = at.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) }
}

/// A time as people and JSON readers expect it, for example `2026-11-20T10:00:00Z`.
#[must_use]
pub fn rfc3339(at: SystemTime) -> String {
    let text = to_x509(at).and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| "a time outside 1970-9999".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_rfc_3339() {
        let at = UNIX_EPOCH + Duration::from_millis(1_795_168_800_999);
        assert_eq!(rfc3339(at), "2026-11-20T10:00:00Z");
    }

    #[test]
    fn times_beyond_x509_are_errors_and_never_panics() {
        let mut params = CertificateParams::default();
        let far = UNIX_EPOCH.checked_add(Duration::from_secs(1 << 50));
        assert!(set_validity(&mut params, Some(UNIX_EPOCH), far).is_err());
        assert!(set_validity(&mut params, None, Some(UNIX_EPOCH)).is_err());
        assert_eq!(rfc3339(UNIX_EPOCH - DAY), "a time outside 1970-9999");
    }
}
