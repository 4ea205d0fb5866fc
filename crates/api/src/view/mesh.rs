//! What changed in the mesh: `zonemesh mesh init`, `zone block`, `zone leave`, `key rotate`.

use serde::Serialize;

use super::{Timestamp, known};
use crate::v1::{KeyRotateReply, MeshInitReply, ZoneBlockReply, ZoneLeaveReply};

/// A new managed mesh.
#[derive(Debug, Serialize)]
pub struct MeshView {
    pub schema: &'static str,
    pub mesh: String,
    pub authority_key: String,
    /// Files of owner keys that were made.
    pub owner_key_files: Vec<String>,
    pub zones: Vec<String>,
}

impl MeshView {
    /// The mesh that was made, and where its owner keys were written.
    #[must_use]
    pub fn new(reply: MeshInitReply, owner_key_files: Vec<String>) -> Self {
        let MeshInitReply { mesh, authority_key, zones } = reply;
        Self { schema: "zonemesh/mesh/v1", mesh, authority_key, owner_key_files, zones }
    }
}

/// The zones that are blocked here.
#[derive(Debug, Serialize)]
pub struct BlockView {
    pub schema: &'static str,
    pub blocked: Vec<String>,
    /// False if it was so before.
    pub changed: bool,
}

impl From<ZoneBlockReply> for BlockView {
    fn from(reply: ZoneBlockReply) -> Self {
        Self { schema: "zonemesh/blocked/v1", blocked: reply.blocked, changed: !reply.unchanged }
    }
}

/// This zone, which has left its mesh.
#[derive(Debug, Serialize)]
pub struct LeaveView {
    pub schema: &'static str,
    pub zone: String,
    pub left_at: Timestamp,
    pub told: Vec<String>,
    pub etcd: bool,
}

impl LeaveView {
    /// `zone` is the one that was asked for.
    #[must_use]
    pub fn new(zone: String, reply: ZoneLeaveReply) -> Self {
        let ZoneLeaveReply { left_at_unix_ms, told, etcd } = reply;
        let left_at = Timestamp::from(left_at_unix_ms);
        Self { schema: "zonemesh/leave/v1", zone, left_at, told, etcd }
    }

    /// True if somebody heard of it.
    #[must_use]
    pub fn was_told(&self) -> bool {
        self.etcd || !self.told.is_empty()
    }
}

/// How far the change of the WireGuard key is.
#[derive(Debug, Serialize)]
pub struct RotationView {
    pub schema: &'static str,
    pub public_key: String,
    pub next_key: Option<String>,
    pub waiting_for: Vec<String>,
    pub old_sessions: Vec<String>,
}

impl RotationView {
    /// True while two keys are in use.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.next_key.is_some()
    }
}

impl From<KeyRotateReply> for RotationView {
    fn from(reply: KeyRotateReply) -> Self {
        let KeyRotateReply { public_key, next_key, waiting_for, old_sessions } = reply;
        Self {
            schema: "zonemesh/key-rotation/v1",
            public_key,
            next_key: known(next_key),
            waiting_for,
            old_sessions,
        }
    }
}
