//! The order in which `zonemesh-supernode` does things.
//!
//! It promises that Flower is started only for a SuperLink that says it is ready and passes every
//! check, that the reason for not starting is said within 10 s, and that a Flower that runs is left
//! alone until it ends or its SuperLink is another. It tries for ever. What to do next is decided in
//! `decision.rs`; how Flower is told, in `plan.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep_until};
use zonemesh_appliance::companion::Companion;
use zonemesh_appliance::files::Owner;
use zonemesh_appliance::flower::FlowerVersion;
use zonemesh_appliance::gateway::Gateway;
use zonemesh_appliance::plan::Plan;
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::reporter::State;
use zonemesh_appliance::settings::SuperNodeSettings;
use zonemesh_appliance::startup::CompanionExit;
use zonemesh_appliance::view::{Target, View};
use zonemesh_appliance::{installed, preflight, startup};

use crate::decision::{Decision, decide};
use crate::plan::{Inputs, Printed, home};

/// Between two checks of a SuperLink that did not pass.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// A Flower that lived this long has connected, or tries to.
const SETTLED: Duration = Duration::from_secs(3);

/// Runs until the process is told to stop.
///
/// # Errors
/// Settings that cannot work on this machine, or a system that gives no signals.
pub(crate) async fn run(settings: SuperNodeSettings) -> anyhow::Result<CompanionExit> {
    let mut supernode = SuperNode {
        companion: Companion::begin("supernode", &settings.common)?,
        running: None,
        next_check: Instant::now(),
        settled_at: None,
    };
    tokio::select! {
        failed = supernode.work(&settings) => failed?,
        stopped = startup::stop_signal() => stopped?,
    }
    supernode.companion.stop_flower().await;
    supernode.companion.progress.enter(State::Stopped);
    Ok(CompanionExit::Well)
}

struct SuperNode {
    companion: Companion,
    /// What the present Flower was started for.
    running: Option<Target>,
    next_check: Instant,
    settled_at: Option<Instant>,
}

enum Wake {
    Ended(String),
    Settled,
    Check(Box<View>),
    Seen,
}

impl SuperNode {
    async fn work(&mut self, settings: &SuperNodeSettings) -> anyhow::Result<()> {
        let (version, profile) = self.companion.installed().await;
        let inputs = Inputs { settings, owner: self.companion.owner, profile };
        let federation = &settings.common.federation;
        loop {
            let seen = self.companion.seen.borrow_and_update().clone();
            let decision = decide(&seen, self.running.as_ref(), federation);
            match (&decision, &seen.trouble()) {
                (Decision::Wait(reason), _) | (Decision::Keep, Some(reason)) => {
                    self.companion.progress.blocked(reason);
                }
                (Decision::Keep, None) if self.settled_at.is_none() => {
                    self.companion.progress.cleared();
                }
                _ => {}
            }
            match self.wake(decision).await? {
                Wake::Seen => {}
                Wake::Settled => {
                    self.settled_at = None;
                    self.companion.ready();
                }
                Wake::Ended(exit) => {
                    let wait = self.companion.note_end(exit);
                    self.running = None;
                    self.settled_at = None;
                    self.next_check = Instant::now() + wait;
                }
                Wake::Check(view) => self.check_and_start(&view, version, &inputs).await,
            }
        }
    }

    async fn wake(&mut self, decision: Decision) -> anyhow::Result<Wake> {
        let mut seen = self.companion.seen.clone();
        let settled_at = self.settled_at;
        let (check, view) = match decision {
            Decision::Start(view) => (true, Some(view)),
            _ => (false, None),
        };
        Ok(tokio::select! {
            exit = self.companion.ended() => Wake::Ended(exit),
            () = sleep_until(settled_at.unwrap_or_else(Instant::now)), if settled_at.is_some() => {
                Wake::Settled
            }
            () = sleep_until(self.next_check), if check => match view {
                Some(view) => Wake::Check(view),
                None => Wake::Seen,
            },
            changed = seen.changed() => {
                changed.context("the watch of the gateway has ended")?;
                Wake::Seen
            }
        })
    }

