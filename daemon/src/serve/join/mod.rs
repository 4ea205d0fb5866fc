//! The join service, on this gateway's outer address while its mesh is a managed one.
//!
//! Anyone on the outer network may call: requests are small, counted and rate limited. A caller that
//! cannot prove an invitation's secret joins nothing; one that knows a zone's key is told whether
//! that was revoked. It shows the zone's certificate; the caller has none that anybody knows yet.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tonic::{Request, Response, Status};
use zonemesh_api::serve::{self, Door, Incoming};
use zonemesh_api::v1::join_server::{Join, JoinServer};
use zonemesh_api::v1::{RedeemReply, RedeemRequest, StandingReply, StandingRequest};
use zonemesh_api::wire::standing::{asked_key, standing_reply};
use zonemesh_config::Config;
use zonemesh_core::finding::{Code, Subject};
use zonemesh_core::invitation::Redemption;
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::prefix;

use super::listen::ListenAt;
use crate::administration::Administration;
use crate::administration::listening::Listening;
use crate::facts::rate_limits::{
    ConnectionLimiter, LimitedCall, Rate, RateLimiter, RefusedCalls, Slots,
};

/// Requests of one network, and of all.
const EACH: Rate = Rate { burst: 10.0, per_second: 1.0 };
const ALL: Rate = Rate { burst: 50.0, per_second: 10.0 };
/// Most connections of one network, and of all; and new ones of one network.
const CONNECTIONS: (usize, usize) = (8, 128);
const NEW_CONNECTIONS: Rate = Rate { burst: 20.0, per_second: 2.0 };
/// Pause before a port that was taken is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Serves as soon as the mesh is a managed one, until it is dropped. A port that cannot be had is said
/// and tried again: it stops nothing else.
pub(crate) async fn run(
    administration: Arc<Administration>,
    tls: Arc<rustls::ServerConfig>,
    refusals: Arc<RefusedCalls>,
) -> anyhow::Result<()> {
    let mut listening = administration.listening.subscribe();
    listening.wait_for(|state| *state != Listening::Off).await?;
    let door = Arc::new(JoinDoor::new(administration.changes(), refusals.clone()));
    let service = Arc::new(JoinService {
        administration: administration.clone(),
        each: RateLimiter::new(EACH),
        all: RateLimiter::new(ALL),
        log: RateLimiter::new(Rate::LOG),
        refusals,
    });
    let mut changes = administration.changes();
    loop {
        let address = changes.borrow_and_update().join.listen;
        let served = serve_at(address, &door, &service, tls.clone());
        tokio::select! {
            served = served => return served,
            changed = changes.wait_for(|now| now.join.listen != address) => drop(changed?),
        }
    }
}

/// Serves at one address until it is dropped.
async fn serve_at(
    address: SocketAddr,
    door: &Arc<JoinDoor>,
    service: &Arc<JoinService>,
    tls: Arc<rustls::ServerConfig>,
) -> anyhow::Result<()> {
    let administration = &service.administration;
    let mut listening = administration.listening.subscribe();
    let at = ListenAt { address, code: Code::JoinNotListening, subject: Subject::Here };
    let findings = administration.ledger.findings();
    let listener = loop {
        match at.attempt(&findings).await {
            Ok(listener) => break listener,
            Err(error) => {
                tracing::error!(%address, %error, "the join service cannot listen (join.listen), trying again");
                let reason = format!("{address} (join.listen): {error}");
                administration.listening.send_replace(Listening::Failed(reason));
                listening.mark_unchanged();
                let _again_or_time = tokio::time::timeout(RETRY, listening.changed()).await;
            }
        }
    };
    tracing::info!(%address, "join service");
    administration.listening.send_replace(Listening::On);
    let service = JoinServer::from_arc(service.clone());
    let service = service.max_decoding_message_size(serve::JOIN_REQUEST);
    serve::strangers(&Keepalive::DEFAULT)
        .add_service(service)
        .serve_with_incoming(Incoming::through(door.clone(), listener, tls))
        .await?;
    Ok(())
}

/// Counts callers by their [`network`]. Who comes through the tunnel of a plain WireGuard peer is let
/// in nowhere: it is no member, and becomes none from there.
struct JoinDoor {
    config: watch::Receiver<Arc<Config>>,
    outside: ConnectionLimiter,
}

impl JoinDoor {
    fn new(config: watch::Receiver<Arc<Config>>, refusals: Arc<RefusedCalls>) -> Self {
        let outside = ConnectionLimiter {
            rate: RateLimiter::new(NEW_CONNECTIONS),
            slots: Slots::new(CONNECTIONS.0, CONNECTIONS.1),
            refusals,
            counted_as: LimitedCall::JoinConnections,
        };
        Self { config, outside }
    }
}

impl Door for JoinDoor {
    fn enter(&self, caller: IpAddr) -> Option<Box<dyn Send>> {
        let inner = caller.to_canonical();
        let config = self.config.borrow().clone();
        if config.wireguard_peers.iter().any(|peer| prefix::contains(&peer.allowed_ips, &inner)) {
            self.outside.refusals.count(LimitedCall::PlainPeerConnections, &inner);
            return None;
        }
        self.outside.enter(network(caller))
    }

    fn ended(&self, caller: IpAddr) {
        self.outside.ended(network(caller));
    }
}

/// Who counts as one caller outside: an IPv4 address, or 64 bits of an IPv6 one, as whoever has one
/// of those addresses has all of them.
fn network(caller: IpAddr) -> IpAddr {
    match caller.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

struct JoinService {
    administration: Arc<Administration>,
    each: RateLimiter<Option<IpAddr>>,
    all: RateLimiter<()>,
    log: RateLimiter<Option<IpAddr>>,
    refusals: Arc<RefusedCalls>,
}

#[tonic::async_trait]
impl Join for JoinService {
    async fn redeem(
        &self,
        request: Request<RedeemRequest>,
    ) -> Result<Response<RedeemReply>, Status> {
        let from = self.admit(&request)?;
        let binding = serve::caller(&request).map(|caller| caller.binding);
        let binding = binding.ok_or_else(|| Status::internal("a connection without TLS"))?;
        let asked = Redemption::try_from(request.into_inner())?;
        let answer = self.administration.redeem(asked, &binding).await.map_err(|refused| {
            if self.log.allow(&from, Instant::now()) {
                let caller = from.map(|from| from.to_string()).unwrap_or_default();
                tracing::warn!(caller, reason = %refused, "refused to redeem an invitation");
            }
            Status::from(refused)
        })?;
        Ok(Response::new(answer.into()))
    }

    async fn standing(
        &self,
        request: Request<StandingRequest>,
    ) -> Result<Response<StandingReply>, Status> {
        self.admit(&request)?;
        let key = asked_key(request.get_ref())?;
        Ok(Response::new(standing_reply(&self.administration.decided(&key))))
    }
}

impl JoinService {
    /// The caller's network, if it may ask now: from one network, and from all, as addresses are
    /// cheap outside.
    fn admit<T>(&self, request: &Request<T>) -> Result<Option<IpAddr>, Status> {
        let from = serve::caller(request).map(|caller| network(caller.address.ip()));
        let now = Instant::now();
        if self.each.allow(&from, now) && self.all.allow(&(), now) {
            return Ok(from);
        }
        let caller = from.map(|from| from.to_string()).unwrap_or_default();
        self.refusals.count(LimitedCall::JoinRequests, &caller);
        Err(Status::resource_exhausted("too many requests: try again in a few seconds"))
    }
}

#[cfg(test)]
mod tests;
