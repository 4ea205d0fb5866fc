//! A SuperNode whose SuperLink CONTEXT names: no mesh, no gateway, no session.
//!
//! It promises that Flower is started only for a SuperLink that answers with TLS of the given CA for the
//! given name, that each fault is said and tried again for ever, and that READY is told while TLS answers
//! and Flower holds a connection there, and no longer than half a minute without either. It refuses to
//! know who else takes part: that SuperLink's list is nobody's here, so that no key is shown it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use nix::unistd::Uid;
use tokio::time::{Instant, sleep_until};
use zonemesh_appliance::connections;
use zonemesh_appliance::flower_vm::FlowerVm;
use zonemesh_appliance::installed::installed_flower;
use zonemesh_appliance::preflight::{check_fixed, places};
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::reporter::CompanionState;
use zonemesh_appliance::settings::{FixedSuperLink, SuperNodeSettings};
use zonemesh_appliance::startup;
use zonemesh_core::exit::Exit;
use zonemesh_core::finding::Code;

use crate::plan::{PrintedSuperNodePlan, StartedFor, SuperNodeInputs, home};

/// Between two checks that did not pass, and two looks for the connection.
const LOOK: Duration = Duration::from_secs(5);
/// How long a connection must last to be one that Flower holds.
const SETTLED: Duration = Duration::from_secs(5);
/// How often TLS is looked for while it answers.
const TLS_EVERY: Duration = Duration::from_secs(30);
/// How long Flower may be without one: it connects again by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs until the process is told to stop.
///
/// # Errors
/// Settings that cannot work on this machine, or a system that gives no signals.
pub(crate) async fn run(
    settings: &SuperNodeSettings,
    superlink: &FixedSuperLink,
) -> anyhow::Result<Exit> {
    let mut vm = FlowerVm::begin("supernode", &settings.common)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"), role = "supernode",
        federation = %settings.common.federation, superlink = %superlink.address,
        "companion started: no mesh, as CONTEXT names the SuperLink; SuperNode authentication is off, since nobody registers this VM's key there"
    );
    tokio::select! {
        () = keep(&mut vm, settings, superlink) => {}
        stopped = startup::stop_signal() => stopped?,
    }
    vm.runner.stop().await;
    vm.reporter.enter(CompanionState::Stopped);
    Ok(Exit::Ok)
}

async fn keep(vm: &mut FlowerVm, settings: &SuperNodeSettings, superlink: &FixedSuperLink) {
    let flower = vm.installed().await;
    let home = vm.home.clone();
    let inputs = SuperNodeInputs { settings, owner: vm.owner, flower, home: &home };
    let mut next = Instant::now();
    loop {
        sleep_until(next).await;
        let held = match start(vm, &inputs, superlink).await {
            Ok(held) => held,
            Err(wait) => {
                next = Instant::now() + wait;
                continue;
            }
        };
        let exit = watch(vm, &inputs, superlink, held).await;
        next = Instant::now() + vm.note_end(exit);
    }
}

/// Checks, then starts Flower; the wait before the next try if it is not.
async fn start(
    vm: &mut FlowerVm,
    inputs: &SuperNodeInputs<'_>,
    superlink: &FixedSuperLink,
) -> Result<HeldConnection, Duration> {
    let checked = match check_fixed(superlink, inputs.flower).await {
        Ok(places) => match inputs.partition() {
            Some(source) => source.kept().await.map(|part| (places, part)),
            None => Ok((places, None)),
        },
        Err(reason) => Err(reason),
    };
    let (places, partition) = checked.map_err(|reason| {
        vm.reporter.blocked(&reason);
        LOOK
    })?;
    let plan = inputs.plan(&StartedFor::fixed(superlink), partition);
    vm.start(&plan, &superlink.address.to_string()).map_err(|reason| {
        vm.reporter.blocked(&reason);
        vm.runner.next_try()
    })?;
    let uid = vm.owner.map_or_else(|| Uid::effective().as_raw(), |owner| owner.uid);
    Ok(HeldConnection { uid, places, standing: ConnectionStanding::new(Instant::now()) })
}

