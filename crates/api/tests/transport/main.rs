//! The connections as they run: TLS over loopback, the admin socket, registry streams.
//!
//! The services answer from memory; what is tested is what lies between them and their callers.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod bound;
mod half_sent;
mod strangers;

use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::{UnixListenerStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};
use zonemesh_api::clients::local::LocalSession;
use zonemesh_api::clients::{self, ConnectError};
use zonemesh_api::serve::{self, Incoming};
use zonemesh_api::v1;
use zonemesh_api::v1::admin_server::{Admin, AdminServer};
use zonemesh_api::v1::companion_message::Body;
use zonemesh_api::v1::gateway_message::Body as Answer;
use zonemesh_api::v1::local_server::{Local, LocalServer};
use zonemesh_api::wire::local::CompanionHello;
use zonemesh_core::keepalive::Keepalive;

type Answers = Pin<Box<dyn Stream<Item = Result<v1::GatewayMessage, Status>> + Send>>;

struct Gateway {
    revision: watch::Receiver<u64>,
}

fn view(federation: &str, revision: u64) -> v1::FederationView {
    v1::FederationView {
        federation: federation.to_owned(),
        revision,
        ..v1::FederationView::default()
    }
}

#[tonic::async_trait]
impl Local for Gateway {
    type SessionStream = Answers;

    async fn attest(
        &self,
        _: Request<v1::AttestRequest>,
    ) -> Result<Response<v1::AttestReply>, Status> {
        Err(Status::failed_precondition("it is asked nothing here"))
    }

    async fn resolve(
        &self,
        request: Request<v1::ResolveRequest>,
    ) -> Result<Response<v1::FederationView>, Status> {
        let caller = serve::caller(&request).ok_or_else(|| Status::internal("no caller"))?;
        let certificates = caller.certificates.len() as u64;
        let mut view = view(&caller.address.ip().to_string(), certificates);
        view.found = true;
        Ok(Response::new(view))
    }

    async fn session(
        &self,
        request: Request<Streaming<v1::CompanionMessage>>,
    ) -> Result<Response<Answers>, Status> {
        let first = request.into_inner().message().await?.and_then(|message| message.body);
        let Some(Body::Hello(hello)) = first else { return Err(Status::invalid_argument("hello")) };
        let federation = CompanionHello::try_from(hello)?.federation;
        let revisions = WatchStream::new(self.revision.clone());
        let messages = revisions.map(move |revision| {
            let view = view(federation.as_str(), revision);
            Ok(v1::GatewayMessage { answers: 0, body: Some(Answer::View(view)) })
        });
        Ok(Response::new(Box::pin(messages)))
    }
}

/// A certificate for loopback, and its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

fn identity(name: &str) -> Identity {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Identity { certificate: made.cert.der().clone(), key: key.into() }
}

