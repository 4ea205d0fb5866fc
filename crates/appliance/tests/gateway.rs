//! The gateway client against a real local API on loopback: answers, refusals, the session that lasts.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use zonemesh_api::keepalive::Keepalive;
use zonemesh_api::wire::local::Registration;
use zonemesh_appliance::flower::{GrpcFlower, HttpFlower, InstalledFlower, PREFERRED};
use zonemesh_appliance::gateway::{
    GatewayLine, GatewayTalk, LocalGateway, SetFile, ShownFederation, WatchedFederation,
};
use zonemesh_appliance::settings::{self, SuperLinkSettings};
use zonemesh_context::Variables;
use zonemesh_context::source::Environment;
use zonemesh_core::companion::{CompanionReport, ReportedState};
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::record::{FlowerTransport, Readiness};
use zonemesh_core::token::{SECRET_BYTES, VmToken, ZonePin};
use zonemesh_pki::{CertificateRequest, San};
use zonemesh_standin::{FEDERATION, LOOPBACK, TestGateway, ZONE_SEED, free_port, token};

fn settings(gateway: &TestGateway, changes: &[(&str, &str)]) -> SuperLinkSettings {
    let variables = gateway.variables();
    let lookup = |key: &str| {
        let changed =
            changes.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).into());
        let given = variables.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        changed.or(given)
    };
    settings::superlink(Variables::new(vec![&Environment(lookup)])).expect("the settings are right")
}

fn gateway_of(settings: &SuperLinkSettings) -> LocalGateway {
    let file = SetFile::Read("/nonexistent/authority-set".into());
    LocalGateway::new(&settings.common, &settings.mesh, file)
}

fn registration(settings: &SuperLinkSettings) -> Registration {
    let request = CertificateRequest::generate("superlink", &[San::Ip(LOOPBACK)]).unwrap();
    Registration {
        addresses: vec![settings.address],
        fleet_port: 9092,
        control_port: 9093,
        flower_version: "1.25.0".into(),
        transport: FlowerTransport::Grpc,
        csr_pem: request.csr_pem,
        clock: std::time::SystemTime::now().into(),
        authenticates: true,
    }
}

/// A talk that runs until it is dropped.
struct Talking {
    line: GatewayLine,
    seen: watch::Receiver<WatchedFederation>,
    _session: JoinSet<()>,
}

fn talk(client: &LocalGateway) -> Talking {
    let GatewayTalk { line, watched, session } = client.talk();
    let mut running = JoinSet::new();
    running.spawn(session.run());
    Talking { line, seen: watched, _session: running }
}

fn ready() -> CompanionReport {
    CompanionReport::of(ReportedState::SuperLink(Readiness::Ready))
}

async fn until(
    seen: &mut watch::Receiver<WatchedFederation>,
    wanted: impl FnMut(&WatchedFederation) -> bool,
) -> WatchedFederation {
    let found = tokio::time::timeout(Duration::from_secs(20), seen.wait_for(wanted)).await;
    found.expect("it is shown in time").unwrap().clone()
}

#[tokio::test]
async fn a_registered_superlink_is_resolved_with_both_clocks() {
    let gateway = TestGateway::start();
    let settings = settings(&gateway, &[]);
    let client = gateway_of(&settings);
    assert_eq!(client.resolve().await.unwrap().superlink, None);
    let talking = talk(&client);
    let early = talking.line.report(ready()).await.unwrap_err();
    assert!(early.to_string().contains("register first"), "{early}");
    let issued = talking.line.register(registration(&settings)).await.unwrap();
    assert_eq!(issued.ca_pem, gateway.ca.certificate_pem());
    talking.line.report(ready()).await.unwrap();
    let resolved = client.resolve().await.unwrap();
    let superlink = resolved.superlink.expect("it is registered");
    assert_eq!((superlink.readiness, superlink.fleet_port), (Readiness::Ready, 9092));
    assert!(resolved.ahead_of_gateway_ms.abs() < 1000, "{} ms", resolved.ahead_of_gateway_ms);
}

#[tokio::test]
async fn each_refusal_has_its_code() {
    let gateway = TestGateway::start();
    let zone_key = ZoneIdentity::from_seed(&ZONE_SEED).public_key();
    let other_secret = VmToken::new(ZonePin::Key(zone_key), &[6; SECRET_BYTES]);
    let other_key = token(ZonePin::Key(ZoneIdentity::from_seed(&[8; 32]).public_key()));
    let closed = format!("127.0.0.1:{}", free_port());
    let cases = [
        ([("ONEAPP_ZONEMESH_TOKEN", other_secret.reveal())], LOOPBACK, "T406"),
        ([("ONEAPP_ZONEMESH_TOKEN", other_key.reveal())], LOOPBACK, "T405"),
        ([("ONEAPP_ZONEMESH_GATEWAY", closed.as_str())], LOOPBACK, "N201"),
        ([("ONEAPP_ZONEMESH_ADDRESS", "10.9.9.9")], [10, 9, 9, 9].into(), "P301"),
    ];
    for (changes, address, code) in cases {
        let settings = settings(&gateway, &changes);
        let client = gateway_of(&settings);
        let registration = Registration { addresses: vec![address], ..registration(&settings) };
        let refused = talk(&client).line.register(registration).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        let said = format!("{refused} {}", refused.fix());
        assert!(!said.contains("zmt1."), "{said}");
    }
    let settings = settings(&gateway, &[]);
    let broken = Registration { csr_pem: "no PEM".into(), ..registration(&settings) };
    let client = gateway_of(&settings);
    assert_eq!(talk(&client).line.register(broken).await.unwrap_err().code(), "C101");
}

