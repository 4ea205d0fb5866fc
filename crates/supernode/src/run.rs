//! The order in which `zonemesh-supernode` does things.
//!
//! It promises that Flower is started only for a SuperLink that says it is ready and passes every
//! check, that the reason for not starting is said within 10 s, and that a Flower that runs is left
//! alone until it ends or its SuperLink is another. It tries for ever. What to do next is decided in
//! `decision.rs`; how Flower is told, in `plan.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep, sleep_until};
use zonemesh_api::wire::local::RegisteredSuperLink;
use zonemesh_appliance::companion::{Companion, LOOK_FOR_WORK};
use zonemesh_appliance::files::FileOwner;
use zonemesh_appliance::gateway::{LocalGateway, SetFile, WatchedFederation};
use zonemesh_appliance::installed::installed_flower;
use zonemesh_appliance::plan::LaunchPlan;
use zonemesh_appliance::preflight;
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::reporter::CompanionState;
use zonemesh_appliance::settings::SuperNodeSettings;
use zonemesh_appliance::startup;
use zonemesh_appliance::state_folder::StateFolder;
use zonemesh_core::companion::{ReportedState, SuperNodeState};
use zonemesh_core::exit::Exit;

use crate::decision::{FlowerDecision, FlowerTarget, decide};
use crate::plan::{PrintedSuperNodePlan, SuperNodeInputs, home};

/// Between two checks of a SuperLink that did not pass.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How long the goodbye may take.
const LAST_REPORT: Duration = Duration::from_secs(3);
/// A Flower that lived this long has connected, or tries to.
const SETTLED: Duration = Duration::from_secs(3);

/// Runs until the process is told to stop.
///
/// # Errors
/// Settings that cannot work on this machine, or a system that gives no signals.
pub(crate) async fn run(settings: SuperNodeSettings) -> anyhow::Result<Exit> {
    let mut supernode = SupervisedSuperNode {
        companion: Companion::begin("supernode", &settings.common, None, None)?,
        running: None,
        next_check: Instant::now(),
        settled_at: None,
    };
    tokio::select! {
        failed = supernode.work(&settings) => failed?,
        stopped = startup::stop_signal() => stopped?,
    }
    supernode.stop().await;
    Ok(Exit::Ok)
}

struct SupervisedSuperNode {
    companion: Companion,
    /// What the present Flower was started for.
    running: Option<FlowerTarget>,
    next_check: Instant,
    settled_at: Option<Instant>,
}

enum SuperNodeEvent {
    Ended(String),
    Settled,
    Check(Box<RegisteredSuperLink>),
    Seen,
}

impl SupervisedSuperNode {
    async fn work(&mut self, settings: &SuperNodeSettings) -> anyhow::Result<()> {
        let flower = self.companion.installed().await;
        let home = self.companion.home.clone();
        let owner = self.companion.owner;
        let inputs = SuperNodeInputs { settings, owner, flower, home: &home };
        let federation = &settings.common.federation;
        loop {
            let watched = self.companion.watched.borrow_and_update().clone();
            let decision = decide(&watched, self.running.as_ref(), federation);
            match (&decision, &watched.trouble()) {
                (FlowerDecision::Wait(reason), _) | (FlowerDecision::Keep, Some(reason)) => {
                    self.companion.reporter.blocked(reason);
                }
                (FlowerDecision::Keep, None) if self.settled_at.is_none() => {
                    self.companion.reporter.cleared();
                }
                _ => {}
            }
            self.companion.look_for_work(inputs.flower.generation.supernode_app());
            self.companion.mention(reported(&self.companion));
            match self.wake(decision).await? {
                SuperNodeEvent::Seen => {}
                SuperNodeEvent::Settled => {
                    self.settled_at = None;
                    self.companion.reporter.enter(CompanionState::Ready);
                }
                SuperNodeEvent::Ended(exit) => {
                    let wait = self.companion.note_end(exit);
                    self.running = None;
                    self.settled_at = None;
                    self.next_check = Instant::now() + wait;
                }
                SuperNodeEvent::Check(superlink) => self.check_and_start(&superlink, &inputs).await,
            }
        }
    }

    /// Stops Flower and says goodbye. Silence is as good: its gateway finds it gone.
    async fn stop(&mut self) {
        self.companion.runner.stop().await;
        self.companion.reporter.enter(CompanionState::Stopped);
        let state = ReportedState::SuperNode(SuperNodeState::Stopped);
        let _ = tokio::time::timeout(LAST_REPORT, self.companion.tell(state)).await;
    }

    async fn wake(&mut self, decision: FlowerDecision) -> anyhow::Result<SuperNodeEvent> {
        let mut watched = self.companion.watched.clone();
        let settled_at = self.settled_at;
        let (check, superlink) = match decision {
            FlowerDecision::Start(superlink) => (true, Some(superlink)),
            _ => (false, None),
        };
        Ok(tokio::select! {
            exit = self.companion.runner.ended() => SuperNodeEvent::Ended(exit),
            () = sleep_until(settled_at.unwrap_or_else(Instant::now)), if settled_at.is_some() => {
                SuperNodeEvent::Settled
            }
            () = sleep_until(self.next_check), if check => match superlink {
                Some(superlink) => SuperNodeEvent::Check(superlink),
                None => SuperNodeEvent::Seen,
            },
            () = sleep(LOOK_FOR_WORK), if self.running.is_some() => SuperNodeEvent::Seen,
            changed = watched.changed() => {
                changed.context("the session with the gateway has ended")?;
                SuperNodeEvent::Seen
            }
        })
    }

