//! How it goes with etcd, for those who ask.

use std::sync::{Mutex, MutexGuard, PoisonError};

use zonemesh_core::time::UnixMillis;

use crate::facts::ledger::now;

/// How it goes with etcd now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EtcdState {
    /// The endpoint in use, or tried last.
    pub(crate) url: String,
    /// True if this gateway is in step with it.
    pub(crate) reached: bool,
    /// Since when it is reached, or is not.
    pub(crate) since: UnixMillis,
    /// Why it is not reached; empty if it is.
    pub(crate) error: String,
    /// Items that were refused though an honest gateway would not have put them there.
    pub(crate) refused: u64,
}

/// Written by the one task that follows etcd.
#[derive(Default)]
pub(crate) struct EtcdBoard(Mutex<Option<EtcdState>>);

impl EtcdBoard {
    /// A cluster is followed that was not asked yet; `url` will be the first.
    pub(crate) fn begin(&self, url: &str) {
        let (url, error) = (url.to_owned(), "it has not answered yet".to_owned());
        *self.lock() = Some(EtcdState { url, reached: false, since: now(), error, refused: 0 });
    }

    /// The registry goes through no etcd.
    pub(crate) fn end(&self) {
        *self.lock() = None;
    }

    /// How it goes now, if the registry goes through etcd as well.
    pub(crate) fn state(&self) -> Option<EtcdState> {
        self.lock().clone()
    }

    /// True if this gateway is in step with an etcd.
    pub(crate) fn is_reached(&self) -> bool {
        self.lock().as_ref().is_some_and(|state| state.reached)
    }

    /// True if etcd was not reached before.
    pub(crate) fn reached(&self, url: &str) -> bool {
        let mut state = self.lock();
        let Some(state) = state.as_mut() else { return false };
        url.clone_into(&mut state.url);
        state.error.clear();
        let is_new = !state.reached;
        if is_new {
            (state.reached, state.since) = (true, now());
        }
        is_new
    }

    pub(crate) fn lost(&self, url: &str, error: &str) {
        let mut state = self.lock();
        let Some(state) = state.as_mut() else { return };
        url.clone_into(&mut state.url);
        error.clone_into(&mut state.error);
        if state.reached {
            (state.reached, state.since) = (false, now());
        }
    }

    pub(crate) fn refused(&self, items: u64) {
        if let Some(state) = self.lock().as_mut() {
            state.refused += items;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<EtcdState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_dated_by_its_beginning_and_told_by_its_last_error() {
        let board = EtcdBoard::default();
        assert!(board.state().is_none() && !board.reached("http://a:1"));
        board.begin("http://a:1");
        let state_of = |board: &EtcdBoard| board.state().unwrap();
        assert!(board.reached("http://a:1") && !board.reached("http://a:1"));
        board.lost("http://a:1", "gone");
        let begun = state_of(&board);
        board.lost("http://b:1", "silent");
        let state = state_of(&board);
        assert_eq!((state.since, state.reached), (begun.since, false));
        assert_eq!((state.url.as_str(), state.error.as_str()), ("http://b:1", "silent"));
        board.refused(2);
        assert!(board.reached("http://a:1"));
        let state = state_of(&board);
        assert_eq!((state.error.as_str(), state.refused), ("", 2));
        board.end();
        assert!(board.state().is_none() && !board.is_reached());
    }
}
