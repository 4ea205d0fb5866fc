//! What somebody hears who answers at the gateway's address and is not of the zone: nothing.
#![allow(clippy::unwrap_used)]

mod mesh;

use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use zonemesh_appliance::gateway::{GatewayTalk, LocalGateway, SetFile, WatchedFederation};
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::settings::{self, GatewayPlace, SuperLinkSettings};
use zonemesh_context::Variables;
use zonemesh_context::source::Environment;
use zonemesh_core::companion::{CompanionReport, ReportedState, SuperNodeState};
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::token::{VmToken, ZonePin};
use zonemesh_pki::{CurrentLeaf, ZoneAuthority, local_server_config};
use zonemesh_standin::{LOOPBACK, TestGateway, ZONE, ZONE_SEED, token};

/// What the stand-in notes of a report.
const RUNNING: &str = "SUPER_NODE_STATE_RUNNING";

fn settings(gateway: &TestGateway, token: &VmToken) -> SuperLinkSettings {
    let variables = gateway.variables();
    let lookup = |key: &str| {
        let given = variables.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        if key == "ONEAPP_ZONEMESH_TOKEN" { Some(token.reveal().to_owned()) } else { given }
    };
    settings::superlink(Variables::new(vec![&Environment(lookup)])).unwrap()
}

fn client(gateway: &TestGateway, token: &VmToken, folder: &Path) -> LocalGateway {
    let file = SetFile::Kept(folder.join("authority-set"));
    let told = settings(gateway, token);
    LocalGateway::new(&told.common, &told.mesh, file)
}

/// A stand-in of a managed mesh that knows the token of it.
fn managed(pin: ZonePin, shown: Vec<zonemesh_core::membership::SignedTrustItem>) -> TestGateway {
    let mut gateway = TestGateway::start();
    gateway.stop();
    gateway.token = token(pin);
    *gateway.shown.lock().unwrap() = Some(shown);
    gateway.start_again(false);
    gateway
}

fn heard(gateway: &TestGateway) -> Vec<String> {
    std::mem::take(&mut gateway.seen.lock().unwrap())
}

/// Opens a session and reports in it.
async fn report(client: &LocalGateway) -> Result<(), Reason> {
    let GatewayTalk { line, watched: _watched, session } = client.talk();
    let mut talking = JoinSet::new();
    talking.spawn(session.run());
    let state = ReportedState::SuperNode(SuperNodeState::Running);
    line.report(CompanionReport::of(state)).await
}

async fn refusal(client: &LocalGateway) -> Reason {
    let report = report(client).await.unwrap_err();
    let resolve = client.resolve().await.unwrap_err();
    assert_eq!((report.code(), resolve.code()), ("T405", "T405"), "{report}");
    report
}

/// Takes every connection with a leaf of its own zone, whatever comes of it, and counts what it reads.
async fn listener(zone_seed: u8) -> (std::net::SocketAddr, JoinSet<usize>) {
    let zone = ZoneAuthority::from_seed(ZONE, &[zone_seed; 32]).unwrap();
    let leaf = zone.issue_leaf(&[LOOPBACK], SystemTime::now()).unwrap();
    let tls = local_server_config(&CurrentLeaf::new(&leaf).unwrap()).unwrap();
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let (address, acceptor) = (listener.local_addr().unwrap(), TlsAcceptor::from(tls));
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { return 0 };
        let mut buffer = [0; 1024];
        tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer))
            .await
            .map_or(0, |read| read.unwrap_or(0))
    });
    (address, reading)
}

