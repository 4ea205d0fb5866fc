//! What changed in the mesh: `zonemesh mesh init`, `zone block`, `key rotate`.

use serde::Serialize;

use super::known;
use crate::v1::{KeyRotateReply, MeshInitReply, ZoneBlockReply};

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
}

impl From<ZoneBlockReply> for BlockView {
    fn from(reply: ZoneBlockReply) -> Self {
        Self { schema: "zonemesh/blocked/v1", blocked: reply.blocked }
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
