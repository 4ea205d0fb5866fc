//! The body that both companions have: the session with the gateway, the one Flower, what is said.
//!
//! It promises that each end of Flower is told with its reason, and that the gateway hears how it goes
//! whenever that changes. It refuses to decide when Flower may
//! run: that is the companions' own `run`. Its three seams: settings come from a
//! [`SettingsSource`](zonemesh_context::source::SettingsSource), Flower runs in a [`Runner`], and what is going
//! on is told by a [`Reporter`].

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use zonemesh_api::wire::local::TrustedCa;
use zonemesh_api::wire::onegate::OneGateIdentity;
use zonemesh_core::companion::{
    CompanionReport, FlowerActivity, MAX_FINDING_TEXT, ReportedFinding, ReportedState,
};
use zonemesh_core::exit::error_line;
use zonemesh_core::record::{AdmittedNode, HeldCa, MAX_CAS};
use zonemesh_pki::describe::fingerprint;

use crate::files::{FileOwner, make_folder};
use crate::flower::{FlowerHome, FlowerVersion, InstalledFlower};
use crate::gateway::{
    GatewayLine, GatewaySession, GatewayTalk, LocalGateway, SetFile, WatchedFederation,
};
use crate::installed::installed_flower;
use crate::plan::{LaunchPlan, state_folders};
use crate::reason::Reason;
use crate::reporter::{CompanionState, Reporter, StatusReason, ToldOneGate};
use crate::runner::Runner;
use crate::runner::child::ChildError;
use crate::settings::CompanionSettings;
use crate::state_folder::{CompanionLock, StateFolder};

const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How often it is looked whether Flower has work.
pub const LOOK_FOR_WORK: Duration = Duration::from_secs(5);

/// What a running companion holds.
pub struct Companion {
    /// What is said about it.
    pub reporter: Reporter,
    /// Where Flower runs.
    pub runner: Runner,
    /// The local gateway.
    pub gateway: LocalGateway,
    /// The session with it.
    pub line: GatewayLine,
    /// What it has shown.
    pub watched: watch::Receiver<WatchedFederation>,
    /// The CA certificates that Flower trusts here.
    pub trusted: Vec<HeldCa>,
    /// What Flower is doing, if that is known.
    pub activity: Option<FlowerActivity>,
    /// The key that Flower knows this VM's SuperNode by; empty if there is none.
    pub public_key: Vec<u8>,
    /// The number that Flower knows it by, once it is known.
    pub node_id: Option<u64>,
    /// Of a SuperLink: Flower's list of SuperNodes, once it was read.
    pub nodes: Option<Vec<AdmittedNode>>,
    /// As whom Flower runs.
    pub owner: Option<FileOwner>,
    /// Where Flower lives.
    pub home: FlowerHome,
    wanted: Option<FlowerVersion>,
    says_keepalive: bool,
    /// What was reported last.
    reported: Option<CompanionReport>,
    /// The session before it has begun.
    session: Option<GatewaySession>,
    talking: JoinSet<()>,
    _lock: CompanionLock,
}