#[tokio::test]
async fn a_false_gateway_with_another_key_reads_not_one_byte() {
    let gateway = TestGateway::start();
    let (address, mut reading) = listener(66).await;
    let mut told = settings(&gateway, &gateway.token);
    told.mesh.gateway = GatewayPlace::Given(address);
    let client = LocalGateway::new(&told.common, &told.mesh, SetFile::Read("/nonexistent".into()));
    let reason = report(&client).await.unwrap_err();
    assert!(matches!(reason, Reason::GatewayKey { .. }), "{reason}");
    assert!(reason.to_string().contains("said to be of the zone berlin"), "{reason}");
    assert_eq!(reading.join_next().await.unwrap().unwrap(), 0);
    // The same ears hear a companion that takes them for its gateway.
    let (address, mut reading) = listener(ZONE_SEED[0]).await;
    told.mesh.gateway = GatewayPlace::Given(address);
    let client = LocalGateway::new(&told.common, &told.mesh, SetFile::Read("/nonexistent".into()));
    let _no_answer = report(&client).await;
    assert!(reading.join_next().await.unwrap().unwrap() > 0);
}

#[tokio::test]
async fn a_session_that_was_cut_pins_anew_before_it_says_anything() {
    let mut gateway = TestGateway::start();
    let folder = tempfile::tempdir().unwrap();
    let talking = client(&gateway, &gateway.token, folder.path());
    let GatewayTalk { line, watched: mut seen, session } = talking.talk();
    let mut tasks = JoinSet::new();
    tasks.spawn(session.run());
    let patience = Duration::from_secs(20);
    let connected = seen.wait_for(|seen| seen.connected);
    drop(tokio::time::timeout(patience, connected).await.unwrap().unwrap());
    assert_eq!(heard(&gateway), ["session"]);

    gateway.is_replaced_by_a_false_one();
    gateway.start_again(false);
    let refused =
        |seen: &WatchedFederation| seen.lost.as_ref().is_some_and(|reason| reason.code() == "T405");
    drop(tokio::time::timeout(patience, seen.wait_for(refused)).await.unwrap().unwrap());
    let state = ReportedState::SuperNode(SuperNodeState::Running);
    line.report(CompanionReport::of(state)).await.unwrap_err();
    assert_eq!(heard(&gateway), [""; 0], "the false one has heard nothing");

    gateway.is_back();
    gateway.start_again(false);
    let connected = seen.wait_for(|seen| seen.connected);
    drop(tokio::time::timeout(patience, connected).await.unwrap().unwrap());
    assert_eq!(heard(&gateway)[0], "session");
}

#[tokio::test]
async fn in_a_managed_mesh_the_gateway_shows_its_zones_key_before_it_is_told_anything() {
    let mesh = mesh::granting(mesh::founded(1), 1, ZONE_SEED);
    let gateway = managed(mesh::pin(&mesh), mesh::shown(&mesh));
    let folder = tempfile::tempdir().unwrap();
    let client = client(&gateway, &gateway.token, folder.path());
    client.resolve().await.unwrap();
    report(&client).await.unwrap();
    assert_eq!(heard(&gateway), ["attest", "resolve", "attest", "session", RUNNING]);
}

#[tokio::test]
async fn a_token_of_a_managed_mesh_holds_when_the_zone_has_a_new_key_and_one_of_a_key_does_not() {
    let mesh = mesh::granting(mesh::founded(1), 1, ZONE_SEED);
    let mut gateway = managed(mesh::pin(&mesh), mesh::shown(&mesh));
    let old_key = ZonePin::Key(ZoneIdentity::from_seed(&ZONE_SEED).public_key());
    // Somebody who holds another key, which the mesh grants to the zone from now on.
    gateway.is_replaced_by_a_false_one();
    let granted = mesh::granting(mesh::founded(1), 1, [66; 32]);
    *gateway.shown.lock().unwrap() = Some(mesh::shown(&granted));
    gateway.start_again(false);
    let folder = tempfile::tempdir().unwrap();
    report(&client(&gateway, &gateway.token, folder.path())).await.unwrap();
    assert_eq!(heard(&gateway), ["attest", "session", RUNNING]);
    refusal(&client(&gateway, &token(old_key), folder.path())).await;
    assert_eq!(heard(&gateway), [""; 0]);
}

