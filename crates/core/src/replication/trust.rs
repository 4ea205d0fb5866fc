//! The part of a session that is about trust items.
//!
//! Promises: items travel in a managed mesh only, between gateways of the same one; none is sent
//! back to where it came from. A gateway that still calls its mesh static takes part with its
//! records, so that a mesh can become a managed one gateway by gateway.

use std::collections::BTreeSet;

use super::batch::batches;
use super::{HeldTrust, MeshId, ReplicationSession, StreamBody, StreamMessage};
use crate::membership::{ItemId, SignedTrustItem, TrustAccepted};
use crate::registry::Registry;
use crate::time::UnixMillis;

/// What is known of the neighbour's trust items.
#[derive(Debug, Default)]
pub(super) struct TrustState {
    /// Both ends belong to the same managed mesh.
    pub(super) shared: bool,
    /// What the neighbour is known to hold, of what is held here.
    theirs: BTreeSet<ItemId>,
}

impl TrustState {
    /// False if the two meshes are different ones.
    pub(super) fn agree(&mut self, ours: &MeshId, theirs: &MeshId) -> bool {
        self.shared = ours == theirs && ours.is_managed();
        let becomes_managed = |one: &MeshId, other: &MeshId| one.is_static() && other.is_managed();
        ours == theirs || becomes_managed(ours, theirs) || becomes_managed(theirs, ours)
    }

    /// What a neighbour lacks of what its names tell about; it is taken to hold that from now on.
    pub(super) fn lacking(
        &mut self,
        theirs: &HeldTrust,
        registry: &Registry,
    ) -> Vec<SignedTrustItem> {
        let Some(membership) = registry.membership().filter(|_| self.shared) else {
            return Vec::new();
        };
        let ours = membership.ids();
        self.theirs.retain(|id| ours.contains(id));
        self.theirs.extend(ours.iter().filter(|id| theirs.covers(id)));
        let untold = ours.into_iter().filter(|id| !theirs.covers(id));
        membership.items_except(&untold.chain(theirs.ids.iter().copied()).collect())
    }

    pub(super) fn take(&mut self, items: Vec<SignedTrustItem>, registry: &mut Registry) {
        let ids: Vec<_> = items.iter().map(SignedTrustItem::id).collect();
        let outcomes = registry.accept_trust(items);
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            if let Ok(TrustAccepted::Stored(_) | TrustAccepted::Known) = outcome {
                self.theirs.insert(id);
            }
        }
    }
}

/// True if `theirs` names an item that this registry lacks.
pub(super) fn lacks_any_of(theirs: &HeldTrust, registry: &Registry) -> bool {
    let membership = registry.membership();
    membership.is_some_and(|m| theirs.ids.iter().any(|id| m.get(id).is_none()))
}

impl ReplicationSession {
    /// Trust items are held since now: what to send, unless the neighbour has them already. Call
    /// this before [`ReplicationSession::handle_change`], with all items of one
    /// [`crate::registry::TrustNews`]: they take effect together.
    pub fn handle_trust(
        &mut self,
        stored: &[ItemId],
        registry: &Registry,
        now: UnixMillis,
    ) -> Vec<StreamMessage> {
        let Some(membership) = registry.membership().filter(|_| self.trust.shared) else {
            return Vec::new();
        };
        let fresh = stored.iter().filter(|id| self.trust.theirs.insert(**id));
        let items = fresh.filter_map(|id| membership.get(id).cloned()).collect();
        self.trust_messages(items, now)
    }

    pub(super) fn trust_messages(
        &self,
        items: Vec<SignedTrustItem>,
        now: UnixMillis,
    ) -> Vec<StreamMessage> {
        let batches = batches(items, SignedTrustItem::size).into_iter();
        batches.map(|items| self.message(StreamBody::Trust(items), now)).collect()
    }
}
