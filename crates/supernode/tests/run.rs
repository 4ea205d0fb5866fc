//! `zonemesh-supernode` as a process: a real local API on loopback, a stand-in for Flower's program,
//! and the test itself as the SuperLink's TLS port.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;
use zonemesh_api::v1::{FlowerActivity, Readiness, SuperNodeState};
use zonemesh_appliance::settings::TOKEN_EXAMPLE;
use zonemesh_pki::describe::fingerprint;
use zonemesh_pki::{FederationCa, San};
use zonemesh_standin::{CompanionProcess, LIVES, group, until_gone};
use zonemesh_standin::{
    FEDERATION, LOOPBACK, ONEGATE_VM, OneGateFault, TestGateway, TestOneGate, TlsServer, VM_ACTIVE,
    base64_word, leaf, trusted,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_zonemesh-supernode");
/// `plan`'s exit codes, as docs/REFERENCE.md has them.
const REFUSED: i32 = 6;
const WRONG: i32 = 7;
const NOT_YET: i32 = 10;

fn companion(gateway: &TestGateway, flower: &str) -> CompanionProcess {
    let mut process =
        CompanionProcess::new(PROGRAM, &gateway.variables(), ("flower-supernode", flower));
    process.set("ONEAPP_ZONEMESH_NODE_CONFIG", "partition-id=0 num-partitions=2");
    process
}

async fn superlink(ca: &FederationCa, san: &str) -> TlsServer {
    TlsServer::start(0, leaf(ca, &[san.parse().unwrap()], SystemTime::now()), &["h2"]).await
}

#[tokio::test]
async fn it_waits_for_the_superlink_and_joins_by_itself() {
    let gateway = TestGateway::start();
    let mut process = companion(&gateway, LIVES);
    process.run();
    process.until_reason("F510").await;
    let server = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_but(server.address, |view| view.readiness = Readiness::Starting.into());
    process.until_reason("F511").await;
    assert!(process.starts().is_empty(), "a SuperLink that is not ready is left alone");
    gateway.show_ready(server.address);
    let status = process.until_state("ready").await;
    assert_eq!(status["endpoint"], server.address.to_string());
    assert_eq!(status["reason"], serde_json::Value::Null);
    let start = process.starts().remove(0);
    for part in [
        format!("--superlink {}", server.address),
        format!("--root-certificates {}/tls/ca.pem", process.state().display()),
        "--clientappio-api-address 127.0.0.1:9094".to_owned(),
        "--node-config partition-id=0 num-partitions=2".to_owned(),
    ] {
        assert!(start.contains(&part), "{start}");
    }
    let ca = std::fs::read_to_string(process.state().join("tls/ca.pem")).unwrap();
    assert_eq!(ca.trim(), gateway.ca.certificate_pem().trim());
    assert!(process.state().join("shim/sitecustomize.py").is_file());

    let reported = || gateway.reported.lock().unwrap().clone().unwrap();
    process.until(|_| reported().supernode() == SuperNodeState::Running).await;
    assert_eq!((reported().flower_version.as_str(), reported().cas.len()), ("1.25.0", 1));
    assert_eq!(reported().cas[0].sha256, fingerprint(gateway.ca.certificate_pem()).unwrap());
    let states = gateway.seen.lock().unwrap().clone();
    assert!(states.contains(&"SUPER_NODE_STATE_WAITING".to_owned()), "{states:?}");

    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait(), Some(0));
    assert_eq!(process.status()["state"], "stopped");
    assert_eq!(reported().supernode(), SuperNodeState::Stopped, "a goodbye");
    until_gone(status["flower_group"].as_i64().unwrap()).await;
}

