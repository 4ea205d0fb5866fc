//! The local gateway as a companion meets it: pinned TLS, four calls, a watch that never gives up.
//!
//! It promises that each connection pins the gateway's zone before anything is said on it, that each
//! failure is one [`Reason`], and that a lost gateway is tried again for ever with jitter. It refuses to decide what a lost gateway means for Flower (nothing: see `run`).
//! Specification: crates/api/proto/local.proto.

mod newest;
mod pin;

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use zeroize::Zeroizing;
use zonemesh_api::keepalive::{self, Keepalive, KeepaliveMismatch, Whose};
use zonemesh_api::v1;
use zonemesh_api::v1::local_client::LocalClient;
use zonemesh_api::wire::local::{
    FederationAnswer, FederationQuestion, ReadinessReport, RegisteredSuperLink, Registration,
};
use zonemesh_core::name::FederationName;
use zonemesh_core::record::Readiness;
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::{VmRole, VmToken};
use zonemesh_pki::pinned_client_config;

pub use pin::SetFile;

use crate::backoff::Backoff;
use crate::flower::KEEPALIVE;
use crate::reason::Reason;
use crate::settings::CompanionSettings;
use newest::NewestSet;
use pin::PinnedZone;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The local gateway, for one federation.
#[derive(Clone)]
pub struct LocalGateway {
    address: SocketAddr,
    federation: FederationName,
    token: VmToken,
    role: VmRole,
    zone: PinnedZone,
}

/// An answer, and why the keepalives of this VM do not fit those in force at the gateway.
struct GatewayAnswer<T> {
    message: T,
    misfit: Option<Reason>,
}

/// What the gateway has shown of the federation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ShownFederation {
    /// Nothing yet: it has not answered since this companion began.
    #[default]
    Unknown,
    /// No SuperLink is registered in any zone.
    NoSuperLink,
    /// This one is.
    SuperLink(Box<RegisteredSuperLink>),
}

impl ShownFederation {
    /// The SuperLink, if one was shown.
    #[must_use]
    pub fn superlink(&self) -> Option<&RegisteredSuperLink> {
        match self {
            Self::SuperLink(superlink) => Some(superlink),
            Self::Unknown | Self::NoSuperLink => None,
        }
    }
}

impl From<Option<RegisteredSuperLink>> for ShownFederation {
    fn from(answered: Option<RegisteredSuperLink>) -> Self {
        answered.map_or(Self::NoSuperLink, |superlink| Self::SuperLink(Box::new(superlink)))
    }
}

/// What the watch has seen so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchedFederation {
    /// What was shown last; it outlives the connection.
    pub shown: ShownFederation,
    /// Why the watch is not connected now; `None` while it is, and before the first try ended.
    pub lost: Option<Reason>,
    /// The watch is connected and has delivered its snapshot.
    pub connected: bool,
    /// Why the keepalives of this VM do not fit those in force at the gateway.
    pub misfit: Option<Reason>,
    /// Who has revoked this VM's zone, when and why.
    pub revoked: Option<Reason>,
}

impl WatchedFederation {
    /// What is wrong although Flower may run: the gateway is lost, the zone was revoked, the
    /// federation has two homes, or keepalives do not fit.
    #[must_use]
    pub fn trouble(&self) -> Option<Reason> {
        let conflict = || {
            let superlink = self.shown.superlink().filter(|superlink| superlink.conflict)?;
            Some(Reason::Conflict { zone: superlink.zone.clone() })
        };
        self.lost
            .clone()
            .or_else(|| self.revoked.clone())
            .or_else(conflict)
            .or_else(|| self.misfit.clone())
    }
}

