//! Accepts the neighbours' streams on the tunnel IPs, with mutual TLS.
//!
//! The zone of a stream is the one whose key signed the certificate that was shown; nothing a
//! neighbour says about itself is believed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{Stream, StreamExt as _, stream as streams};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use zonemesh_api::serve::{self, Incoming};
use zonemesh_api::v1::RegistryMessage;
use zonemesh_api::v1::registry_server::{Registry, RegistryServer};
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::name::ZoneName;
use zonemesh_pki::ZoneTrust;

use super::board::StreamBoard;
use super::ledger::Ledger;
use super::stream::{self, Context, OUTBOX, Wires};
use crate::failure::{Exit, Failure, OrExit as _};

/// Most streams of one neighbour: one is enough; others may still be dying.
const MAX_STREAMS: usize = 16;

/// Listens on every tunnel IP.
pub(crate) async fn bind(ips: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::new();
    for ip in ips {
        let address = SocketAddr::new(*ip, port);
        let listener = TcpListener::bind(address).await.or_exit(Exit::Network, || {
            format!(
                "the registry cannot listen on {address}; find who does with: ss -ltnp 'sport = :{port}', or set registry.port"
            )
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// What serves the neighbours.
#[derive(Clone)]
pub(crate) struct Service {
    trust: ZoneTrust,
    context: Context,
    accepted: Accepted,
}

impl Service {
    pub(crate) fn new(trust: ZoneTrust, ledger: Arc<Ledger>, board: Arc<StreamBoard>) -> Self {
        Self { trust, context: Context { ledger, board }, accepted: Accepted::default() }
    }

    /// The zone whose key signed the caller's certificate.
    fn neighbour<T>(&self, request: &Request<T>) -> Result<ZoneName, Status> {
        let caller = serve::caller(request);
        let zone = caller.and_then(|caller| self.trust.zone_of(&caller.certificates));
        let zone = zone.and_then(|zone| zone.parse().ok());
        zone.ok_or_else(|| Status::unauthenticated("your certificate is not of a known zone"))
    }
}

/// Streams of each neighbour that were accepted and have not ended.
#[derive(Clone, Default)]
struct Accepted(Arc<Mutex<BTreeMap<ZoneName, usize>>>);

impl Accepted {
    /// A place for one more stream of `zone`, given back when it is dropped.
    fn enter(&self, zone: &ZoneName) -> Result<Place, Status> {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = streams.entry(zone.clone()).or_default();
        if *count >= MAX_STREAMS {
            return Err(Status::resource_exhausted("your zone has too many streams open here"));
        }
        *count += 1;
        Ok(Place { accepted: self.clone(), zone: zone.clone() })
    }
}

struct Place {
    accepted: Accepted,
    zone: ZoneName,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut streams = self.accepted.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = streams.get_mut(&self.zone) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.zone);
            }
        }
    }
}

/// Serves the neighbours that connect to `listener` until it is dropped.
pub(crate) async fn run(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    service: Service,
    keepalive: Keepalive,
) -> anyhow::Result<()> {
    serve::server(&keepalive)
        .add_service(RegistryServer::new(service))
        .serve_with_incoming(Incoming::new(listener, tls))
        .await?;
    Ok(())
}

type Outgoing = Pin<Box<dyn Stream<Item = Result<RegistryMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Registry for Service {
    type ExchangeStream = Outgoing;

    async fn exchange(
        &self,
        request: Request<Streaming<RegistryMessage>>,
    ) -> Result<Response<Outgoing>, Status> {
        let neighbour = self.neighbour(&request)?;
        let place = self.accepted.enter(&neighbour)?;
        let (outbound, queue) = mpsc::channel(OUTBOX);
        let wires = Wires { inbound: request.into_inner(), outbound };
        let context = self.context.clone();
        let session = async move {
            let _place = place;
            match stream::run(&context, &neighbour, wires, &Notify::new()).await {
                Ok(()) => None,
                Err(error) => {
                    tracing::info!(zone = %neighbour, error = format!("{error:#}"), "ended a registry stream");
                    Some(Err(Status::failed_precondition(format!("{error:#}"))))
                }
            }
        };
        // The session lives in the answer: tonic drops both when the neighbour goes away.
        let end = streams::once(session).filter_map(std::future::ready);
        let messages = ReceiverStream::new(queue).map(Ok);
        Ok(Response::new(Box::pin(streams::select(messages, end))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_streams_of_one_zone_is_bounded_and_leaves_room_for_others() {
        let accepted = Accepted::default();
        let zone = |name: &str| name.parse::<ZoneName>().unwrap();
        let places: Vec<_> =
            (0..10_000).filter_map(|_| accepted.enter(&zone("madrid")).ok()).collect();
        assert_eq!(places.len(), MAX_STREAMS);
        assert!(accepted.enter(&zone("paris")).is_ok());
        drop(places);
        assert!(accepted.enter(&zone("madrid")).is_ok());
        assert!(accepted.0.lock().unwrap().is_empty());
    }
}