    async fn check_and_start(
        &mut self,
        superlink: &RegisteredSuperLink,
        inputs: &SuperNodeInputs<'_>,
    ) {
        let checked = passes(&self.companion.gateway, superlink, inputs).await;
        let checked = match (checked, inputs.partition()) {
            (Ok(endpoint), Some(source)) => source.kept().await.map(|part| (endpoint, part)),
            (checked, _) => checked.map(|endpoint| (endpoint, None)),
        };
        let (endpoint, partition) = match checked {
            Ok(checked) => checked,
            Err(reason) => {
                self.companion.reporter.blocked(&reason);
                self.next_check = Instant::now() + CHECK_EVERY;
                return;
            }
        };
        if self.companion.runner.is_running() {
            tracing::info!(%endpoint, "the SuperLink's address or CA set is another: flower is restarted");
            self.companion.runner.stop().await;
            self.running = None;
        }
        let plan = inputs.plan(endpoint, &superlink.ca_pems(), partition);
        match self.companion.start(&plan, &endpoint.to_string()) {
            Ok(()) => {
                self.running = Some(FlowerTarget::of(superlink));
                self.companion.trusts(&superlink.cas);
                self.settled_at = Some(Instant::now() + SETTLED);
                self.next_check = Instant::now();
            }
            Err(reason) => {
                self.companion.reporter.blocked(&reason);
                self.next_check = Instant::now() + self.companion.runner.next_try();
            }
        }
    }
}

/// Where the SuperNode is, as its gateway is told.
fn reported(companion: &Companion) -> ReportedState {
    ReportedState::SuperNode(match companion.reporter.status().state {
        CompanionState::Waiting => SuperNodeState::Waiting,
        CompanionState::Starting => SuperNodeState::Connecting,
        CompanionState::Ready => SuperNodeState::Running,
        CompanionState::Stopped => SuperNodeState::Stopped,
    })
}

/// Every check, with the clocks compared if the gateway answers.
async fn passes(
    gateway: &LocalGateway,
    superlink: &RegisteredSuperLink,
    inputs: &SuperNodeInputs<'_>,
) -> Result<SocketAddr, Reason> {
    let federation = &inputs.settings.common.federation;
    let mut superlink = superlink.clone();
    let mut ahead = None;
    if let Ok(resolved) = gateway.resolve().await {
        // Clocks and the way are measured anew with each answer; the target is the one decided on.
        if let Some(now) = resolved.superlink {
            superlink.clock_offset_ms = now.clock_offset_ms;
            superlink.zone_reachable = now.zone_reachable;
        }
        ahead = Some(resolved.ahead_of_gateway_ms);
    }
    preflight::check(federation, &superlink, inputs.flower, ahead).await
}

/// Prints what `run` would do now, without secrets, and judges: well if Flower would be started.
///
/// # Errors
/// TLS cannot be set up, or standard output is closed.
pub(crate) async fn print_plan(settings: SuperNodeSettings) -> anyhow::Result<Exit> {
    let owner = settings.common.flower_user.as_deref().map(FileOwner::of_user).transpose()?;
    let wanted = settings.common.flower_version;
    let state = StateFolder::new(&settings.common.state_dir);
    let gateway = LocalGateway::new(&settings.common, SetFile::Read(state.authority_set()));
    let home = home(&settings).passing_on(|name| settings.common.passed_on(name));
    let (version, plan) = match installed_flower(&home, owner, wanted).await {
        Ok(flower) => {
            gateway.runs(flower);
            let inputs = SuperNodeInputs { settings: &settings, owner, flower, home: &home };
            (Some(flower.version.to_string()), plan_now(&gateway, &inputs).await)
        }
        Err(reason) => (None, Err(reason)),
    };
    let verdict = plan.as_ref().map_or_else(startup::verdict, |_| Exit::Ok);
    let printed = PrintedSuperNodePlan::new(&settings, gateway.address(), version, plan);
    let json = serde_json::to_string_pretty(&printed).context("cannot print the plan")?;
    startup::print(&json)?;
    Ok(verdict)
}

async fn plan_now(
    gateway: &LocalGateway,
    inputs: &SuperNodeInputs<'_>,
) -> Result<LaunchPlan, Reason> {
    let federation = &inputs.settings.common.federation;
    let resolved = gateway.resolve().await?;
    let watched = WatchedFederation {
        shown: resolved.superlink.into(),
        connected: true,
        out: resolved.out,
        ..WatchedFederation::default()
    };
    match decide(&watched, None, federation) {
        FlowerDecision::Start(superlink) => {
            let ahead = Some(resolved.ahead_of_gateway_ms);
            let endpoint = preflight::check(federation, &superlink, inputs.flower, ahead).await?;
            let partition = match inputs.partition() {
                Some(source) => source.known().await?,
                None => None,
            };
            Ok(inputs.plan(endpoint, &superlink.ca_pems(), partition))
        }
        FlowerDecision::Wait(reason) => Err(reason),
        FlowerDecision::Keep => Err(Reason::NoSuperLink { federation: federation.clone() }),
    }
}
