//! What a gateway shows, in the one form that all surfaces share: `zonemesh -o json` prints it, its
//! tables and the daemon's own pages are made of it.
//!
//! Pure: a reply in, a value out. JSON keys are the names of the fields. Promises that `schema` is
//! the first key and that what has a schema keeps its shape; a change takes a new number at the end
//! of the schema's name. Refuses to know columns, colours and terminals, and files on somebody's
//! disk. What each field means stands where the wire has it: `proto/admin.proto`, `proto/mesh.proto`.
#![expect(missing_docs, reason = "fields are the JSON's keys, described in the protobuf files")]

mod authorities;
mod companions;
mod findings;
mod mesh;
mod peers;
mod records;
mod status;
mod superlinks;
mod timestamp;
mod tokens;
mod zones;

use std::collections::BTreeMap;

pub use authorities::{AuthoritiesView, AuthorityChangeView, AuthorityEntry};
pub use companions::{CompanionEntry, CompanionFindingEntry, HeldCaEntry};
pub use findings::{EvidenceView, FindingView, SeenValue, SubjectView};
pub use mesh::{BlockView, LeaveView, MeshView, RotationView};
pub use peers::{LaneEntry, PairEntry, PeerEntry, PeerNameError, PeerView, PeersView};
pub use records::{RecordEntry, RecordsView};
pub use status::{
    EtcdSection, FederationEntry, LeftOut, RegistrySection, StatusView, TunnelSection,
};
pub use superlinks::{CaEntry, SuperLinkEntry, SuperLinksView};
pub use timestamp::{Timestamp, rfc3339};
pub use tokens::{TakenTokenEntry, TokensView};
pub use zones::{DisputedEntry, InvitationEntry, PendingEntry, ZoneEntry, ZonesView};

use crate::v1::{Counter, Readiness};

/// Counters by their names.
#[must_use]
pub fn counters(counters: Vec<Counter>) -> BTreeMap<String, u64> {
    counters.into_iter().map(|counter| (counter.name, counter.count)).collect()
}

/// A text that may be absent: on the wire that is an empty one.
#[must_use]
pub fn known(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The counters that are not zero: `foreign-source 3, no-session 1`.
#[must_use]
pub fn counted(counters: &BTreeMap<String, u64>) -> String {
    let some = counters.iter().filter(|(_, count)| **count > 0);
    let words: Vec<String> = some.map(|(name, count)| format!("{name} {count}")).collect();
    words.join(", ")
}

fn readiness(readiness: Readiness) -> &'static str {
    match readiness {
        Readiness::Unspecified => "unknown",
        Readiness::Starting => "starting",
        Readiness::Ready => "ready",
        Readiness::Stopped => "stopped",
        Readiness::Lost => "lost",
    }
}
