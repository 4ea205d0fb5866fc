//! The gateway at one address: pinned TLS, one call, and what each failure means.
//!
//! It promises that each connection pins the gateway's zone before anything is said on it, and that
//! each failure is one [`Reason`]. It refuses to know where the address came from: that is
//! [`GatewaySearch`](super::search::GatewaySearch)'s.

use std::error::Error as StdError;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code, Status};
use zonemesh_api::clients::Said;
use zonemesh_api::v1;
use zonemesh_api::v1::RefusalKind;
use zonemesh_api::v1::local_client::LocalClient;
use zonemesh_api::wire::WireError;
use zonemesh_api::wire::finding::told_next;
use zonemesh_api::wire::local::FederationAnswer;
use zonemesh_core::token::SECRET_CHARACTERS;
use zonemesh_pki::pinned_client_config;

use super::pin::PinnedZone;
use crate::reason::Reason;

/// Longest time for a connection, and for each call.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Whoever answers at an address, if it proves to be of the token's zone.
#[derive(Clone)]
pub(super) struct GatewayAt {
    pub(super) address: SocketAddr,
    pub(super) zone: PinnedZone,
    pub(super) secret_length: usize,
    /// The address of this VM that the gateway is to see.
    pub(super) from: Option<IpAddr>,
    /// It sees another one: the VM does not have that address.
    pub(super) sees_another: bool,
}

/// A connection to the zone that the token pins.
pub(super) struct ConnectedGateway {
    pub(super) at: GatewayAt,
    pub(super) client: LocalClient<Channel>,
}

impl GatewayAt {
    pub(super) fn read(&self, view: v1::FederationView) -> Result<FederationAnswer, Reason> {
        FederationAnswer::try_from(view).map_err(|error| self.unusable(&error))
    }

    /// What it says has not the form that it should have.
    pub(super) fn unusable(&self, error: &WireError) -> Reason {
        self.unreachable(format!("its answer cannot be used: {}", error.to_line()))
    }

    /// A connection to the zone that the token pins, and to no other: nothing is said before.
    pub(super) async fn connect(mut self) -> Result<ConnectedGateway, Reason> {
        let key = self.zone.key().await?;
        let tls = pinned_client_config(*key.as_bytes())
            .map_err(|error| self.unreachable(error.to_string()))?;
        let from = self.from.filter(|_| self.has_its_address());
        let connecting = zonemesh_api::clients::local::connect_from(from, self.address, tls);
        self.sees_another = from != self.from;
        match tokio::time::timeout(CALL_TIMEOUT, connecting).await {
            Ok(Ok(client)) => Ok(ConnectedGateway { at: self, client }),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_elapsed) => Err(self.silent()),
        }
    }

    /// Whether a new connection would be seen to come from where it should, as this one is not.
    pub(super) fn would_see_it_now(&self) -> bool {
        self.sees_another && self.has_its_address()
    }

    /// Whether this VM has, by now, the address that the gateway is to see, and can call from it.
    fn has_its_address(&self) -> bool {
        self.from.is_some_and(|from| {
            from.is_ipv4() == self.address.is_ipv4() && UdpSocket::bind((from, 0)).is_ok()
        })
    }

    pub(super) async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Reason> {
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(self.refused(&status)),
            Err(_elapsed) => Err(self.silent()),
        }
    }

    pub(super) fn refused(&self, status: &Status) -> Reason {
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
        match self.secret_length {
            SECRET_CHARACTERS => message,
            other => format!(
                "{message}; was it copied whole? {other} characters follow its last dot, {SECRET_CHARACTERS} in each that `zonemesh key generate token` makes"
            ),
        }
    }

    /// A message of a session was refused.
    pub(super) fn declined(&self, refusal: v1::Refusal) -> Reason {
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

    pub(super) fn silent(&self) -> Reason {
        self.unreachable(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))
    }

    pub(super) const fn unreachable(&self, problem: String) -> Reason {
        Reason::GatewayUnreachable { gateway: self.address, problem }
    }
}