fn roots(identity: &Identity) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.certificate.clone()).unwrap();
    roots
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn client_tls(server: &Identity, own: &Identity) -> Arc<rustls::ClientConfig> {
    let builder = rustls::ClientConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.unwrap().with_root_certificates(roots(server));
    let chain = vec![own.certificate.clone()];
    let mut config = builder.with_client_auth_cert(chain, own.key.clone_key()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

fn server_tls(own: &Identity, client: &Identity) -> Arc<rustls::ServerConfig> {
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots(client)),
        provider(),
    );
    let builder = rustls::ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.unwrap();
    let builder = builder.with_client_cert_verifier(verifier.build().unwrap());
    let chain = vec![own.certificate.clone()];
    let mut config = builder.with_single_cert(chain, own.key.clone_key()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// A gateway's local API on loopback. Its tasks end with it.
struct Running {
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    server_tls: Arc<rustls::ServerConfig>,
    revision: watch::Sender<u64>,
    stop: Arc<Notify>,
    tasks: JoinSet<()>,
}

impl Running {
    fn serve(&mut self, listener: TcpListener) {
        let incoming = Incoming::new(listener, self.server_tls.clone());
        let revision = self.revision.subscribe();
        let service = LocalServer::new(Gateway { revision });
        let service = service.max_decoding_message_size(serve::SMALL_REQUEST);
        let router = serve::small_requests(&Keepalive::DEFAULT).add_service(service);
        // Without the signal tonic's connections would outlive the accept loop.
        let stop = self.stop.clone();
        let stopped = async move { stop.notified().await };
        self.tasks.spawn(async move {
            let serving = router.serve_with_incoming_shutdown(incoming, stopped);
            serving.await.unwrap();
        });
    }

    async fn stop(&mut self) {
        self.stop.notify_one();
        self.tasks.join_next().await.unwrap().unwrap();
    }
}

async fn start() -> Running {
    let (server, client) = (identity("127.0.0.1"), identity("vm"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut running = Running {
        address: listener.local_addr().unwrap(),
        tls: client_tls(&server, &client),
        server_tls: server_tls(&server, &client),
        revision: watch::Sender::new(1),
        stop: Arc::new(Notify::new()),
        tasks: JoinSet::new(),
    };
    running.serve(listener);
    running
}

fn hello() -> CompanionHello {
    CompanionHello {
        federation: "health-eu".parse().unwrap(),
        proof: None,
        release: "0.2.0".to_owned(),
        onegate: None,
    }
}

#[tokio::test]
async fn a_session_gives_a_view_and_then_each_change() {
    let running = start().await;
    let mut client = clients::local::connect(running.address, running.tls).await.unwrap();
    let mut session = LocalSession::open(&mut client, hello(), &[]).await.unwrap();
    for revision in 1..=3 {
        let message = session.inbound.message().await.unwrap().unwrap();
        let shown = Some(Answer::View(view("health-eu", revision)));
        assert_eq!(message.body, shown);
        running.revision.send(revision + 1).unwrap();
    }
}

#[tokio::test]
async fn a_service_sees_the_callers_address_and_certificate() {
    let running = start().await;
    let mut client = clients::local::connect(running.address, running.tls).await.unwrap();
    let view = client.resolve(v1::ResolveRequest::default()).await.unwrap();
    let view = view.into_inner();
    assert_eq!((view.federation.as_str(), view.revision), ("127.0.0.1", 1));
}

#[tokio::test]
async fn a_bad_field_comes_back_with_its_name() {
    let running = start().await;
    let mut client = clients::local::connect(running.address, running.tls).await.unwrap();
    let hello = CompanionHello { release: "1".repeat(65), ..hello() };
    let refused = LocalSession::open(&mut client, hello, &[]).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert_eq!(refused.message(), "field release: too many, or too long");
}

#[tokio::test]
async fn silent_callers_do_not_hold_up_others() {
    let running = start().await;
    let mut silent = Vec::new();
    for _ in 0..serve::MAX_HANDSHAKES / 2 {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    let connected = clients::local::connect(running.address, running.tls);
    let connected = tokio::time::timeout(Duration::from_secs(5), connected).await;
    connected.unwrap().unwrap();
}

#[tokio::test]
async fn a_failed_handshake_does_not_end_the_loop() {
    let running = start().await;
    let stranger = identity("127.0.0.1");
    let wrong = client_tls(&stranger, &stranger);
    let error = clients::local::connect(running.address, wrong).await.unwrap_err();
    assert!(error.tls_error().is_some(), "{error:?}");
    let mut plain = TcpStream::connect(running.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _alert_or_reset = plain.read_to_end(&mut answer).await;
    assert!(clients::local::connect(running.address, running.tls).await.is_ok());
}

#[tokio::test]
async fn a_channel_dials_again_after_its_server_came_back() {
    let mut running = start().await;
    let mut client = clients::local::connect(running.address, running.tls.clone()).await.unwrap();
    client.resolve(v1::ResolveRequest::default()).await.unwrap();
    running.stop().await;
    let refused = client.resolve(v1::ResolveRequest::default()).await;
    assert!(refused.is_err());
    let listener = TcpListener::bind(running.address).await.unwrap();
    running.serve(listener);
    // The channel may tell once more of the attempt that failed.
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(client.resolve(v1::ResolveRequest::default()).await);
    }
    assert!(answers.last().unwrap().is_ok(), "{answers:?}");
}

#[tokio::test]
async fn nobody_listening_is_an_error_of_the_tcp_step() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let own = identity("vm");
    let error = clients::local::connect(address, client_tls(&own, &own)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tcp { .. }), "{error:?}");
}

struct Daemon;

#[tonic::async_trait]
impl Admin for Daemon {
    async fn status(
        &self,
        _request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusReply>, Status> {
        Ok(Response::new(v1::StatusReply {
            zone: "berlin".to_owned(),
            ..v1::StatusReply::default()
        }))
    }

    async fn peers(
        &self,
        _request: Request<v1::PeersRequest>,
    ) -> Result<Response<v1::PeersReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn super_links(
        &self,
        _request: Request<v1::SuperLinksRequest>,
    ) -> Result<Response<v1::SuperLinksReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn records(
        &self,
        _request: Request<v1::RecordsRequest>,
    ) -> Result<Response<v1::RecordsReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn certificates(
        &self,
        _request: Request<v1::CertificatesRequest>,
    ) -> Result<Response<v1::CertificatesReply>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn compare_config(
        &self,
        _request: Request<v1::CompareConfigRequest>,
    ) -> Result<Response<v1::CompareConfigReply>, Status> {
        Ok(Response::new(Default::default()))
    }
}

#[tokio::test]
async fn the_admin_socket_answers_the_engineers_tool() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let error = clients::admin::connect(&path).await.unwrap_err();
    assert!(error.to_string().ends_with("is zonemeshd running?"), "{error}");
    let incoming = UnixListenerStream::new(UnixListener::bind(&path).unwrap());
    let router = serve::server(&Keepalive::DEFAULT).add_service(AdminServer::new(Daemon));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { router.serve_with_incoming(incoming).await.unwrap() });
    let mut client = clients::admin::connect(&path).await.unwrap();
    let status = client.status(v1::StatusRequest::default()).await.unwrap().into_inner();
    assert_eq!(status.zone, "berlin");
}
