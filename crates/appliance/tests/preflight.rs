//! The checks before Flower starts, against real TLS servers on loopback: one reason for each fault.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use zonemesh_api::wire::local::{FederationAnswer, RegisteredSuperLink, TrustedCa};
use zonemesh_appliance::flower::{FlowerVersion, GrpcFlower, HttpFlower, InstalledFlower};
use zonemesh_appliance::preflight;
use zonemesh_appliance::reason::Reason;
use zonemesh_core::record::{CaState, FlowerTransport};
use zonemesh_pki::{FederationCa, San};
use zonemesh_standin::{FEDERATION, LOOPBACK, TlsServer, free_port, leaf, ready};

const DAY: Duration = Duration::from_secs(24 * 3600);
const OURS: InstalledFlower =
    InstalledFlower { version: FlowerVersion::new(1, 25, 0), generation: &GrpcFlower };
const OVER_HTTP: InstalledFlower =
    InstalledFlower { version: FlowerVersion::new(1, 42, 0), generation: &HttpFlower };
const IN_SYNC: Option<i64> = Some(0);

fn ca() -> FederationCa {
    FederationCa::generate(FEDERATION, SystemTime::now()).unwrap()
}

fn view(endpoint: SocketAddr, ca: &FederationCa) -> RegisteredSuperLink {
    let shown = ready(endpoint, ca.certificate_pem().to_owned());
    FederationAnswer::try_from(shown).unwrap().superlink.unwrap()
}

async fn check(
    view: &RegisteredSuperLink,
    ours: InstalledFlower,
    ahead: Option<i64>,
) -> Result<SocketAddr, Reason> {
    preflight::check(&FEDERATION.parse().unwrap(), view, ours, ahead).await
}

async fn server(ca: &FederationCa, san: &str, now: SystemTime) -> TlsServer {
    TlsServer::start(0, leaf(ca, &[san.parse().unwrap()], now), &["h2"]).await
}

/// The reason, which must come within the 10 s that a person is promised.
async fn reason(view: &RegisteredSuperLink) -> Reason {
    let begun = Instant::now();
    let reason = check(view, OURS, IN_SYNC).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10), "{reason} took {:?}", begun.elapsed());
    reason
}

