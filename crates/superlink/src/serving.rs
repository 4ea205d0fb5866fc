//! A Flower that was started: until its end, or the restart that a new certificate needs.
//!
//! It promises that Ready is reported only after the registered address answered as it would answer a
//! SuperNode, that this VM calls itself ready only once its gateway has taken that, and that the
//! gateway is told again whatever it does not know. It refuses to end Flower because of the gateway.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use zonemesh_appliance::backoff::Backoff;
use zonemesh_appliance::companion::LOOK_FOR_WORK;
use zonemesh_appliance::preflight::dial;
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::reporter::{CompanionState, Reporter};
use zonemesh_core::record::{FlowerTransport, Readiness};
use zonemesh_pki::Probe;

use crate::admission::{AdmissionNews, KeptAdmissions};
use crate::certified::CertifiedSuperLink;
use crate::identity::{SuperLinkIdentity, request_again};
use crate::plan::SuperLinkInputs;
use crate::report::{NextReport, ServedSuperLink, next_report, shows_it};

const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Python needs seconds to start; silence about the closed port until then.
const PATIENCE: Duration = Duration::from_secs(15);
/// Gateways gather readiness changes for 5 s: what was told shows a moment later.
const UNTIL_SHOWN: Duration = Duration::from_secs(6);
/// The wall clock may be set: look at it at least this often.
const CLOCK_CHECK: Duration = Duration::from_secs(3600);

/// How it ended.
pub(crate) enum FlowerEnd {
    /// By itself.
    Exited(String),
    /// There is another certificate to serve with.
    Renewed(Box<SuperLinkIdentity>),
}

enum ServingEvent {
    Exited(String),
    Probe,
    Renew,
    Report(NextReport),
    Seen,
}

/// One Flower with what is known of it.
pub(crate) struct ServingFlower<'a> {
    inputs: &'a SuperLinkInputs<'a>,
    identity: &'a SuperLinkIdentity,
    probe: Probe,
    served: ServedSuperLink,
    /// The gateway knows that it serves.
    was_known: bool,
    begun: Instant,
    next_probe: Instant,
    next_report_at: Instant,
    next_renewal: Instant,
    retry: Backoff,
    /// Who takes part, once it serves.
    admissions: Option<KeptAdmissions>,
}

impl<'a> ServingFlower<'a> {
    pub(crate) fn begin(
        inputs: &'a SuperLinkInputs<'a>,
        identity: &'a SuperLinkIdentity,
    ) -> anyhow::Result<Self> {
        let probe = Probe::new(&[&identity.ca_pem]).context("the federation's CA is not usable")?;
        let served = ServedSuperLink {
            address: inputs.settings.address,
            fleet_port: inputs.ports().fleet,
            flower_version: inputs.flower.version.to_string(),
            ca_pem: identity.ca_pem.clone(),
            readiness: Readiness::Starting,
            authenticates: inputs.authenticates(Some(identity)),
        };
        let now = Instant::now();
        let mut serving = Self {
            inputs,
            identity,
            probe,
            served,
            was_known: false,
            begun: now,
            next_probe: now,
            next_report_at: now,
            next_renewal: now,
            retry: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            admissions: None,
        };
        serving.next_renewal = serving.look_at_the_clock();
        Ok(serving)
    }

    pub(crate) async fn follow(
        mut self,
        superlink: &mut CertifiedSuperLink,
    ) -> anyhow::Result<FlowerEnd> {
        loop {
            let admissions = self.hear_who_takes_part(superlink);
            self.say_what_is_wrong(superlink, admissions);
            superlink.companion.look_for_work(self.inputs.flower.generation.superlink_app());
            superlink.mention();
            match self.wake(superlink).await? {
                ServingEvent::Exited(exit) => return Ok(FlowerEnd::Exited(exit)),
                ServingEvent::Probe => self.probe_port(superlink).await,
                ServingEvent::Seen => {}
                ServingEvent::Renew if SystemTime::now() < self.identity.renew_at => {
                    self.next_renewal = self.look_at_the_clock();
                }
                ServingEvent::Renew => match superlink.certify(self.inputs).await {
                    Ok(renewed) => return Ok(FlowerEnd::Renewed(Box::new(renewed))),
                    Err(reason) => {
                        superlink.companion.vm.reporter.blocked(&reason);
                        self.next_renewal = Instant::now() + self.retry.wait();
                    }
                },
                ServingEvent::Report(report) => {
                    if let Some(renewed) = self.tell(report, superlink).await {
                        return Ok(FlowerEnd::Renewed(Box::new(renewed)));
                    }
                }
            }
        }
    }

    async fn wake(&self, superlink: &mut CertifiedSuperLink) -> anyhow::Result<ServingEvent> {
        let companion = &mut superlink.companion;
        let next = next_report(&companion.watched.borrow_and_update(), &self.served);
        let mut watched = companion.watched.clone();
        let starting = self.served.readiness == Readiness::Starting;
        let mut news = self.admissions.as_ref().map(|kept| kept.news.clone());
        Ok(tokio::select! {
            exit = companion.vm.runner.ended() => ServingEvent::Exited(exit),
            () = sleep_until(self.next_probe), if starting => ServingEvent::Probe,
            () = sleep_until(self.next_report_at), if next != NextReport::Nothing => ServingEvent::Report(next),
            () = sleep_until(self.next_renewal) => ServingEvent::Renew,
            () = sleep(LOOK_FOR_WORK) => ServingEvent::Seen,
            () = changed(news.as_mut()) => ServingEvent::Seen,
            changed = watched.changed() => {
                changed.context("the session with the gateway has ended")?;
                ServingEvent::Seen
            }
        })
    }

