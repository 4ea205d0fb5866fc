//! This zone out of its mesh, and back in it: what it says, and for how long it is still heard.
//!
//! A zone that has left says so by a record without anything in it, the last that it publishes until it
//! comes back; that record on disk is all that a restart needs to know. Refuses to know who may ask.

use std::sync::Arc;
use std::time::Duration;

use zonemesh_core::pace::RecordChange;
use zonemesh_core::record::RecordContent;
use zonemesh_core::time::UnixMillis;

use super::{Ledger, NotPublished, now};

/// How long the tunnels stay after a farewell, so that it reaches the neighbours.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);

impl Ledger {
    /// Since when this zone has left its mesh.
    pub(crate) fn left_since(&self) -> Option<UnixMillis> {
        self.read(|registry| registry.left_since(registry.zone()))
    }

    /// True if this zone has left and its neighbours have had the time to hear of it.
    pub(crate) fn is_gone(&self) -> bool {
        let farewell = u64::try_from(FAREWELL.as_millis()).unwrap_or(u64::MAX);
        self.left_since().is_some_and(|since| now() >= since.plus(farewell))
    }

    /// Says that this zone leaves: on disk, then to everyone. Its tunnels go [`FAREWELL`] later.
    pub(crate) async fn leave(self: &Arc<Self>) -> Result<UnixMillis, NotPublished> {
        let turn = self.turn().await;
        if self.left_since().is_some() {
            return Err(NotPublished::Left);
        }
        let farewell = |draft: &mut RecordContent| *draft = RecordContent::farewell();
        self.edit_in_turn(turn, RecordChange::Urgent, farewell).await?;
        Ok(self.left_since().unwrap_or_else(now))
    }

    /// Says something again after this zone has left, or for the first time.
    pub(crate) async fn come_back(
        self: &Arc<Self>,
        edit: impl FnOnce(&mut RecordContent),
    ) -> Result<(), NotPublished> {
        let turn = self.turn().await;
        self.edit_in_turn(turn, RecordChange::Urgent, edit).await
    }

    /// Has everyone look again: the time of a farewell is over.
    pub(crate) fn look_again(&self) {
        self.wake_watchers();
    }
}
