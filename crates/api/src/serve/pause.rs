//! What an accept loop does when the kernel gives it no connection.
//!
//! Out of descriptors a listener stays ready: asked again at once, the loop would take a whole core
//! from those that are served, and fill the log.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

/// How long a loop waits before it asks again.
const PAUSE: Duration = Duration::from_millis(100);
/// Time between two log lines.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// The pause of one accept loop.
#[derive(Default)]
pub struct AcceptPause {
    sleep: Option<Pin<Box<Sleep>>>,
    said_at: Option<Instant>,
}

impl AcceptPause {
    /// Waits until `accept` may be asked again.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        Poll::Ready(())
    }

    /// Begins after `accept` has failed with `error`.
    pub fn begin(&mut self, error: &io::Error) {
        self.sleep = Some(Box::pin(sleep(PAUSE)));
        if self.said_at.is_none_or(|said_at| said_at.elapsed() >= SAY_AGAIN) {
            self.said_at = Some(Instant::now());
            tracing::warn!(%error, "cannot accept a connection, trying again");
        }
    }
}
