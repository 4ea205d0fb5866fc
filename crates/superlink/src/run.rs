//! The order in which `zonemesh-superlink` does things, and its restarts.
//!
//! It promises that Flower runs whenever there is a certificate for it: a gateway that is away, or
//! refuses, stops nothing that runs. Whatever is wrong is said and tried again for ever, so that a
//! VM joins by itself once it is put right. It refuses to know how Flower is told: `plan.rs`.

use std::time::{Duration, SystemTime};

use zonemesh_appliance::backoff::Backoff;
use zonemesh_appliance::companion::{Companion, causes};
use zonemesh_appliance::pki::CertificateRequest;
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::reporter::State;
use zonemesh_appliance::settings::SuperLinkSettings;
use zonemesh_appliance::startup::{self, CompanionExit};
use zonemesh_appliance::view::Readiness;

use crate::identity::{self, Identity};
use crate::plan::Inputs;
use crate::serving::{Ended, Life};

const LAST_REPORT: Duration = Duration::from_secs(3);

/// Runs until the process is told to stop.
///
/// # Errors
/// Settings that cannot work on this machine, or a system that gives no signals.
pub(crate) async fn run(settings: SuperLinkSettings) -> anyhow::Result<CompanionExit> {
    let mut superlink = SuperLink {
        companion: Companion::begin("superlink", &settings.common)?,
        registered: false,
        settings,
    };
    tokio::select! {
        failed = superlink.work() => failed?,
        stopped = startup::stop_signal() => stopped?,
    }
    superlink.stop().await;
    Ok(CompanionExit::Well)
}

/// The companion with what is its own.
pub(crate) struct SuperLink {
    pub(crate) companion: Companion,
    pub(crate) settings: SuperLinkSettings,
    registered: bool,
}

impl SuperLink {
    async fn work(&mut self) -> anyhow::Result<()> {
        let (version, profile) = self.companion.installed().await;
        let settings = self.settings.clone();
        let owner = self.companion.owner;
        let inputs = Inputs { settings: &settings, owner, version, profile };
        let mut identity = self.first_identity(&inputs).await;
        loop {
            let plan = inputs.plan(Some(&identity));
            if let Err(reason) = self.companion.start(&plan, &inputs.fleet().to_string()) {
                self.companion.progress.blocked(&reason);
                tokio::time::sleep(self.companion.next_try()).await;
                continue;
            }
            match Life::begin(&inputs, &identity)?.follow(self).await? {
                Ended::Exited(exit) => {
                    let wait = self.companion.note_end(exit);
                    self.tell(Readiness::Starting).await;
                    tokio::time::sleep(wait).await;
                }
                Ended::Renewed(renewed) => {
                    tracing::info!("new certificate: flower is restarted");
                    self.tell(Readiness::Starting).await;
                    self.companion.stop_flower().await;
                    identity = renewed;
                }
            }
        }
    }

    /// A certificate from the gateway, or the kept one while the gateway is away.
    async fn first_identity(&mut self, inputs: &Inputs<'_>) -> Identity {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
        loop {
            let reason = match self.certify(inputs).await {
                Ok(identity) => return identity,
                Err(reason) => reason,
            };
            self.companion.progress.blocked(&reason);
            if matches!(reason, Reason::GatewayUnreachable { .. }) {
                match Identity::load(
                    &inputs.layout().tls(),
                    inputs.settings.address,
                    SystemTime::now(),
                ) {
                    Ok(kept) => {
                        tracing::warn!("the gateway is away: starting with the kept certificate");
                        return kept;
                    }
                    Err(error) => tracing::debug!(error = causes(&error), "no kept certificate"),
                }
            }
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    /// A new key and its certificate.
    pub(crate) async fn certify(&mut self, inputs: &Inputs<'_>) -> Result<Identity, Reason> {
        let federation = &inputs.settings.common.federation;
        let request = identity::new_request(federation, inputs.settings.address)
            .map_err(|error| Reason::Files { problem: causes(&error) })?;
        self.register(inputs, request).await
    }

    /// Registers, with a certificate request for a new key or for the one in use.
    pub(crate) async fn register(
        &mut self,
        inputs: &Inputs<'_>,
        request: CertificateRequest,
    ) -> Result<Identity, Reason> {
        let registration = inputs.registration(request.csr_pem);
        let issued = self.companion.gateway.register(&self.settings.token, &registration).await?;
        self.registered = true;
        let refused = |problem| Reason::CaSet { problem };
        let identity =
            Identity::new(request.key_pem, issued).map_err(|error| refused(causes(&error)))?;
        identity
            .store(&inputs.layout().tls())
            .map_err(|error| Reason::Files { problem: causes(&error) })?;
        let days = identity.renewal_in(SystemTime::now()).as_secs() / 86_400;
        tracing::info!(endpoint = %inputs.fleet(), renewal_in_days = days, "registered");
        Ok(identity)
    }

    /// Reports readiness; a failure is said and made good by `report.rs`.
    pub(crate) async fn tell(&mut self, readiness: Readiness) -> bool {
        match self.companion.gateway.report(&self.settings.token, readiness).await {
            Ok(()) => {
                tracing::info!(readiness = readiness.text(), "reported");
                true
            }
            Err(reason) => {
                self.companion.progress.blocked(&reason);
                false
            }
        }
    }

    async fn stop(&mut self) {
        if self.registered {
            // Silence is as good: the gateway's peers find a closed port.
            let _ = tokio::time::timeout(LAST_REPORT, self.tell(Readiness::Stopped)).await;
        }
        self.companion.stop_flower().await;
        self.companion.progress.enter(State::Stopped);
    }
}

/// Prints what `run` would do, without secrets.
///
/// # Errors
/// Flower is not usable here.
pub(crate) async fn print_plan(settings: SuperLinkSettings) -> anyhow::Result<CompanionExit> {
    use std::io::Write;

    use anyhow::Context;
    use zonemesh_appliance::{files::Owner, installed};

    let owner = settings.common.flower_user.as_deref().map(Owner::of_user).transpose()?;
    let home = crate::plan::home(&settings);
    let wanted = settings.common.flower_version;
    let (version, profile) = installed::version(&home, owner, wanted).await?;
    let inputs = Inputs { settings: &settings, owner, version, profile };
    let mut json =
        serde_json::to_string_pretty(&inputs.printed()).context("cannot print the plan")?;
    json.push('\n');
    std::io::stdout().write_all(json.as_bytes()).context("cannot print the plan")?;
    Ok(CompanionExit::Well)
}
