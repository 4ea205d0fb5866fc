//! The order in which `zonemesh-supernode` does things.
//!
//! It promises that Flower is started only for a SuperLink that says it is ready, has this VM's key
//! where it asks for keys, and passes every check, that the reason for not starting is said within
//! 10 s, and that a Flower that runs is left alone until it ends or its SuperLink is another. It tries
//! for ever. What to do next is decided in `decision.rs`, whether what runs works in `started.rs`; how
//! Flower is told, in `plan.rs`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep, sleep_until};
use zonemesh_api::wire::local::RegisteredSuperLink;
use zonemesh_appliance::companion::{Companion, LOOK_FOR_WORK};
use zonemesh_appliance::files::FileOwner;
use zonemesh_appliance::gateway::{LocalGateway, SetFile, WatchedFederation};
use zonemesh_appliance::installed::installed_flower;
use zonemesh_appliance::node_key::NodeKey;
use zonemesh_appliance::plan::LaunchPlan;
use zonemesh_appliance::preflight;
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::reporter::CompanionState;
use zonemesh_appliance::settings::{SuperLinkPlace, SuperNodeSettings};
use zonemesh_appliance::startup;
use zonemesh_appliance::state_folder::StateFolder;
use zonemesh_core::companion::{ReportedState, SuperNodeState};
use zonemesh_core::exit::{Exit, error_line};
use zonemesh_core::record::{NodeKeyDigest, node_key_digest};

use crate::decision::{FlowerDecision, SuperNodeHere, decide};
use crate::fixed;
use crate::plan::{PrintedSuperNodePlan, StartedFor, SuperNodeInputs, home};
use crate::spent_keys::{SpentKey, SpentKeys};
use crate::started::{FlowerStanding, StartedFlower};

/// Between two checks of a SuperLink that did not pass.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How long the goodbye may take.
const LAST_REPORT: Duration = Duration::from_secs(3);
/// Between two tries to have a key.
const KEY_EVERY: Duration = Duration::from_secs(10);

/// Runs until the process is told to stop.
///
/// # Errors
/// Settings that cannot work on this machine, or a system that gives no signals.
pub(crate) async fn run(settings: SuperNodeSettings) -> anyhow::Result<Exit> {
    let mesh = match &settings.superlink {
        SuperLinkPlace::Mesh(mesh) => mesh,
        SuperLinkPlace::Fixed(superlink) => return fixed::run(&settings, superlink).await,
    };
    let mut companion = Companion::begin("supernode", &settings.common, mesh, None, None)?;
    tokio::select! {
        failed = work(&mut companion, &settings) => failed?,
        stopped = startup::stop_signal() => stopped?,
    }
    stop(&mut companion).await;
    Ok(Exit::Ok)
}

async fn work(companion: &mut Companion, settings: &SuperNodeSettings) -> anyhow::Result<()> {
    let file = StateFolder::new(&settings.common.state_dir).node_key();
    let is_new = !file.exists();
    let key = first_key(companion, &file).await;
    companion.public_key.clone_from(&key.public);
    let flower = companion.installed().await;
    let home = companion.vm.home.clone();
    let owner = companion.vm.owner;
    let inputs = SuperNodeInputs { settings, owner, flower, home: &home };
    let spent = SpentKeys::new(is_new || key.instead_of.is_some());
    if let Some(problem) = key.instead_of {
        companion.vm.reporter.blocked(&Reason::NodeKeyReplaced { problem });
    }
    let next_check = Instant::now();
    let mut supernode =
        SupervisedSuperNode { companion, running: None, next_check, waits_for_key: false, spent };
    supernode.keep(&inputs).await
}

/// The key that Flower knows this SuperNode by; a disk that is full may have room again.
async fn first_key(companion: &mut Companion, file: &Path) -> NodeKey {
    loop {
        match NodeKey::kept(file, companion.vm.owner) {
            Ok(key) => return key,
            Err(error) => {
                let problem = error_line(&error);
                companion.vm.reporter.blocked(&Reason::Files { problem });
            }
        }
        sleep(KEY_EVERY).await;
    }
}

/// Stops Flower and says goodbye. Silence is as good: its gateway finds it gone.
async fn stop(companion: &mut Companion) {
    companion.vm.runner.stop().await;
    companion.vm.reporter.enter(CompanionState::Stopped);
    let state = ReportedState::SuperNode(SuperNodeState::Stopped);
    let _ = tokio::time::timeout(LAST_REPORT, companion.tell(state)).await;
}

struct SupervisedSuperNode<'a> {
    companion: &'a mut Companion,
    /// The present Flower.
    running: Option<StartedFlower>,
    next_check: Instant,
    /// Nothing was wrong at the last check but that its key is not registered.
    waits_for_key: bool,
    /// How often its key was of no use.
    spent: SpentKeys,
}

