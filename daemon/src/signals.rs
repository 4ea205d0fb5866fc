//! The signals that a gateway is asked with, to end or to reload: none is lost, and none ends it where
//! it stands, not while it starts and not where this program takes its own place (`anew`).
//!
//! Promises: after [`hold`] they wait, over a new start within too, until somebody listens; they come
//! to the thread that listens and to no other. Specification: signal(7), execve(2).

use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as System};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Exit, Failure, OrExit as _};

const ENDS: [System; 3] = [System::SIGTERM, System::SIGINT, System::SIGUSR1];
/// How long a signal that has come may take to be heard.
const SETTLED: Duration = Duration::from_millis(5);

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndAsked {
    /// To end and leave nothing but the routes of last resort.
    Stop,
    /// To end and leave the interface to the next start.
    Restart,
}

/// From here on the signals wait, in this thread and in those that it starts.
///
/// # Errors
/// When the system refuses.
pub fn hold() -> Result<(), Failure> {
    let all = SigSet::from_iter(ENDS.into_iter().chain([System::SIGHUP]));
    all.thread_block().or_exit(Exit::Negative, || "cannot hold signals".to_owned())
}

/// The signal to reload, to this thread; until it reloads, one that comes waits.
pub(crate) fn hang_ups() -> Result<Signal, Failure> {
    let hang_ups = signal(SignalKind::hangup()).or_exit(Exit::Negative, refused)?;
    come(SigSet::from(System::SIGHUP))?;
    Ok(hang_ups)
}

fn come(signals: SigSet) -> Result<(), Failure> {
    signals.thread_unblock().or_exit(Exit::Negative, refused)
}

fn refused() -> String {
    "cannot wait for signals".to_owned()
}

/// Whoever listens for them, in any runtime.
#[derive(Debug)]
pub struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    restart: Signal,
}

impl EndSignals {
    /// From here on they come to this thread, those that have waited too.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let on = |kind| signal(kind).or_exit(Exit::Negative, refused);
        let all = Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            restart: on(SignalKind::user_defined1())?,
        };
        come(SigSet::from_iter(ENDS))?;
        Ok(all)
    }

    /// Waits until one comes.
    pub(crate) async fn asked(&mut self) -> EndAsked {
        tokio::select! {
            _ = self.terminate.recv() => EndAsked::Stop,
            _ = self.interrupt.recv() => EndAsked::Stop,
            _ = self.restart.recv() => EndAsked::Restart,
        }
    }

    /// One that has come and was not heard yet.
    pub(crate) async fn asked_already(&mut self) -> Option<EndAsked> {
        tokio::time::timeout(SETTLED, self.asked()).await.ok()
    }
}
