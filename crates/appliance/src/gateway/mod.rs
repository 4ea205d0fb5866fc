//! The local gateway as a companion meets it: pinned TLS, one question, one session that never gives up.
//!
//! It promises that each connection pins the gateway's zone before anything is said on it, that each
//! failure is one [`Reason`], and that a lost gateway is tried again for ever with jitter. It refuses
//! to decide what a lost gateway means for Flower (nothing: see `run`).
//! Specification: crates/api/proto/local.proto.

mod echo;
mod newest;
mod pin;
mod session;
mod watched;

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use zonemesh_api::clients::Said;
use zonemesh_api::keepalive::{self, Keepalive, KeepaliveMismatch, Whose};
use zonemesh_api::v1;
use zonemesh_api::v1::RefusalKind;
use zonemesh_api::v1::local_client::LocalClient;
use zonemesh_api::wire::finding::told_next;
use zonemesh_api::wire::local::{FederationAnswer, FederationQuestion, RegisteredSuperLink};
use zonemesh_api::wire::onegate::OneGateIdentity;
use zonemesh_core::name::FederationName;
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::{SECRET_CHARACTERS, VmRole, VmToken};
use zonemesh_pki::pinned_client_config;

pub use pin::SetFile;
pub use session::{GatewayLine, GatewaySession, GatewayTalk};
pub use watched::{ShownFederation, WatchedFederation};

use crate::flower::KEEPALIVE;
use crate::reason::Reason;
use crate::settings::CompanionSettings;
use newest::NewestSet;
use pin::PinnedZone;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The local gateway, for one federation.
#[derive(Clone)]
pub struct LocalGateway {
    address: SocketAddr,
    federation: FederationName,
    token: VmToken,
    role: VmRole,
    zone: PinnedZone,
    /// What proves to OneGate which VM this is, if the gateway is to be shown it.
    onegate: Option<OneGateIdentity>,
}

/// One answer, with the clocks compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedFederation {
    /// The SuperLink, if one is registered.
    pub superlink: Option<RegisteredSuperLink>,
    /// This machine's clock minus the gateway's, in milliseconds, to half a round trip.
    pub ahead_of_gateway_ms: i64,
    /// Why this VM's zone is out of its mesh, if it is.
    pub out: Option<Reason>,
}

/// What the gateway issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The SuperLink's certificate, PEM.
    pub certificate_pem: String,
    /// The federation's CA, PEM.
    pub ca_pem: String,
}

impl LocalGateway {
    /// The gateway of these settings. Connects only when called.
    #[must_use]
    pub fn new(settings: &CompanionSettings, file: SetFile) -> Self {
        let (address, token) = (settings.gateway, settings.token.clone());
        let zone = PinnedZone::new(token.pin().clone(), address, NewestSet::new(file));
        let (federation, role) = (settings.federation.clone(), settings.role);
        Self { address, federation, token, role, zone, onegate: None }
    }

    /// The same, which is shown what proves to OneGate which VM this is.
    #[must_use]
    pub fn showing(self, onegate: Option<OneGateIdentity>) -> Self {
        Self { onegate, ..self }
    }

    /// Asks once, and compares clocks.
    ///
    /// # Errors
    /// Why there is no usable answer.
    pub async fn resolve(&self) -> Result<ResolvedFederation, Reason> {
        let mut client = self.connect().await?;
        let request = v1::ResolveRequest::from(self.question());
        let before = signed(UnixMillis::from(SystemTime::now()));
        let view = self.call(client.resolve(telling(request))).await?.into_inner();
        let halfway = before.midpoint(signed(UnixMillis::from(SystemTime::now())));
        let answer = self.read(view)?;
        let ahead_of_gateway_ms = halfway.saturating_sub(signed(answer.gateway_time));
        let out = out_of_its_mesh(&answer);
        Ok(ResolvedFederation { superlink: answer.superlink, ahead_of_gateway_ms, out })
    }

    fn question(&self) -> FederationQuestion {
        FederationQuestion::by(&self.federation, &self.token, self.role)
    }

    fn read(&self, view: v1::FederationView) -> Result<FederationAnswer, Reason> {
        let unusable = |error: zonemesh_api::wire::WireError| {
            self.unreachable(format!("its answer cannot be used: {}", error.to_line()))
        };
        FederationAnswer::try_from(view).map_err(unusable)
    }

