//! One life of Flower: from its start to its end, or to the restart that a new certificate needs.
//!
//! It promises that Ready is reported only after a TLS handshake with the Fleet port succeeded as a
//! SuperNode's would, and that the gateway is told again whatever it does not know. It refuses to
//! end Flower because of the gateway.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use tokio::time::{Instant, sleep_until};
use zonemesh_appliance::backoff::Backoff;
use zonemesh_appliance::pki::Probe;
use zonemesh_appliance::preflight::dial;
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::view::Readiness;

use crate::identity::{Identity, request_again};
use crate::plan::Inputs;
use crate::report::{Duty, Truth, duty};
use crate::run::SuperLink;

const PROBE_EVERY: Duration = Duration::from_millis(500);
/// Python needs seconds to start; silence about the closed port until then.
const PATIENCE: Duration = Duration::from_secs(15);
/// Gateways gather readiness changes for 5 s: what was told shows a moment later.
const UNTIL_SHOWN: Duration = Duration::from_secs(6);
/// The wall clock may be set: look at it at least this often.
const CLOCK_CHECK: Duration = Duration::from_secs(3600);

/// How a life ended.
pub(crate) enum Ended {
    /// By itself.
    Exited(String),
    /// There is another certificate to serve with.
    Renewed(Identity),
}

enum Wake {
    Exited(String),
    Probe,
    Renew,
    Duty(Duty),
    Seen,
}

/// The state of one life.
pub(crate) struct Life<'a> {
    inputs: &'a Inputs<'a>,
    identity: &'a Identity,
    probe: Probe,
    truth: Truth,
    begun: Instant,
    next_probe: Instant,
    next_duty: Instant,
    next_renewal: Instant,
    retry: Backoff,
}

impl<'a> Life<'a> {
    pub(crate) fn begin(inputs: &'a Inputs<'a>, identity: &'a Identity) -> anyhow::Result<Self> {
        let probe = Probe::new(&[&identity.ca_pem]).context("the federation's CA is not usable")?;
        let truth = Truth {
            address: inputs.settings.address,
            fleet_port: inputs.settings.fleet_port,
            flower_version: inputs.version.to_string(),
            ca_pem: identity.ca_pem.clone(),
            readiness: Readiness::Starting,
        };
        let now = Instant::now();
        let mut life = Self {
            inputs,
            identity,
            probe,
            truth,
            begun: now,
            next_probe: now,
            next_duty: now,
            next_renewal: now,
            retry: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
        };
        life.next_renewal = life.look_at_the_clock();
        Ok(life)
    }

    pub(crate) async fn follow(mut self, superlink: &mut SuperLink) -> anyhow::Result<Ended> {
        loop {
            self.say_what_is_wrong_with_the_gateway(superlink);
            match self.wake(superlink).await? {
                Wake::Exited(exit) => return Ok(Ended::Exited(exit)),
                Wake::Probe => self.probe_port(superlink).await,
                Wake::Seen => {}
                Wake::Renew if SystemTime::now() < self.identity.renew_at => {
                    self.next_renewal = self.look_at_the_clock();
                }
                Wake::Renew => match superlink.certify(self.inputs).await {
                    Ok(renewed) => return Ok(Ended::Renewed(renewed)),
                    Err(reason) => {
                        superlink.companion.progress.blocked(&reason);
                        self.next_renewal = Instant::now() + self.retry.wait();
                    }
                },
                Wake::Duty(duty) => {
                    if let Some(renewed) = self.fulfil(duty, superlink).await {
                        return Ok(Ended::Renewed(renewed));
                    }
                }
            }
        }
    }

    async fn wake(&self, superlink: &mut SuperLink) -> anyhow::Result<Wake> {
        let companion = &mut superlink.companion;
        let owed = duty(&companion.seen.borrow_and_update(), &self.truth);
        let mut seen = companion.seen.clone();
        let starting = self.truth.readiness == Readiness::Starting;
        Ok(tokio::select! {
            exit = companion.ended() => Wake::Exited(exit),
            () = sleep_until(self.next_probe), if starting => Wake::Probe,
            () = sleep_until(self.next_duty), if owed != Duty::Nothing => Wake::Duty(owed),
            () = sleep_until(self.next_renewal) => Wake::Renew,
            changed = seen.changed() => {
                changed.context("the watch of the gateway has ended")?;
                Wake::Seen
            }
        })
    }

    async fn probe_port(&mut self, superlink: &mut SuperLink) {
        match dial(self.inputs.fleet(), &self.probe).await {
            Ok(()) => {
                self.truth.readiness = Readiness::Ready;
                superlink.companion.ready();
                self.report(Readiness::Ready, superlink).await;
            }
            Err(reason) => {
                if self.begun.elapsed() > PATIENCE {
                    let (endpoint, problem) = (self.inputs.fleet(), reason.to_string());
                    superlink.companion.progress.blocked(&Reason::NotServing { endpoint, problem });
                }
                self.next_probe = Instant::now() + PROBE_EVERY;
            }
        }
    }

    fn say_what_is_wrong_with_the_gateway(&self, superlink: &mut SuperLink) {
        let companion = &mut superlink.companion;
        let seen = companion.seen.borrow().clone();
        let serving = self.truth.readiness == Readiness::Ready;
        match &seen.trouble() {
            Some(reason) => companion.progress.blocked(reason),
            None if serving && duty(&seen, &self.truth) == Duty::Nothing => {
                companion.progress.cleared();
            }
            None => {}
        }
    }

    async fn fulfil(&mut self, duty: Duty, superlink: &mut SuperLink) -> Option<Identity> {
        match duty {
            Duty::Nothing => None,
            Duty::Report(readiness) => {
                self.report(readiness, superlink).await;
                None
            }
            Duty::Register => self.register_again(superlink).await,
        }
    }

    async fn report(&mut self, readiness: Readiness, superlink: &mut SuperLink) {
        if superlink.tell(readiness).await {
            self.told();
        } else {
            self.next_duty = Instant::now() + self.retry.wait();
        }
    }

    /// With the key in use: while the CA is the same, the certificate that Flower serves is as good.
    async fn register_again(&mut self, superlink: &mut SuperLink) -> Option<Identity> {
        tracing::info!("the gateway does not know this SuperLink: registering again");
        let settings = self.inputs.settings;
        let request = request_again(self.identity, &settings.common.federation, settings.address);
        let registered = match request {
            Ok(request) => superlink.register(self.inputs, request).await,
            Err(_foreign_key) => superlink.certify(self.inputs).await,
        };
        match registered {
            Ok(identity) if identity.ca_pem.trim() == self.identity.ca_pem.trim() => {
                self.told();
                if self.truth.readiness == Readiness::Ready {
                    self.report(Readiness::Ready, superlink).await;
                }
                None
            }
            Ok(identity) => Some(identity),
            Err(reason) => {
                superlink.companion.progress.blocked(&reason);
                self.next_duty = Instant::now() + self.retry.wait();
                None
            }
        }
    }

    fn told(&mut self) {
        self.retry.reset();
        self.next_duty = Instant::now() + UNTIL_SHOWN;
    }

    fn look_at_the_clock(&self) -> Instant {
        Instant::now() + self.identity.renewal_in(SystemTime::now()).min(CLOCK_CHECK)
    }
}
