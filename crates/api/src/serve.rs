//! The accept loop of TLS servers, and what a service may know about its caller.
//!
//! Promises: handshakes run beside each other, each within [`HANDSHAKE_TIMEOUT`] and at most
//! [`MAX_HANDSHAKES`] at once, so that a silent or hostile caller holds up nobody; a failed
//! handshake never ends the loop. tonic's own TLS has no swappable verifier and no reload, hence
//! this one. Trust is in the `rustls::ServerConfig` that the caller brings.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::Server;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use zonemesh_core::keepalive::Keepalive;

/// Longest time for a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most handshakes at once; further connections wait in the kernel's queue.
pub const MAX_HANDSHAKES: usize = 64;
/// Pause after an error of `accept`, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server of HTTP/2 with the keepalive of Zonemesh: it pings idle connections and closes those
/// that do not answer.
#[must_use]
pub fn server(keepalive: &Keepalive) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(keepalive.grpc_interval))
        .http2_keepalive_timeout(Some(keepalive.grpc_timeout))
}

/// Who calls, as TCP and TLS know it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its address.
    pub address: SocketAddr,
    /// The certificates that it has shown and that the verifier has accepted; empty if none.
    pub certificates: Arc<Vec<CertificateDer<'static>>>,
}

/// Who made a request that came through [`Incoming`]; `None` if it came another way.
#[must_use]
pub fn caller<T>(request: &tonic::Request<T>) -> Option<Caller> {
    let extensions = request.extensions();
    let info = extensions.get::<TlsConnectInfo<TcpConnectInfo>>()?;
    Some(Caller {
        address: info.get_ref().remote_addr()?,
        certificates: info.peer_certs().unwrap_or_default(),
    })
}

type Handshake = (SocketAddr, io::Result<TlsStream<TcpStream>>);

/// TLS connections to a listener, for `serve_with_incoming`. It never ends by itself.
pub struct Incoming {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Handshake>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    /// Accepts from `listener` with `tls`.
    #[must_use]
    pub fn new(listener: TcpListener, tls: Arc<rustls::ServerConfig>) -> Self {
        Self { listener, acceptor: TlsAcceptor::from(tls), handshakes: JoinSet::new(), pause: None }
    }

    /// Starts handshakes for all connections that wait, while there is room.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.handshakes.len() < MAX_HANDSHAKES {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(cx)) {
                Ok((stream, address)) => {
                    let acceptor = self.acceptor.clone();
                    self.handshakes.spawn(handshake(acceptor, stream, address));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    self.pause = Some(Box::pin(sleep(ACCEPT_PAUSE)));
                }
            }
        }
        Poll::Ready(())
    }
}

async fn handshake(acceptor: TlsAcceptor, stream: TcpStream, address: SocketAddr) -> Handshake {
    let secured = async {
        stream.set_nodelay(true)?;
        acceptor.accept(stream).await
    };
    let secured = timeout(HANDSHAKE_TIMEOUT, secured).await;
    (address, secured.unwrap_or_else(|late| Err(late.into())))
}

impl Stream for Incoming {
    type Item = io::Result<TlsStream<TcpStream>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            // Pending or full, both have told the waker: what is left are the handshakes.
            let _accepted_all = self.poll_accept(cx);
            match self.handshakes.poll_join_next(cx) {
                Poll::Ready(Some(Ok((_, Ok(stream))))) => return Poll::Ready(Some(Ok(stream))),
                Poll::Ready(Some(Ok((address, Err(error))))) => {
                    tracing::debug!(%address, %error, "TLS handshake failed");
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::warn!(%error, "a TLS handshake has panicked");
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}