impl Companion {
    /// Makes the folders. The gateway is talked with from [`Companion::installed`] on: it is shown
    /// `onegate`, and called from the address `from`, if there are such.
    ///
    /// # Errors
    /// The user is unknown, or a folder cannot be made.
    pub fn begin(
        role: &'static str,
        settings: &CompanionSettings,
        onegate: Option<OneGateIdentity>,
        from: Option<IpAddr>,
    ) -> anyhow::Result<Self> {
        let owner = settings.flower_user.as_deref().map(FileOwner::of_user).transpose()?;
        let state = StateFolder::new(&settings.state_dir);
        for folder in state_folders(&state, owner) {
            make_folder(&folder.path, folder.mode, folder.owner)?;
        }
        let lock = state.lock()?;
        let gateway = LocalGateway::new(settings, SetFile::Kept(state.authority_set()));
        let gateway = gateway.calling_from(from);
        let GatewayTalk { line, watched, session } = gateway.clone().showing(onegate).talk();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"), role, federation = %settings.federation,
            gateway = gateway.address().map(tracing::field::display), state_dir = %state.root().display(), "companion started"
        );
        let guard = std::env::current_exe().context("cannot find this program's own file")?;
        let told = ToldOneGate {
            onegate: settings.onegate.clone(),
            gateway_status: settings.gateway_status.clone(),
        };
        Ok(Self {
            reporter: Reporter::begin(&state, role, &settings.federation, told),
            runner: Runner::new(guard, state.log()),
            gateway,
            line,
            watched,
            trusted: Vec::new(),
            activity: None,
            public_key: Vec::new(),
            node_id: None,
            nodes: None,
            reported: None,
            owner,
            home: FlowerHome::new(&settings.flower_bin, &state)
                .passing_on(|name| settings.passed_on(name)),
            wanted: settings.flower_version,
            says_keepalive: settings.says_keepalive,
            session: Some(session),
            talking: JoinSet::new(),
            _lock: lock,
        })
    }

    /// The installed Flower; looked for until it is right. The session with the gateway begins once it
    /// was looked for: which Flower it is decides what the gateway is told.
    pub async fn installed(&mut self) -> InstalledFlower {
        loop {
            let found = installed_flower(&self.home, self.owner, self.wanted).await;
            if let Ok(flower) = found {
                self.gateway.runs(flower);
            }
            if let Some(session) = self.session.take() {
                self.talking.spawn(session.run());
            }
            match found {
                Ok(flower) => {
                    if self.says_keepalive && flower.generation.keepalive().is_none() {
                        tracing::warn!(
                            "Flower {} has no keepalive of gRPC: ONEAPP_FL_GRPC_KEEPALIVE_* have no effect",
                            flower.version
                        );
                    }
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

    /// Flower trusts these CA certificates from now on.
    pub fn trusts<'a>(&mut self, cas: impl IntoIterator<Item = &'a TrustedCa>) {
        let held = |ca: &TrustedCa| {
            let certificate = fingerprint(&ca.pem).ok()?;
            Some(HeldCa { certificate, state: ca.state })
        };
        self.trusted = cas.into_iter().filter_map(held).take(MAX_CAS).collect();
    }

    /// Looks whether Flower has started `app`, which it does while there is work.
    pub fn look_for_work(&mut self, app: &str) {
        self.activity = self.runner.has_started(app).map(|works| match works {
            true => FlowerActivity::Training,
            false => FlowerActivity::Idle,
        });
    }

    /// How it goes, in this state.
    #[must_use]
    pub fn report(&self, state: ReportedState) -> CompanionReport {
        let status = self.reporter.status();
        let finding = |reason: &StatusReason| ReportedFinding {
            code: reason.code.to_owned(),
            text: cut(&reason.text, MAX_FINDING_TEXT).to_owned(),
        };
        // It may be why something worse is said, and is said beside that.
        let route = self.watched.borrow().routes.clone().map(|reason| ReportedFinding {
            code: reason.code().to_owned(),
            text: cut(&reason.to_string(), MAX_FINDING_TEXT).to_owned(),
        });
        let is_said = |route: &ReportedFinding| {
            status.reason.as_ref().is_some_and(|reason| reason.code == route.code)
        };
        let route = route.filter(|route| !is_said(route));
        CompanionReport {
            findings: status.reason.iter().map(finding).chain(route).collect(),
            flower_version: status.flower_version.clone().unwrap_or_default(),
            cas: self.trusted.clone(),
            activity: self.activity,
            public_key: self.public_key.clone(),
            node_id: self.node_id,
            nodes: self.nodes.clone(),
            ..CompanionReport::of(state)
        }
    }

    /// Reports how it goes, if that is something else than was reported last. Nobody waits for it: it
    /// is said again in each session.
    pub fn mention(&mut self, state: ReportedState) {
        let report = self.report(state);
        let is_new = self.reported.as_ref().is_none_or(|last| !last.says_the_same(&report));
        if is_new && self.line.mention(report.clone()) {
            self.reported = Some(report);
        }
    }

    /// Reports how it goes, and waits until the gateway has taken it.
    ///
    /// # Errors
    /// Why it has not.
    pub async fn tell(&mut self, state: ReportedState) -> Result<(), Reason> {
        let report = self.report(state);
        self.reported = Some(report.clone());
        self.line.report(report).await
    }

    /// Says that Flower has ended by itself, and gives the wait before the next start.
    pub fn note_end(&mut self, exit: String) -> Duration {
        let wait = self.runner.note_end();
        self.reporter.enter(CompanionState::Waiting);
        self.reporter.blocked(&Reason::FlowerEnded { exit });
        wait
    }
}

/// At most so many bytes of a text.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(cut("short", 512), "short");
        assert_eq!(cut("aü", 2), "a");
        assert_eq!(cut("aü", 3), "aü");
    }
}
