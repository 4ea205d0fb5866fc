//! The one Flower of a VM, and what is said of it, with or without a gateway.
//!
//! It promises that there is one companion for a state folder, and that each end of Flower is told with
//! its reason. It refuses to know where Flower's SuperLink is, and when it may run.

use std::time::Duration;

use anyhow::Context as _;
use zonemesh_core::exit::error_line;

use crate::files::{FileOwner, make_folder};
use crate::flower::{FlowerHome, FlowerVersion, InstalledFlower};
use crate::installed::installed_flower;
use crate::plan::{LaunchPlan, state_folders};
use crate::reason::Reason;
use crate::reporter::{CompanionState, Reporter, ToldOneGate};
use crate::runner::Runner;
use crate::runner::child::ChildError;
use crate::settings::CompanionSettings;
use crate::state_folder::{CompanionLock, StateFolder};

/// Between two looks for a Flower that can be run.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Flower in this VM.
pub struct FlowerVm {
    /// What is said about it.
    pub reporter: Reporter,
    /// Where it runs.
    pub runner: Runner,
    /// As whom.
    pub owner: Option<FileOwner>,
    /// Where it lives.
    pub home: FlowerHome,
    wanted: Option<FlowerVersion>,
    says_keepalive: bool,
    _lock: CompanionLock,
}

impl FlowerVm {
    /// Makes the folders.
    ///
    /// # Errors
    /// The user is unknown, a folder cannot be made, or another companion has it.
    pub fn begin(role: &'static str, settings: &CompanionSettings) -> anyhow::Result<Self> {
        let owner = settings.flower_user.as_deref().map(FileOwner::of_user).transpose()?;
        let state = StateFolder::new(&settings.state_dir);
        for folder in state_folders(&state, owner) {
            make_folder(&folder.path, folder.mode, folder.owner)?;
        }
        let lock = state.lock()?;
        let guard = std::env::current_exe().context("cannot find this program's own file")?;
        let told = ToldOneGate {
            onegate: settings.onegate.clone(),
            gateway_status: settings.gateway_status.clone(),
        };
        Ok(Self {
            reporter: Reporter::begin(&state, role, &settings.federation, told),
            runner: Runner::new(guard, state.log()),
            owner,
            home: FlowerHome::new(&settings.flower_bin, &state)
                .passing_on(|name| settings.passed_on(name)),
            wanted: settings.flower_version,
            says_keepalive: settings.says_keepalive,
            _lock: lock,
        })
    }

    /// One look for the installed Flower; what is wrong with it is said.
    ///
    /// # Errors
    /// Why it cannot be run.
    pub async fn look_for_flower(&mut self) -> Result<InstalledFlower, Reason> {
        let found = installed_flower(&self.home, self.owner, self.wanted).await;
        match &found {
            Ok(flower) => {
                if self.says_keepalive && flower.generation.keepalive().is_none() {
                    tracing::warn!(
                        "Flower {} has no keepalive of gRPC: ONEAPP_FL_GRPC_KEEPALIVE_* have no effect",
                        flower.version
                    );
                }
                self.reporter.flower_version(&flower.version.to_string());
                self.reporter.cleared();
            }
            Err(reason) => self.reporter.blocked(reason),
        }
        found
    }

    /// The installed Flower; looked for until it is right.
    pub async fn installed(&mut self) -> InstalledFlower {
        loop {
            if let Ok(flower) = self.look_for_flower().await {
                return flower;
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
        let log = self.runner.log().to_owned();
        self.reporter.blocked(&Reason::FlowerEnded { exit, log });
        wait
    }
}