    /// The gateway has taken, or shows, that this SuperLink serves.
    fn is_known(&mut self, reporter: &mut Reporter) {
        if !std::mem::replace(&mut self.was_known, true) {
            reporter.enter(CompanionState::Ready);
        }
    }

    fn transport(&self) -> FlowerTransport {
        self.inputs.flower.generation.transport()
    }

    async fn probe_port(&mut self, superlink: &mut CertifiedSuperLink) {
        match dial(self.inputs.fleet(), &self.probe, self.transport()).await {
            Ok(()) => {
                self.served.readiness = Readiness::Ready;
                self.admissions = self.served.authenticates.then(|| {
                    let numbers = self.inputs.state().nodes();
                    let watched = superlink.companion.watched.clone();
                    KeptAdmissions::begin(self.inputs.flwr(), numbers, watched)
                });
                self.report(Readiness::Ready, superlink).await;
            }
            Err(reason) => {
                if self.begun.elapsed() > PATIENCE {
                    let (endpoint, problem) = (self.inputs.fleet(), reason.to_string());
                    superlink
                        .companion
                        .vm
                        .reporter
                        .blocked(&Reason::NotServing { endpoint, problem });
                }
                self.next_probe = Instant::now() + PROBE_EVERY;
            }
        }
    }

    /// Flower's list, as it was read last, goes into the next report; why it cannot be is given back.
    fn hear_who_takes_part(&mut self, superlink: &mut CertifiedSuperLink) -> Option<Reason> {
        let news = self.admissions.as_mut()?.news.borrow_and_update().clone();
        superlink.companion.nodes = news.nodes.or(superlink.companion.nodes.take());
        news.problem
    }

    fn say_what_is_wrong(
        &mut self,
        superlink: &mut CertifiedSuperLink,
        admissions: Option<Reason>,
    ) {
        let companion = &mut superlink.companion;
        let watched = companion.watched.borrow().clone();
        let serving = self.served.readiness == Readiness::Ready;
        match &watched.trouble() {
            Some(reason) => companion.vm.reporter.blocked(reason),
            None if serving && shows_it(&watched, &self.served) => {
                self.is_known(&mut companion.vm.reporter);
                match admissions {
                    Some(reason) => companion.vm.reporter.blocked(&reason),
                    None => companion.vm.reporter.cleared(),
                }
            }
            None => {}
        }
    }

    async fn tell(
        &mut self,
        report: NextReport,
        superlink: &mut CertifiedSuperLink,
    ) -> Option<SuperLinkIdentity> {
        match report {
            NextReport::Nothing => None,
            NextReport::Readiness(readiness) => {
                self.report(readiness, superlink).await;
                None
            }
            NextReport::Registration => self.register_again(superlink).await,
        }
    }

    async fn report(&mut self, readiness: Readiness, superlink: &mut CertifiedSuperLink) {
        if superlink.tell(readiness).await {
            self.told();
            if readiness == Readiness::Ready {
                self.is_known(&mut superlink.companion.vm.reporter);
            }
        } else {
            self.next_report_at = Instant::now() + self.retry.wait();
        }
    }

    /// With the key in use: while the CA is the same, the certificate that Flower serves is as good.
    async fn register_again(
        &mut self,
        superlink: &mut CertifiedSuperLink,
    ) -> Option<SuperLinkIdentity> {
        tracing::info!("the gateway does not know this SuperLink: registering again");
        let settings = self.inputs.settings;
        let request = request_again(self.identity, &settings.common.federation, settings.address);
        let registered = match request {
            Ok(request) => superlink.register(self.inputs, request).await,
            Err(_foreign_key) => superlink.certify(self.inputs).await,
        };
        match registered {
            Ok(identity) if self.serves_as_well_with(&identity) => {
                self.told();
                if self.served.readiness == Readiness::Ready {
                    self.report(Readiness::Ready, superlink).await;
                }
                None
            }
            Ok(identity) => Some(identity),
            Err(reason) => {
                superlink.companion.vm.reporter.blocked(&reason);
                self.next_report_at = Instant::now() + self.retry.wait();
                None
            }
        }
    }

    /// Nothing that Flower was started with is another.
    fn serves_as_well_with(&self, identity: &SuperLinkIdentity) -> bool {
        identity.ca_pem.trim() == self.identity.ca_pem.trim()
            && self.inputs.authenticates(Some(identity)) == self.served.authenticates
    }

    fn told(&mut self) {
        self.retry.reset();
        self.next_report_at = Instant::now() + UNTIL_SHOWN;
    }

    fn look_at_the_clock(&self) -> Instant {
        Instant::now() + self.identity.renewal_in(SystemTime::now()).min(CLOCK_CHECK)
    }
}

/// Something else is known of who takes part; never, if nobody asks.
async fn changed(news: Option<&mut watch::Receiver<AdmissionNews>>) {
    let is_changed = match news {
        Some(news) => news.changed().await.is_ok(),
        None => false,
    };
    if !is_changed {
        std::future::pending().await
    }
}