#[tokio::test]
async fn a_wrong_ca_or_san_is_said_within_10_seconds_and_flower_starts_once_it_is_repaired() {
    let gateway = TestGateway::start();
    let other = FederationCa::generate(FEDERATION, SystemTime::now()).unwrap();
    let wrong_ca = superlink(&other, "127.0.0.1").await;
    gateway.show_ready(wrong_ca.address);
    let mut process = companion(&gateway, LIVES);
    let begun = Instant::now();
    process.run();
    process.until_reason("T401").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(process.log().contains("T401"), "{}", process.log());

    let wrong_san = superlink(&gateway.ca, "10.10.10.5").await;
    let begun = Instant::now();
    gateway.show_ready(wrong_san.address);
    process.until_reason("T402").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(process.log().contains("IP:10.10.10.5"), "{}", process.log());
    assert!(process.starts().is_empty());

    let right = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_ready(right.address);
    process.until_state("ready").await;
    assert_eq!(process.starts().len(), 1);
}

#[tokio::test]
async fn other_versions_and_clocks_are_refused_with_their_code() {
    let gateway = TestGateway::start();
    let server = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_but(server.address, |view| view.flower_version = "1.42.0".into());
    let mut process = companion(&gateway, LIVES);
    process.run();
    process.until_reason("F501").await;
    gateway.show_but(server.address, |view| view.superlink_clock_offset_ms = Some(-20_000));
    let status = process.until_reason("T404").await;
    assert!(status["reason"]["text"].as_str().unwrap().contains("ahead of the SuperLink's"));
    gateway.show_ready(server.address);
    process.until_state("ready").await;
}

#[tokio::test]
async fn neither_a_lost_gateway_nor_a_restarting_superlink_touches_a_flower_that_runs() {
    let mut gateway = TestGateway::start();
    let server = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_ready(server.address);
    let mut process = companion(&gateway, LIVES);
    process.run();
    let first = process.until_state("ready").await;
    gateway.show(|view| view.readiness = Readiness::Starting.into());
    gateway.show(|view| view.zone_reachable = false);
    gateway.stop();
    let away = process.until_reason("N201").await;
    assert_eq!(away["state"], "ready");
    gateway.start_again(false);
    process.until(|status| status["reason"].is_null()).await;
    gateway.show_ready(server.address);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let last = process.status();
    assert_eq!(last["flower_group"], first["flower_group"]);
    assert_eq!(process.starts().len(), 1);
}

#[tokio::test]
async fn another_address_or_ca_set_restarts_flower_after_the_checks_passed() {
    let gateway = TestGateway::start();
    let first = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_ready(first.address);
    let mut process = companion(&gateway, LIVES);
    process.run();
    let old = process.until_state("ready").await["flower_group"].as_i64().unwrap();

    let closed = SocketAddr::new(LOOPBACK, zonemesh_standin::free_port());
    gateway.show_ready(closed);
    process.until_reason("N202").await;
    assert_ne!(group(old), "", "the old Flower runs until the new SuperLink passes");
    let second = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_ready(second.address);
    process.until(|status| status["endpoint"] == second.address.to_string()).await;
    until_gone(old).await;

    let next = FederationCa::generate(FEDERATION, SystemTime::now()).unwrap();
    gateway.show(|view| view.cas.push(trusted(next.certificate_pem().to_owned())));
    process.until(|status| status["flower_starts"] == 3).await;
    let ca = std::fs::read_to_string(process.state().join("tls/ca.pem")).unwrap();
    assert_eq!(ca.matches("BEGIN CERTIFICATE").count(), 2);
}

#[tokio::test]
async fn the_gateway_hears_whether_flower_trains() {
    let gateway = TestGateway::start();
    let server = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_ready(server.address);
    // As Flower's own SuperExec does: another program of its group, for as long as there is work.
    let works = "cp /bin/sleep \"$HOME/flwr-clientapp\"\n\"$HOME/flwr-clientapp\" 8\nsleep 600";
    let mut process = companion(&gateway, works);
    process.run();
    let activity = || gateway.reported.lock().unwrap().as_ref().map(|said| said.activity());
    process.until(|_| activity() == Some(FlowerActivity::Training)).await;
    process.until(|_| activity() == Some(FlowerActivity::Idle)).await;
}

#[tokio::test]
async fn a_flower_that_ends_with_exit_code_0_is_started_again() {
    let gateway = TestGateway::start();
    let server = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_ready(server.address);
    let mut process = companion(&gateway, "echo \"$@\" >> \"$HOME/starts\"\nsleep 0.2");
    process.run();
    process.until(|status| status["flower_starts"] == 3).await;
    assert!(process.log().contains("F503"), "{}", process.log());
}

