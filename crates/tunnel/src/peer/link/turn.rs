//! Taking turns: one thread at a time seals for a link and sends what it sealed.
//!
//! Needed where several queues share a link. Without it a thread that loses the CPU between sealing
//! and sending comes back with counters that the peer's replay window (1024) has left behind.
//! A thread holds one turn at most and waits for none while it holds another's.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::RemoteLink;

/// Whether a thread is at it.
pub(crate) struct SendTurn {
    taken: Mutex<bool>,
    free: Condvar,
}

impl SendTurn {
    pub(super) fn new() -> Self {
        Self { taken: Mutex::new(false), free: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The turn of this thread, until it is dropped.
pub(crate) struct HeldSendTurn(Arc<RemoteLink>);

impl HeldSendTurn {
    /// Waits until it is this thread's turn.
    pub(crate) fn take(link: &Arc<RemoteLink>) -> Self {
        let mut taken = link.turn.lock();
        while *taken {
            taken = link.turn.free.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = true;
        drop(taken);
        Self(Arc::clone(link))
    }

    pub(crate) fn is_for(&self, link: &Arc<RemoteLink>) -> bool {
        Arc::ptr_eq(&self.0, link)
    }
}

impl Drop for HeldSendTurn {
    fn drop(&mut self) {
        *self.0.turn.lock() = false;
        self.0.turn.free.notify_one();
    }
}
