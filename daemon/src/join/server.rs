//! The join service, on this gateway's outer address while it has invitations.
//!
//! Anyone on the outer network may call: requests are small, counted and rate limited, and a
//! caller that cannot prove an invitation's secret learns nothing. It shows the zone's certificate;
//! the caller has none that anybody knows yet.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tonic::{Request, Response, Status};
use zonemesh_api::serve::{self, Incoming};
use zonemesh_api::v1::join_server::{Join, JoinServer};
use zonemesh_api::v1::{RedeemReply, RedeemRequest};
use zonemesh_api::wire::join::Redeem;
use zonemesh_core::keepalive::Keepalive;

use crate::mesh::Office;

/// Largest request: far above any real one.
const MAX_REQUEST: usize = 16 * 1024;
/// Requests at once, and how many more each second.
const BURST: f64 = 20.0;
const PER_SECOND: f64 = 5.0;
/// Pause before a port that was taken is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Whether the service is wanted, and how it fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listening {
    /// Nobody was invited.
    Off,
    /// Somebody was: it is about to listen.
    Wanted,
    /// It listens.
    On,
    /// It cannot, with the reason; it tries again.
    Failed(String),
}

/// Serves as soon as somebody was invited, until it is dropped. A port that cannot be had is said
/// and tried again: it stops nothing else.
pub(crate) async fn run(office: Arc<Office>, tls: Arc<rustls::ServerConfig>) -> anyhow::Result<()> {
    let mut listening = office.listening.subscribe();
    listening.wait_for(|state| *state != Listening::Off).await?;
    let address = office.config().join.listen;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => {
                tracing::error!(%address, %error, "the join service cannot listen (join.listen), trying again");
                let reason = format!("{address} (join.listen): {error}");
                office.listening.send_replace(Listening::Failed(reason));
                listening.mark_unchanged();
                let _again_or_time = tokio::time::timeout(RETRY, listening.changed()).await;
            }
        }
    };
    tracing::info!(%address, "join service");
    office.listening.send_replace(Listening::On);
    let service = Service { office, limit: Mutex::new(Limit::new(Instant::now())) };
    let service = JoinServer::new(service).max_decoding_message_size(MAX_REQUEST);
    serve::server(&Keepalive::DEFAULT)
        .timeout(Duration::from_secs(10))
        .concurrency_limit_per_connection(4)
        .add_service(service)
        .serve_with_incoming(Incoming::new(listener, tls))
        .await?;
    Ok(())
}

struct Service {
    office: Arc<Office>,
    limit: Mutex<Limit>,
}

#[tonic::async_trait]
impl Join for Service {
    async fn redeem(
        &self,
        request: Request<RedeemRequest>,
    ) -> Result<Response<RedeemReply>, Status> {
        let caller = serve::caller(&request).map(|caller| caller.address);
        let allowed = {
            let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
            limit.take(Instant::now())
        };
        if !allowed {
            return Err(Status::resource_exhausted(
                "too many requests: try again in a few seconds",
            ));
        }
        let redeem = Redeem::try_from(request.into_inner())?;
        let reply = self.office.redeem(redeem);
        if let Err(refused) = &reply {
            tracing::warn!(caller = ?caller, reason = refused.message(), "refused to redeem an invitation");
        }
        reply.map(Response::new)
    }
}

/// A bucket of requests.
struct Limit {
    left: f64,
    at: Instant,
}

impl Limit {
    fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * PER_SECOND).min(BURST);
        self.at = now;
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_rate_and_ends_with_the_flood() {
        let start = Instant::now();
        let mut limit = Limit::new(start);
        let allowed = (0..1000).filter(|_| limit.take(start)).count();
        assert_eq!(allowed, 20);
        let later = start + Duration::from_secs(2);
        assert_eq!((0..1000).filter(|_| limit.take(later)).count(), 10);
    }
}
