//! A daemon that answers with the same replies for ever, on a socket of its own.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use zonemesh_api::v1::admin_server::{Admin, AdminServer};
use zonemesh_api::v1::mesh_server::MeshServer;
use zonemesh_api::v1::{
    CaState, CaView, CertificateKind, CertificateView, CertificatesReply, CertificatesRequest,
    CompanionFinding, CompanionView, CompareConfigReply, CompareConfigRequest, Counter,
    DifferingKey, EtcdView, FederationSummary, Finding, FindingEvidence, FindingSeverity,
    FlowerTransport, HeldCaCertificate, OffloadView, PairView, PeerState, PeerView, PeersReply,
    PeersRequest, Readiness, RecordView, RecordsReply, RecordsRequest, RegistryView, StatusReply,
    StatusRequest, StreamState, SuperLinkView, SuperLinksReply, SuperLinksRequest, TunnelView,
};

use crate::mesh_service::Members;

pub(crate) const PEM: &str = include_str!("../superlink.pem");
/// 2027-01-15T08:00:00Z.
/// What tokens of its zone pin.
pub(crate) const PIN: &str = "key:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w";

const NOW: u64 = 1_800_000_000_000;

/// What the daemon says about the peer `paris`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Paris {
    Up,
    Down,
}

/// A running daemon; its socket goes with it.
pub(crate) struct Daemon {
    folder: TempDir,
    _tasks: JoinSet<Result<(), tonic::transport::Error>>,
    _runtime: Runtime,
}

/// What a daemon says of its state.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) status: StatusReply,
    pub(crate) peers: PeersReply,
}

impl Daemon {
    pub(crate) fn start(paris: Paris) -> Self {
        Self::saying(Answers::new(paris))
    }

    pub(crate) fn saying(answers: Answers) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let runtime = Runtime::new().expect("a runtime can be made");
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(folder.path().join("admin.sock")).expect("the socket is free")
        };
        let service = AdminServer::new(answers);
        let mut tasks = JoinSet::new();
        tasks.spawn_on(
            Server::builder()
                .add_service(service)
                .add_service(MeshServer::new(Members))
                .serve_with_incoming(UnixListenerStream::new(listener)),
            runtime.handle(),
        );
        Self { folder, _tasks: tasks, _runtime: runtime }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn count(name: &str, count: u64) -> Counter {
    Counter { name: name.to_owned(), count }
}

/// Every kind in use but one.
fn offloads(other: &str, state: &str) -> Vec<OffloadView> {
    let of = |kind: &str| OffloadView {
        kind: kind.into(),
        state: if kind == other { state } else { "in_use" }.into(),
    };
    ["gro", "gso", "merge", "tso", "uso"].map(of).to_vec()
}

impl Answers {
    /// Of a gateway that has two peers; one of them may be in trouble.
    pub(crate) fn new(paris: Paris) -> Self {
        let mut status = status();
        if let Paris::Down = paris {
            status.findings.splice(0..0, [hole(), silent()]);
        }
        Self { status, peers: peers(paris) }
    }
}

fn tunnel() -> TunnelView {
    TunnelView {
        interface: "zm0".into(),
        mtu: 1420,
        listen_port: 51820,
        public_key: "1JC3l+xQ0AmXB05r4mQGXPfKfLjad8ZEZLyftnFmkDw=".into(),
        addresses: texts(&["10.255.0.1"]),
        offloads: offloads("uso", "refused"),
        merge_refused: 0,
    }
}

fn status() -> StatusReply {
    StatusReply {
        zone: "berlin".into(),
        gateway: "berlin-gw1".into(),
        version: "0.1.0".into(),
        started_at_unix_ms: NOW - 7_500_000,
        now_unix_ms: NOW,
        tunnel: Some(tunnel()),
        peers_total: 2,
        peers_up: 1,
        registry: Some(RegistryView {
            records: 2,
            bytes: 3300,
            streams: 1,
            root_hash: vec![0xab; 32],
            accepted: vec![count("newer", 4)],
            rejected: vec![count("bad-signature", 0)],
            clone_alarms: 0,
            etcd: Some(EtcdView {
                url: "https://10.10.10.9:2379".into(),
                reached: true,
                since_unix_ms: NOW - 125_000,
                error: String::new(),
                refused: 2,
            }),
            missing: texts(&["paris"]),
            missing_total: 1,
        }),
        federations: vec![FederationSummary {
            name: "health-eu".into(),
            zone: "berlin".into(),
            readiness: Readiness::Ready.into(),
            held_here: true,
            conflict: false,
        }],
        prefixes: texts(&["10.10.10.0/24"]),
        zone_key: "ed25519:guYSczKt7MsP7YCaVvhvSIJeKvzJ+ocK652ukz99+zc=".into(),
        refused: vec![count("vm_writes", 0)],
        findings: vec![note()],
        superlinks: vec![superlink()],
        companions: vec![companion()],
        companions_total: 1,
        local_api_pin: PIN.into(),
        ..StatusReply::default()
    }
}