#[tokio::test]
async fn the_session_shows_a_view_then_changes_and_survives_the_gateway() {
    let mut gateway = TestGateway::start();
    let client = gateway_of(&settings(&gateway, &[]));
    let Talking { line: _line, mut seen, _session } = talk(&client);

    until(&mut seen, |seen| seen.connected && seen.shown == ShownFederation::NoSuperLink).await;
    gateway.show_ready("127.0.0.1:9092".parse().unwrap());
    until(&mut seen, |seen| seen.shown.superlink().is_some()).await;

    gateway.stop();
    let away = until(&mut seen, |seen| seen.lost.is_some()).await;
    assert!(!away.connected);
    assert!(away.shown.superlink().is_some(), "what was seen is not forgotten");
    assert_eq!(away.lost.map(|reason| reason.code()), Some("N201"));

    gateway.start_again(false);
    let back = until(&mut seen, |seen| seen.connected).await;
    assert_eq!(back.shown, ShownFederation::NoSuperLink, "the gateway's new snapshot counts");
    assert_eq!(back.lost, None);
    assert_eq!(gateway.view().federation, FEDERATION);
}

#[tokio::test]
async fn keepalives_that_do_not_fit_are_told_by_both_ends_and_stop_nothing() {
    let mut gateway = TestGateway::start();
    let client = gateway_of(&settings(&gateway, &[]));
    client.runs(InstalledFlower { version: PREFERRED, generation: &GrpcFlower });
    let Talking { line: _line, mut seen, _session } = talk(&client);
    let older = until(&mut seen, |seen| seen.connected).await;
    assert_eq!(older.trouble(), None, "an older gateway tells nothing");
    let ours = Some(Keepalive::DEFAULT);
    assert_eq!(*gateway.told.lock().unwrap(), [ours, ours]);

    gateway.stop();
    until(&mut seen, |seen| seen.lost.is_some()).await;
    let strict = Keepalive { server_min_interval: Duration::from_secs(120), ..Keepalive::DEFAULT };
    *gateway.keepalive.lock().unwrap() = Some(strict);
    gateway.start_again(false);
    let back = until(&mut seen, |seen| seen.connected).await;
    let trouble = back.trouble().expect("it is said");
    let text = trouble.to_string();
    assert_eq!(trouble.code(), "N204");
    assert!(text.contains("120s") && text.contains("60s"), "{text}");
    assert_eq!(back.shown, ShownFederation::NoSuperLink, "what is seen counts all the same");
}

#[tokio::test]
async fn of_a_flower_without_keepalive_none_is_told() {
    let gateway = TestGateway::start();
    let client = gateway_of(&settings(&gateway, &[]));
    client.runs(InstalledFlower { version: PREFERRED, generation: &HttpFlower });
    let Talking { line: _line, mut seen, _session } = talk(&client);
    until(&mut seen, |seen| seen.connected).await;
    assert_eq!(*gateway.told.lock().unwrap(), [Some(Keepalive::DEFAULT), None]);
}

#[tokio::test]
async fn the_last_report_is_said_first_in_each_session() {
    let mut gateway = TestGateway::start();
    let settings = settings(&gateway, &[]);
    let talking = talk(&gateway_of(&settings));
    talking.line.register(registration(&settings)).await.unwrap();
    talking.line.report(ready()).await.unwrap();
    gateway.stop();
    let mut seen = talking.seen.clone();
    until(&mut seen, |seen| seen.lost.is_some()).await;
    let away = talking.line.report(ready()).await.unwrap_err();
    assert_eq!(away.code(), "N201", "who reports is told that nobody hears it");
    gateway.seen.lock().unwrap().clear();
    gateway.start_again(false);
    until(&mut seen, |seen| seen.connected).await;
    let patience = tokio::time::Instant::now() + Duration::from_secs(10);
    while gateway.calls("READINESS_READY") == 0 {
        assert!(tokio::time::Instant::now() < patience, "it was not said again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(*gateway.seen.lock().unwrap(), ["session", "READINESS_READY"]);
}
