//! Connections to gateways: dial, TLS, HTTP/2 with the keepalive of `zonemesh_core::keepalive`.
//!
//! Promises: an error says which step failed and keeps its cause; a connection that went silent is
//! found within interval + timeout, also while no call is open. A channel dials again by itself
//! when it is used after its connection was lost. Trust is in the `rustls::ClientConfig` that the
//! caller brings.
//!
//! With TLS 1.3 a server that refuses the client's certificate says so after the handshake: such a
//! refusal comes with the first call, not from `connect`.

mod dial;
pub mod etcd;
pub mod local;
pub mod standing;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use zonemesh_core::exit::error_line;
use zonemesh_core::keepalive::Keepalive;

use crate::said;
pub use crate::said::Said;

/// Longest time for a TCP connection, and again for the TLS handshake.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection.
    #[error("cannot connect to {address}")]
    Tcp {
        /// Where to.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No TLS session: see [`ConnectError::tls_error`].
    #[error("the TLS handshake with {address} failed")]
    Tls {
        /// Where to.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("no answer from {address} within {} s ({step})", CONNECT_TIMEOUT.as_secs())]
    Timeout {
        /// Where to.
        address: SocketAddr,
        /// What was not answered.
        step: &'static str,
    },
    /// No connection to the unix socket.
    #[error("cannot connect to {}: {}", path.display(), perhaps(source))]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Connected, but the other end does not speak HTTP/2.
    #[error("no HTTP/2 connection")]
    Http2(#[source] Said),
}

impl From<ConnectError> for Said {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Tcp { source, .. } | ConnectError::Socket { source, .. } => {
                Self::new(source.to_string())
            }
            ConnectError::Tls { source, .. } => Self::new(said::of_handshake(&source)),
            ConnectError::Timeout { step, .. } => {
                Self::new(format!("no answer within {} s ({step})", CONNECT_TIMEOUT.as_secs()))
            }
            ConnectError::Http2(said) => said,
        }
    }
}

/// A socket that may not be opened says nothing of who listens.
fn perhaps(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "this user may not open it",
        _ => "is zonemeshd running?",
    }
}

impl ConnectError {
    /// It in words of ours, not a library's: what a handshake failed of stands in them.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Tls { source, .. } => format!("{self}: {}", said::of_handshake(source)),
            other => error_line(other),
        }
    }

    /// What rustls says, if the TLS handshake failed.
    #[must_use]
    pub fn tls_error(&self) -> Option<&rustls::Error> {
        match self {
            Self::Tls { source, .. } => source.get_ref()?.downcast_ref(),
            _ => None,
        }
    }
}

fn endpoint(uri: String, keepalive: &Keepalive) -> Result<Endpoint, ConnectError> {
    let endpoint = Endpoint::from_shared(uri).map_err(|error| ConnectError::Http2(error.into()))?;
    Ok(endpoint
        .http2_keep_alive_interval(keepalive.grpc_interval)
        .keep_alive_timeout(keepalive.grpc_timeout)
        .keep_alive_while_idle(true)
        .connect_timeout(CONNECT_TIMEOUT * 2))
}

/// From a gateway to another zone's gateway.
pub mod registry {
    use std::net::IpAddr;

    use tokio::sync::mpsc;
    use tokio_stream::StreamExt as _;
    use tokio_stream::wrappers::ReceiverStream;
    use zonemesh_core::replication::{MESSAGE_BYTES, StreamMessage};

    use super::{Arc, Channel, ConnectError, Keepalive, Said, SocketAddr, dial};
    use crate::exchange::InboundMessages;
    use crate::keepalive::{Whose, tell, told};
    use crate::v1::RegistryMessage;
    use crate::v1::registry_client::RegistryClient;

    /// Why there is no stream.
    #[derive(Debug, thiserror::Error)]
    pub enum ExchangeError {
        /// No connection.
        #[error(transparent)]
        Connect(#[from] ConnectError),
        /// Reached, and refused.
        #[error("the neighbour refused the stream")]
        Refused(#[source] Said),
    }

    /// An open stream, as the end that dialled has it.
    pub struct Dialled {
        /// What the other end says.
        pub inbound: InboundMessages,
        /// The keepalives that it has told.
        pub keepalive: Option<Keepalive>,
    }

    /// Connects to a tunnel IP, which is also the name that the certificate must carry.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        address: SocketAddr,
        tls: Arc<rustls::ClientConfig>,
        keepalive: &Keepalive,
    ) -> Result<RegistryClient<Channel>, ConnectError> {
        let channel =
            dial::tls_channel(dial::Route::to(address, address.ip()), tls, keepalive).await?;
        Ok(RegistryClient::new(channel))
    }

    /// Opens a stream to a gateway, whose certificate must carry its `tunnel_ip`. What comes out of
    /// `queue` is sent.
    ///
    /// # Errors
    /// [`ExchangeError`].
    pub async fn exchange(
        address: SocketAddr,
        tunnel_ip: IpAddr,
        tls: Arc<rustls::ClientConfig>,
        keepalive: &Keepalive,
        queue: mpsc::Receiver<StreamMessage>,
    ) -> Result<Dialled, ExchangeError> {
        let channel =
            dial::tls_channel(dial::Route::to(address, tunnel_ip), tls, keepalive).await?;
        let client = RegistryClient::new(channel);
        let mut client = client.max_decoding_message_size(MESSAGE_BYTES);
        let messages = ReceiverStream::new(queue).map(RegistryMessage::from);
        let mut request = tonic::Request::new(messages);
        tell(request.metadata_mut(), Whose::Own, keepalive);
        let reply = client.exchange(request).await;
        let reply = reply.map_err(|status| ExchangeError::Refused(status.into()))?;
        let keepalive = told(reply.metadata(), Whose::Own);
        Ok(Dialled { inbound: InboundMessages::new(reply.into_inner()), keepalive })
    }
}

/// From a zone that joins to the gateway that has invited it.
pub mod join {
    use std::net::IpAddr;

