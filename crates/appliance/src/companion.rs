//! The body that both companions have: the session with the gateway, the one Flower, what is said.
//!
//! It promises that each end of Flower is told with its reason, and that the gateway hears how it goes
//! whenever that changes. It refuses to decide when Flower may
//! run: that is the companions' own `run`. Its three seams: settings come from a
//! [`SettingsSource`](zonemesh_context::source::SettingsSource), Flower runs in a
//! [`Runner`](crate::runner::Runner), and what is going on is told by a
//! [`Reporter`](crate::reporter::Reporter).

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use zonemesh_api::wire::local::TrustedCa;
use zonemesh_api::wire::onegate::OneGateIdentity;
use zonemesh_core::companion::{
    CompanionReport, FlowerActivity, MAX_FINDING_TEXT, ReportedFinding, ReportedState,
};
use zonemesh_core::record::{AdmittedNode, HeldCa, MAX_CAS};
use zonemesh_pki::describe::fingerprint;

use crate::flower::InstalledFlower;
use crate::flower_vm::{FlowerVm, LOOK_AGAIN};
use crate::gateway::{
    GatewayLine, GatewaySession, GatewayTalk, LocalGateway, SetFile, WatchedFederation,
};
use crate::reason::Reason;
use crate::reporter::StatusReason;
use crate::settings::{CompanionSettings, MeshSettings};
use crate::state_folder::StateFolder;

/// How often it is looked whether Flower has work.
pub const LOOK_FOR_WORK: Duration = Duration::from_secs(5);

/// What a running companion holds.
pub struct Companion {
    /// Flower here.
    pub vm: FlowerVm,
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
    /// What was reported last.
    reported: Option<CompanionReport>,
    /// The session before it has begun.
    session: Option<GatewaySession>,
    talking: JoinSet<()>,
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
        mesh: &MeshSettings,
        onegate: Option<OneGateIdentity>,
        from: Option<IpAddr>,
    ) -> anyhow::Result<Self> {
        let vm = FlowerVm::begin(role, settings)?;
        let state = StateFolder::new(&settings.state_dir);
        let gateway = LocalGateway::new(settings, mesh, SetFile::Kept(state.authority_set()));
        let gateway = gateway.calling_from(from);
        let GatewayTalk { line, watched, session } = gateway.clone().showing(onegate).talk();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"), role, federation = %settings.federation,
            gateway = gateway.address().map(tracing::field::display), state_dir = %state.root().display(), "companion started"
        );
        Ok(Self {
            vm,
            gateway,
            line,
            watched,
            trusted: Vec::new(),
            activity: None,
            public_key: Vec::new(),
            node_id: None,
            nodes: None,
            reported: None,
            session: Some(session),
            talking: JoinSet::new(),
        })
    }

    /// The installed Flower; looked for until it is right. The session with the gateway begins once it
    /// was looked for: which Flower it is decides what the gateway is told.
    pub async fn installed(&mut self) -> InstalledFlower {
        loop {
            let found = self.vm.look_for_flower().await;
            if let Ok(flower) = found {
                self.gateway.runs(flower);
            }
            if let Some(session) = self.session.take() {
                self.talking.spawn(session.run());
            }
            if let Ok(flower) = found {
                return flower;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
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
        self.activity = self.vm.runner.has_started(app).map(|works| match works {
            true => FlowerActivity::Training,
            false => FlowerActivity::Idle,
        });
    }

    /// How it goes, in this state.
    #[must_use]
    pub fn report(&self, state: ReportedState) -> CompanionReport {
        let status = self.vm.reporter.status();
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
