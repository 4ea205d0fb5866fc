//! What this zone says itself: changed, stored, then in force and told.
//!
//! Promises: one change after the other; what cannot be stored is not said to anybody, and what was said
//! before stays; a publication that has begun ends, whether its caller still waits or not.

use std::sync::Arc;
use std::time::Duration;

use zonemesh_core::pace::RecordChange;
use zonemesh_core::record::RecordContent;
use zonemesh_core::registry::{PreparedRecord, PublishError};

use super::{Ledger, LedgerState, now};
use crate::facts::disk::Disk;

/// How long the ledger sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// Why what this zone says is not published. What it said before stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotPublished {
    #[error(transparent)]
    Refused(#[from] PublishError),
    #[error("this zone's record cannot be stored in the state folder")]
    Disk(#[from] std::io::Error),
    #[error("this zone has left the mesh; to come back: zonemesh zone join, with a new invitation")]
    Left,
}

/// The right to change what is this zone's own.
pub(super) type Turn = tokio::sync::OwnedMutexGuard<()>;

/// What becomes of a publication that fails.
enum Undo {
    /// What was said before is said again, if it was something else.
    Draft(Option<RecordContent>),
    /// It is tried again later.
    Surpassed,
}

impl Ledger {
    /// Changes what this zone says and publishes it, at once or when its pace allows. Published means
    /// stored: what cannot be stored is not said to anybody. A zone that has left says nothing.
    pub(crate) async fn edit(
        self: &Arc<Self>,
        change: RecordChange,
        edit: impl FnOnce(&mut RecordContent),
    ) -> Result<(), NotPublished> {
        let turn = self.turn().await;
        if self.left_since().is_some() {
            return Err(NotPublished::Left);
        }
        self.edit_in_turn(turn, change, edit).await
    }

    /// The same of a zone that may have left, in a turn that its caller has waited for.
    pub(super) async fn edit_in_turn(
        self: &Arc<Self>,
        turn: Turn,
        change: RecordChange,
        edit: impl FnOnce(&mut RecordContent),
    ) -> Result<(), NotPublished> {
        let before = {
            let mut state = self.lock();
            let before = state.draft.clone();
            edit(&mut state.draft);
            if state.draft == before && state.is_published() {
                return Ok(());
            }
            state.pace.handle_change(change, now());
            before
        };
        let published = self.publish_if_due(turn, Some(before)).await;
        self.due.notify_one();
        published
    }

    /// Publishes what waited for its time and stores what the disk has refused, until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) -> anyhow::Result<()> {
        tokio::join!(self.publish_in_time(), self.keep_what_is_owed());
        Ok(())
    }

    async fn publish_in_time(self: &Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.next_due()) => {}
                () = self.due.notified() => continue,
            }
            let turn = self.turn().await;
            if let Err(error) = self.publish_if_due(turn, None).await {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "cannot publish this zone's record, trying again");
            }
            let turn = self.turn().await;
            let surpassed = self.lock().registry.poll_surpassed(now());
            if let Some(prepared) = surpassed
                && let Err(error) = self.publish(turn, prepared, Undo::Surpassed).await
            {
                tracing::error!(%error, "cannot publish this zone's record, trying again");
            }
        }
    }

    /// Waits for its turn to change what is this zone's own.
    pub(super) async fn turn(&self) -> Turn {
        self.turns.clone().lock_owned().await
    }

    /// `before` is what to say again if what is said now cannot be published.
    async fn publish_if_due(
        self: &Arc<Self>,
        turn: Turn,
        before: Option<RecordContent>,
    ) -> Result<(), NotPublished> {
        let prepared = {
            let mut state = self.lock();
            if !state.pace.poll(now()) {
                return Ok(());
            }
            let prepared = state.registry.prepare(state.draft.clone(), now());
            prepared.inspect_err(|_| state.undo(Undo::Draft(before.clone())))?
        };
        self.publish(turn, prepared, Undo::Draft(before)).await
    }

    /// Stores a record of this zone, then puts it in force and tells everyone.
    async fn publish(
        self: &Arc<Self>,
        turn: Turn,
        prepared: PreparedRecord,
        undo: Undo,
    ) -> Result<(), NotPublished> {
        if !prepared.is_new() {
            self.lock().registry.put_in_force(prepared);
            return Ok(());
        }
        let ledger = self.clone();
        let publishing = move |disk: &mut dyn Disk| {
            let _turn = turn;
            let id = ledger.read(|registry| registry.id().clone());
            let stored = disk.write(&ledger.files.write(&id, prepared.record()));
            let mut state = ledger.lock();
            match stored {
                Ok(()) => drop(state.registry.put_in_force(prepared)),
                Err(_) => state.undo(undo),
            }
            drop(state);
            if stored.is_ok() {
                ledger.announce(&[id]);
            }
            stored
        };
        Ok(self.disk.run(publishing).await??)
    }

    fn next_due(&self) -> Duration {
        let state = self.lock();
        let due = [state.pace.poll_timeout(), state.registry.poll_timeout()];
        let first = due.into_iter().flatten().min();
        first.map_or(IDLE, |due| Duration::from_millis(due.since(now())).min(IDLE))
    }
}

impl LedgerState {
    fn is_published(&self) -> bool {
        let own = self.registry.own_record().filter(|own| !own.is_of_the_past());
        own.is_some_and(|own| own.record.content == self.draft)
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Surpassed => self.registry.surpass_later(now()),
            Undo::Draft(before) => {
                self.draft = before.unwrap_or_else(|| self.draft.clone());
                // Something that waited before is still to be said.
                if !self.is_published() && self.registry.own_record().is_some() {
                    self.pace.handle_change(RecordChange::Readiness, now());
                }
            }
        }
    }
}
