//! What a registry holds, in brief: one head per gateway, and one hash over all heads.
//!
//! Heads are totally ordered by [`RecordHead::supersedes`], so that any two registries that have
//! seen the same records hold the same ones, in whatever order they came.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::gateway::GatewayId;
use crate::mesh::RootHash;
use crate::record::Version;

/// Version and content of one record, in brief.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordHead {
    /// The record's version.
    pub version: Version,
    /// First eight bytes of the payload's SHA-256.
    pub digest: u64,
}

impl RecordHead {
    /// True if a record with this head replaces one with the `other`: a newer version, or, with the
    /// same version (a cloned gateway), the lower hash.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let same = self.version == other.version;
        self.version > other.version || (same && self.digest < other.digest)
    }
}

/// The heads that a registry holds, by gateway.
pub type VersionVector = BTreeMap<GatewayId, RecordHead>;

/// Hashes heads in the order of their gateways.
pub(super) fn root_hash<'a>(heads: impl Iterator<Item = (&'a GatewayId, RecordHead)>) -> RootHash {
    let mut hash = Sha256::new();
    for (id, head) in heads {
        // A name holds no zero byte: it ends itself.
        hash.update(id.zone.as_str());
        hash.update([0]);
        hash.update(&id.gateway);
        hash.update([0]);
        hash.update(head.version.incarnation.to_be_bytes());
        hash.update(head.version.seq.to_be_bytes());
        hash.update(head.digest.to_be_bytes());
    }
    hash.finalize().into()
}