enum SuperNodeEvent {
    Ended(String),
    Check(Box<RegisteredSuperLink>),
    Start(Box<RegisteredSuperLink>),
    Seen,
}

impl SupervisedSuperNode<'_> {
    async fn keep(&mut self, inputs: &SuperNodeInputs<'_>) -> anyhow::Result<()> {
        let federation = &inputs.settings.common.federation;
        loop {
            let watched = self.companion.watched.borrow_and_update().clone();
            let key = node_key_digest(&self.companion.public_key);
            let running = self.running.as_ref().map(|running| &running.target);
            let decision = decide(&watched, &SuperNodeHere { federation, key, running });
            self.say(&watched, &decision);
            self.companion.look_for_work(inputs.flower.generation.supernode_app());
            self.companion.mention(reported(self.companion));
            if decision == FlowerDecision::NewKey {
                self.replace_key(&watched, inputs).await?;
                continue;
            }
            let starts = matches!(decision, FlowerDecision::Start(_));
            if starts && std::mem::take(&mut self.waits_for_key) {
                self.next_check = Instant::now();
            }
            match self.wake(decision).await? {
                SuperNodeEvent::Seen => {}
                SuperNodeEvent::Ended(exit) => {
                    let wait = self.companion.vm.note_end(exit);
                    self.running = None;
                    self.next_check = Instant::now() + wait;
                }
                SuperNodeEvent::Check(superlink) => self.check_only(&superlink, inputs).await,
                SuperNodeEvent::Start(superlink) => self.check_and_start(&superlink, inputs).await,
            }
        }
    }

    /// Says where the SuperNode is, and what is wrong.
    fn say(&mut self, watched: &WatchedFederation, decision: &FlowerDecision) {
        let key = node_key_digest(&self.companion.public_key);
        let admission = watched.shown.superlink().and_then(|shown| shown.admission_of(key));
        self.spent.seen(admission);
        let known = admission.map(|admission| admission.node_id).filter(|id| *id != 0);
        self.companion.node_id = known.or(self.companion.node_id);
        let now = Instant::now();
        let standing = self.running.as_mut().map(|running| running.look(watched, key, now));
        let reporter = &mut self.companion.vm.reporter;
        let is_ready = reporter.status().state == CompanionState::Ready;
        match &standing {
            Some(FlowerStanding::Ready) if !is_ready => reporter.enter(CompanionState::Ready),
            Some(FlowerStanding::NotOnline(_)) if is_ready => {
                reporter.enter(CompanionState::Starting);
            }
            _ => {}
        }
        match (decision, watched.trouble(), standing) {
            (FlowerDecision::Wait(reason), _, _) => reporter.blocked(reason),
            (FlowerDecision::Keep, Some(reason), _) => reporter.blocked(&reason),
            (_, _, Some(FlowerStanding::NotOnline(reason))) => reporter.blocked(&reason),
            (_, _, Some(FlowerStanding::Connecting)) => {}
            (FlowerDecision::Keep, None, _) => reporter.cleared(),
            _ => {}
        }
    }

    /// Another key in the place of one that Flower never takes: at once, or when it is due.
    async fn replace_key(
        &mut self,
        watched: &WatchedFederation,
        inputs: &SuperNodeInputs<'_>,
    ) -> anyhow::Result<()> {
        if self.companion.vm.runner.is_running() {
            self.companion.vm.runner.stop().await;
            self.running = None;
            self.companion.vm.reporter.enter(CompanionState::Waiting);
        }
        let now = Instant::now();
        match (self.spent.next(now), watched.shown.superlink()) {
            (SpentKey::Taken(due), Some(superlink)) => {
                let (zone, within_s) = (superlink.zone.clone(), (due - now).as_secs() + 1);
                self.companion.vm.reporter.blocked(&Reason::NodeKeyTaken { zone, within_s });
                let mut watched = self.companion.watched.clone();
                tokio::select! {
                    () = sleep_until(due) => {}
                    changed = watched.changed() => {
                        changed.context("the session with the gateway has ended")?;
                    }
                }
            }
            _ => self.change_key(inputs).await,
        }
        Ok(())
    }

    async fn change_key(&mut self, inputs: &SuperNodeInputs<'_>) {
        self.companion.vm.reporter.enter(CompanionState::Waiting);
        let file = StateFolder::new(&inputs.settings.common.state_dir).node_key();
        let problem = "its SuperLink has unregistered it, and Flower takes no key twice".to_owned();
        match NodeKey::anew(&file, inputs.owner, problem.clone()) {
            Ok(key) => {
                self.companion.public_key = key.public;
                self.companion.node_id = None;
                self.spent.replaced();
                self.companion.vm.reporter.blocked(&Reason::NodeKeyReplaced { problem });
            }
            Err(error) => {
                let problem = error_line(&error);
                self.companion.vm.reporter.blocked(&Reason::Files { problem });
                sleep(KEY_EVERY).await;
            }
        }
    }

    async fn wake(&mut self, decision: FlowerDecision) -> anyhow::Result<SuperNodeEvent> {
        let mut watched = self.companion.watched.clone();
        let settles_at =
            self.running.as_ref().and_then(|running| running.settles_at(Instant::now()));
        let (check, checked) = match decision {
            FlowerDecision::Start(superlink) => (true, SuperNodeEvent::Start(superlink)),
            FlowerDecision::Check(superlink) => (true, SuperNodeEvent::Check(superlink)),
            _ => (false, SuperNodeEvent::Seen),
        };
        Ok(tokio::select! {
            exit = self.companion.vm.runner.ended() => SuperNodeEvent::Ended(exit),
            () = sleep_until(settles_at.unwrap_or_else(Instant::now)), if settles_at.is_some() => {
                SuperNodeEvent::Seen
            }
            () = sleep_until(self.next_check), if check => checked,
            () = sleep(LOOK_FOR_WORK), if self.running.is_some() => SuperNodeEvent::Seen,
            changed = watched.changed() => {
                changed.context("the session with the gateway has ended")?;
                SuperNodeEvent::Seen
            }
        })
    }

    /// Its key is waited for; what else is wrong is said meanwhile.
    async fn check_only(&mut self, superlink: &RegisteredSuperLink, inputs: &SuperNodeInputs<'_>) {
        let checked = passes(&self.companion.gateway, superlink, inputs).await;
        let reason = checked.err().unwrap_or_else(|| not_registered(superlink));
        self.waits_for_key = matches!(reason, Reason::NodeNotRegistered { .. });
        self.companion.vm.reporter.blocked(&reason);
        self.next_check = Instant::now() + CHECK_EVERY;
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
                self.companion.vm.reporter.blocked(&reason);
                self.next_check = Instant::now() + CHECK_EVERY;
                return;
            }
        };
        if self.companion.vm.runner.is_running() {
            tracing::info!(%endpoint, "the SuperLink's address or CA set is another: flower is restarted");
            self.companion.vm.runner.stop().await;
            self.running = None;
        }
        let plan = inputs.plan(&StartedFor::new(endpoint, superlink), partition);
        match self.companion.vm.start(&plan, &endpoint.to_string()) {
            Ok(()) => {
                let now = Instant::now();
                let key = node_key_digest(&self.companion.public_key);
                self.running = Some(StartedFlower::new(superlink, key, now));
                self.companion.trusts(&superlink.cas);
                self.next_check = now;
            }
            Err(reason) => {
                self.companion.vm.reporter.blocked(&reason);
                self.next_check = Instant::now() + self.companion.vm.runner.next_try();
            }
        }
    }
}