#[tokio::test]
async fn nothing_is_left_when_the_companion_is_killed() {
    let gateway = TestGateway::start();
    let server = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_ready(server.address);
    let mut process = companion(&gateway, LIVES);
    process.run();
    let id = process.until_state("ready").await["flower_group"].as_i64().unwrap();
    process.signal(Signal::SIGKILL);
    process.wait();
    until_gone(id).await;
}

#[tokio::test]
async fn the_plan_says_what_would_be_done_now_or_why_nothing() {
    let gateway = TestGateway::start();
    let process = companion(&gateway, LIVES);
    let (code, out, errors) = process.output(&["plan"]);
    assert_eq!(code, NOT_YET, "{errors}");
    let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&plan["waiting"]["code"], &plan["flower_version"]),
        (&"F510".into(), &"1.25.0".into())
    );

    let server =
        TlsServer::start(0, leaf(&gateway.ca, &[San::Ip(LOOPBACK)], SystemTime::now()), &["h2"])
            .await;
    gateway.show_ready(server.address);
    let (process, (code, out, errors)) = tokio::task::spawn_blocking(move || {
        let output = process.output(&["plan"]);
        (process, output)
    })
    .await
    .unwrap();
    assert_eq!(code, 0, "{errors}");
    let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
    let arguments = plan["program"]["arguments"].as_array().unwrap();
    assert!(arguments.contains(&server.address.to_string().into()), "{out}");
    assert!(!process.state().exists(), "a plan changes nothing");
}

#[tokio::test]
async fn a_plan_tells_what_may_still_come_from_what_is_refused() {
    let mut gateway = TestGateway::start();
    let mut process = companion(&gateway, LIVES);
    let coded = |process: &CompanionProcess, expected: i32, code: &str| {
        let (exit, out, errors) = process.output(&["plan"]);
        assert_eq!(exit, expected, "{code}: {out}{errors}");
        let plan: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(plan["waiting"]["code"], code);
    };
    // The gateway runs in a runtime of its own and answers while this thread waits for the program.
    coded(&process, NOT_YET, "F510");
    gateway.stop();
    coded(&process, NOT_YET, "N201");
    gateway.start_again(false);
    process.set("ONEAPP_ZONEMESH_TOKEN", TOKEN_EXAMPLE);
    coded(&process, REFUSED, "T405");
    process.set("ONEAPP_ZONEMESH_TOKEN", &format!("{}AAAA", gateway.token.reveal()));
    coded(&process, REFUSED, "T406");
    process.set("ONEAPP_ZONEMESH_FLOWER_VERSION", "1.25.9");
    coded(&process, REFUSED, "F502");
}

/// A companion whose CONTEXT names no gateway, with a proxy in its environment.
fn searching(gateway: &TestGateway, onegate: &TestOneGate) -> CompanionProcess {
    let mut process = companion(gateway, LIVES);
    process.set("ONEAPP_ZONEMESH_GATEWAY", "");
    for (key, value) in onegate.variables() {
        process.set(&key, &value);
    }
    for key in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        process.set(key, "http://127.0.0.1:9");
    }
    process
}

#[tokio::test]
async fn it_finds_its_gateway_through_onegate_and_onegate_hears_that_it_is_ready() {
    let (gateway, mut onegate) = (TestGateway::start(), TestOneGate::start());
    let server = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_ready(server.address);
    onegate.write(ONEGATE_VM, "READY", Some("YES"));
    onegate.stop();
    let mut process = searching(&gateway, &onegate);
    process.run();
    let status = process.until_reason("N236").await;
    assert!(status["reason"]["text"].to_string().contains("does not answer"), "{status:#}");
    onegate.fails(Some(OneGateFault::Error));
    onegate.start_again();
    let says = |status: &serde_json::Value, words| {
        status["reason"]["text"].as_str().unwrap_or_default().contains(words)
    };
    process.until(|status| says(status, "500")).await;
    onegate.has_vm("5", VM_ACTIVE);
    onegate.write("5", "ZONEMESH_GATEWAY", Some(&base64_word(&gateway.address.to_string())));
    onegate.fails(None);
    let ready = || onegate.attribute(ONEGATE_VM, "READY");
    process.until(|_| ready().is_none()).await;
    process.until_state("ready").await;
    process.until(|_| ready().as_deref() == Some("YES")).await;
    let said = process.log().matches("N236").count();
    assert!((1..=2).contains(&said), "once for each reason: {}", process.log());
}