    /// A connection to the zone that the token pins, and to no other: nothing is said before.
    async fn connect(&self) -> Result<LocalClient<Channel>, Reason> {
        let key = self.zone.key().await?;
        let tls = pinned_client_config(*key.as_bytes())
            .map_err(|error| self.unreachable(error.to_string()))?;
        let connecting = zonemesh_api::clients::local::connect(self.address, tls);
        match tokio::time::timeout(CALL_TIMEOUT, connecting).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_elapsed) => Err(self.silent()),
        }
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Reason> {
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(self.refused(&status)),
            Err(_elapsed) => Err(self.silent()),
        }
    }

    fn refused(&self, status: &Status) -> Reason {
        let message = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated => Reason::TokenRefused { message: self.whole(message) },
            Code::PermissionDenied => {
                let next = told_next(status).map(str::to_owned);
                Reason::RegistrationRefused { message, next }
            }
            Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition => {
                Reason::RequestRefused { message }
            }
            _ => self.failed(status.clone()),
        }
    }

    /// A token that has not the length of those that are made may have been cut on its way.
    fn whole(&self, message: String) -> String {
        match self.token.secret_length() {
            SECRET_CHARACTERS => message,
            other => format!(
                "{message}; was it copied whole? {other} characters follow its last dot, {SECRET_CHARACTERS} in each that `zonemesh key generate token` makes"
            ),
        }
    }

    /// A message of a session was refused.
    fn declined(&self, refusal: v1::Refusal) -> Reason {
        let (kind, message) = (refusal.kind(), refusal.reason);
        match kind {
            RefusalKind::NotAllowed => {
                let next = Some(refusal.next).filter(|next| !next.is_empty());
                Reason::RegistrationRefused { message, next }
            }
            RefusalKind::Invalid | RefusalKind::NotRegistered => Reason::RequestRefused { message },
            RefusalKind::TooOften | RefusalKind::Unavailable | RefusalKind::Unspecified => {
                self.unreachable(message)
            }
        }
    }

    fn failed<E: StdError + 'static>(&self, error: E) -> Reason
    where
        Said: From<E>,
    {
        match zonemesh_pki::local::pin_mismatch(&error) {
            Some(mismatch) => {
                Reason::GatewayKey { gateway: self.address, problem: mismatch.to_string() }
            }
            None => self.unreachable(Said::from(error).to_string()),
        }
    }

    fn silent(&self) -> Reason {
        self.unreachable(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))
    }

    const fn unreachable(&self, problem: String) -> Reason {
        Reason::GatewayUnreachable { gateway: self.address, problem }
    }
}

/// Why the zone of the gateway that answers is out of its mesh, if it is.
fn out_of_its_mesh(answer: &FederationAnswer) -> Option<Reason> {
    let revoked = answer.zone_revoked.clone().map(Reason::ZoneRevoked);
    revoked.or_else(|| answer.zone_left.map(|at| Reason::ZoneLeft { at }))
}

/// The keepalives of this companion and of its Flower.
const KEEPALIVES: [(Whose, Keepalive); 2] =
    [(Whose::Own, Keepalive::DEFAULT), (Whose::Flowers, KEEPALIVE)];

/// A request that tells them.
fn telling<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    for (whose, keepalive) in &KEEPALIVES {
        keepalive::tell(request.metadata_mut(), *whose, keepalive);
    }
    request
}

/// Holds both against what is in force at the gateway.
fn misfit(theirs: Option<Keepalive>) -> Option<Reason> {
    let theirs = theirs?;
    let fits = |ours: &Keepalive| ours.check_against(&theirs).err();
    let of = |whose, mismatch: KeepaliveMismatch| Reason::Keepalive { whose, mismatch };
    let own = fits(&Keepalive::DEFAULT).map(|mismatch| of("the companion", mismatch));
    own.or_else(|| fits(&KEEPALIVE).map(|mismatch| of("Flower", mismatch)))
}

fn signed(clock: UnixMillis) -> i64 {
    i64::try_from(clock.0).unwrap_or(i64::MAX)
}