fn not_registered(superlink: &RegisteredSuperLink) -> Reason {
    Reason::NodeNotRegistered { zone: superlink.zone.clone() }
}

/// Where the SuperNode is, as its gateway is told.
fn reported(companion: &Companion) -> ReportedState {
    ReportedState::SuperNode(match companion.vm.reporter.status().state {
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
    let mesh = match &settings.superlink {
        SuperLinkPlace::Mesh(mesh) => mesh,
        SuperLinkPlace::Fixed(superlink) => return fixed::print_plan(&settings, superlink).await,
    };
    let owner = settings.common.flower_user.as_deref().map(FileOwner::of_user).transpose()?;
    let wanted = settings.common.flower_version;
    let state = StateFolder::new(&settings.common.state_dir);
    let gateway = LocalGateway::new(&settings.common, mesh, SetFile::Read(state.authority_set()));
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
    let json = startup::json(&printed).context("cannot print the plan")?;
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
    let file = StateFolder::new(&inputs.settings.common.state_dir).node_key();
    let key =
        NodeKey::known(&file).map_or_else(NodeKeyDigest::default, |key| node_key_digest(&key));
    match decide(&watched, &SuperNodeHere { federation, key, running: None }) {
        FlowerDecision::Start(superlink) => {
            let ahead = Some(resolved.ahead_of_gateway_ms);
            let endpoint = preflight::check(federation, &superlink, inputs.flower, ahead).await?;
            let partition = match inputs.partition() {
                Some(source) => source.known().await?,
                None => None,
            };
            Ok(inputs.plan(&StartedFor::new(endpoint, &superlink), partition))
        }
        FlowerDecision::Wait(reason) => Err(reason),
        FlowerDecision::Check(superlink) => {
            let ahead = Some(resolved.ahead_of_gateway_ms);
            preflight::check(federation, &superlink, inputs.flower, ahead).await?;
            Err(not_registered(&superlink))
        }
        FlowerDecision::NewKey => Err(Reason::NodeKeyReplaced {
            problem: "its SuperLink has unregistered it; `run` makes another".to_owned(),
        }),
        FlowerDecision::Keep => Err(Reason::NoSuperLink { federation: federation.clone() }),
    }
}
