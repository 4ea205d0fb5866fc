//! From a VM to its zone's gateway.
//!
//! Promises that a session says its hello before anything else, and that what the companion says next
//! waits while the gateway does not read. Refuses to know which gateway may be told anything: whoever
//! connects brings the TLS that pins it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use zonemesh_core::keepalive::Keepalive;

use super::dial::Route;
use super::{ConnectError, dial};
use crate::keepalive::{Whose, tell, told};
use crate::v1::companion_message::Body;
use crate::v1::local_client::LocalClient;
use crate::v1::{CompanionMessage, GatewayMessage};
use crate::wire::local::CompanionHello;

/// Messages that wait until the gateway reads.
const OUTBOX: usize = 16;

/// Connects; `tls` pins the gateway's key.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
) -> Result<LocalClient<Channel>, ConnectError> {
    connect_from(None, address, tls).await
}

/// The same, from this address of this machine: the gateway sees it, and holds what is registered
/// against it.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect_from(
    from: Option<IpAddr>,
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
) -> Result<LocalClient<Channel>, ConnectError> {
    let route = Route { from, ..Route::to(address, address.ip()) };
    let channel = dial::tls_channel(route, tls, &Keepalive::DEFAULT).await?;
    Ok(LocalClient::new(channel))
}

/// A companion's session with its gateway, as the companion has it. It ends when this is dropped.
pub struct LocalSession {
    /// What the gateway says.
    pub inbound: Streaming<GatewayMessage>,
    /// The keepalives that it has told.
    pub keepalive: Option<Keepalive>,
    outbound: mpsc::Sender<CompanionMessage>,
    said: u64,
}

impl LocalSession {
    /// Opens one, and tells these keepalives of this end.
    ///
    /// # Errors
    /// The gateway's refusal, or what happened to the connection.
    pub async fn open(
        client: &mut LocalClient<Channel>,
        hello: CompanionHello,
        keepalives: &[(Whose, Keepalive)],
    ) -> Result<Self, Status> {
        let (outbound, queue) = mpsc::channel(OUTBOX);
        let hello = CompanionMessage { number: 0, body: Some(hello.into()) };
        let closed = |_| Status::internal("a channel that was just made");
        outbound.send(hello).await.map_err(closed)?;
        let mut request = Request::new(ReceiverStream::new(queue));
        for (whose, keepalive) in keepalives {
            tell(request.metadata_mut(), *whose, keepalive);
        }
        let response = client.session(request).await?;
        let keepalive = told(response.metadata(), Whose::Own);
        Ok(Self { inbound: response.into_inner(), keepalive, outbound, said: 0 })
    }

    /// Says something, and gives the number that stands in its answer. Waits while the gateway does
    /// not read; a session that has ended shows in what comes in.
    pub async fn say(&mut self, body: impl Into<Body>) -> u64 {
        self.said += 1;
        let message = CompanionMessage { number: self.said, body: Some(body.into()) };
        let _ended = self.outbound.send(message).await;
        self.said
    }
}
