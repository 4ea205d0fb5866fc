//! The body that both companions have: the gateway's watch, the one Flower process, what is said.
//!
//! It promises that there is never more than one Flower, that each end of it is told with its
//! reason, and that restarts back off. It refuses to decide when Flower may run: that is the
//! companions' own `run`.

use std::future::pending;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::backoff::Backoff;
use crate::files::Owner;
use crate::flower::{FlowerVersion, Home, Profile};
use crate::gateway::{Gateway, Seen};
use crate::plan::{Layout, Plan};
use crate::reason::Reason;
use crate::reporter::onegate::OneGate;
use crate::reporter::{Progress, State};
use crate::runner::child::{Child, describe};
use crate::runner::output::LogFile;
use crate::settings::Common;
use crate::{files, installed};

const GRACE: Duration = Duration::from_secs(10);
const FIRST_RESTART: Duration = Duration::from_secs(1);
const LAST_RESTART: Duration = Duration::from_secs(30);
/// A Flower that lived this long had no trouble starting.
const SETTLED: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What a running companion holds.
pub struct Companion {
    /// What is said about it.
    pub progress: Progress,
    /// The local gateway.
    pub gateway: Gateway,
    /// What its watch has seen.
    pub seen: watch::Receiver<Seen>,
    /// As whom Flower runs.
    pub owner: Option<Owner>,
    home: Home,
    layout: Layout,
    wanted: Option<FlowerVersion>,
    guard: PathBuf,
    flower: Option<(Child, Instant)>,
    restart: Backoff,
    onegate: Option<OneGate>,
    tasks: JoinSet<()>,
}

impl Companion {
    /// Makes the folders and begins to watch the gateway.
    ///
    /// # Errors
    /// The user is unknown, a folder cannot be made, or TLS cannot be set up.
    pub fn begin(role: &'static str, common: &Common) -> anyhow::Result<Self> {
        let owner = common.flower_user.as_deref().map(Owner::of_user).transpose()?;
        let layout = Layout { root: common.state_dir.clone() };
        for folder in layout.folders(owner) {
            files::make_folder(&folder.path, folder.mode, folder.owner)?;
        }
        let gateway = Gateway::new(common)?;
        let (sender, seen) = watch::channel(Seen::default());
        let mut tasks = JoinSet::new();
        let follower = gateway.clone();
        tasks.spawn(async move { follower.follow(sender).await });
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"), role, federation = common.federation,
            gateway = %common.gateway, state_dir = %common.state_dir.display(), "companion started"
        );
        Ok(Self {
            progress: Progress::begin(&common.state_dir, role, &common.federation),
            gateway,
            seen,
            owner,
            home: Home::new(&common.flower_bin, &layout),
            layout,
            wanted: common.flower_version,
            guard: std::env::current_exe().context("cannot find this program's own file")?,
            flower: None,
            restart: Backoff::new(FIRST_RESTART, LAST_RESTART),
            onegate: common.onegate.clone(),
            tasks,
        })
    }

    /// The installed Flower; looked for until it is right.
    pub async fn installed(&mut self) -> (FlowerVersion, &'static Profile) {
        loop {
            match installed::version(&self.home, self.owner, self.wanted).await {
                Ok((version, profile)) => {
                    self.progress.flower_version(&version.to_string());
                    self.progress.cleared();
                    return (version, profile);
                }
                Err(reason) => self.progress.blocked(&reason),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Writes the plan's files and starts its program.
    ///
    /// # Errors
    /// A file cannot be written, or the program cannot be started.
    pub fn start(&mut self, plan: &Plan, endpoint: &str) -> Result<(), Reason> {
        let files = |error: &dyn std::error::Error| Reason::Files { problem: causes(error) };
        plan.write().map_err(|error| files(&error))?;
        let log = self.layout.log().join(format!("{}.log", plan.program.name));
        let log = LogFile::open(&log).map_err(|error| Reason::Files {
            problem: format!("cannot open {}: {error}", log.display()),
        })?;
        let child = Child::start(&self.guard, &plan.program, log)
            .map_err(|error| Reason::FlowerPrograms { problem: causes(&error) })?;
        self.progress.started(child.group(), endpoint);
        self.flower = Some((child, Instant::now()));
        Ok(())
    }

    /// Whether Flower runs.
    #[must_use]
    pub const fn running(&self) -> bool {
        self.flower.is_some()
    }

    /// Waits until Flower has ended by itself; for ever if it does not run. Can be cancelled.
    pub async fn ended(&mut self) -> String {
        match &mut self.flower {
            Some((child, _)) => match child.wait().await {
                Ok(status) => describe(status),
                Err(error) => error.to_string(),
            },
            None => pending().await,
        }
    }

    /// Notes that Flower has ended by itself, and gives the wait before the next start.
    pub fn note_end(&mut self, exit: String) -> Duration {
        if self.flower.take().is_some_and(|(_, since)| since.elapsed() >= SETTLED) {
            self.restart.reset();
        }
        self.progress.enter(State::Waiting);
        self.progress.blocked(&Reason::FlowerEnded { exit });
        self.restart.wait()
    }

    /// The wait before another try after Flower could not be started.
    pub fn next_try(&mut self) -> Duration {
        self.restart.wait()
    }

    /// Stops Flower, all of it.
    pub async fn stop_flower(&mut self) {
        if let Some((child, _)) = self.flower.take() {
            tracing::info!(group = child.group(), "stopping flower");
            if let Err(error) = child.stop(GRACE).await {
                tracing::warn!(error = %error, "flower was lost while it was stopped");
            }
        }
    }

    /// Flower works; OneGate is told once.
    pub fn ready(&mut self) {
        self.progress.enter(State::Ready);
        if let Some(onegate) = self.onegate.take() {
            self.tasks.spawn(async move {
                match onegate.report_ready().await {
                    Ok(()) => tracing::info!("OneGate was told READY=YES"),
                    Err(error) => {
                        tracing::warn!(error = causes(&error), "OneGate was not told READY")
                    }
                }
            });
        }
    }
}

/// An error and its causes in one line.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