/// One answer, with the clocks compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedFederation {
    /// The SuperLink, if one is registered.
    pub superlink: Option<RegisteredSuperLink>,
    /// This machine's clock minus the gateway's, in milliseconds, to half a round trip.
    pub ahead_of_gateway_ms: i64,
    /// Who has revoked this VM's zone, when and why.
    pub revoked: Option<Reason>,
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
        Self { address, federation, token, role, zone }
    }

    /// Asks once, and compares clocks.
    ///
    /// # Errors
    /// Why there is no usable answer.
    pub async fn resolve(&self) -> Result<ResolvedFederation, Reason> {
        let mut client = self.connect().await?;
        let request = v1::ResolveRequest::from(self.question());
        let before = signed(UnixMillis::from(SystemTime::now()));
        let view = self.call(client.resolve(telling(request))).await?.message;
        let halfway = before.midpoint(signed(UnixMillis::from(SystemTime::now())));
        let answer = self.read(view)?;
        let ahead_of_gateway_ms = halfway.saturating_sub(signed(answer.gateway_time));
        let revoked = answer.zone_revoked.map(Reason::ZoneRevoked);
        Ok(ResolvedFederation { superlink: answer.superlink, ahead_of_gateway_ms, revoked })
    }

    /// Registers a SuperLink and has it certified.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn register(&self, registration: Registration) -> Result<IssuedCertificate, Reason> {
        let mut client = self.connect().await?;
        let request = v1::RegisterRequest::from(registration);
        let reply = self.call(client.register(telling(request))).await?.message;
        Ok(IssuedCertificate { certificate_pem: reply.certificate_pem, ca_pem: reply.ca_pem })
    }

    /// Reports a registered SuperLink's readiness.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn report(&self, readiness: Readiness) -> Result<(), Reason> {
        let mut client = self.connect().await?;
        let report = ReadinessReport {
            federation: self.federation.clone(),
            token: Zeroizing::new(self.token.reveal().to_owned()),
            readiness,
            clock: Some(UnixMillis::from(SystemTime::now())),
        };
        self.call(client.report(telling(v1::ReportRequest::from(report)))).await.map(|_| ())
    }

    /// Watches the federation for ever. Nothing that was seen is forgotten when the gateway is lost.
    pub async fn follow(&self, seen: watch::Sender<WatchedFederation>) {
        let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
        loop {
            let lost = self.follow_once(&seen, &mut backoff).await;
            seen.send_modify(|seen| {
                seen.connected = false;
                seen.lost = Some(lost);
            });
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    async fn follow_once(
        &self,
        seen: &watch::Sender<WatchedFederation>,
        backoff: &mut Backoff,
    ) -> Reason {
        let request = v1::WatchRequest::from(self.question());
        let stream = async {
            let mut client = self.connect().await?;
            self.call(client.watch(telling(request))).await
        };
        let (mut stream, misfit) = match stream.await {
            Ok(answer) => (answer.message, answer.misfit),
            Err(reason) => return reason,
        };
        loop {
            let view = match stream.message().await {
                Ok(Some(view)) => view,
                Ok(None) => return self.unreachable("it ended the watch".to_owned()),
                Err(status) => return self.refused(&status),
            };
            let (shown, revoked) = match self.read(view) {
                Ok(answer) => (answer.superlink.into(), answer.zone_revoked),
                Err(reason) => return reason,
            };
            backoff.reset();
            seen.send_modify(|seen| {
                let (misfit, revoked) = (misfit.clone(), revoked.map(Reason::ZoneRevoked));
                *seen = WatchedFederation { shown, lost: None, connected: true, misfit, revoked };
            });
        }
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
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_elapsed) => Err(self.silent()),
        }
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<GatewayAnswer<T>, Reason> {
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(answer)) => {
                let misfit = misfit(answer.metadata());
                Ok(GatewayAnswer { message: answer.into_inner(), misfit })
            }
            Ok(Err(status)) => Err(self.refused(&status)),
            Err(_elapsed) => Err(self.silent()),
        }
    }

    fn refused(&self, status: &Status) -> Reason {
        let message = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated => Reason::TokenRefused { message },
            Code::PermissionDenied => Reason::RegistrationRefused { message },
            Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition => {
                Reason::RequestRefused { message }
            }
            _ => self.failed(status),
        }
    }

    fn failed(&self, error: &(dyn StdError + 'static)) -> Reason {
        match zonemesh_pki::local::pin_mismatch(error) {
            Some(mismatch) => {
                Reason::GatewayKey { gateway: self.address, problem: mismatch.to_string() }
            }
            None => self.unreachable(last_cause(error)),
        }
    }

    fn silent(&self) -> Reason {
        self.unreachable(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))
    }

    const fn unreachable(&self, problem: String) -> Reason {
        Reason::GatewayUnreachable { gateway: self.address, problem }
    }
}

/// A request that tells the keepalives of this companion and of its Flower.
fn telling<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    keepalive::tell(request.metadata_mut(), Whose::Own, &Keepalive::DEFAULT);
    keepalive::tell(request.metadata_mut(), Whose::Flowers, &KEEPALIVE);
    request
}

/// Holds both against what is in force at the gateway.
fn misfit(answer: &MetadataMap) -> Option<Reason> {
    let theirs = keepalive::told(answer, Whose::Own)?;
    let fits = |ours: &Keepalive| ours.check_against(&theirs).err();
    let of = |whose, mismatch: KeepaliveMismatch| Reason::Keepalive { whose, mismatch };
    let own = fits(&Keepalive::DEFAULT).map(|mismatch| of("the companion", mismatch));
    own.or_else(|| fits(&KEEPALIVE).map(|mismatch| of("Flower", mismatch)))
}

/// The innermost cause is the one that a person can act on; the outer ones name libraries.
fn last_cause(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    // rustls ends some of its messages with a link to its manual.
    let text = last.to_string();
    text.split(": https://").next().unwrap_or_default().to_owned()
}

fn signed(clock: UnixMillis) -> i64 {
    i64::try_from(clock.0).unwrap_or(i64::MAX)
}
