//! The body that both companions have: the gateway's watch, the one Flower, what is said.
//!
//! It promises that each end of Flower is told with its reason. It refuses to decide when Flower may
//! run: that is the companions' own `run`. Its three seams: settings come from a
//! [`SettingsSource`](crate::source::SettingsSource), Flower runs in a [`Runner`], and what is going
//! on is told by a [`Reporter`].

use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use zonemesh_core::exit::error_line;

use crate::files::{FileOwner, make_folder};
use crate::flower::{FlowerHome, FlowerVersion, InstalledFlower};
use crate::gateway::{LocalGateway, SetFile, WatchedFederation};
use crate::installed::installed_flower;
use crate::plan::{LaunchPlan, state_folders};
use crate::reason::Reason;
use crate::reporter::{CompanionState, Reporter};
use crate::runner::Runner;
use crate::runner::child::ChildError;
use crate::settings::CompanionSettings;
use crate::state_folder::StateFolder;

const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What a running companion holds.
pub struct Companion {
    /// What is said about it.
    pub reporter: Reporter,
    /// Where Flower runs.
    pub runner: Runner,
    /// The local gateway.
    pub gateway: LocalGateway,
    /// What its watch has seen.
    pub watched: watch::Receiver<WatchedFederation>,
    /// As whom Flower runs.
    pub owner: Option<FileOwner>,
    home: FlowerHome,
    wanted: Option<FlowerVersion>,
    _watching: JoinSet<()>,
}

impl Companion {
    /// Makes the folders and begins to watch the gateway.
    ///
    /// # Errors
    /// The user is unknown, or a folder cannot be made.
    pub fn begin(role: &'static str, settings: &CompanionSettings) -> anyhow::Result<Self> {
        let owner = settings.flower_user.as_deref().map(FileOwner::of_user).transpose()?;
        let state = StateFolder::new(&settings.state_dir);
        for folder in state_folders(&state, owner) {
            make_folder(&folder.path, folder.mode, folder.owner)?;
        }
        let gateway = LocalGateway::new(settings, SetFile::Kept(state.authority_set()));
        let (sender, watched) = watch::channel(WatchedFederation::default());
        let mut watching = JoinSet::new();
        let follower = gateway.clone();
        watching.spawn(async move { follower.follow(sender).await });
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"), role, federation = %settings.federation,
            gateway = %settings.gateway, state_dir = %state.root().display(), "companion started"
        );
        let guard = std::env::current_exe().context("cannot find this program's own file")?;
        let onegate = settings.onegate.clone();
        Ok(Self {
            reporter: Reporter::begin(&state, role, &settings.federation, onegate),
            runner: Runner::new(guard, state.log()),
            gateway,
            watched,
            owner,
            home: FlowerHome::new(&settings.flower_bin, &state),
            wanted: settings.flower_version,
            _watching: watching,
        })
    }

    /// The installed Flower; looked for until it is right.
    pub async fn installed(&mut self) -> InstalledFlower {
        loop {
            match installed_flower(&self.home, self.owner, self.wanted).await {
                Ok(flower) => {
                    self.reporter.flower_version(&flower.version.to_string());
                    self.reporter.cleared();
                    return flower;
                }
                Err(reason) => self.reporter.blocked(&reason),
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Writes the plan's files and starts its program.
    ///
    /// # Errors
    /// A file cannot be written, or the program cannot be started.
    pub fn start(&mut self, plan: &LaunchPlan, endpoint: &str) -> Result<(), Reason> {
        plan.write().map_err(|error| Reason::Files { problem: error_line(&error) })?;
        let group = self.runner.start(&plan.program).map_err(|error| {
            let problem = error_line(&error);
            match error {
                ChildError::Log { .. } => Reason::Files { problem },
                ChildError::NoProgram { .. } | ChildError::Start { .. } => {
                    Reason::FlowerPrograms { problem }
                }
            }
        })?;
        self.reporter.started(group, endpoint);
        Ok(())
    }

    /// Says that Flower has ended by itself, and gives the wait before the next start.
    pub fn note_end(&mut self, exit: String) -> Duration {
        let wait = self.runner.note_end();
        self.reporter.enter(CompanionState::Waiting);
        self.reporter.blocked(&Reason::FlowerEnded { exit });
        wait
    }
}
