//! Stories of two gateways over edges in memory, observed on the wire.
//!
//! Time is ours: each step takes the `now` of the pair. Only the noise layer reads the real clock,
//! and no story lasts long enough for it to act on that.

#[cfg(test)]
mod bulk;
#[cfg(test)]
mod expected;
#[cfg(test)]
mod fresh_ports;
pub(crate) mod fuzzed;
#[cfg(test)]
mod gateways;
#[cfg(test)]
mod lanes;
#[cfg(test)]
mod malformed;
#[allow(clippy::unwrap_used, clippy::panic, dead_code)]
mod memory;
#[allow(clippy::unwrap_used, clippy::panic, dead_code)]
mod pair;
#[cfg(test)]
mod probes;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod stories;
