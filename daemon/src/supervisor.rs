//! Owns every task of the agent: nothing is spawned and forgotten.
//!
//! The first task that ends unasked stops the agent with its name and reason. Stopping cancels
//! the token that every task watches and waits for them, for a bounded time.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::failure::{Exit, Failure};

/// How long tasks may take to end after they were asked to.
const GRACE: Duration = Duration::from_secs(3);

/// The owner of all tasks.
pub(crate) struct Supervisor {
    stop: CancellationToken,
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
}

impl Supervisor {
    pub(crate) fn new() -> Self {
        Self { stop: CancellationToken::new(), tasks: JoinSet::new() }
    }

    /// The token that tells tasks to end.
    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `task` until it ends by itself or the agent stops.
    pub(crate) fn spawn<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                result = task => (name, result),
                () = stop.cancelled() => (name, Ok(())),
            }
        });
    }

    /// Waits for a task to end unasked; that is always a failure.
    pub(crate) async fn first_end(&mut self) -> Failure {
        match self.tasks.join_next().await {
            Some(Ok((name, Ok(())))) => {
                Failure::new(Exit::Negative, format!("{name} ended unasked"))
            }
            Some(Ok((name, Err(error)))) => {
                Failure::new(Exit::Negative, format!("{name} ended: {error:#}"))
            }
            Some(Err(panic)) => Failure::new(Exit::Negative, format!("a task panicked: {panic}")),
            None => std::future::pending().await,
        }
    }

    /// Asks all tasks to end and waits for them, at most [`GRACE`].
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all_ended).await.is_err() {
            tracing::warn!("tasks did not end within the grace period and are dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_unasked_is_named() {
        let mut supervisor = Supervisor::new();
        supervisor.spawn("resolver", async { anyhow::bail!("no socket") });
        supervisor.spawn("registry", std::future::pending());
        let failure = supervisor.first_end().await;
        assert!(format!("{failure:?}").contains("resolver ended: no socket"));
        supervisor.stop().await;
    }

    #[tokio::test]
    async fn stopping_ends_every_task() {
        let mut supervisor = Supervisor::new();
        supervisor.spawn("registry", std::future::pending());
        tokio::time::timeout(Duration::from_secs(1), supervisor.stop()).await.unwrap();
    }
}