fn companion() -> CompanionView {
    CompanionView {
        vm: "10.10.10.7".into(),
        role: "supernode".into(),
        federation: "health-eu".into(),
        connected: true,
        since_unix_ms: NOW - 125_000,
        release: "0.2.0".into(),
        reported_at_unix_ms: NOW - 5_000,
        state: "running".into(),
        activity: "training".into(),
        flower_version: "1.25.0".into(),
        findings: vec![CompanionFinding { code: "N201".into(), text: "no answer".into() }],
        node_id: u64::MAX,
        public_key: vec![0x30, 0x59],
        cas: vec![HeldCaCertificate { sha256: vec![0xcd; 32], state: CaState::Active.into() }],
    }
}

/// A finding that nobody needs to look at.
fn note() -> Finding {
    Finding {
        code: "N216".into(),
        severity: FindingSeverity::Note.into(),
        subject_kind: "zone".into(),
        subject: "madrid".into(),
        sentence: "nothing was sent for longer than 25 s".into(),
        evidence: vec![FindingEvidence {
            name: "seconds".into(),
            text: "25".into(),
            figure: Some(25),
        }],
        fix: "nothing to do unless it repeats".into(),
        since_unix_ms: NOW - 125_000,
        seen_at_unix_ms: NOW - 125_000,
        count: 1,
    }
}

fn of_paris(code: &str, sentence: &str, fix: &str) -> Finding {
    Finding {
        code: code.into(),
        severity: FindingSeverity::Degraded.into(),
        subject: "paris".into(),
        sentence: sentence.into(),
        fix: fix.into(),
        ..note()
    }
}

fn hole() -> Finding {
    of_paris("N209", "nothing above 1240 bytes passes", "packets are kept below it")
}

fn silent() -> Finding {
    let sentence = "12 handshake initiations unanswered (198.51.100.7:51820)";
    of_paris("N206", sentence, "check the peer's endpoint, its UDP port and both public keys")
}

fn peers(state: Paris) -> PeersReply {
    let madrid = PeerView {
        zone: "madrid".into(),
        state: PeerState::Up.into(),
        endpoint: "203.0.113.50:51820".into(),
        latest_handshake_unix_ms: NOW,
        rx_bytes: 92_274_688,
        tx_bytes: 12_582_912,
        prefixes: texts(&["10.10.11.0/24"]),
        tunnel_addresses: texts(&["10.255.0.2"]),
        unanswered_initiations: 0,
        stream: StreamState::Up.into(),
        clock_offset_ms: Some(-12),
        public_key: "wN48+pIXgLBaVbxwAJ4kDZcvVbgYUf1cPwD6wyVEmzY=".into(),
        stream_error: String::new(),
        reason: "probes are answered".into(),
        since_unix_ms: NOW - 60_000,
        rtt_us: Some(31_400),
        jitter_us: Some(250),
        loss_permille: Some(4),
        mtu: 1420,
        black_hole: false,
        underlay_mtu: 1500,
        gso_refused: 2,
        gso_paused: true,
        source_port: None,
        lanes: Vec::new(),
        gateway: "madrid-gw1".into(),
    };
    let mut paris =
        PeerView { zone: "paris".into(), gateway: "paris-gw1".into(), ..madrid.clone() };
    (paris.gso_refused, paris.gso_paused) = (0, false);
    if let Paris::Down = state {
        paris.state = PeerState::Never.into();
        paris.endpoint = "198.51.100.7:51820".into();
        paris.latest_handshake_unix_ms = 0;
        paris.unanswered_initiations = 12;
        paris.stream = StreamState::Connecting.into();
        paris.clock_offset_ms = None;
        paris.reason = String::new();
        paris.since_unix_ms = 0;
        (paris.rtt_us, paris.jitter_us, paris.loss_permille) = (None, None, None);
        (paris.mtu, paris.underlay_mtu) = (1240, 1500);
        paris.black_hole = true;
    }
    let dropped = vec![count("foreign-source", 3), count("no-session", 0)];
    let events = vec![count("tunnel_up", 2), count("tunnel_down", 0)];
    let tunnel = Some(tunnel());
    PeersReply {
        peers: vec![madrid, paris],
        dropped,
        events,
        findings: Vec::new(),
        tunnel,
        pairs: Vec::new(),
    }
}

