//! What was seen: figures and names, each of a closed list of kinds.
//!
//! A kind's name is what the sentences of the codes and programs that read JSON know it by; figures
//! have their unit in the kind.

use std::fmt;

use ipnet::IpNet;

use crate::name::{FederationName, ZoneName};
use crate::time::UnixMillis;

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// A zone beside the subject's.
    Zone(ZoneName),
    /// A gateway, by its name.
    Gateway(String),
    /// A federation beside the subject's.
    Federation(FederationName),
    /// A prefix.
    Prefix(IpNet),
    /// An address, with its port if it has one, or a URL.
    Address(String),
    /// From whom this was heard, if not from the subject.
    HeardFrom(String),
    /// Why, in the words of whoever refused or failed.
    Reason(String),
    /// A file.
    File(String),
    /// A setting, by its key.
    Setting(String),
    /// What was found there.
    Found(String),
    /// What was expected there.
    Expected(String),
    /// A public key, or its fingerprint.
    Key(String),
    /// What kind of thing was refused or failed.
    Kind(String),
    /// A version here.
    Version(String),
    /// The version of the other end.
    TheirVersion(String),
    /// The number of a lane.
    Lane(u64),
    /// How many.
    Count(u64),
    /// A size in bytes.
    Bytes(u64),
    /// A time in seconds.
    Seconds(u64),
    /// How far one clock is ahead of another, in milliseconds, negative if behind; the sentence says
    /// which.
    ClockAheadMs(i64),
    /// A loss in thousandths.
    LossPermille(u64),
    /// A moment.
    Time(UnixMillis),
}

impl Evidence {
    /// The names of all kinds.
    pub const NAMES: [&'static str; 22] = [
        "zone",
        "gateway",
        "federation",
        "prefix",
        "address",
        "heard_from",
        "reason",
        "file",
        "setting",
        "found",
        "expected",
        "key",
        "kind",
        "version",
        "their_version",
        "lane",
        "count",
        "bytes",
        "seconds",
        "clock_ahead_ms",
        "loss_permille",
        "time",
    ];

    /// The stable name of its kind.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        let index = match self {
            Self::Zone(_) => 0,
            Self::Gateway(_) => 1,
            Self::Federation(_) => 2,
            Self::Prefix(_) => 3,
            Self::Address(_) => 4,
            Self::HeardFrom(_) => 5,
            Self::Reason(_) => 6,
            Self::File(_) => 7,
            Self::Setting(_) => 8,
            Self::Found(_) => 9,
            Self::Expected(_) => 10,
            Self::Key(_) => 11,
            Self::Kind(_) => 12,
            Self::Version(_) => 13,
            Self::TheirVersion(_) => 14,
            Self::Lane(_) => 15,
            Self::Count(_) => 16,
            Self::Bytes(_) => 17,
            Self::Seconds(_) => 18,
            Self::ClockAheadMs(_) => 19,
            Self::LossPermille(_) => 20,
            Self::Time(_) => 21,
        };
        Self::NAMES[index]
    }

    /// The figure, if it is one.
    #[must_use]
    pub fn figure(&self) -> Option<i64> {
        match self {
            Self::Lane(n)
            | Self::Count(n)
            | Self::Bytes(n)
            | Self::Seconds(n)
            | Self::LossPermille(n) => Some(i64::try_from(*n).unwrap_or(i64::MAX)),
            Self::ClockAheadMs(n) => Some(*n),
            _ => None,
        }
    }

    /// The figure or the name without a unit, for programs.
    #[must_use]
    pub fn bare(&self) -> String {
        self.figure().map_or_else(|| self.to_string(), |figure| figure.to_string())
    }
}

/// As people read it, with the unit where the sentence has none of its own.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zone(zone) => zone.fmt(f),
            Self::Federation(federation) => federation.fmt(f),
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Gateway(text)
            | Self::Address(text)
            | Self::HeardFrom(text)
            | Self::Reason(text)
            | Self::File(text)
            | Self::Setting(text)
            | Self::Found(text)
            | Self::Expected(text)
            | Self::Key(text)
            | Self::Kind(text)
            | Self::Version(text)
            | Self::TheirVersion(text) => f.write_str(text),
            Self::Time(at) => f.write_str(&at.to_calendar()),
            Self::Lane(n) | Self::Count(n) => n.fmt(f),
            Self::Bytes(n) => write!(f, "{n} bytes"),
            Self::Seconds(n) => write!(f, "{n} s"),
            Self::LossPermille(n) => write!(f, "{}.{} %", n / 10, n % 10),
            Self::ClockAheadMs(ms) => {
                let side = if *ms < 0 { "behind" } else { "ahead of" };
                write!(f, "{} s {side}", ms.unsigned_abs() / 1000)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_units_for_people_and_none_for_programs() {
        for (evidence, text, bare) in [
            (Evidence::LossPermille(43), "4.3 %", "43"),
            (Evidence::ClockAheadMs(-9_500), "9 s behind", "-9500"),
            (Evidence::Bytes(1240), "1240 bytes", "1240"),
            (Evidence::Reason("refused".to_owned()), "refused", "refused"),
        ] {
            assert_eq!((evidence.to_string().as_str(), evidence.bare().as_str()), (text, bare));
        }
        assert_eq!(Evidence::Count(u64::MAX).figure(), Some(i64::MAX));
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Evidence::NAMES.into();
        assert_eq!(names.len(), Evidence::NAMES.len());
        assert_eq!(Evidence::LossPermille(0).name(), "loss_permille");
    }
}
