//! Accepts the neighbours' streams on the tunnel IPs, with mutual TLS.
//!
//! The zone of a stream is the one whose key signed the certificate that was shown; nothing a
//! neighbour says about itself is believed.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{Stream, StreamExt as _, stream as streams};
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use zonemesh_api::exchange::InboundMessages;
use zonemesh_api::keepalive::{self, Whose};
use zonemesh_api::serve::{self, Door, Incoming};
use zonemesh_api::v1::RegistryMessage;
use zonemesh_api::v1::registry_server::{Registry, RegistryServer};
use zonemesh_core::finding::Subject;
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::name::ZoneName;
use zonemesh_core::replication::MESSAGE_BYTES;
use zonemesh_pki::ZoneTrust;

use super::listen::SoonListening;
use crate::act::streams::stream::{self, OUTBOX, StreamContext, Wires};
use crate::facts::in_force::ConfigInForce;
use crate::facts::ledger::Ledger;
use crate::facts::rate_limits::{
    ConnectionLimiter, LimitedCall, Rate, RateLimiter, RefusedCalls, Slot, Slots,
};

/// Most streams of one neighbour, and of all: one is enough; others may still be dying.
const STREAMS: (usize, usize) = (8, 4096);
/// New streams of one neighbour: the path may come and go.
const NEW_STREAMS: Rate = Rate { burst: 20.0, per_second: 0.5 };
/// Most connections of one tunnel address, and of all.
const CONNECTIONS: (usize, usize) = (16, 4096);
const NEW_CONNECTIONS: Rate = Rate { burst: 30.0, per_second: 1.0 };

/// What serves the neighbours.
#[derive(Clone)]
pub(crate) struct RegistryService {
    trust: ZoneTrust,
    context: StreamContext,
    gate: Arc<Gate>,
}

/// How much of one neighbour is accepted.
struct Gate {
    streams: RateLimiter<ZoneName>,
    slots: Slots<ZoneName>,
    log: RateLimiter<ZoneName>,
}

impl RegistryService {
    pub(crate) fn new(trust: ZoneTrust, context: StreamContext) -> Self {
        let gate = Gate {
            streams: RateLimiter::new(NEW_STREAMS),
            slots: Slots::new(STREAMS.0, STREAMS.1),
            log: RateLimiter::new(Rate::LOG),
        };
        Self { trust, context, gate: Arc::new(gate) }
    }

    /// Room for one more stream of `zone`.
    fn enter(&self, zone: &ZoneName) -> Result<Slot<ZoneName>, Status> {
        let slot = self.gate.slots.enter(zone);
        let slot = slot.filter(|_| self.gate.streams.allow(zone, Instant::now()));
        slot.ok_or_else(|| {
            self.context.board.refuse(LimitedCall::ZoneStreams, zone);
            Status::resource_exhausted("your zone opens too many streams here: try again later")
        })
    }

    /// The zone whose key signed the caller's certificate.
    fn neighbour<T>(&self, request: &Request<T>) -> Result<ZoneName, Status> {
        let caller = serve::caller(request);
        let zone = caller.and_then(|caller| self.trust.zone_of(&caller.certificates));
        let zone = zone.and_then(|zone| zone.parse().ok());
        zone.ok_or_else(|| Status::unauthenticated("your certificate is not of a known zone"))
    }
}

/// Lets in whoever calls from a gateway's tunnel address, which no other zone can have.
struct GatewayDoor {
    ledger: Arc<Ledger>,
    inside: ConnectionLimiter,
}

impl Door for GatewayDoor {
    fn enter(&self, caller: IpAddr) -> Option<Box<dyn Send>> {
        let caller = caller.to_canonical();
        if caller.is_loopback() || self.ledger.read(|registry| registry.is_a_gateways(&caller)) {
            return self.inside.enter(caller);
        }
        self.inside.refusals.count(LimitedCall::StrangeConnections, &caller);
        None
    }

    fn ended(&self, caller: IpAddr) {
        self.inside.ended(caller);
    }
}

/// How neighbours are served.
pub(crate) struct RegistryTerms {
    pub(crate) tls: Arc<rustls::ServerConfig>,
    pub(crate) config: ConfigInForce,
    pub(crate) refusals: Arc<RefusedCalls>,
}