#[tokio::test]
async fn a_plan_without_a_gateway_is_not_yet_and_without_a_onegate_token_refused() {
    let (gateway, onegate) = (TestGateway::start(), TestOneGate::start());
    let mut process = searching(&gateway, &onegate);
    let ends = |process: &CompanionProcess| {
        let (exit, out, errors) = process.output(&["plan"]);
        let plan: serde_json::Value = serde_json::from_str(&out).unwrap_or_default();
        (exit, plan, errors)
    };
    let (exit, plan, errors) = ends(&process);
    assert_eq!((exit, &plan["waiting"]["code"]), (NOT_YET, &"N236".into()), "{errors}");
    assert!(plan["gateway"].is_null() && !process.state().exists(), "{plan:#}");
    onegate.has_vm("5", VM_ACTIVE);
    onegate.write("5", "ZONEMESH_GATEWAY", Some(&base64_word(&gateway.address.to_string())));
    let (exit, plan, errors) = ends(&process);
    assert_eq!((exit, &plan["waiting"]["code"]), (NOT_YET, &"F510".into()), "{errors}");
    assert_eq!(plan["gateway"], gateway.address.to_string());
    process.set("TOKENTXT", "");
    let (exit, _, errors) = ends(&process);
    assert_eq!(exit, WRONG, "{errors}");
    assert!(errors.contains("TOKENTXT: is not set or empty"), "{errors}");
}

/// A companion without a node config, in a VM that has OneGate.
fn of_a_role(gateway: &TestGateway, onegate: &TestOneGate) -> CompanionProcess {
    let mut process = companion(gateway, LIVES);
    process.set("ONEAPP_ZONEMESH_NODE_CONFIG", "");
    for (key, value) in onegate.variables() {
        process.set(&key, &value);
    }
    process
}

#[tokio::test]
async fn without_a_node_config_a_supernode_has_its_place_in_its_role_and_keeps_it() {
    let (gateway, onegate) = (TestGateway::start(), TestOneGate::start());
    let server = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_ready(server.address);
    onegate.has_vm("6", VM_ACTIVE);
    onegate.fails(Some(OneGateFault::Error));
    let mut process = of_a_role(&gateway, &onegate);
    process.run();
    let status = process.until_reason("F506").await;
    assert!(status["reason"]["text"].to_string().contains("500"), "{status:#}");
    assert!(process.starts().is_empty(), "Flower runs with no part, or with any");
    onegate.fails(None);
    process.until_state("ready").await;
    let part = "--node-config partition-id=7 num-partitions=8";
    assert!(process.starts()[0].contains(part), "{:?}", process.starts());
    // The role grows, OneGate is away, and the VM boots again.
    onegate.has_vm("9", VM_ACTIVE);
    onegate.fails(Some(OneGateFault::Hang));
    process.signal(Signal::SIGTERM);
    process.wait();
    process.run();
    process.until_state("ready").await;
    assert!(process.starts()[1].contains(part), "{:?}", process.starts());
    // A file that nobody can read is no reason to wait for ever.
    onegate.fails(None);
    process.signal(Signal::SIGTERM);
    process.wait();
    std::fs::write(process.state().join("partition"), "\0").unwrap();
    process.run();
    process.until_state("ready").await;
    let anew = "--node-config partition-id=7 num-partitions=10";
    assert!(process.starts()[2].contains(anew), "{:?}", process.starts());
}

