//! The accept loop of TLS servers, and what a service may know about its caller.
//!
//! Promises: handshakes run beside each other, each within [`HANDSHAKE_TIMEOUT`] and at most
//! [`MAX_HANDSHAKES`] at once, and nobody is kept waiting for another one's; a failed handshake never
//! ends the loop. Whoever is connected and does not go on to speak HTTP/2, or sends a request by half,
//! is left after [`REQUEST_TIMEOUT`], and whoever asks for nothing after [`IDLE_TIMEOUT`]. Who may
//! connect how often is said by a [`Door`]; a connection can be ended from outside ([`HangUp`]). tonic's own TLS has no swappable verifier and no reload, hence
//! this one. Trust is in the `rustls::ServerConfig` that the caller brings.

mod handshakes;
mod line;
mod pause;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use zonemesh_core::invitation::ChannelBinding;
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::record::MAX_RECORD_BYTES;

use handshakes::{Handshake, Handshakes};
use line::IdleLimit;

pub use line::{HangUp, Held};
pub use pause::AcceptPause;

/// Longest time for a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most handshakes at once; for a further one another is ended.
pub const MAX_HANDSHAKES: usize = 256;
/// Longest time until HTTP/2 begins after TLS, and until a request is there and has its answer; a
/// stream of answers may go on behind that.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may be open on which nothing is asked and nothing is under way.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a caller whom nobody knows may be connected: longer than its request takes.
pub const STRANGER_TIMEOUT: Duration = Duration::from_secs(15);
/// Most requests at once on one connection, with those that are answered by a stream; further ones
/// wait.
const MAX_STREAMS: u32 = 64;
/// Most of them that are read and worked on at once; the others wait unread.
const MAX_AT_WORK: usize = 4;
/// Longest headers of a request: ours have some hundred bytes.
const MAX_HEADERS: u32 = 4 * 1024;
/// What HTTP/2 begins with.
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// Largest request of a service behind [`small_requests`].
pub const SMALL_REQUEST: usize = 16 * 1024;
/// Largest request of a zone that joins: it holds the zone's record.
pub const JOIN_REQUEST: usize = MAX_RECORD_BYTES + SMALL_REQUEST;
/// What may have come of such requests on one connection and is not read yet.
const SMALL_WINDOW: u32 = 64 * 1024;

/// A server of HTTP/2 with the keepalive of Zonemesh: it pings idle connections and closes those
/// that do not answer.
#[must_use]
pub fn server(keepalive: &Keepalive) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(keepalive.grpc_interval))
        .http2_keepalive_timeout(Some(keepalive.grpc_timeout))
        .max_concurrent_streams(MAX_STREAMS)
        .concurrency_limit_per_connection(MAX_AT_WORK)
        .http2_max_header_list_size(MAX_HEADERS)
        .timeout(REQUEST_TIMEOUT)
}

/// The same for services whose requests are small: a connection takes little memory, whatever is sent.
#[must_use]
pub fn small_requests(keepalive: &Keepalive) -> Server {
    server(keepalive)
        .initial_connection_window_size(SMALL_WINDOW)
        .initial_stream_window_size(SMALL_WINDOW)
}

/// The same for callers whom nobody knows yet: each has one request to make, and loses its connection
/// after [`STRANGER_TIMEOUT`], whatever it does with it.
#[must_use]
pub fn strangers(keepalive: &Keepalive) -> Server {
    // Without a grace tonic would ask politely, and leave it at that.
    small_requests(keepalive)
        .max_connection_age(STRANGER_TIMEOUT)
        .max_connection_age_grace(Duration::ZERO)
}

/// Decides who may connect, before anything is read.
pub trait Door: Send + Sync {
    /// `None` closes the connection at once. What is returned is dropped when the connection ends.
    fn enter(&self, caller: IpAddr) -> Option<Box<dyn Send>>;

    /// A handshake of this caller was ended, as there were too many and it had most of them.
    fn ended(&self, caller: IpAddr);
}

/// Everyone may connect.
struct OpenDoor;

impl Door for OpenDoor {
    fn enter(&self, _caller: IpAddr) -> Option<Box<dyn Send>> {
        Some(Box::new(()))
    }

    fn ended(&self, _caller: IpAddr) {}
}

