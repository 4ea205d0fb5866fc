//! A supervised program: its own process group behind a guard, its environment listed, its output
//! in the log.
//!
//! It promises that nothing of the group, or of what descends from it, outlives a `Child`, and that the program sees no variable
//! that was not listed for it. It refuses to know what runs, and when to run it again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::ChildStdin;
use tokio::task::JoinSet;

use super::family;
use super::output::{LineSplitter, LogFile};
use crate::files::FileOwner;

/// How long the last lines may take to arrive once the program has ended.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The program is not there.
    #[error("{} is not an executable file", program.display())]
    NoProgram {
        /// The path that was tried.
        program: PathBuf,
    },
    /// Its log cannot be opened.
    #[error("cannot open {}", log.display())]
    Log {
        /// The log.
        log: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A step of starting it failed.
    #[error("cannot {step} {}", program.display())]
    Start {
        /// The step, as a verb.
        step: &'static str,
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Name for the log.
    pub name: String,
    /// Absolute path.
    pub path: PathBuf,
    /// Arguments.
    pub arguments: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub environment: BTreeMap<String, String>,
    /// Working directory.
    pub folder: PathBuf,
    /// As whom it runs; the companion's own user if not given.
    pub owner: Option<FileOwner>,
}

/// A running program. Dropping it kills the whole group at once.
#[derive(Debug)]
pub struct Child {
    guard: tokio::process::Child,
    group: Pid,
    /// Its end tells the guard that the companion is gone; `Child::wait` of tokio would close it.
    lifeline: Option<ChildStdin>,
    output: JoinSet<()>,
}

impl Child {
    /// Starts a program behind `guard` (a companion's own executable), its output appended to `log`.
    ///
    /// # Errors
    /// The program is missing, or the pipe, the log or the guard cannot be made.
    pub fn start(guard: &Path, program: &Program, log: LogFile) -> Result<Self, ChildError> {
        if !is_executable(&program.path) {
            return Err(ChildError::NoProgram { program: program.path.clone() });
        }
        let failed =
            |step| move |source| ChildError::Start { step, program: program.path.clone(), source };
        let (reader, writer) = std::io::pipe().map_err(failed("make a pipe for"))?;
        let errors = writer.try_clone().map_err(failed("make a pipe for"))?;
        let mut command = tokio::process::Command::new(guard);
        command
            .args(guard_arguments(program))
            .env_clear()
            .envs(&program.environment)
            .current_dir(&program.folder)
            .stdin(Stdio::piped())
            .stdout(writer)
            .stderr(errors)
            .process_group(0);
        let mut guard = command.spawn().map_err(failed("start the guard of"))?;
        // The pipe ends when the group's ends are closed: this copy must not stay open.
        drop(command);
        let lifeline = guard.stdin.take();
        let group = guard.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let group =
            group.ok_or_else(|| failed("follow")(std::io::Error::other("it is gone already")))?;
        let reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(failed("read from"))?;
        let mut output = JoinSet::new();
        output.spawn(copy_lines(program.name.clone(), reader, log));
        Ok(Self { guard, group, lifeline, output })
    }

    /// The process group, which is also the guard's process.
    #[must_use]
    pub const fn group(&self) -> i32 {
        self.group.as_raw()
    }

    /// Waits until the program has ended; what it left running is killed then.
    ///
    /// # Errors
    /// The system lost the process. Cancelling this future loses nothing.
    pub async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.guard.wait().await?;
        self.lifeline = None;
        self.kill();
        // A process that left the group may hold the pipe open for ever.
        let drained = async { while self.output.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_LINES, drained).await;
        Ok(status)
    }

    /// Asks the whole group to end, and kills what is left after `grace`.
    ///
    /// # Errors
    /// The system lost the process.
    pub async fn stop(mut self, grace: Duration) -> std::io::Result<ExitStatus> {
        self.signal(Signal::SIGTERM);
        match tokio::time::timeout(grace, self.guard.wait()).await {
            Ok(ended) => ended?,
            Err(_elapsed) => {
                self.kill();
                self.guard.wait().await?
            }
        };
        self.wait().await
    }

    /// True until the guard has been waited for.
    const fn is_held(&self) -> bool {
        self.lifeline.is_some()
    }

    /// The guard, too: what has left the group is looked for before.
    fn kill(&self) {
        family::kill_all(self.group());
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) {
        // No such group means that all of it is gone, which is what was wanted.
        let _ = killpg(self.group, signal);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.is_held() {
            self.kill();
        }
    }
}

/// How a program ended, for people.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code @ 129..=192) => format!("by signal {}", code - 128),
        Some(code) => format!("with exit code {code}"),
        None => status.to_string(),
    }
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

fn guard_arguments(program: &Program) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["guard".into()];
    if let Some(owner) = program.owner {
        arguments.extend(["--owner".into(), format!("{}:{}", owner.uid, owner.gid).into()]);
    }
    arguments.extend(["--".into(), program.path.clone().into_os_string()]);
    arguments.extend(program.arguments.iter().map(OsString::from));
    arguments
}

async fn copy_lines(name: String, mut reader: pipe::Receiver, mut log: LogFile) {
    let mut splitter = LineSplitter::default();
    let mut buffer = vec![0_u8; 8192];
    loop {
        let read = match reader.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(program = name, error = %error, "its output is no longer read");
                break;
            }
        };
        for line in splitter.push(&buffer[..read]) {
            tracing::debug!(target: "flower", program = name, "{line}");
            log.append(&line);
        }
    }
    if let Some(line) = splitter.finish() {
        tracing::debug!(target: "flower", program = name, "{line}");
        log.append(&line);
    }
}