#[tokio::test]
async fn a_vm_of_no_service_has_no_part_and_starts() {
    let (gateway, onegate) = (TestGateway::start(), TestOneGate::start());
    let server = superlink(&gateway.ca, "127.0.0.1").await;
    gateway.show_ready(server.address);
    onegate.has_no_service();
    let mut process = of_a_role(&gateway, &onegate);
    process.run();
    process.until_state("ready").await;
    assert!(!process.starts()[0].contains("--node-config"), "{:?}", process.starts());
}

/// What OpenNebula's users put beside our keys, and what they mistype.
#[tokio::test]
async fn a_context_with_lines_of_others_is_read_and_names_of_ours_that_do_nothing_are_warned_of() {
    let gateway = TestGateway::start();
    let process = companion(&gateway, LIVES);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("context.sh");
    let plan = |lines: &[u8]| {
        std::fs::write(&file, lines).unwrap();
        process.output(&["plan", "--context", file.to_str().unwrap()])
    };
    let others = b"\xef\xbb\xbfK8S-TOKEN='a\nb'\nCITY='K\xf6ln'\nCMD=$(id)\nONEAPP_ZONEMESH_FEDERATOIN='x'\n";
    let (exit, _, errors) = plan(others);
    assert_eq!(exit, NOT_YET, "{errors}");
    for said in [
        "context.sh:3 is passed over: the bytes of the value of CITY are not UTF-8",
        "context.sh:4 is passed over: the value of CMD needs a shell here",
        "ONEAPP_ZONEMESH_FEDERATOIN has no effect: it is no key; did you mean ONEAPP_ZONEMESH_FEDERATION?",
    ] {
        assert!(errors.contains(said), "{said:?} is not in {errors}");
    }
    for (ours, said) in [
        (&b"ONEAPP_ZONEMESH_FLOWER_USER=$(id)\n"[..], "context.sh:1: the value of"),
        (b"ONEAPP_FL_TLS_ENABLED='NO'\n", "Flower never runs without TLS across zones"),
    ] {
        let (exit, _, errors) = plan(ours);
        assert_eq!(exit, WRONG, "{errors}");
        assert!(errors.contains(said), "{said:?} is not in {errors}");
    }
}

#[tokio::test]
async fn a_context_of_the_single_site_appliances_is_read_with_its_log_and_its_accelerators() {
    let gateway = TestGateway::start();
    let mut process = companion(&gateway, LIVES);
    for (key, value) in [
        ("ONEAPP_FL_LOG_FORMAT", "json"),
        ("ONEAPP_FL_LOG_LEVEL", "WARNING"),
        ("ONEAPP_FL_GPU_ENABLED", "YES"),
        ("ONEAPP_FL_DCGM_ENABLED", ""),
        ("ONEAPP_FL_CUDA_VISIBLE_DEVICES", "0"),
    ] {
        process.set(key, value);
    }
    let (exit, _, errors) = process.output(&["plan"]);
    assert_eq!(exit, NOT_YET, "{errors}");
    let lines: Vec<serde_json::Value> =
        errors.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert!(lines.iter().all(|line| line["level"] == "WARN"), "{errors}");
    let said = |words: &str| lines.iter().any(|line| line["fields"]["message"] == words);
    let today = "a drop-in of the unit gives Flower its devices";
    assert!(said(&format!(
        "ONEAPP_FL_GPU_ENABLED has no effect until a later release; today: {today}"
    )));
    assert!(!errors.contains("DCGM"), "an empty value is none: {errors}");
    process.set("ONEAPP_FL_LOG_LEVEL", "INFO");
    let (_, _, errors) = process.output(&["plan"]);
    let note =
        "ONEAPP_ZONEMESH_NODE_CONFIG is read as ONEAPP_FL_NODE_CONFIG, which is the preferred name";
    assert_eq!(errors.matches(note).count(), 1, "{errors}");
    process.set("ONEAPP_FL_NODE_CONFIG", "partition-id=1 num-partitions=2");
    let (exit, _, errors) = process.output(&["plan"]);
    assert_eq!(exit, WRONG, "{errors}");
    assert!(errors.contains("is given beside ONEAPP_ZONEMESH_NODE_CONFIG with another value"));
}
