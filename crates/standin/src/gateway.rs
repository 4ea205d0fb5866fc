//! A gateway's local API and TLS servers on loopback, for tests of what talks to them.
//!
//! The gateway is a real tonic server with a real zone's TLS and a real federation CA; it knows one
//! federation and one token, and refuses with the daemon's status codes.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status, Streaming};
use zonemesh_api::keepalive::{self, Keepalive, Whose};
use zonemesh_api::serve::Incoming;
use zonemesh_api::v1;
use zonemesh_api::v1::RefusalKind;
use zonemesh_api::v1::companion_message::Body as Said;
use zonemesh_api::v1::gateway_message::Body as Answer;
use zonemesh_api::v1::local_server::{Local, LocalServer};
use zonemesh_api::wire::local::attestation;
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::membership::SignedTrustItem;
use zonemesh_core::token::{SECRET_BYTES, VmToken, ZonePin};
use zonemesh_pki::{CurrentLeaf, FederationCa, San, ZoneAuthority, local_server_config};

/// The federation that the gateway knows.
pub const FEDERATION: &str = "health-eu";
/// Its zone.
pub const ZONE: &str = "berlin";
/// The seed of its zone's key.
pub const ZONE_SEED: [u8; 32] = [7; 32];
/// Where everything listens.
pub const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A gateway that can be stopped, started again at the same address, and made to forget.
pub struct TestGateway {
    /// Of its local API.
    pub address: SocketAddr,
    /// The token that it knows.
    pub token: VmToken,
    /// What it shows about its zone; nothing in a mesh that is written by hand.
    pub shown: Arc<Mutex<Option<Vec<SignedTrustItem>>>>,
    /// The CA of the federation that it holds.
    pub ca: Arc<FederationCa>,
    seed: [u8; 32],
    view: watch::Sender<v1::FederationView>,
    /// The calls so far, by name.
    pub seen: Arc<Mutex<Vec<String>>>,
    /// The keepalives that it tells; none, as an older one does.
    pub keepalive: Arc<Mutex<Option<Keepalive>>>,
    /// What a companion has told of its own and of its Flower's.
    pub told: Arc<Mutex<[Option<Keepalive>; 2]>>,
    /// What a companion has reported last.
    pub reported: Arc<Mutex<Option<v1::CompanionReport>>>,
    serving: Option<Runtime>,
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.stop();
    }
}

impl TestGateway {
    /// One that serves, without a SuperLink yet.
    pub fn start() -> Self {
        Self::start_at(LOOPBACK)
    }

    /// The same at this address of the machine.
    pub fn start_at(ip: IpAddr) -> Self {
        let key = ZoneIdentity::from_seed(&ZONE_SEED).public_key();
        let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
        let mut gateway = Self {
            address: listener.local_addr().unwrap(),
            token: token(ZonePin::Key(key)),
            shown: Arc::default(),
            ca: Arc::new(FederationCa::generate(FEDERATION, SystemTime::now()).unwrap()),
            seed: ZONE_SEED,
            view: watch::channel(unknown()).0,
            seen: Arc::default(),
            keepalive: Arc::default(),
            told: Arc::default(),
            reported: Arc::default(),
            serving: None,
        };
        gateway.serve(listener);
        gateway
    }

    /// One that serves here, whose key no token pins: nobody may show it one.
    pub fn false_one(listener: std::net::TcpListener) -> Self {
        let mut gateway = Self::start();
        gateway.is_replaced_by_a_false_one();
        gateway.address = listener.local_addr().unwrap();
        gateway.serve(listener);
        gateway
    }