/// What madrid's gateway says.
fn pair() -> PairView {
    PairView {
        gateway: "madrid-gw1".into(),
        since_unix_ms: NOW - 60_000,
        answered_at_unix_ms: NOW,
        sent_here: 3072,
        received_there: 2048,
        sent_there: 4096,
        received_here: 4096,
        latest_handshake_there_unix_ms: NOW,
        unanswered_initiations_there: 0,
        dropped_there: Vec::new(),
    }
}

fn superlink() -> SuperLinkView {
    SuperLinkView {
        federation: "health-eu".into(),
        zone: "berlin".into(),
        addresses: texts(&["10.10.10.5", "fd00::5"]),
        fleet_port: 9092,
        control_port: 9093,
        flower_version: "1.25.0".into(),
        transport: FlowerTransport::Grpc.into(),
        readiness: Readiness::Ready.into(),
        tls_name: "superlink.health-eu.zonemesh.internal".into(),
        cas: vec![CaView {
            pem: PEM.into(),
            fingerprint: "sha256:ab".into(),
            state: "active".into(),
        }],
        shadowed: false,
    }
}

#[tonic::async_trait]
impl Admin for Answers {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        Ok(Response::new(StatusReply {
            peers: self.peers.peers.clone(),
            dropped: self.peers.dropped.clone(),
            ..self.status.clone()
        }))
    }

    async fn peers(&self, request: Request<PeersRequest>) -> Result<Response<PeersReply>, Status> {
        let asked = request.into_inner();
        let is_asked = |one: &&Finding| one.subject_kind == "zone" && one.subject == asked.zone;
        let findings = self.status.findings.iter().filter(is_asked).cloned().collect();
        let pairs = if asked.ask_other_end { vec![pair()] } else { Vec::new() };
        Ok(Response::new(PeersReply { findings, pairs, ..self.peers.clone() }))
    }

    async fn super_links(
        &self,
        _: Request<SuperLinksRequest>,
    ) -> Result<Response<SuperLinksReply>, Status> {
        Ok(Response::new(SuperLinksReply { superlinks: vec![superlink()] }))
    }

    async fn records(&self, _: Request<RecordsRequest>) -> Result<Response<RecordsReply>, Status> {
        Ok(Response::new(RecordsReply {
            records: vec![RecordView {
                zone: "berlin".into(),
                gateway: "berlin-gw1".into(),
                release: "0.2.0".into(),
                incarnation: 2,
                seq: 41,
                issued_at_unix_ms: NOW,
                received_at_unix_ms: 0,
                size: 1600,
                verified: true,
                own: true,
            }],
            missing: texts(&["paris"]),
        }))
    }

    async fn certificates(
        &self,
        _: Request<CertificatesRequest>,
    ) -> Result<Response<CertificatesReply>, Status> {
        Ok(Response::new(CertificatesReply {
            certificates: vec![CertificateView {
                kind: CertificateKind::ZoneLeaf.into(),
                name: "berlin".into(),
                pem: PEM.into(),
            }],
        }))
    }

    /// What is in force has one key otherwise than any file, and its zone's name as comments say.
    async fn compare_config(
        &self,
        request: Request<CompareConfigRequest>,
    ) -> Result<Response<CompareConfigReply>, Status> {
        let text = String::from_utf8_lossy(&request.into_inner().text).into_owned();
        let is_own = !text.contains("of another gateway");
        let mut changed = vec![differing("tunnel.mtu")];
        if text.contains("of a zone that was renamed") {
            let takes_effect = "restart".to_owned();
            changed.insert(0, DifferingKey { takes_effect, ..differing("zone.name") });
        }
        Ok(Response::new(CompareConfigReply { is_own, changed }))
    }
}

/// A key that a reload takes.
pub(crate) fn differing(key: &str) -> DifferingKey {
    let [key, change, takes_effect] = [key, "changed", "reload"].map(str::to_owned);
    DifferingKey { key, change, takes_effect }
}