    use rustls::pki_types::CertificateDer;
    use tonic::Code;
    use zonemesh_core::invitation::{ChannelBinding, Redemption, RedemptionAnswer};
    use zonemesh_core::membership::MAX_LISTED_BYTES;

    use super::{Arc, Channel, ConnectError, Keepalive, Said, SocketAddr, dial};
    use crate::v1::RedeemRequest;
    use crate::v1::join_client::JoinClient;
    use crate::wire::WireError;

    /// Largest answer: all trust items that a mesh may have, with what is around each.
    const MAX_ANSWER: usize = 2 * MAX_LISTED_BYTES;

    /// Where the inviter's gateway is called.
    #[derive(Debug, Clone, Copy)]
    pub struct JoinAddress {
        /// Its join service, outside of the tunnels.
        pub outer: SocketAddr,
        /// The address that its certificate must carry, if `tls` looks at it.
        pub tunnel_ip: IpAddr,
    }

    /// Why an invitation is not redeemed.
    #[derive(Debug, thiserror::Error)]
    pub enum RedeemCallError {
        /// No connection.
        #[error(transparent)]
        Connect(#[from] ConnectError),
        /// Not now: what the inviter says.
        #[error("{0}")]
        Later(String),
        /// Not with this invitation: what the inviter says.
        #[error("{0}")]
        Unusable(String),
        /// Not as this gateway is: what the inviter says.
        #[error("{0}")]
        Refused(String),
        /// An answer that means nothing.
        #[error(transparent)]
        Malformed(#[from] WireError),
    }

    /// A connection to the inviter, for one question that is tied to it.
    pub struct JoinConnection {
        client: JoinClient<Channel>,
        /// What this connection alone has.
        pub binding: ChannelBinding,
        /// The certificates that the inviter has shown.
        pub shown: Vec<CertificateDer<'static>>,
    }

    impl JoinConnection {
        /// Connects to one address of the inviter; `tls` pins its zone, or what it has shown is checked
        /// before it is believed.
        ///
        /// # Errors
        /// [`ConnectError`].
        pub async fn open(
            at: JoinAddress,
            tls: Arc<rustls::ClientConfig>,
        ) -> Result<Self, ConnectError> {
            let keepalive = &Keepalive::DEFAULT;
            let bound = dial::bound_channel(at.outer, at.tunnel_ip, tls, keepalive).await?;
            let client = JoinClient::new(bound.channel).max_decoding_message_size(MAX_ANSWER);
            Ok(Self { client, binding: bound.binding, shown: bound.shown })
        }

        /// Redeems an invitation.
        ///
        /// # Errors
        /// [`RedeemCallError`].
        pub async fn redeem(
            mut self,
            asked: Redemption,
        ) -> Result<RedemptionAnswer, RedeemCallError> {
            match self.client.redeem(RedeemRequest::from(asked)).await {
                Ok(reply) => Ok(RedemptionAnswer::try_from(reply.into_inner())?),
                Err(status) if is_passing(status.code()) => {
                    Err(RedeemCallError::Later(Said::from(status).to_string()))
                }
                Err(status) if status.code() == Code::Unauthenticated => {
                    Err(RedeemCallError::Unusable(status.message().to_owned()))
                }
                Err(status) => Err(RedeemCallError::Refused(status.message().to_owned())),
            }
        }
    }

    fn is_passing(code: Code) -> bool {
        matches!(
            code,
            Code::Unavailable
                | Code::ResourceExhausted
                | Code::DeadlineExceeded
                | Code::Unknown
                | Code::Cancelled
        )
    }
}

/// From the engineers' tool to the daemon on the same machine.
pub mod admin {
    use super::{Channel, ConnectError, dial};
    use crate::v1::admin_client::AdminClient;
    use crate::v1::mesh_client::MeshClient;
    use std::path::Path;

    /// Connects to the daemon's unix socket.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(path: &Path) -> Result<AdminClient<Channel>, ConnectError> {
        Ok(AdminClient::new(dial::unix_channel(path).await?))
    }

    /// Connects to the daemon's unix socket, for what changes the mesh.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect_mesh(path: &Path) -> Result<MeshClient<Channel>, ConnectError> {
        Ok(MeshClient::new(dial::unix_channel(path).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_never_was_is_told_in_the_systems_words_or_with_what_had_no_answer() {
        let (address, refused) = (([127, 0, 0, 1], 1).into(), io::Error::from_raw_os_error(111));
        let said = Said::from(ConnectError::Tcp { address, source: refused });
        assert_eq!(said.to_string(), "Connection refused (os error 111)");
        let said = Said::from(ConnectError::Timeout { address, step: "TCP" });
        assert_eq!(said.to_string(), "no answer within 10 s (TCP)");
        let of_tls = io::Error::other(rustls::Error::HandshakeNotComplete);
        let said = Said::from(ConnectError::Tls { address, source: of_tls });
        assert_eq!(said.to_string(), "handshake not complete");
    }
}
