//! One question to a program of Flower, which runs to its end.
//!
//! It promises that the program runs as Flower's user with a listed environment, that nobody waits for
//! it longer than he has said, and that it does not outlive who asks. It refuses to read the answer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use crate::files::FileOwner;
use crate::runner::as_user;

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
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = match tokio::time::timeout(self.patience, command.output()).await {
            Ok(output) => output.map_err(QuestionError::Start)?,
            Err(_elapsed) => return Err(QuestionError::Silent(self.patience)),
        };
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            let said = errors.trim().lines().last().unwrap_or_default().to_owned();
            return Err(QuestionError::Failed { status: output.status, said });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
