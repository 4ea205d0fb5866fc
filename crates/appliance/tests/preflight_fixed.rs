//! A SuperLink that CONTEXT names, against real TLS servers on loopback: each fault by its name.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use zonemesh_appliance::flower::{FlowerVersion, GrpcFlower, InstalledFlower};
use zonemesh_appliance::preflight::check_fixed;
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::settings::{FixedAddress, FixedSuperLink};
use zonemesh_pki::{FederationCa, San};
use zonemesh_standin::{FEDERATION, LOOPBACK, TlsServer, free_port, leaf};

const OURS: InstalledFlower =
    InstalledFlower { version: FlowerVersion::new(1, 25, 0), generation: &GrpcFlower };
const DAY: Duration = Duration::from_secs(24 * 3600);

fn ca() -> FederationCa {
    FederationCa::generate(FEDERATION, SystemTime::now()).unwrap()
}

fn superlink(host: San, port: u16, ca: &FederationCa) -> FixedSuperLink {
    let address = FixedAddress { host, port };
    FixedSuperLink { address, ca_pem: ca.certificate_pem().to_owned() }
}

fn at_loopback(port: u16, ca: &FederationCa) -> FixedSuperLink {
    superlink(San::Ip(LOOPBACK), port, ca)
}

async fn server(ca: &FederationCa, san: &str, now: SystemTime) -> TlsServer {
    TlsServer::start(0, leaf(ca, &[san.parse().unwrap()], now), &["h2"]).await
}

async fn reason(superlink: &FixedSuperLink) -> Reason {
    check_fixed(superlink, OURS).await.unwrap_err()
}

#[tokio::test]
async fn a_superlink_without_a_mesh_passes_by_address_and_by_name() {
    let ca = ca();
    let by_address = server(&ca, "127.0.0.1", SystemTime::now()).await;
    let found = check_fixed(&at_loopback(by_address.address.port(), &ca), OURS).await;
    assert_eq!(found, Ok(vec![by_address.address]));
    let by_name = server(&ca, "localhost", SystemTime::now()).await;
    let named = superlink(San::Dns("localhost".into()), by_name.address.port(), &ca);
    let found = check_fixed(&named, OURS).await.unwrap();
    assert_eq!(found.first(), Some(&by_name.address), "the place that answers comes first");
}

#[tokio::test]
async fn each_fault_of_a_superlink_without_a_mesh_has_its_code_and_nothing_about_a_gateway() {
    let (good, other) = (ca(), ca());
    let old = FederationCa::generate(FEDERATION, SystemTime::now() - 400 * DAY).unwrap();
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let plain = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let foreign = server(&other, "127.0.0.1", SystemTime::now()).await;
    let elsewhere = server(&good, "10.10.10.6", SystemTime::now()).await;
    let over = server(&old, "127.0.0.1", SystemTime::now() - 200 * DAY).await;
    let cases = [
        (at_loopback(free_port(), &good), "N202", "nothing answers"),
        (at_loopback(plain, &good), "T407", "does not answer as Flower does with TLS"),
        (at_loopback(foreign.address.port(), &good), "T401", "wrong CA"),
        (
            at_loopback(elsewhere.address.port(), &good),
            "T402",
            "is for IP:10.10.10.6, and not for IP:127.0.0.1",
        ),
        (at_loopback(over.address.port(), &old), "T403", "expired"),
        (
            superlink(San::Dns("fl.invalid".into()), 9092, &good),
            "N202",
            "the name cannot be looked up",
        ),
    ];
    for (superlink, code, words) in cases {
        let reason = reason(&superlink).await;
        assert_eq!(reason.code(), code, "{reason}");
        let text = reason.to_string();
        assert!(text.contains(words) && text.contains(&superlink.address.to_string()), "{text}");
        for told in [&text, &reason.fix()] {
            assert!(!told.contains("gateway") && !told.contains("extra_sans"), "{told}");
            assert!(!told.contains("ONEAPP_ZONEMESH"), "{told}");
        }
        assert!(!reason.is_refusal(), "it is waited for: {reason}");
    }
}

#[tokio::test]
async fn a_ca_that_has_ended_is_refused_before_anybody_is_dialled_and_one_to_come_is_waited_for() {
    for (made, is_refused, words) in [
        (SystemTime::now() - 8000 * DAY, true, "ended"),
        (SystemTime::now() + 2 * DAY, false, "begins"),
    ] {
        let ca = FederationCa::generate(FEDERATION, made).unwrap();
        let reason = reason(&at_loopback(free_port(), &ca)).await;
        let told = reason.to_string();
        assert_eq!((reason.code(), reason.is_refusal()), ("T403", is_refused), "{told}");
        assert!(told.contains("ONEAPP_FL_SSL_CA_CERTFILE") && told.contains(words), "{told}");
    }
}
