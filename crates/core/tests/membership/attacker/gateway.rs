//! A gateway of the history: a membership and its disk.

use std::collections::BTreeMap;

use zonemesh_core::membership::{
    ContentId, Membership, SetHash, SignedTrustItem, StoredHead, StoredTrust, TrustAccepted,
    TrustRejected,
};

/// What lies on a gateway's disk.
#[derive(Clone)]
pub(crate) struct Stored {
    files: BTreeMap<ContentId, SignedTrustItem>,
    head: StoredHead,
}

pub(crate) struct Node {
    pub(crate) membership: Membership,
    disk: Stored,
    /// As it was before the last write.
    before: Stored,
    backup: Stored,
}

impl Node {
    pub(crate) fn new(membership: Membership) -> Self {
        let disk = stored(&membership);
        Self { membership, before: disk.clone(), backup: disk.clone(), disk }
    }

    pub(crate) fn head(&self) -> SetHash {
        self.membership.authority_set().0
    }

    /// Takes items as the daemon does: items to the disk, then the head, then what is void goes.
    pub(crate) fn take(
        &mut self,
        items: Vec<SignedTrustItem>,
    ) -> Vec<Result<TrustAccepted, TrustRejected>> {
        let outcomes = self.membership.accept_all(items);
        self.save();
        outcomes
    }

    pub(crate) fn save(&mut self) {
        self.before = self.disk.clone();
        for item in self.membership.items() {
            self.disk.files.insert(item.content_id(), item);
        }
        self.disk.head = self.membership.stored_head();
        for gone in self.membership.take_dropped() {
            self.disk.files.remove(&gone);
        }
    }

    pub(crate) fn back_up(&mut self) {
        self.backup = self.disk.clone();
    }

    pub(crate) fn restart(&mut self) {
        self.load(self.disk.clone());
    }

    /// The items of the last write are there, the head is not.
    pub(crate) fn restart_torn(&mut self) {
        let mut files = self.before.files.clone();
        files.extend(self.disk.files.clone());
        self.load(Stored { files, ..self.before.clone() });
    }

    pub(crate) fn restore_backup(&mut self) {
        self.load(self.backup.clone());
    }

    fn load(&mut self, disk: Stored) {
        let first = self.membership.items().remove(0);
        let head = Some(disk.head.clone());
        let items = disk.files.values().cloned().collect();
        let stored = StoredTrust { first, head, items };
        self.membership = Membership::restore(stored).unwrap().0;
        self.disk = disk;
        self.save();
    }
}

fn stored(membership: &Membership) -> Stored {
    let files = membership.items().into_iter().map(|item| (item.content_id(), item));
    Stored { files: files.collect(), head: membership.stored_head() }
}
