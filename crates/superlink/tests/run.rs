//! `zonemesh-superlink` as a process: a real local API on loopback, a stand-in for Flower's program,
//! and the test itself as Flower's TLS port, with the files that the companion wrote.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::Signal;
use zonemesh_api::v1::{FlowerTransport, Readiness};
use zonemesh_appliance::settings::TOKEN_EXAMPLE;
use zonemesh_pki::describe::fingerprint;
use zonemesh_standin::{CompanionProcess, LIVES, group, script, until_gone};
use zonemesh_standin::{TestGateway, TlsServer, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_zonemesh-superlink");

fn companion(gateway: &TestGateway, port: u16, flower: &str) -> CompanionProcess {
    let mut process =
        CompanionProcess::new(PROGRAM, &gateway.variables(), ("flower-superlink", flower));
    process.set("ONEAPP_ZONEMESH_FLEET_PORT", &port.to_string());
    process
}

#[tokio::test]
async fn a_second_one_in_the_same_state_folder_ends_and_leaves_the_first_alone() {
    let (gateway, port) = (TestGateway::start(), free_port());
    let mut process = companion(&gateway, port, LIVES);
    process.run();
    process.until_state("starting").await;
    let _flower = serve(&process, port).await;
    process.until_state("ready").await;
    let (code, _, said) = process.output(&["run"]);
    assert_eq!(code, 7, "{said}");
    assert!(said.contains("another companion works in the state folder"), "{said}");
    assert_eq!((process.status()["state"].as_str(), process.starts().len()), (Some("ready"), 1));
    assert_eq!(gateway.view().readiness(), Readiness::Ready);
}

/// Flower's port, with the certificate that Flower was given.
async fn serve(process: &CompanionProcess, port: u16) -> TlsServer {
    let read =
        |name: &str| std::fs::read_to_string(process.state().join("tls").join(name)).unwrap();
    TlsServer::start(port, (read("server.pem"), read("server.key")), &["h2"]).await
}

#[tokio::test]
async fn it_registers_starts_flower_and_reports_ready_once_the_port_serves() {
    let (gateway, port) = (TestGateway::start(), free_port());
    let mut process = companion(&gateway, port, LIVES);
    process.run();
    process.until_state("starting").await;
    assert_eq!(gateway.view().readiness(), Readiness::Starting, "nothing serves yet");
    let _flower = serve(&process, port).await;
    let status = process.until_state("ready").await;
    assert_eq!(status["endpoint"], format!("127.0.0.1:{port}"));
    assert_eq!(status["flower_version"], "1.25.0");
    process.until(|_| gateway.view().readiness() == Readiness::Ready).await;
    let reported = gateway.reported.lock().unwrap().clone().unwrap();
    let ca = fingerprint(gateway.ca.certificate_pem()).unwrap();
    assert_eq!((reported.cas.len(), &reported.cas[0].sha256[..]), (1, &ca[..]));
    assert_eq!((reported.flower_version.as_str(), reported.findings.len()), ("1.25.0", 0));

    let key = std::fs::metadata(process.state().join("tls/server.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let start = process.starts().remove(0);
    for part in [
        format!("--fleet-api-address 127.0.0.1:{port}"),
        "--serverappio-api-address 127.0.0.1:9091".to_owned(),
        format!("--database {}/flower/superlink.db", process.state().display()),
        format!("--ssl-keyfile {}/tls/server.key", process.state().display()),
    ] {
        assert!(start.contains(&part), "{start}");
    }
    let log = process.log();
    assert!(!log.contains(gateway.token.reveal()) && !log.contains("PRIVATE KEY"), "{log}");

    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait(), Some(0));
    assert_eq!(gateway.view().readiness(), Readiness::Stopped);
    assert_eq!(process.status()["state"], "stopped");
    assert_eq!(group(status["flower_group"].as_i64().unwrap()), "");
}

#[tokio::test]
async fn a_flower_that_ends_is_started_again_also_after_exit_code_0() {
    let (gateway, port) = (TestGateway::start(), free_port());
    let ends = "echo \"$@\" >> \"$HOME/starts\"; test $(wc -l < \"$HOME/starts\") -lt 3 && exit 0\nsleep 600";
    let mut process = companion(&gateway, port, ends);
    process.run();
    process.until(|status| status["flower_starts"] == 3).await;
    assert!(process.log().contains("F503"), "{}", process.log());
    assert!(process.log().contains("with exit code 0"), "{}", process.log());
    assert_eq!(gateway.view().readiness(), Readiness::Starting);
    assert_eq!(gateway.calls("register"), 1, "the certificate is kept");
}

#[tokio::test]
async fn a_gateway_that_is_lost_stops_nothing_and_is_told_again_when_it_is_back() {
    let (mut gateway, port) = (TestGateway::start(), free_port());
    let mut process = companion(&gateway, port, LIVES);
    process.run();
    process.until_state("starting").await;
    let _flower = serve(&process, port).await;
    process.until_state("ready").await;

    gateway.stop();
    let status = process.until_reason("N201").await;
    assert_eq!(status["state"], "ready");
    gateway.start_again(false);
    process.until(|_| gateway.view().readiness() == Readiness::Ready).await;
    let status = process.until(|status| status["reason"].is_null()).await;
    assert_eq!((&status["state"], &status["flower_starts"]), (&"ready".into(), &1.into()));
    assert_eq!(gateway.calls("register"), 2);
}

#[tokio::test]
async fn a_gateway_with_a_new_ca_makes_flower_serve_with_it() {
    let (mut gateway, port) = (TestGateway::start(), free_port());
    let mut process = companion(&gateway, port, LIVES);
    process.run();
    process.until_state("starting").await;
    let flower = serve(&process, port).await;
    process.until_state("ready").await;
    gateway.stop();
    gateway.start_again(true);
    process.until(|status| status["flower_starts"] == 2).await;
    flower.stop().await;
    let ca = std::fs::read_to_string(process.state().join("tls/ca.pem")).unwrap();
    assert_eq!(ca.trim(), gateway.ca.certificate_pem().trim());
    let _flower = serve(&process, port).await;
    process.until_state("ready").await;
}

#[tokio::test]
async fn with_the_gateway_away_it_starts_with_the_kept_certificate() {
    let (mut gateway, port) = (TestGateway::start(), free_port());
    let mut process = companion(&gateway, port, LIVES);
    process.run();
    process.until_state("starting").await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait(), Some(0));
    gateway.stop();
    process.run();
    process.until(|status| status["state"] == "starting" && status["flower_group"].is_i64()).await;
    let _flower = serve(&process, port).await;
    // It serves whoever knows it, and is not ready before the gateway knows that.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(process.until_reason("N201").await["state"], "starting");
    gateway.start_again(false);
    process.until(|_| gateway.view().readiness() == Readiness::Ready).await;
    let status = process.until_state("ready").await;
    assert_eq!(status["flower_starts"], 1, "Flower is not touched");
}

#[tokio::test]
async fn a_port_that_is_anothers_usual_one_is_refused_once_flowers_version_says_so() {
    let gateway = TestGateway::start();
    let process = companion(&gateway, 9093, LIVES);
    for command in ["plan", "run"] {
        let (code, _, errors) = process.output(&[command]);
        assert_eq!(code, 7, "{errors}");
        let words = "ONEAPP_ZONEMESH_CONTROL_PORT: is 9093 here, given or as this Flower's usual";
        assert!(errors.contains(words), "{errors}");
    }
    script(&process.folder.path().join("bin/flwr"), "echo 'Flower version: 1.42.0'");
    let (_, out, errors) = process.output(&["plan"]);
    assert!(out.contains("\"fleet_port\": 9093"), "over HTTP there is one port: {errors}");
}

#[tokio::test]
async fn over_http_there_is_one_port_and_it_is_ready_once_health_is_answered() {
    let (gateway, port) = (TestGateway::start(), free_port());
    let mut process = companion(&gateway, port, LIVES);
    process.set("ONEAPP_ZONEMESH_CONTROL_PORT", "19093");
    script(&process.folder.path().join("bin/flwr"), "echo 'Flower version: 1.42.0'");
    process.run();
    // The program's own line comes a moment after it was started.
    process.until(|_| !process.starts().is_empty()).await;
    let registered = gateway.view();
    assert_eq!(registered.transport(), FlowerTransport::Http);
    assert_eq!(registered.flower_version, "1.42.0");
    let warning = "no port of its own for `flwr run`";
    assert!(process.log().contains(warning), "{}", process.log());
    let start = process.starts().remove(0);
    assert!(start.contains(&format!("--host 127.0.0.1 --port {port} ")), "{start}");
    assert!(start.contains(" --disable-runtime-dependency-installation "), "{start}");
    assert!(start.ends_with(" --enable-supernode-auth"), "{start}");
    assert!(!process.state().join("shim/sitecustomize.py").exists());
    // A port with TLS and HTTP/2 is not enough for this generation.
    let deaf = serve(&process, port).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(process.status()["state"], "starting");
    deaf.stop().await;
    let read =
        |name: &str| std::fs::read_to_string(process.state().join("tls").join(name)).unwrap();
    let healthy = &[("/health", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")];
    let _flower =
        TlsServer::answering(port, (read("server.pem"), read("server.key")), healthy).await;
    process.until_state("ready").await;
}

#[tokio::test]
async fn refusals_are_said_with_their_code_and_it_joins_once_they_are_repaired() {
    let (gateway, port) = (TestGateway::start(), free_port());
    let unknown = format!("{}AAAA", gateway.token.reveal());
    for (key, value, code) in [
        ("ONEAPP_ZONEMESH_TOKEN", unknown.as_str(), "T406"),
        ("ONEAPP_ZONEMESH_TOKEN", TOKEN_EXAMPLE, "T405"),
        ("ONEAPP_ZONEMESH_ADDRESS", "10.9.9.9", "P301"),
        ("ONEAPP_ZONEMESH_FLOWER_VERSION", "1.42.0", "F502"),
    ] {
        let mut process = companion(&gateway, port, LIVES);
        process.set(key, value);
        process.run();
        let status = process.until_reason(code).await;
        assert_eq!(status["state"], "waiting");
        assert!(process.log().contains(code), "{}", process.log());
        assert!(process.starts().is_empty());
    }
    let bin_missing = "ONEAPP_ZONEMESH_FLOWER_BIN";
    let mut process = companion(&gateway, port, LIVES);
    let bin = process.folder.path().join("later");
    process.set(bin_missing, &bin.display().to_string());
    process.run();
    process.until_reason("F502").await;
    std::fs::rename(process.folder.path().join("bin"), &bin).unwrap();
    process.until_state("starting").await;
}

#[tokio::test]
async fn nothing_is_left_when_the_companion_is_killed() {
    let (gateway, port) = (TestGateway::start(), free_port());
    let stubborn = "trap '' TERM\necho \"$@\" >> \"$HOME/starts\"\nsh -c 'trap \"\" TERM; sleep 600; :' &\nsleep 600\nsleep 600";
    let mut process = companion(&gateway, port, stubborn);
    process.run();
    let status = process.until_state("starting").await;
    let id = status["flower_group"].as_i64().unwrap();
    process.until(|_| group(id).lines().count() >= 3).await;
    process.signal(Signal::SIGKILL);
    process.wait();
    until_gone(id).await;
}

#[test]
fn wrong_settings_end_it_with_exit_code_7_and_a_line_each() {
    let mut process = CompanionProcess::new(PROGRAM, &[], ("flower-superlink", LIVES));
    process.set("ONEAPP_ZONEMESH_GATEWAY", "gateway.example");
    let (code, _, errors) = process.output(&["run"]);
    assert_eq!(code, 7, "{errors}");
    for key in ["FEDERATION", "GATEWAY", "TOKEN", "ADDRESS"] {
        assert!(errors.contains(&format!("ONEAPP_ZONEMESH_{key}")), "{errors}");
    }
    let (code, _, errors) = process.output(&["run", "--context", "/nonexistent/context.sh"]);
    assert_eq!(code, 7);
    assert!(errors.starts_with("/nonexistent/context.sh: cannot read the context"), "{errors}");
    let context = process.folder.path().join("context.sh");
    std::fs::write(&context, "ETH0_IP='10.10.10.5'\nONEAPP_ZONEMESH_FEDERATION='Health'\n")
        .unwrap();
    let (code, _, errors) = process.output(&["plan", "--context", context.to_str().unwrap()]);
    assert_eq!(code, 7, "{errors}");
    assert!(errors.contains("context.sh:2): \"Health\" is not usable"), "{errors}");
    assert!(!errors.contains("ETH0_IP"), "{errors}");
    let (code, _, _) = process.output(&["walk"]);
    assert_eq!(code, 2);
}

#[tokio::test]
async fn the_plan_is_printed_without_secrets() {
    let gateway = TestGateway::start();
    let mut process = companion(&gateway, 19092, LIVES);
    process.set("ONEAPP_ZONEMESH_FLOWER_USER", "root");
    let (code, out, errors) = process.output(&["plan"]);
    assert_eq!(code, 0, "{errors}");
    assert!(!out.contains("zmt1."), "{out}");
    let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(plan["schema"], "zonemesh/plan/v1");
    assert_eq!(plan["register"]["fleet_port"], 19092);
    assert!(plan["waiting"].is_null(), "the gateway takes the token: {out}");
    let files = plan["files"].as_array().unwrap();
    let key = files.iter().find(|file| file["purpose"] == "key").unwrap();
    assert_eq!((&key["mode"], &key["owner"]["uid"]), (&"0600".into(), &0.into()));
    assert!(files.iter().all(|file| file.get("contents").is_none()));
    assert_eq!(plan["program"]["environment"]["FLWR_TELEMETRY_ENABLED"], "0");
    assert_eq!(gateway.calls("register"), 0, "a plan changes nothing");
    process.set("ONEAPP_ZONEMESH_FLOWER_VERSION", "1.25.9");
    let (code, out, errors) = process.output(&["plan"]);
    assert_eq!(code, 6, "refused, and not an unknown failure: {errors}");
    let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
    let said = plan["waiting"]["reason"].as_str().unwrap_or_default();
    assert!(said.contains("ONEAPP_FLOWER_VERSION=1.25.9"), "{out}");
}

#[tokio::test]
async fn a_plan_without_flower_says_which_setting_helps() {
    let gateway = TestGateway::start();
    let mut process = companion(&gateway, 19092, LIVES);
    process.set("ONEAPP_ZONEMESH_FLOWER_BIN", "/nowhere/bin");
    let (code, out, errors) = process.output(&["plan"]);
    assert_eq!(code, 6, "{errors}");
    let plan: serde_json::Value = serde_json::from_str(&out).expect(&errors);
    assert_eq!(plan["waiting"]["code"], "F502", "{out}");
    let fix = plan["waiting"]["fix"].as_str().unwrap_or_default();
    assert!(fix.contains("ONEAPP_ZONEMESH_FLOWER_BIN"), "{out}");
    assert!(plan["register"].is_null() && plan.get("program").is_none(), "{out}");
    process.set("ONEAPP_ZONEMESH_FLOWER_USER", "nobody-of-that-name");
    let (code, _, errors) = process.output(&["plan"]);
    assert_eq!(code, 7, "{errors}");
    assert!(errors.contains("ONEAPP_ZONEMESH_FLOWER_USER"), "{errors}");
}

#[tokio::test]
async fn a_plan_asks_the_gateway_and_registers_nothing() {
    let mut gateway = TestGateway::start();
    let unknown = format!("{}AAAA", gateway.token.reveal());
    let ends = |gateway: &TestGateway, token: Option<&str>| {
        let mut process = companion(gateway, 19092, LIVES);
        if let Some(token) = token {
            process.set("ONEAPP_ZONEMESH_TOKEN", token);
        }
        let (exit, out, errors) = process.output(&["plan"]);
        let plan: serde_json::Value = serde_json::from_str(&out).expect(&errors);
        assert!(plan["program"].is_object(), "{out}");
        (exit, plan["waiting"]["code"].as_str().map(str::to_owned))
    };
    assert_eq!(ends(&gateway, Some(&unknown)), (6, Some("T406".into())));
    assert_eq!(ends(&gateway, Some(TOKEN_EXAMPLE)), (6, Some("T405".into())));
    assert_eq!(ends(&gateway, None), (0, None));
    assert_eq!(gateway.calls("register"), 0, "a plan changes nothing");
    gateway.stop();
    assert_eq!(ends(&gateway, None), (10, Some("N201".into())));
}
