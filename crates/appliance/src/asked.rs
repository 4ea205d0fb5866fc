//! One question to a program of Flower, which runs to its end.
//!
//! It promises that the program runs as Flower's user with a listed environment and may not change
//! this VM's network, that nobody waits for it longer than he has said, that what it leaves running
//! ends with it and keeps nobody waiting, and that it does not outlive who asks. It refuses to read
//! the answer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;
use zonemesh_core::visible::brief;

use crate::files::FileOwner;
use crate::runner::{as_user, privileges};

/// How long the last words may take once the program has ended: whoever it has left running may hold
/// the pipe open for ever.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Most that is read of an answer: a list of some ten thousand SuperNodes.
const MOST_READ: u64 = 16 << 20;

/// A question.
#[derive(Debug, Clone)]
pub struct FlowerQuestion {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Its arguments, none of them a secret.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// As whom it runs; the companion's own user if not given.
    pub owner: Option<FileOwner>,
    /// How long it may take: Python starts slowly on a busy machine.
    pub patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// The program cannot be run.
    #[error("cannot be run: {0}")]
    Start(#[source] std::io::Error),
    /// It has failed.
    #[error("ended with {status}: {said}")]
    Failed {
        /// How.
        status: ExitStatus,
        /// The last line of what it said.
        said: String,
    },
    /// It has not ended in time.
    #[error("took longer than {} s", .0.as_secs())]
    Silent(Duration),
}

impl FlowerQuestion {
    /// What it has printed.
    ///
    /// # Errors
    /// [`QuestionError`].
    pub async fn answer(&self) -> Result<String, QuestionError> {
        let command = as_user::command(self.program.as_os_str(), self.owner);
        let command = command.map_err(QuestionError::Start)?;
        let mut command = tokio::process::Command::from(command);
        command.args(&self.arguments).env_clear().envs(&self.environment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).process_group(0);
        let mut child = privileges::start_without_network(command).map_err(QuestionError::Start)?;
        let _group = ProgramGroup::of(&child);
        let (mut said, mut errors) = (Vec::new(), Vec::new());
        let status = {
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let mut reading =
                pin!(async { tokio::join!(read(out, &mut said), read(err, &mut errors)) });
            let mut is_read = false;
            let ended = async {
                loop {
                    tokio::select! {
                        status = child.wait() => break status,
                        _ = &mut reading, if !is_read => is_read = true,
                    }
                }
            };
            let ended = tokio::time::timeout(self.patience, ended).await;
            let status = ended.map_err(|_elapsed| QuestionError::Silent(self.patience))?;
            if !is_read {
                let _ = tokio::time::timeout(LAST_WORDS, reading).await;
            }
            status.map_err(QuestionError::Start)?
        };
        if !status.success() {
            let errors = String::from_utf8_lossy(&errors);
            let said = brief(errors.trim().lines().last().unwrap_or_default()).into_owned();
            return Err(QuestionError::Failed { status, said });
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

/// Reads what comes until its end, or until nothing can come of it any more.
async fn read(pipe: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    if let Some(pipe) = pipe {
        // What came before a failure is all that there is.
        let _ = pipe.take(MOST_READ).read_to_end(into).await;
    }
}

/// The process group of a program; all that is left of it is killed with this.
struct ProgramGroup(Option<Pid>);

impl ProgramGroup {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }
}

impl Drop for ProgramGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // No such group means that nothing is left of it.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}
