//! What is written down of a change: one line for each item that took effect here.
//!
//! Names and numbers only, never a secret.

use std::fmt::Display;

use zonemesh_core::journal::{AuditAct, AuditEntry};
use zonemesh_core::membership::{SignedTrustItem, TrustItem};
use zonemesh_core::mesh::MeshId;

/// Who asks for changes: the admin socket lets in root and the daemon's own user, the join service
/// whom they have invited.
const BY: &str = "administration";

/// A change that is no trust item.
pub(super) fn done(act: AuditAct, about: &impl Display, detail: String) -> AuditEntry {
    AuditEntry { act, by: BY.to_owned(), about: about.to_string(), detail }
}

/// This gateway has become part of a mesh.
pub(super) fn joined(mesh: &MeshId) -> AuditEntry {
    done(AuditAct::Join, mesh, String::new())
}

/// An item that takes effect; `None` of a page, which says nothing without its set, and of one that
/// cannot be read, which is kept by nobody.
pub(super) fn taken(item: &SignedTrustItem) -> Option<AuditEntry> {
    Some(match item.decode().ok()? {
        TrustItem::Grant(grant) => {
            let detail = format!("serial {}, key {}", grant.serial, grant.zone_key);
            done(AuditAct::Grant, &grant.zone, detail)
        }
        TrustItem::Revocation(revocation) => {
            let (serial, key) = (revocation.serial, revocation.zone_key);
            let detail = format!("serial {serial}, key {key}: {}", revocation.reason);
            done(AuditAct::Revoke, &revocation.zone, detail)
        }
        TrustItem::AuthoritySet(set) => {
            let detail =
                format!("epoch {}, {} of {} sign", set.epoch, set.threshold, set.keys.len());
            done(AuditAct::Authorities, &"", detail)
        }
        TrustItem::GrantPage(_) => return None,
    })
}
