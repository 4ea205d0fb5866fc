//! A SuperLink at its gateway: registered, certified, how it goes reported.
//!
//! It promises that a certificate is kept for a start without the gateway, and that each refusal is
//! said. It refuses to start or stop Flower for the gateway's sake: that is `run`'s and `serving`'s.

use std::time::{Duration, SystemTime};

use zonemesh_appliance::backoff::Backoff;
use zonemesh_appliance::companion::Companion;
use zonemesh_appliance::reason::{Reason, readiness_text};
use zonemesh_appliance::reporter::CompanionState;
use zonemesh_appliance::settings::SuperLinkSettings;
use zonemesh_core::companion::ReportedState;
use zonemesh_core::exit::error_line;
use zonemesh_core::record::Readiness;
use zonemesh_core::time::UnixMillis;
use zonemesh_pki::CertificateRequest;

use crate::identity::{self, SuperLinkIdentity};
use crate::plan::{SuperLinkInputs, onegate};

const LAST_REPORT: Duration = Duration::from_secs(3);

/// The companion with what is a SuperLink's own.
pub(crate) struct CertifiedSuperLink {
    pub(crate) companion: Companion,
    pub(crate) settings: SuperLinkSettings,
    registered: bool,
    /// What was reported last.
    readiness: Readiness,
}

impl CertifiedSuperLink {
    /// Not known to its gateway yet.
    ///
    /// # Errors
    /// Settings that cannot work on this machine.
    pub(crate) fn begin(settings: SuperLinkSettings) -> anyhow::Result<Self> {
        let shown = onegate(&settings);
        let from = Some(settings.address);
        let companion =
            Companion::begin("superlink", &settings.common, &settings.mesh, shown, from)?;
        let readiness = Readiness::Starting;
        let mut superlink = Self { companion, settings, registered: false, readiness };
        // Its gateway may still say of it what was true before this companion began.
        superlink.mention();
        Ok(superlink)
    }

    /// Reports how it goes, if that has changed.
    pub(crate) fn mention(&mut self) {
        self.companion.mention(ReportedState::SuperLink(self.readiness));
    }

    /// A certificate from the gateway, or the kept one while the gateway is away.
    pub(crate) async fn first_identity(
        &mut self,
        inputs: &SuperLinkInputs<'_>,
    ) -> SuperLinkIdentity {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
        loop {
            let reason = match self.certify(inputs).await {
                Ok(identity) => return identity,
                Err(reason) => reason,
            };
            self.companion.vm.reporter.blocked(&reason);
            let is_away = matches!(
                reason,
                Reason::GatewayUnreachable { .. }
                    | Reason::FoundGatewayUnreachable { .. }
                    | Reason::GatewaysOfOthers { .. }
                    | Reason::GatewayNotFound { .. }
                    | Reason::OwnGatewayAway { .. }
                    | Reason::GatewayUnproven { .. }
            );
            if is_away {
                match SuperLinkIdentity::load(
                    &inputs.state().tls(),
                    inputs.settings.address,
                    SystemTime::now(),
                ) {
                    Ok(kept) => {
                        tracing::warn!("the gateway is away: starting with the kept certificate");
                        return kept;
                    }
                    Err(error) => {
                        tracing::debug!(error = error_line(&error), "no kept certificate")
                    }
                }
            }
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    /// A new key and its certificate.
    pub(crate) async fn certify(
        &mut self,
        inputs: &SuperLinkInputs<'_>,
    ) -> Result<SuperLinkIdentity, Reason> {
        let federation = &inputs.settings.common.federation;
        let request = identity::new_request(federation, inputs.settings.address)
            .map_err(|error| Reason::Files { problem: error_line(&error) })?;
        self.register(inputs, request).await
    }

    /// Registers, with a certificate request for a new key or for the one in use.
    pub(crate) async fn register(
        &mut self,
        inputs: &SuperLinkInputs<'_>,
        request: CertificateRequest,
    ) -> Result<SuperLinkIdentity, Reason> {
        let clock = UnixMillis::from(SystemTime::now());
        let registration = inputs.registration(request.csr_pem, clock);
        let issued = self.companion.line.register(registration).await?;
        self.registered = true;
        let refused = |problem| Reason::CaSet { problem };
        let identity = SuperLinkIdentity::new(request.key_pem, issued)
            .map_err(|error| refused(error_line(&error)))?;
        identity
            .store(&inputs.state().tls())
            .map_err(|error| Reason::Files { problem: error_line(&error) })?;
        let days = identity.renewal_in(SystemTime::now()).as_secs() / 86_400;
        tracing::info!(endpoint = %inputs.fleet(), renewal_in_days = days, "registered");
        Ok(identity)
    }

    /// Reports readiness; a failure is said and made good by `serving`.
    pub(crate) async fn tell(&mut self, readiness: Readiness) -> bool {
        self.readiness = readiness;
        match self.companion.tell(ReportedState::SuperLink(readiness)).await {
            Ok(()) => {
                tracing::info!(readiness = readiness_text(readiness), "reported");
                true
            }
            Err(reason) => {
                self.companion.vm.reporter.blocked(&reason);
                false
            }
        }
    }

    pub(crate) async fn stop(&mut self) {
        if self.registered {
            // Silence is as good: the gateway's peers find a closed port.
            let _ = tokio::time::timeout(LAST_REPORT, self.tell(Readiness::Stopped)).await;
        }
        self.companion.vm.runner.stop().await;
        self.companion.vm.reporter.enter(CompanionState::Stopped);
    }
}