    async fn check_and_start(&mut self, view: &View, version: FlowerVersion, inputs: &Inputs<'_>) {
        let endpoint = match passes(&self.companion.gateway, view, version).await {
            Ok(endpoint) => endpoint,
            Err(reason) => {
                self.companion.progress.blocked(&reason);
                self.next_check = Instant::now() + CHECK_EVERY;
                return;
            }
        };
        if self.companion.running() {
            tracing::info!(%endpoint, "the SuperLink's address or CA set is another: flower is restarted");
            self.companion.stop_flower().await;
            self.running = None;
        }
        let plan = inputs.plan(endpoint, &view.target.ca_pems);
        match self.companion.start(&plan, &endpoint.to_string()) {
            Ok(()) => {
                self.running = Some(view.target.clone());
                self.settled_at = Some(Instant::now() + SETTLED);
                self.next_check = Instant::now();
            }
            Err(reason) => {
                self.companion.progress.blocked(&reason);
                self.next_check = Instant::now() + self.companion.next_try();
            }
        }
    }
}

/// Every check, with the clocks compared if the gateway answers.
async fn passes(gateway: &Gateway, view: &View, ours: FlowerVersion) -> Result<SocketAddr, Reason> {
    match gateway.resolve().await {
        Ok(resolved) => {
            let now = resolved.view.as_ref().unwrap_or(view);
            // The clock offset is measured anew with each answer; the target is the one decided on.
            let view = View { target: view.target.clone(), ..now.clone() };
            preflight::check(&view, ours, Some(resolved.ahead_of_gateway_ms)).await
        }
        Err(_gateway_is_away) => preflight::check(view, ours, None).await,
    }
}

/// Prints what `run` would do now, without secrets, and judges: well if Flower would be started.
///
/// # Errors
/// TLS cannot be set up, or standard output is closed.
pub(crate) async fn print_plan(settings: SuperNodeSettings) -> anyhow::Result<CompanionExit> {
    use std::io::Write;

    let owner = settings.common.flower_user.as_deref().map(Owner::of_user).transpose()?;
    let wanted = settings.common.flower_version;
    let (version, plan) = match installed::version(&home(&settings), owner, wanted).await {
        Ok((version, profile)) => {
            let inputs = Inputs { settings: &settings, owner, profile };
            let gateway = Gateway::new(&settings.common)?;
            (Some(version.to_string()), plan_now(&gateway, &inputs, version).await)
        }
        Err(reason) => (None, Err(reason)),
    };
    let verdict = plan.as_ref().map_or_else(CompanionExit::from, |_| CompanionExit::Well);
    let printed = Printed::new(&settings, version, plan);
    let mut json = serde_json::to_string_pretty(&printed).context("cannot print the plan")?;
    json.push('\n');
    std::io::stdout().write_all(json.as_bytes()).context("cannot print the plan")?;
    Ok(verdict)
}

async fn plan_now(
    gateway: &Gateway,
    inputs: &Inputs<'_>,
    version: FlowerVersion,
) -> Result<Plan, Reason> {
    let resolved = gateway.resolve().await?;
    let seen = zonemesh_appliance::gateway::Seen {
        view: Some(resolved.view),
        lost: None,
        connected: true,
        misfit: None,
    };
    match decide(&seen, None, &inputs.settings.common.federation) {
        Decision::Start(view) => {
            let ahead = Some(resolved.ahead_of_gateway_ms);
            let endpoint = preflight::check(&view, version, ahead).await?;
            Ok(inputs.plan(endpoint, &view.target.ca_pems))
        }
        Decision::Wait(reason) => Err(reason),
        Decision::Keep => {
            Err(Reason::NoSuperLink { federation: inputs.settings.common.federation.clone() })
        }
    }
}
