//! What a join tells whoever waits for it.
//!
//! Promises: what is waited for is said once, however often it is tried. A listener that went away
//! stops nothing.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

/// Most lines that are remembered; a join has a handful.
const MAX_TOLD: usize = 64;

/// Where the steps are told.
pub(crate) struct JoinProgress {
    listener: mpsc::Sender<String>,
    told: Mutex<BTreeSet<String>>,
}

impl JoinProgress {
    pub(crate) fn new(listener: mpsc::Sender<String>) -> Self {
        Self { listener, told: Mutex::default() }
    }

    pub(super) async fn say(&self, step: impl Into<String>) {
        let step = step.into();
        tracing::info!(step, "joining");
        // The engineer has gone away: joining goes on to its end.
        let _ = self.listener.send(step).await;
    }

    /// Says it unless it was said before.
    pub(super) async fn say_once(&self, step: String) {
        let is_new = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.len() < MAX_TOLD && told.insert(step.clone())
        };
        if is_new {
            self.say(step).await;
        }
    }
}
