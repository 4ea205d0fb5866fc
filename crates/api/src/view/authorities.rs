//! Who may sign for the mesh: `zonemesh authority list`, and what a change of that would do.

use serde::Serialize;

use super::Timestamp;
use crate::v1::{Authority, AuthorityChangeReply, AuthorityListReply};

/// Who may sign.
#[derive(Debug, Serialize)]
pub struct AuthoritiesView {
    pub schema: &'static str,
    pub mesh: String,
    pub threshold: u32,
    pub changes: u64,
    pub changed_at: Timestamp,
    /// SHA-256 of the set that is followed.
    pub set: String,
    /// The operator of this gateway has chosen it.
    pub pinned: bool,
    pub authorities: Vec<AuthorityEntry>,
    /// Who may change the set.
    pub owners: Vec<String>,
    /// Sets that contradict each other.
    pub conflicts: Vec<String>,
}

/// One authority.
#[derive(Debug, Serialize)]
pub struct AuthorityEntry {
    pub key: String,
    pub here: bool,
}

impl From<AuthorityListReply> for AuthoritiesView {
    fn from(reply: AuthorityListReply) -> Self {
        let entry = |one: Authority| AuthorityEntry { key: one.key, here: one.here };
        Self {
            schema: "zonemesh/authorities/v1",
            mesh: reply.mesh,
            threshold: reply.threshold,
            changes: reply.epoch,
            changed_at: Timestamp::from(reply.issued_at_unix_ms),
            set: reply.set,
            pinned: reply.pinned,
            authorities: reply.authorities.into_iter().map(entry).collect(),
            owners: reply.owner_keys,
            conflicts: reply.conflicts,
        }
    }
}

/// What a change of the authority set does to the zones.
#[derive(Debug, Serialize)]
pub struct AuthorityChangeView {
    pub schema: &'static str,
    /// SHA-256 of the new set, as `zonemesh authority pin` takes it.
    pub set: String,
    /// Zones that stay.
    pub stay: Vec<String>,
    /// Members that are out afterwards.
    pub out: Vec<String>,
    /// Zones that were granted since the last list.
    pub since_last: Vec<String>,
    /// Those of them whose grant only removed keys have signed.
    pub by_removed: Vec<String>,
    /// Zones that are back, as the key that revoked them was stolen.
    pub back: Vec<String>,
    /// Members whose gateway was not heard from.
    pub not_compared: Vec<String>,
    /// Zones whose VMs need new tokens once the change is in force: theirs pin a set under which a
    /// stolen key counts.
    pub tokens_anew: Vec<String>,
    /// Owner signatures and signatures of added keys that are missing.
    pub signatures_missing: u32,
    /// Where it was written, to be signed elsewhere.
    pub file: Option<String>,
}

impl AuthorityChangeView {
    /// The change as the daemon drafted it, after signing; `stolen` if it was asked for because keys
    /// were.
    #[must_use]
    pub fn new(
        reply: AuthorityChangeReply,
        set: String,
        stolen: bool,
        missing: u32,
        file: Option<String>,
    ) -> Self {
        Self {
            schema: "zonemesh/authority-change/v1",
            set,
            tokens_anew: if stolen { reply.stay.clone() } else { Vec::new() },
            stay: reply.stay,
            out: reply.out,
            since_last: reply.since_last,
            by_removed: reply.by_removed,
            back: reply.back,
            not_compared: reply.not_compared,
            signatures_missing: missing,
            file,
        }
    }
}