#[tokio::test]
async fn a_superlink_that_flower_could_use_passes() {
    let ca = ca();
    let server = server(&ca, "127.0.0.1", SystemTime::now()).await;
    assert_eq!(check(&view(server.address, &ca), OURS, IN_SYNC).await, Ok(server.address));
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_t401() {
    let server = server(&ca(), "127.0.0.1", SystemTime::now()).await;
    let reason = reason(&view(server.address, &ca())).await;
    assert_eq!(reason.code(), "T401");
    assert!(reason.to_string().contains("wrong CA"), "{reason}");
}

#[tokio::test]
async fn a_certificate_without_the_dialled_address_is_t402() {
    let ca = ca();
    for san in ["10.10.10.5", "superlink.example.org"] {
        let server = server(&ca, san, SystemTime::now()).await;
        let reason = reason(&view(server.address, &ca)).await;
        assert_eq!(reason.code(), "T402");
        let text = reason.to_string();
        assert!(text.contains("IP:127.0.0.1") && text.contains(san), "{text}");
    }
}

#[tokio::test]
async fn an_old_and_a_future_certificate_are_t403() {
    let ca = FederationCa::generate(FEDERATION, SystemTime::now() - 400 * DAY).unwrap();
    for (issued, word) in
        [(SystemTime::now() - 200 * DAY, "expired"), (SystemTime::now() + 2 * DAY, "not yet valid")]
    {
        let server = server(&ca, "127.0.0.1", issued).await;
        let reason = reason(&view(server.address, &ca)).await;
        assert_eq!(reason.code(), "T403");
        assert!(reason.to_string().contains(word), "{reason}");
    }
}

#[tokio::test]
async fn a_port_without_tls_or_without_http2_is_t407() {
    let ca = ca();
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let plain = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    assert_eq!(reason(&view(plain, &ca)).await.code(), "T407");
    let http1 = leaf(&ca, &[San::Ip(LOOPBACK)], SystemTime::now());
    let http1 = TlsServer::start(0, http1, &["http/1.1"]).await;
    assert_eq!(reason(&view(http1.address, &ca)).await.code(), "T407");
}

/// A SuperLink of the HTTP generation, as far as a probe sees it: no ALPN, HTTP/1.1 below TLS.
async fn over_http(
    ca: &FederationCa,
    answers: &'static [(&'static str, &'static str)],
) -> TlsServer {
    let leaf = leaf(ca, &[San::Ip(LOOPBACK)], SystemTime::now());
    TlsServer::answering(0, leaf, answers).await
}

fn view_over_http(endpoint: SocketAddr, ca: &FederationCa) -> RegisteredSuperLink {
    let (flower_version, transport) = ("1.42.0".to_owned(), FlowerTransport::Http);
    RegisteredSuperLink { flower_version, transport, ..view(endpoint, ca) }
}

const HEALTHY: (&str, &str) = ("/health", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
const OF_1_42: (&str, &str) =
    ("/openapi.json", "HTTP/1.1 200 OK\r\n\r\n{\"info\":{\"version\":\"1.42.0\"}}");
const OF_1_41: (&str, &str) =
    ("/openapi.json", "HTTP/1.1 200 OK\r\n\r\n{\"info\":{\"version\":\"1.41.0\"}}");

#[tokio::test]
async fn over_http_health_is_asked_for_and_no_alpn_is_demanded() {
    let ca = ca();
    for answers in [&[HEALTHY] as &'static [_], &[HEALTHY, OF_1_42]] {
        let server = over_http(&ca, answers).await;
        let view = view_over_http(server.address, &ca);
        assert_eq!(check(&view, OVER_HTTP, IN_SYNC).await, Ok(server.address));
    }
    let server = over_http(&ca, &[]).await;
    let sick = check(&view_over_http(server.address, &ca), OVER_HTTP, IN_SYNC).await.unwrap_err();
    assert_eq!(sick.code(), "T407");
    assert!(sick.to_string().contains("GET /health is answered with 404"), "{sick}");
    let mute = self::server(&ca, "127.0.0.1", SystemTime::now()).await;
    let mute = check(&view_over_http(mute.address, &ca), OVER_HTTP, IN_SYNC).await.unwrap_err();
    assert_eq!(mute.code(), "T407", "{mute}");
}

#[tokio::test]
async fn what_serves_now_is_asked_for_its_version() {
    let ca = ca();
    let server = over_http(&ca, &[HEALTHY, OF_1_41]).await;
    let other = check(&view_over_http(server.address, &ca), OVER_HTTP, IN_SYNC).await.unwrap_err();
    assert_eq!(other.code(), "F501");
    assert!(other.to_string().contains("1.42.0 over HTTP here and 1.41.0 over HTTP"), "{other}");
    assert!(other.fix().contains("flwr==1.41.0"), "{}", other.fix());
}

#[tokio::test]
async fn a_port_that_accepts_and_says_nothing_is_t407_in_time() {
    let silent = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let reason = reason(&view(silent.local_addr().unwrap(), &ca())).await;
    assert_eq!(reason.code(), "T407");
    assert!(reason.to_string().contains("no answer over TLS"), "{reason}");
}

#[tokio::test]
async fn a_closed_port_is_n202_and_n203_if_the_zone_is_cut_off() {
    let mut view = view(SocketAddr::new(LOOPBACK, free_port()), &ca());
    assert_eq!(reason(&view).await.code(), "N202");
    view.zone_reachable = false;
    let cut_off = reason(&view).await;
    assert_eq!(cut_off.code(), "N203");
    assert!(cut_off.to_string().contains("zone berlin"), "{cut_off}");
}

#[tokio::test]
async fn versions_and_clocks_are_compared_before_the_network() {
    let closed = view(SocketAddr::new(LOOPBACK, free_port()), &ca());
    let mut other = closed.clone();
    other.flower_version = "1.42.0".into();
    let mismatch = check(&other, OURS, Some(20_000)).await.unwrap_err();
    assert_eq!(mismatch.code(), "F501");
    let said = "Flower is 1.25.0 over gRPC here and 1.42.0 over gRPC in the SuperLink";
    assert!(mismatch.to_string().contains(said), "{mismatch}");
    for (ours, theirs, said) in [
        (OURS, FlowerTransport::Http, "1.25.0 over gRPC here and 1.42.0 over HTTP in"),
        (OVER_HTTP, FlowerTransport::Grpc, "1.42.0 over HTTP here and 1.42.0 over gRPC in"),
        (OURS, FlowerTransport::Other(7), "1.42.0 over what this release does not know in"),
    ] {
        other.transport = theirs;
        let mismatch = check(&other, ours, None).await.unwrap_err();
        assert_eq!(mismatch.code(), "F501");
        assert!(mismatch.to_string().contains(said), "{mismatch}");
    }
    for (node, superlink, code) in
        [(20_000, 0, "T404"), (0, -6_000, "T404"), (-400_000, 0, "T404"), (20_000, 18_000, "N202")]
    {
        let mut skewed = closed.clone();
        skewed.clock_offset_ms = Some(superlink);
        let found = check(&skewed, OURS, Some(node)).await.unwrap_err();
        assert_eq!(found.code(), code, "node {node} ms, SuperLink {superlink} ms: {found}");
    }
    assert_eq!(check(&closed, OURS, None).await.unwrap_err().code(), "N202");
}

#[tokio::test]
async fn a_second_address_is_tried() {
    let ca = ca();
    let server = server(&ca, "127.0.0.1", SystemTime::now()).await;
    let mut view = view(server.address, &ca);
    view.addresses.insert(0, [127, 0, 0, 2].into());
    assert_eq!(check(&view, OURS, IN_SYNC).await, Ok(server.address));
}

#[tokio::test]
async fn a_ca_set_that_is_none_is_t401() {
    let mut view = view(SocketAddr::new(LOOPBACK, free_port()), &ca());
    for pems in [vec![], vec!["no PEM".to_owned()]] {
        let ca = |pem| TrustedCa { pem, state: CaState::Active };
        view.cas = pems.into_iter().map(ca).collect();
        assert_eq!(reason(&view).await.code(), "T401");
    }
}