/// Serves the neighbours that connect to one address until it is dropped. Other keepalives count for
/// connections that come later.
pub(crate) async fn run(
    mut listening: SoonListening,
    service: RegistryService,
    terms: RegistryTerms,
) -> anyhow::Result<()> {
    let RegistryTerms { tls, config, refusals } = terms;
    let inside = ConnectionLimiter {
        rate: RateLimiter::new(NEW_CONNECTIONS),
        slots: Slots::new(CONNECTIONS.0, CONNECTIONS.1),
        refusals,
        counted_as: LimitedCall::ZoneConnections,
    };
    let door = Arc::new(GatewayDoor { ledger: service.context.ledger.clone(), inside });
    let mut changes = config.changes();
    loop {
        let ours = changes.borrow_and_update().keepalive;
        let service = RegistryServer::new(service.clone());
        let server =
            serve::server(&ours).add_service(service.max_decoding_message_size(MESSAGE_BYTES));
        let (door, tls, again) = (door.clone(), tls.clone(), listening.again());
        let serving = async {
            let incoming = Incoming::through(door, listening.listener().await, tls);
            server.serve_with_incoming(incoming).await
        };
        tokio::select! {
            served = serving => return Ok(served?),
            changed = changes.wait_for(|now| !now.keepalive.is_same_for_streams(&ours)) => {
                drop(changed?);
            }
        }
        listening = again.now().await;
    }
}

type Outgoing = Pin<Box<dyn Stream<Item = Result<RegistryMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Registry for RegistryService {
    type ExchangeStream = Outgoing;

    async fn exchange(
        &self,
        request: Request<Streaming<RegistryMessage>>,
    ) -> Result<Response<Outgoing>, Status> {
        let neighbour = self.neighbour(&request)?;
        let caller = serve::caller(&request);
        let held = caller.as_ref().map(|caller| caller.line.hold());
        let gateway = match &caller {
            Some(caller) => self.context.board.caller(&neighbour, caller.address.ip()),
            None => GatewayId::assumed(neighbour.clone()),
        };
        let slot = self.enter(&neighbour)?;
        let (outbound, queue) = mpsc::channel(OUTBOX);
        let theirs = keepalive::told(request.metadata(), Whose::Own);
        let heard = self.context.keepalives.heard(&Subject::Zone(neighbour.clone()), theirs);
        let wires = Wires { inbound: InboundMessages::new(request.into_inner()), outbound, heard };
        let (context, gate) = (self.context.clone(), self.gate.clone());
        let session = async move {
            let _in_use = (slot, held);
            match stream::run(&context, &gateway, wires, &Notify::new()).await {
                Ok(()) => None,
                Err(error) => {
                    if gate.log.allow(&neighbour, Instant::now()) {
                        tracing::info!(zone = %neighbour, error = format!("{error:#}"), "ended a registry stream");
                    }
                    Some(Err(Status::failed_precondition(format!("{error:#}"))))
                }
            }
        };
        // The session lives in the answer: tonic drops both when the neighbour goes away.
        let end = streams::once(session).filter_map(std::future::ready);
        let messages = ReceiverStream::new(queue).map(|message| Ok(message.into()));
        let mut response: Response<Outgoing> =
            Response::new(Box::pin(streams::select(messages, end)));
        keepalive::tell(response.metadata_mut(), Whose::Own, &self.context.keepalives.ours());
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::administration::tests::berlin;

    #[tokio::test]
    async fn who_has_no_gateways_address_is_not_let_in() {
        let berlin = berlin().await;
        let refusals = Arc::new(RefusedCalls::default());
        let inside = ConnectionLimiter {
            rate: RateLimiter::new(NEW_CONNECTIONS),
            slots: Slots::new(CONNECTIONS.0, CONNECTIONS.1),
            refusals: refusals.clone(),
            counted_as: LimitedCall::ZoneConnections,
        };
        let door = GatewayDoor { ledger: berlin.administration.ledger.clone(), inside };
        let lets_in = |caller: &str| door.enter(caller.parse().unwrap()).is_some();
        for gateway in ["10.255.0.1", "::ffff:10.255.0.1", "127.0.0.1"] {
            assert!(lets_in(gateway), "{gateway}");
        }
        // A VM of this zone, one of nobody's, and somebody outside.
        for other in ["10.10.1.5", "10.255.0.9", "198.51.100.66"] {
            assert!(!lets_in(other), "{other}");
        }
        assert_eq!(refusals.counters(), [("strange_connections", 3)]);
    }
}
