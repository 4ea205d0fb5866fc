//! The local gateway as a companion meets it: pinned TLS, four calls, a watch that never gives up.
//!
//! It promises that each failure is one [`Reason`], and that a lost gateway is tried again for ever
//! with jitter. It refuses to decide what a lost gateway means for Flower (nothing: see `run`).
//! Specification: crates/api/proto/local.proto.

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use zonemesh_api::keepalive::{self, Keepalive, Mismatch, Whose};
use zonemesh_api::v1;
use zonemesh_api::v1::local_client::LocalClient;
use zonemesh_pki::{LocalError, pinned_client_config};

use crate::backoff::Backoff;
use crate::flower::{KEEPALIVE, Transport};
use crate::reason::Reason;
use crate::settings::{Common, Token};
use crate::view::{Readiness, View};

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// The local gateway, for one federation.
#[derive(Clone)]
pub struct Gateway {
    address: SocketAddr,
    federation: String,
    tls: Arc<rustls::ClientConfig>,
}

/// An answer, and why the keepalives of this VM do not fit those in force at the gateway.
struct Answer<T> {
    message: T,
    misfit: Option<Reason>,
}

/// What the watch has seen so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The last view that was received; `Some(None)` if it said that there is no SuperLink.
    pub view: Option<Option<View>>,
    /// Why the watch is not connected now; `None` while it is, and before the first try ended.
    pub lost: Option<Reason>,
    /// The watch is connected and has delivered its snapshot.
    pub connected: bool,
    /// Why the keepalives of this VM do not fit those in force at the gateway.
    pub misfit: Option<Reason>,
}

impl Seen {
    /// What is wrong although Flower may run: the gateway is lost, the federation has two homes, or
    /// keepalives do not fit.
    #[must_use]
    pub fn trouble(&self) -> Option<Reason> {
        let conflict = || {
            let view = self.view.as_ref()?.as_ref().filter(|view| view.conflict)?;
            Some(Reason::Conflict { zone: view.zone.clone() })
        };
        self.lost.clone().or_else(conflict).or_else(|| self.misfit.clone())
    }
}

/// One answer, with the clocks compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The SuperLink, if one is registered.
    pub view: Option<View>,
    /// This machine's clock minus the gateway's, in milliseconds, to half a round trip.
    pub ahead_of_gateway_ms: i64,
}

/// What a SuperLink says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its address in its zone.
    pub address: IpAddr,
    /// Port for SuperNodes.
    pub fleet_port: u16,
    /// Port for `flwr run`.
    pub control_port: u16,
    /// Its Flower.
    pub flower_version: String,
    /// How SuperNodes talk to it.
    pub transport: Transport,
    /// The certificate request, PEM.
    pub request_pem: String,
}

/// What the gateway issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The SuperLink's certificate, PEM.
    pub certificate_pem: String,
    /// The federation's CA, PEM.
    pub ca_pem: String,
}

impl Gateway {
    /// The gateway of these settings. Connects only when called.
    ///
    /// # Errors
    /// rustls refuses the configuration.
    pub fn new(common: &Common) -> Result<Self, LocalError> {
        let tls = pinned_client_config(common.fingerprint)?;
        Ok(Self { address: common.gateway, federation: common.federation.clone(), tls })
    }

    /// Asks once, and compares clocks.
    ///
    /// # Errors
    /// Why there is no usable answer.
    pub async fn resolve(&self) -> Result<Resolved, Reason> {
        let mut client = self.connect().await?;
        let request = v1::ResolveRequest { federation: self.federation.clone() };
        let before = now_unix_ms();
        let view = self.call(client.resolve(telling(request))).await?.message;
        let halfway = before.midpoint(now_unix_ms());
        let ahead_of_gateway_ms = halfway.saturating_sub(signed(view.gateway_time_unix_ms));
        let view = View::read(view).map_err(|error| self.unreachable(error.to_string()))?;
        Ok(Resolved { view, ahead_of_gateway_ms })
    }

    /// Registers a SuperLink and has it certified.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn register(
        &self,
        token: &Token,
        registration: &Registration,
    ) -> Result<Issued, Reason> {
        let mut client = self.connect().await?;
        let transport = match registration.transport {
            Transport::Grpc => v1::FlowerTransport::Grpc,
            Transport::Http => v1::FlowerTransport::Http,
        };
        let request = v1::RegisterRequest {
            federation: self.federation.clone(),
            token: token.reveal().to_owned(),
            addresses: vec![registration.address.to_string()],
            fleet_port: registration.fleet_port.into(),
            control_port: registration.control_port.into(),
            flower_version: registration.flower_version.clone(),
            transport: transport.into(),
            csr_pem: registration.request_pem.clone(),
            clock_unix_ms: unsigned(now_unix_ms()),
        };
        let reply = self.call(client.register(telling(request))).await?.message;
        Ok(Issued { certificate_pem: reply.certificate_pem, ca_pem: reply.ca_pem })
    }

    /// Reports a registered SuperLink's readiness.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn report(&self, token: &Token, readiness: Readiness) -> Result<(), Reason> {
        let mut client = self.connect().await?;
        let request = v1::ReportRequest {
            federation: self.federation.clone(),
            token: token.reveal().to_owned(),
            readiness: readiness.wire().into(),
            clock_unix_ms: unsigned(now_unix_ms()),
        };
        self.call(client.report(telling(request))).await.map(|_| ())
    }

    /// Watches the federation for ever. Nothing that was seen is forgotten when the gateway is lost.
    pub async fn follow(&self, seen: watch::Sender<Seen>) {
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

    async fn follow_once(&self, seen: &watch::Sender<Seen>, backoff: &mut Backoff) -> Reason {
        let request = v1::WatchRequest { federation: self.federation.clone() };
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
            let view = match View::read(view) {
                Ok(view) => view,
                Err(error) => return self.unreachable(error.to_string()),
            };
            backoff.reset();
            seen.send_modify(|seen| {
                let misfit = misfit.clone();
                *seen = Seen { view: Some(view), lost: None, connected: true, misfit };
            });
        }
    }

    async fn connect(&self) -> Result<LocalClient<Channel>, Reason> {
        let connecting = zonemesh_api::clients::local::connect(self.address, Arc::clone(&self.tls));
        match tokio::time::timeout(CALL_TIMEOUT, connecting).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_elapsed) => Err(self.silent()),
        }
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<Answer<T>, Reason> {
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(answer)) => {
                let misfit = misfit(answer.metadata());
                Ok(Answer { message: answer.into_inner(), misfit })
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
    let of = |whose, mismatch: Mismatch| Reason::Keepalive { whose, mismatch };
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

fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn signed(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

fn unsigned(milliseconds: i64) -> u64 {
    u64::try_from(milliseconds).unwrap_or(0)
}
