//! Replies as people and programs see them.
//!
//! Pure: a reply and `now` in, text or JSON out. JSON keys are the names of these fields; a change
//! of shape takes a new number at the end of the schema's name.

pub(crate) mod authorities;
pub(crate) mod certificates;
pub(crate) mod config_check;
pub(crate) mod findings;
pub(crate) mod items;
pub(crate) mod key;
pub(crate) mod mesh;
pub(crate) mod peer;
pub(crate) mod peers;
pub(crate) mod records;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod superlinks;
pub(crate) mod zones;

use std::collections::BTreeMap;

use zonemesh_api::v1::{Counter, FlowerTransport, Readiness};
use zonemesh_core::time::UnixMillis;

/// Never, or RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) UnixMillis);

impl From<u64> for Moment {
    fn from(millis: u64) -> Self {
        Self(UnixMillis(millis))
    }
}

impl serde::Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::quantity::rfc3339(self.0).serialize(serializer)
    }
}

fn readiness(readiness: Readiness) -> &'static str {
    match readiness {
        Readiness::Unspecified => "unknown",
        Readiness::Starting => "starting",
        Readiness::Ready => "ready",
        Readiness::Stopped => "stopped",
    }
}

fn transport(transport: FlowerTransport) -> &'static str {
    match transport {
        FlowerTransport::Unspecified => "unknown",
        FlowerTransport::Grpc => "grpc",
        FlowerTransport::Http => "http",
    }
}

fn counters(counters: Vec<Counter>) -> BTreeMap<String, u64> {
    counters.into_iter().map(|counter| (counter.name, counter.count)).collect()
}

/// The counters that are not zero: `foreign-source 3, no-session 1`.
fn counted(counters: &BTreeMap<String, u64>) -> String {
    let some = counters.iter().filter(|(_, count)| **count > 0);
    let words: Vec<String> = some.map(|(name, count)| format!("{name} {count}")).collect();
    crate::table::plain(&words.join(", "))
}

/// A text that may be absent.
fn known(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn addresses(ips: &[String], port: u32) -> Vec<String> {
    ips.iter()
        .map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") })
        .collect()
}
