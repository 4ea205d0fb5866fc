//! Dialling: TCP and TLS, or a unix socket, below an HTTP/2 channel.
//!
//! The first connection is made before the channel, so that its error is typed; later ones are
//! made by the channel when it needs them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Channel;
use tower::service_fn;
use zonemesh_core::invitation::ChannelBinding;
use zonemesh_core::keepalive::Keepalive;

use super::{CONNECT_TIMEOUT, ConnectError, endpoint};

/// Where a connection goes, and from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    /// This machine's address that the server is to see; the system's choice if not given.
    pub(super) from: Option<IpAddr>,
    pub(super) to: SocketAddr,
    /// The address that the server's certificate must carry.
    pub(super) name: IpAddr,
}

impl Route {
    pub(super) const fn to(to: SocketAddr, name: IpAddr) -> Self {
        Self { from: None, to, name }
    }
}

pub(super) async fn tls_channel(
    route: Route,
    tls: Arc<rustls::ClientConfig>,
    keepalive: &Keepalive,
) -> Result<Channel, ConnectError> {
    let mut first = Some(tls_stream(route, tls.clone()).await?);
    let connector = service_fn(move |_| {
        let (first, tls) = (first.take(), tls.clone());
        async move {
            let stream = match first {
                Some(stream) => stream,
                None => tls_stream(route, tls).await?,
            };
            Ok::<_, ConnectError>(TokioIo::new(stream))
        }
    });
    // TLS is below the connector: to the channel this is plain HTTP/2.
    let endpoint = endpoint(format!("http://{}", route.to), keepalive)?;
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(http2)
}

/// A channel over one connection, which is not made again.
pub(super) struct BoundChannel {
    pub(super) channel: Channel,
    /// What this connection alone has.
    pub(super) binding: ChannelBinding,
    /// The certificates that the server has shown.
    pub(super) shown: Vec<CertificateDer<'static>>,
}

pub(super) async fn bound_channel(
    address: SocketAddr,
    name: IpAddr,
    tls: Arc<rustls::ClientConfig>,
    keepalive: &Keepalive,
) -> Result<BoundChannel, ConnectError> {
    let stream = tls_stream(Route::to(address, name), tls).await?;
    let session = stream.get_ref().1;
    let shown = session.peer_certificates().unwrap_or_default().to_vec();
    let binding = session.export_keying_material([0; 32], ChannelBinding::LABEL, None);
    let no_binding = |error| ConnectError::Tls { address, source: io::Error::other(error) };
    let binding = ChannelBinding(binding.map_err(no_binding)?);
    let mut first = Some(stream);
    let connector = service_fn(move |_| {
        let stream = first.take().ok_or(io::Error::from(io::ErrorKind::NotConnected));
        async move { stream.map(TokioIo::new) }
    });
    let endpoint = endpoint(format!("http://{address}"), keepalive)?;
    let channel = endpoint.connect_with_connector(connector).await;
    Ok(BoundChannel { channel: channel.map_err(http2)?, binding, shown })
}

fn http2(error: tonic::transport::Error) -> ConnectError {
    ConnectError::Http2(error.into())
}

async fn tcp_stream(Route { from, to, .. }: Route) -> io::Result<TcpStream> {
    let Some(from) = from else { return TcpStream::connect(to).await };
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

async fn tls_stream(
    route: Route,
    tls: Arc<rustls::ClientConfig>,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let address = route.to;
    let Ok(connected) = timeout(CONNECT_TIMEOUT, tcp_stream(route)).await else {
        let step = "TCP connection";
        return Err(ConnectError::Timeout { address, step });
    };
    let stream = connected.map_err(|source| ConnectError::Tcp { address, source })?;
    let nodelay = stream.set_nodelay(true);
    nodelay.map_err(|source| ConnectError::Tcp { address, source })?;
    let name = ServerName::IpAddress(route.name.into());
    let handshake = TlsConnector::from(tls).connect(name, stream);
    let Ok(secured) = timeout(CONNECT_TIMEOUT, handshake).await else {
        let step = "TLS handshake";
        return Err(ConnectError::Timeout { address, step });
    };
    secured.map_err(|source| ConnectError::Tls { address, source })
}

pub(super) async fn unix_channel(path: &Path) -> Result<Channel, ConnectError> {
    let path = path.to_owned();
    let mut first = Some(unix_stream(path.clone()).await?);
    let connector = service_fn(move |_| {
        let (first, path) = (first.take(), path.clone());
        async move {
            let stream = match first {
                Some(stream) => stream,
                None => unix_stream(path).await?,
            };
            Ok::<_, ConnectError>(TokioIo::new(stream))
        }
    });
    let endpoint = endpoint("http://zonemeshd".to_owned(), &Keepalive::DEFAULT)?;
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(http2)
}

async fn unix_stream(path: PathBuf) -> Result<UnixStream, ConnectError> {
    let stream = UnixStream::connect(&path).await;
    stream.map_err(|source| ConnectError::Socket { path, source })
}