    /// Its own runtime ends with all its connections, as a process does.
    fn serve(&mut self, listener: std::net::TcpListener) {
        let service = Service {
            ca: Arc::clone(&self.ca),
            token: self.token.clone(),
            shown: Arc::clone(&self.shown),
            view: self.view.clone(),
            seen: Arc::clone(&self.seen),
            keepalive: Arc::clone(&self.keepalive),
            told: Arc::clone(&self.told),
            reported: Arc::clone(&self.reported),
        };
        let zone = ZoneAuthority::from_seed(ZONE, &self.seed).unwrap();
        let leaf = zone.issue_leaf(&[self.address.ip()], SystemTime::now()).unwrap();
        let tls = local_server_config(&CurrentLeaf::new(&leaf).unwrap()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = Runtime::new().unwrap();
        let inside = runtime.enter();
        let incoming = Incoming::new(TcpListener::from_std(listener).unwrap(), tls);
        let server = tonic::transport::Server::builder().add_service(LocalServer::new(service));
        drop(runtime.handle().spawn(async move { server.serve_with_incoming(incoming).await }));
        drop(inside);
        self.serving = Some(runtime);
    }

    /// Ends it; its address stays its own.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.serving.take() {
            runtime.shutdown_background();
        }
    }

    /// From the next start on somebody else answers at its address, who has a key of its own and the
    /// rest of what this one has.
    pub fn is_replaced_by_a_false_one(&mut self) {
        self.stop();
        self.seed = [66; 32];
    }

    /// The true one is back at the next start.
    pub fn is_back(&mut self) {
        self.stop();
        self.seed = ZONE_SEED;
    }

    /// With a new CA it has lost its state folder, without it only its memory of this SuperLink.
    pub fn start_again(&mut self, with_new_ca: bool) {
        if with_new_ca {
            self.ca = Arc::new(FederationCa::generate(FEDERATION, SystemTime::now()).unwrap());
        }
        self.view = watch::channel(unknown()).0;
        let begun = Instant::now();
        let listener = loop {
            match std::net::TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                // The stopped runtime closes its sockets a moment later.
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(10), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        self.serve(listener);
    }

    /// What it shows.
    pub fn view(&self) -> v1::FederationView {
        self.view.borrow().clone()
    }

    /// Changes what it shows.
    pub fn show(&self, change: impl FnOnce(&mut v1::FederationView)) {
        self.view.send_modify(change);
    }

    /// Shows a SuperLink that is ready at this address.
    pub fn show_ready(&self, endpoint: SocketAddr) {
        self.show_but(endpoint, |_| {});
    }

    /// Shows a SuperLink at this address that differs from a good one, in one step.
    pub fn show_but(&self, endpoint: SocketAddr, change: impl FnOnce(&mut v1::FederationView)) {
        let mut shown = ready(endpoint, self.ca.certificate_pem().to_owned());
        change(&mut shown);
        self.show(|view| *view = shown);
    }

    /// The calls so far, by name.
    pub fn all_calls(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// How often it was called so.
    pub fn calls(&self, name: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|call| call.as_str() == name).count()
    }

    /// The settings of a companion of this gateway.
    pub fn variables(&self) -> Vec<(String, String)> {
        [
            ("ONEAPP_ZONEMESH_FEDERATION", FEDERATION.to_owned()),
            ("ONEAPP_ZONEMESH_GATEWAY", self.address.to_string()),
            ("ONEAPP_ZONEMESH_TOKEN", self.token.reveal().to_owned()),
            ("ONEAPP_ZONEMESH_ADDRESS", self.address.ip().to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

/// A token with this pin.
pub fn token(pin: ZonePin) -> VmToken {
    VmToken::new(pin, &[5; SECRET_BYTES])
}

fn unknown() -> v1::FederationView {
    v1::FederationView { federation: FEDERATION.into(), ..Default::default() }
}

/// A federation whose SuperLink is ready.
pub fn ready(endpoint: SocketAddr, ca_pem: String) -> v1::FederationView {
    v1::FederationView {
        federation: FEDERATION.into(),
        found: true,
        zone: "berlin".into(),
        addresses: vec![endpoint.ip().to_string()],
        fleet_port: endpoint.port().into(),
        control_port: 9093,
        flower_version: "1.25.0".into(),
        transport: v1::FlowerTransport::Grpc.into(),
        readiness: v1::Readiness::Ready.into(),
        cas: vec![trusted(ca_pem)],
        superlink_clock_offset_ms: Some(0),
        zone_reachable: true,
        ..Default::default()
    }
}

/// A CA certificate that signs, as a view has it.
pub fn trusted(pem: String) -> v1::FederationCa {
    v1::FederationCa { pem, state: v1::CaState::Active.into() }
}

#[derive(Clone)]
struct Service {
    ca: Arc<FederationCa>,
    token: VmToken,
    shown: Arc<Mutex<Option<Vec<SignedTrustItem>>>>,
    view: watch::Sender<v1::FederationView>,
    seen: Arc<Mutex<Vec<String>>>,
    keepalive: Arc<Mutex<Option<Keepalive>>>,
    told: Arc<Mutex<[Option<Keepalive>; 2]>>,
    reported: Arc<Mutex<Option<v1::CompanionReport>>>,
}

impl Service {
    fn note(&self, call: &str) {
        self.seen.lock().unwrap().push(call.to_owned());
    }

    fn check_proof(&self, proof: Option<&v1::VmProof>) -> Result<(), Status> {
        proof.map_or(Ok(()), |proof| self.check(&proof.token))
    }

    fn check(&self, token: &str) -> Result<(), Status> {
        if token == self.token.reveal() {
            Ok(())
        } else {
            Err(Status::unauthenticated("no such token"))
        }
    }
}

fn stamped(mut view: v1::FederationView) -> v1::FederationView {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    view.gateway_time_unix_ms = since.as_millis().try_into().unwrap();
    view
}

#[tonic::async_trait]
impl Local for Service {
    async fn attest(
        &self,
        _request: Request<v1::AttestRequest>,
    ) -> Result<Response<v1::AttestReply>, Status> {
        self.note("attest");
        match &*self.shown.lock().unwrap() {
            Some(items) => Ok(Response::new(attestation(items))),
            None => Err(Status::failed_precondition("written by hand")),
        }
    }

    async fn resolve(
        &self,
        request: Request<v1::ResolveRequest>,
    ) -> Result<Response<v1::FederationView>, Status> {
        self.note("resolve");
        self.check_proof(request.get_ref().proof.as_ref())?;
        Ok(Response::new(stamped(self.view.borrow().clone())))
    }

    type SessionStream = std::pin::Pin<
        Box<dyn tokio_stream::Stream<Item = Result<v1::GatewayMessage, Status>> + Send>,
    >;

    async fn session(
        &self,
        request: Request<Streaming<v1::CompanionMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let told = |whose| keepalive::told(request.metadata(), whose);
        let told = [told(Whose::Own), told(Whose::Flowers)];
        let caller = zonemesh_api::serve::caller(&request).unwrap().address.ip();
        let mut inbound = request.into_inner();
        let first = inbound.message().await?.and_then(|message| message.body);
        let Some(Said::Hello(hello)) = first else { return Err(Status::invalid_argument("hello")) };
        self.note("session");
        self.check(&hello.proof.unwrap_or_default().token)?;
        *self.told.lock().unwrap() = told;
        let view =
            |view| v1::GatewayMessage { answers: 0, body: Some(Answer::View(stamped(view))) };
        let views = WatchStream::new(self.view.subscribe()).map(move |shown| Ok(view(shown)));
        let service = self.clone();
        let answers = inbound.map(move |said| said.map(|said| service.hear(said, caller)));
        let mut response: Response<Self::SessionStream> =
            Response::new(Box::pin(views.merge(answers)));
        if let Some(figures) = &*self.keepalive.lock().unwrap() {
            keepalive::tell(response.metadata_mut(), Whose::Own, figures);
        }
        Ok(response)
    }
}

impl Service {
    /// The answer to what a companion says in a session.
    fn hear(&self, said: v1::CompanionMessage, caller: IpAddr) -> v1::GatewayMessage {
        let body = match said.body {
            Some(Said::Report(report)) => self.take(report),
            Some(Said::Registration(wanted)) => self.register(wanted, caller),
            Some(Said::Hello(_)) | None => None,
        };
        v1::GatewayMessage { answers: said.number, body }
    }

    fn take(&self, report: v1::CompanionReport) -> Option<Answer> {
        let state = match report.supernode() {
            v1::SuperNodeState::Unspecified => report.readiness().as_str_name(),
            state => state.as_str_name(),
        };
        self.note(state);
        let readiness = report.readiness;
        *self.reported.lock().unwrap() = Some(report);
        if readiness != 0 {
            if !self.view.borrow().found {
                return Some(refused(RefusalKind::NotRegistered, "register first"));
            }
            self.view.send_modify(|view| view.readiness = readiness);
        }
        Some(Answer::Taken(v1::ReportTaken {}))
    }

    /// As the daemon does: only the address that the call came from.
    fn register(&self, wanted: v1::SuperLinkRegistration, caller: IpAddr) -> Option<Answer> {
        self.note("register");
        if wanted.addresses != [caller.to_string()] {
            let said = format!("{:?} was asked for, the call came from {caller}", wanted.addresses);
            return Some(refused(RefusalKind::NotAllowed, &said));
        }
        let names = [San::Ip(caller)];
        let certificate_pem = match self.ca.sign(&wanted.csr_pem, &names, SystemTime::now()) {
            Ok(signed) => signed,
            Err(error) => return Some(refused(RefusalKind::Invalid, &error.to_string())),
        };
        let ca_pem = self.ca.certificate_pem().to_owned();
        let endpoint = SocketAddr::new(caller, wanted.fleet_port.try_into().unwrap());
        let mut view = ready(endpoint, ca_pem.clone());
        view.readiness = v1::Readiness::Starting.into();
        view.flower_version = wanted.flower_version;
        view.transport = wanted.transport;
        view.authenticates = wanted.authenticates;
        self.view.send_replace(view);
        Some(Answer::Issued(v1::IssuedLeaf { certificate_pem, ca_pem, names_supernodes: true }))
    }
}

fn refused(kind: RefusalKind, reason: &str) -> Answer {
    Answer::Refused(v1::Refusal {
        kind: kind.into(),
        reason: reason.to_owned(),
        next: String::new(),
    })
}
