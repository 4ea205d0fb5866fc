//! What this gateway shows of its zone, made anew only when the trust items have changed.
//!
//! Any VM may ask, and to look through all items under the ledger's lock is work: it is done once
//! for each state of the mesh.

use std::sync::{Mutex, PoisonError};

use zonemesh_api::v1::AttestReply;
use zonemesh_api::wire::local as wire;
use zonemesh_core::attestation;
use zonemesh_core::mesh::RootHash;

use crate::facts::ledger::Ledger;

/// The reply for one state of the mesh.
struct MadeReply {
    of: RootHash,
    reply: AttestReply,
}

/// What is shown, until the mesh changes.
#[derive(Default)]
pub(super) struct OwnAttestation(Mutex<Option<MadeReply>>);

impl OwnAttestation {
    /// The reply; `None` in a mesh that is written by hand.
    pub(super) fn reply(&self, ledger: &Ledger) -> Option<AttestReply> {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.read(|registry| {
            let mesh = registry.membership()?;
            let of = mesh.root_hash();
            if let Some(shown) = shown.as_ref().filter(|shown| shown.of == of) {
                return Some(shown.reply.clone());
            }
            let reply = wire::attestation(&attestation::about(mesh, registry.zone()));
            *shown = Some(MadeReply { of, reply: reply.clone() });
            Some(reply)
        })
    }
}
