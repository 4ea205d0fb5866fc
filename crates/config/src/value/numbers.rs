//! Numbers and truths: ports, counts, lanes.
//!
//! Numbers may be written in every way that TOML has, but not in quotes.

use std::ops::RangeInclusive;

use toml::de::DeValue;

use crate::complaint::{Complaint, kind};

/// How many lanes the tunnels have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// What the number of cores says ([`Lanes::count`]). Unmeasured, so nobody gets it unasked.
    Auto,
    /// 1 to 8.
    Count(u8),
}

impl Lanes {
    /// The number on a machine with so many cores: below four a second lane has no core to itself, and
    /// beyond four lanes the network is usually the limit.
    #[must_use]
    pub fn count(self, cores: usize) -> u8 {
        match self {
            Self::Count(count) => count,
            Self::Auto if cores < 4 => 1,
            Self::Auto => (cores / 2).min(4) as u8,
        }
    }
}

pub(crate) fn truth(value: &DeValue<'_>) -> Result<bool, Complaint> {
    value.as_bool().ok_or_else(|| {
        let found = format!("found {}", kind(value));
        Complaint::new(found, "true or false", "write it without quotes")
    })
}

pub(crate) fn port(value: &DeValue<'_>) -> Result<u16, Complaint> {
    let fix = match integer(value) {
        Some(port @ 1..) => return Ok(port),
        _ if value.is_str() => "write a number without quotes",
        _ => "leave it out for the default",
    };
    Err(Complaint::new(format!("found {}", kind(value)), "a port from 1 to 65535", fix))
}

pub(crate) fn lanes(value: &DeValue<'_>) -> Result<Lanes, Complaint> {
    match integer(value) {
        Some(count @ 1..=8) => Ok(Lanes::Count(count as u8)),
        _ if value.as_str() == Some("auto") => Ok(Lanes::Auto),
        _ => Err(Complaint::new(
            format!("found {}", kind(value)),
            "\"auto\" or 1 to 8 lanes",
            "leave it out: each lane needs a core of its own on both gateways",
        )),
    }
}

/// A number within `range`, which `unit` names in the plural.
pub(crate) fn count(
    value: &DeValue<'_>,
    range: RangeInclusive<u16>,
    unit: &str,
    fix: &str,
) -> Result<u16, Complaint> {
    match integer(value) {
        Some(count) if range.contains(&count) => Ok(count),
        _ => Err(Complaint::new(
            format!("found {}", kind(value)),
            format!("{} to {} {unit}", range.start(), range.end()),
            fix,
        )),
    }
}

fn integer(value: &DeValue<'_>) -> Option<u16> {
    let number = value.as_integer()?;
    u16::from_str_radix(number.as_str(), number.radix()).ok()
}