/// Looks after a Flower that runs until it ends, and says how.
async fn watch(
    vm: &mut FlowerVm,
    inputs: &SuperNodeInputs<'_>,
    superlink: &FixedSuperLink,
    mut held: HeldConnection,
) -> String {
    let mut next = Instant::now() + LOOK / 2;
    let mut tls = LastTls { answered: true, at: Instant::now() };
    loop {
        tokio::select! {
            exit = vm.runner.ended() => return exit,
            () = sleep_until(next) => {}
        }
        let standing = held.look(superlink, Instant::now()).await;
        let mut reason = None;
        if tls.is_due(standing, Instant::now()) {
            reason = check_fixed(superlink, inputs.flower).await.err();
            tls = LastTls { answered: reason.is_none(), at: Instant::now() };
        }
        next = Instant::now() + LOOK / 2;
        let is_ready = vm.reporter.status().state == CompanionState::Ready;
        match standing {
            FixedStanding::Ready if tls.answered && is_ready => vm.reporter.cleared(),
            FixedStanding::Ready if tls.answered => vm.reporter.enter(CompanionState::Ready),
            FixedStanding::Connecting if tls.answered => {}
            FixedStanding::Ready | FixedStanding::Connecting | FixedStanding::Missing => {
                if is_ready {
                    vm.reporter.enter(CompanionState::Starting);
                }
                // Between two looks, what was said of the last one still holds.
                let said = reason.or_else(|| tls.answered.then(|| no_connection(superlink)));
                said.iter().for_each(|reason| vm.reporter.blocked(reason));
            }
        }
    }
}

/// When TLS was looked for last, and whether it answered. Pure.
#[derive(Debug, Clone, Copy)]
struct LastTls {
    answered: bool,
    at: Instant,
}

impl LastTls {
    /// Now and then while all is well, and soon again while it is not.
    fn is_due(&self, standing: FixedStanding, now: Instant) -> bool {
        let is_well = self.answered && standing != FixedStanding::Missing;
        now - self.at >= if is_well { TLS_EVERY } else { LOOK }
    }
}

/// TLS answers, and Flower is not there.
fn no_connection(superlink: &FixedSuperLink) -> Reason {
    Reason::FixedSuperLink {
        address: superlink.address.to_string(),
        code: Code::SuperLinkUnreachable,
        problem: "it answers with TLS, and Flower here holds no connection to it".to_owned(),
        fix: "read Flower's log here: does that SuperLink ask SuperNodes for keys (--enable-supernode-auth)? nobody registers this one's there",
        is_refused: false,
    }
}

/// The connection of Flower's user to its SuperLink.
struct HeldConnection {
    uid: u32,
    places: Vec<SocketAddr>,
    standing: ConnectionStanding,
}

impl HeldConnection {
    async fn look(&mut self, superlink: &FixedSuperLink, now: Instant) -> FixedStanding {
        if !connections::are_there(self.uid, &self.places) {
            // Its name may have another address by now.
            if let Ok(places) = places(&superlink.address).await {
                self.places = places;
            }
        }
        let is_there = connections::are_there(self.uid, &self.places);
        self.standing.look(is_there, now)
    }
}

/// Whether Flower holds its connection. Pure.
#[derive(Debug, Clone, Copy)]
struct ConnectionStanding {
    /// Since when there is one at each look.
    there_since: Option<Instant>,
    /// When there was one last, or Flower was started.
    last: Instant,
    was_ready: bool,
}

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FixedStanding {
    Connecting,
    Ready,
    Missing,
}

impl ConnectionStanding {
    const fn new(started: Instant) -> Self {
        Self { there_since: None, last: started, was_ready: false }
    }

    fn look(&mut self, is_there: bool, now: Instant) -> FixedStanding {
        if is_there {
            self.last = now;
            let since = *self.there_since.get_or_insert(now);
            self.was_ready |= now - since >= SETTLED;
        } else {
            self.there_since = None;
        }
        if now - self.last >= PATIENCE {
            self.was_ready = false;
            return FixedStanding::Missing;
        }
        if self.was_ready { FixedStanding::Ready } else { FixedStanding::Connecting }
    }
}

