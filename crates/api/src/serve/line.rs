//! What is known of one connection beside its bytes: whether it is in use, and that it shall end.
//!
//! Promises: a connection on which something is under way is never idle; one on which nothing is asked
//! ends after a while, however well it answers pings. Refuses to know who calls.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Ends a connection from outside, with all that is open on it; says that it is in use.
#[derive(Debug, Clone)]
pub struct HangUp(Arc<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    ended: bool,
    connection: Option<Waker>,
    /// What is under way.
    held: usize,
    touched: Instant,
}

/// Something is under way on the connection, for as long as this lives.
#[derive(Debug)]
pub struct Held(HangUp);

impl Default for HangUp {
    /// Of a connection that begins now.
    fn default() -> Self {
        let line = Line { ended: false, connection: None, held: 0, touched: Instant::now() };
        Self(Arc::new(Mutex::new(line)))
    }
}

impl HangUp {
    /// Ends it now.
    pub fn hang_up(&self) {
        let mut line = self.lock();
        line.ended = true;
        if let Some(connection) = line.connection.take() {
            connection.wake();
        }
    }

    /// It is in use until what this returns is dropped: for a stream, which may be silent for long.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.lock().held += 1;
        Held(self.clone())
    }

    /// Something was asked.
    pub(super) fn touch(&self) {
        self.lock().touched = Instant::now();
    }

    /// Fails once it shall end.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut line = self.lock();
        if line.ended {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        match &mut line.connection {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Ok(())
    }

    /// Since when nothing is under way.
    fn idle_since(&self) -> Instant {
        let line = self.lock();
        if line.held > 0 { Instant::now() } else { line.touched }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut line = self.0.lock();
        line.held -= 1;
        line.touched = Instant::now();
    }
}

/// Looks from time to time whether a connection is in use.
pub(super) struct IdleLimit {
    longest: Duration,
    look_at: Pin<Box<Sleep>>,
}

impl IdleLimit {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, look_at: Box::pin(sleep(longest)) }
    }

    /// Fails once `line` was idle for too long.
    pub(super) fn poll(&mut self, line: &HangUp, cx: &mut Context<'_>) -> io::Result<()> {
        while self.look_at.as_mut().poll(cx).is_ready() {
            let at = line.idle_since() + self.longest;
            if at <= Instant::now() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.look_at.set(sleep_until(at));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    const LONGEST: Duration = Duration::from_millis(300);

    async fn ends_after(line: &HangUp, most: Duration) -> Option<Duration> {
        let (mut idle, begun) = (IdleLimit::new(LONGEST), Instant::now());
        let end = std::future::poll_fn(|cx| match idle.poll(line, cx) {
            Ok(()) => Poll::Pending,
            Err(_) => Poll::Ready(begun.elapsed()),
        });
        tokio::time::timeout(most, end).await.ok()
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_is_asked_ends_and_one_in_use_does_not() {
        let line = HangUp::default();
        let idle = ends_after(&line, 100 * LONGEST).await.unwrap();
        assert!(idle >= LONGEST - Duration::from_millis(50), "{idle:?}");
        let held = line.hold();
        assert_eq!(ends_after(&line, 5 * LONGEST).await, None);
        drop(held);
        assert!(ends_after(&line, 100 * LONGEST).await.is_some());
    }
}