/// Who calls, as TCP and TLS know it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its address.
    pub address: SocketAddr,
    /// The certificates that it has shown and that the verifier has accepted; empty if none.
    pub certificates: Arc<Vec<CertificateDer<'static>>>,
    /// Ends its connection.
    pub line: HangUp,
    /// What it shares with this end on this connection alone.
    pub binding: ChannelBinding,
}

/// Who made a request that came through [`Incoming`]; `None` if it came another way. Its connection is
/// in use: [`HangUp::hold`] says for how long.
#[must_use]
pub fn caller<T>(request: &tonic::Request<T>) -> Option<Caller> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.inspect(|caller| caller.line.touch())
}

/// A connection whose TLS session stands.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    caller: Caller,
    /// Until HTTP/2 has begun.
    greeting: Option<Greeting>,
    idle: IdleLimit,
    _place: Box<dyn Send>,
}

/// The beginning of HTTP/2 that has not come yet. hyper waits for it for ever.
struct Greeting {
    left: usize,
    late: Pin<Box<Sleep>>,
}

impl Greeting {
    fn new() -> Self {
        Self { left: PREFACE, late: Box::pin(sleep(REQUEST_TIMEOUT)) }
    }
}

impl Connection {
    /// Fails once nothing was asked for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Self { idle, caller, .. } = self;
        idle.poll(&caller.line, cx)
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.caller.line.poll(cx)?;
        self.poll_idle(cx)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let came = buffer.filled().len() - before;
        match &mut self.greeting {
            Some(greeting) if greeting.left > came => {
                greeting.left -= came;
                if greeting.late.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            spoken => *spoken = None,
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.caller.line.poll(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.caller.line.poll(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.caller.line.poll(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// TLS connections to a listener, for `serve_with_incoming`. It never ends by itself.
pub struct Incoming {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    door: Arc<dyn Door>,
    handshakes: Handshakes,
    pause: AcceptPause,
}

impl Incoming {
    /// Accepts everyone from `listener` with `tls`.
    #[must_use]
    pub fn new(listener: TcpListener, tls: Arc<rustls::ServerConfig>) -> Self {
        Self::through(Arc::new(OpenDoor), listener, tls)
    }

    /// Accepts whom `door` lets in from `listener` with `tls`.
    #[must_use]
    pub fn through(
        door: Arc<dyn Door>,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
    ) -> Self {
        let acceptor = TlsAcceptor::from(tls);
        let handshakes = Handshakes::new(MAX_HANDSHAKES);
        Self { listener, acceptor, door, handshakes, pause: AcceptPause::default() }
    }

    /// Starts handshakes for all connections that wait.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.pause.poll_over(cx));
            match ready!(self.listener.poll_accept(cx)) {
                Ok((stream, address)) => {
                    if let Some(place) = self.door.enter(address.ip()) {
                        let begun = handshake(self.acceptor.clone(), stream, address, place);
                        if let Some(caller) = self.handshakes.begin(address.ip(), begun) {
                            self.door.ended(caller);
                        }
                    }
                }
                Err(error) => self.pause.begin(&error),
            }
        }
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    place: Box<dyn Send>,
) -> Handshake {
    let secured = async {
        stream.set_nodelay(true)?;
        let stream = acceptor.accept(stream).await?;
        let session = stream.get_ref().1;
        let shown = session.peer_certificates().unwrap_or_default().to_vec();
        let binding = session.export_keying_material([0; 32], ChannelBinding::LABEL, None);
        let binding = ChannelBinding(binding.map_err(io::Error::other)?);
        let line = HangUp::default();
        let caller = Caller { address, certificates: Arc::new(shown), line, binding };
        let greeting = Some(Greeting::new());
        Ok(Connection {
            stream,
            caller,
            greeting,
            idle: IdleLimit::new(IDLE_TIMEOUT),
            _place: place,
        })
    };
    let secured = timeout(HANDSHAKE_TIMEOUT, secured).await;
    (address, secured.unwrap_or_else(|late| Err(late.into())))
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            // It is never done and has told the waker: what is left are the handshakes.
            let _accepted_all = self.poll_accept(cx);
            match self.handshakes.poll_next(cx) {
                Poll::Ready(Some((_, Ok(stream)))) => return Poll::Ready(Some(Ok(stream))),
                Poll::Ready(Some((address, Err(error)))) => {
                    tracing::debug!(%address, %error, "TLS handshake failed");
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}