#[tokio::test]
async fn who_repeats_what_the_true_gateway_shows_hears_the_question_and_no_more() {
    let mesh = mesh::granting(mesh::founded(1), 1, ZONE_SEED);
    let mut gateway = managed(mesh::pin(&mesh), mesh::shown(&mesh));
    gateway.is_replaced_by_a_false_one();
    gateway.start_again(false);
    let folder = tempfile::tempdir().unwrap();
    let reason = refusal(&client(&gateway, &gateway.token, folder.path())).await;
    assert!(matches!(reason, Reason::GatewayKey { .. }), "{reason}");
    assert_eq!(heard(&gateway), ["attest", "attest"]);
}

#[tokio::test]
async fn a_gateway_that_proves_something_else_hears_the_question_and_no_more() {
    let mesh = mesh::granting(mesh::founded(1), 1, ZONE_SEED);
    let other_mesh = mesh::granting(mesh::founded(2), 2, ZONE_SEED);
    let folder = tempfile::tempdir().unwrap();
    let paris = mesh::granting_as("paris", mesh::founded(1), 1, ZONE_SEED);
    let paris = zonemesh_core::attestation::about(&paris, &"paris".parse().unwrap());
    // Whoever shows another mesh or zone stays that; one that shows less may be behind.
    let cases = [
        (Some(mesh::shown(&other_mesh)), "not of the mesh", true),
        (Some(paris), "no grant of the zone berlin", true),
        (Some(mesh::founded(1).items()), "no grant of the zone berlin", false),
        (Some(Vec::new()), "no grant of the zone berlin", false),
        (None, "belongs to no managed mesh yet", false),
    ];
    for (shown, why, is_refusal) in cases {
        let gateway = managed(mesh::pin(&mesh), Vec::new());
        *gateway.shown.lock().unwrap() = shown;
        let reason = refusal(&client(&gateway, &gateway.token, folder.path())).await;
        assert!(reason.to_string().contains(why), "{reason}");
        assert_eq!(reason.is_refusal(), is_refusal, "{reason}");
        assert_eq!(heard(&gateway), ["attest", "attest"]);
    }
}

#[tokio::test]
async fn a_removed_signing_key_cannot_pose_as_the_zone_not_even_after_a_restart() {
    let before = mesh::granting(mesh::founded(1), 1, ZONE_SEED);
    let now = mesh::granting(mesh::handed_over(before.clone(), 1, 3), 3, ZONE_SEED);
    // The token is older than the removal: what this VM has seen since counts.
    let mut gateway = managed(mesh::pin(&before), mesh::shown(&now));
    let folder = tempfile::tempdir().unwrap();
    client(&gateway, &gateway.token, folder.path()).resolve().await.unwrap();
    heard(&gateway);

    gateway.is_replaced_by_a_false_one();
    let forged = mesh::granting(mesh::founded(1), 1, [66; 32]);
    *gateway.shown.lock().unwrap() = Some(mesh::shown(&forged));
    gateway.start_again(false);
    let restarted = client(&gateway, &gateway.token, folder.path());
    let reason = refusal(&restarted).await;
    assert!(reason.to_string().contains("that a gateway has shown before"), "{reason}");
    assert_eq!(heard(&gateway), ["attest", "attest"]);
    // A fresh VM with a token that is newer than the removal is not fooled either.
    let fresh = tempfile::tempdir().unwrap();
    let reason = refusal(&client(&gateway, &token(mesh::pin(&now)), fresh.path())).await;
    assert!(reason.to_string().contains("when the token was made"), "{reason}");
    assert_eq!(heard(&gateway), ["attest", "attest"]);
}

#[tokio::test]
async fn a_vm_that_cannot_keep_what_it_has_seen_says_so_and_goes_no_further() {
    let mesh = mesh::granting(mesh::founded(1), 1, ZONE_SEED);
    let gateway = managed(mesh::pin(&mesh), mesh::shown(&mesh));
    let client = client(&gateway, &gateway.token, Path::new("/nonexistent"));
    let reason = report(&client).await.unwrap_err();
    assert!(matches!(reason, Reason::Files { .. }), "{reason}");
    assert_eq!(heard(&gateway), ["attest"]);
}
