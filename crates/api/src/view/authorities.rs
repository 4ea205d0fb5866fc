//! Who may sign for the mesh: `zonemesh authority list`.

use serde::Serialize;

use super::Timestamp;
use crate::v1::{Authority, AuthorityListReply};

/// Who may sign.
#[derive(Debug, Serialize)]
pub struct AuthoritiesView {
    pub schema: &'static str,
    pub mesh: String,
    pub threshold: u32,
    pub changes: u64,
    pub changed_at: Timestamp,
    pub lost_changes: u32,
    pub authorities: Vec<AuthorityEntry>,
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
            lost_changes: reply.lost_changes,
            authorities: reply.authorities.into_iter().map(entry).collect(),
        }
    }
}