/// Prints what `run` would do now, without secrets, and judges: well if Flower would be started.
///
/// # Errors
/// Standard output is closed.
pub(crate) async fn print_plan(
    settings: &SuperNodeSettings,
    superlink: &FixedSuperLink,
) -> anyhow::Result<Exit> {
    let owner = settings.common.flower_user.as_deref();
    let owner = owner.map(zonemesh_appliance::files::FileOwner::of_user).transpose()?;
    let home = home(settings).passing_on(|name| settings.common.passed_on(name));
    let installed = installed_flower(&home, owner, settings.common.flower_version).await;
    let version = installed.as_ref().ok().map(|flower| flower.version.to_string());
    let plan = match installed {
        Ok(flower) => {
            let inputs = SuperNodeInputs { settings, owner, flower, home: &home };
            check_fixed(superlink, flower)
                .await
                .map(|_answers| inputs.plan(&StartedFor::fixed(superlink), None))
        }
        Err(reason) => Err(reason),
    };
    let verdict = plan.as_ref().map_or_else(startup::verdict, |_| Exit::Ok);
    let printed = PrintedSuperNodePlan::new(settings, None, version, plan);
    let json = serde_json::to_string_pretty(&printed).context("cannot print the plan")?;
    startup::print(&json)?;
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn ready_is_a_connection_that_lasts_and_no_one_that_comes_and_goes() {
        let start = Instant::now();
        let mut standing = ConnectionStanding::new(start);
        let mut look = |is_there, seconds| standing.look(is_there, after(start, seconds));
        assert_eq!(look(false, 2), FixedStanding::Connecting);
        assert_eq!(look(true, 4), FixedStanding::Connecting);
        assert_eq!(look(false, 6), FixedStanding::Connecting);
        assert_eq!(look(true, 8), FixedStanding::Connecting);
        assert_eq!(look(true, 10), FixedStanding::Connecting);
        assert_eq!(look(true, 13), FixedStanding::Ready);
    }

    #[test]
    fn a_superlink_that_restarts_takes_no_readiness_back_and_one_that_stays_away_does() {
        let start = Instant::now();
        let mut standing = ConnectionStanding::new(start);
        let mut look = |is_there, seconds| standing.look(is_there, after(start, seconds));
        look(true, 0);
        assert_eq!(look(true, 5), FixedStanding::Ready);
        assert_eq!(look(false, 30), FixedStanding::Ready);
        assert_eq!(look(true, 31), FixedStanding::Ready);
        assert_eq!(look(false, 60), FixedStanding::Ready);
        assert_eq!(look(false, 61), FixedStanding::Missing);
        assert_eq!(look(true, 62), FixedStanding::Connecting);
        assert_eq!(look(true, 67), FixedStanding::Ready);
    }

    #[test]
    fn tls_is_looked_for_now_and_then_and_soon_again_when_something_is_wrong() {
        let start = Instant::now();
        let well = LastTls { answered: true, at: start };
        assert!(!well.is_due(FixedStanding::Ready, after(start, 29)));
        assert!(well.is_due(FixedStanding::Ready, after(start, 30)));
        assert!(!well.is_due(FixedStanding::Missing, after(start, 4)));
        assert!(well.is_due(FixedStanding::Missing, after(start, 5)), "why is it missing?");
        let silent = LastTls { answered: false, at: start };
        assert!(!silent.is_due(FixedStanding::Ready, after(start, 4)));
        assert!(silent.is_due(FixedStanding::Ready, after(start, 5)));
    }

    #[test]
    fn a_flower_that_never_connects_is_named_after_half_a_minute() {
        let start = Instant::now();
        let mut standing = ConnectionStanding::new(start);
        assert_eq!(standing.look(false, after(start, 29)), FixedStanding::Connecting);
        assert_eq!(standing.look(false, after(start, 30)), FixedStanding::Missing);
    }
}
