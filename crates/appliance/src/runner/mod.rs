//! Flower as a process: one at a time, behind a guard, its output kept, started again with back-off.
//!
//! It promises that there is never more than one Flower and that nothing of it outlives the companion.
//! It refuses to know what Flower is, and to decide when it may run. Another way to run it (a
//! container) is another implementation of what [`Runner`] does.

pub mod as_user;
pub mod child;
mod family;
pub mod guard;
pub mod output;
pub(crate) mod privileges;

use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use child::{Child, ChildError, Program, describe};
use output::LogFile;

use crate::backoff::Backoff;

const GRACE: Duration = Duration::from_secs(10);
const FIRST_RESTART: Duration = Duration::from_secs(1);
const LAST_RESTART: Duration = Duration::from_secs(30);
/// A program that lived this long had no trouble starting.
const SETTLED: Duration = Duration::from_secs(60);

/// Runs one program at a time as a child process.
#[derive(Debug)]
pub struct Runner {
    guard: PathBuf,
    logs: PathBuf,
    /// Where the output of the program goes that was started last.
    log: Option<PathBuf>,
    running: Option<RunningProgram>,
    restart: Backoff,
}

#[derive(Debug)]
struct RunningProgram {
    child: Child,
    since: Instant,
}

impl Runner {
    /// `guard` is a companion's own executable; `logs` is the folder of the programs' output.
    #[must_use]
    pub const fn new(guard: PathBuf, logs: PathBuf) -> Self {
        let restart = Backoff::new(FIRST_RESTART, LAST_RESTART);
        Self { guard, logs, log: None, running: None, restart }
    }

    /// Starts the program, and gives its process group. Whatever ran before is killed.
    ///
    /// # Errors
    /// Its log cannot be opened, or it cannot be started.
    pub fn start(&mut self, program: &Program) -> Result<i32, ChildError> {
        let log = self.logs.join(format!("{}.log", program.name));
        let opened =
            LogFile::open(&log).map_err(|source| ChildError::Log { log: log.clone(), source })?;
        self.log = Some(log);
        self.running = None;
        let child = Child::start(&self.guard, program, opened)?;
        let group = child.group();
        self.running = Some(RunningProgram { child, since: Instant::now() });
        Ok(group)
    }

    /// The file with the output of the program that was started last, or the folder of all.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.log.as_deref().unwrap_or(&self.logs)
    }

    /// Whether the program runs.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether the program has started one of this name, which has not ended; none if it does not run
    /// itself.
    #[must_use]
    pub fn has_started(&self, name: &str) -> Option<bool> {
        self.running.as_ref().map(|running| family::runs(running.child.group(), name))
    }

    /// Waits until the program has ended by itself, and says how; for ever if it does not run. Can be
    /// cancelled.
    pub async fn ended(&mut self) -> String {
        match &mut self.running {
            Some(running) => match running.child.wait().await {
                Ok(status) => describe(status),
                Err(error) => error.to_string(),
            },
            None => pending().await,
        }
    }

    /// Forgets the program that has ended, and gives the wait before the next start.
    pub fn note_end(&mut self) -> Duration {
        if self.running.take().is_some_and(|running| running.since.elapsed() >= SETTLED) {
            self.restart.reset();
        }
        self.restart.wait()
    }

    /// The wait before another try after the program could not be started.
    pub fn next_try(&mut self) -> Duration {
        self.restart.wait()
    }

    /// Stops the program, all of it.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            tracing::info!(group = running.child.group(), "stopping flower");
            if let Err(error) = running.child.stop(GRACE).await {
                tracing::warn!(error = %error, "flower was lost while it was stopped");
            }
        }
    }
}
