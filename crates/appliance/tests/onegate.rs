//! OneGate's client and what a companion tells, against a stand-in that is as unkind as the real
//! one.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use zonemesh_appliance::onegate::{OneGate, OneGateError, READY, YES, ZONEMESH_GATEWAY};
use zonemesh_appliance::reporter::{CompanionState, Reporter, ToldOneGate};
use zonemesh_appliance::startup;
use zonemesh_appliance::state_folder::StateFolder;
use zonemesh_core::exit::error_line;
use zonemesh_standin::{ONEGATE_VM, OneGateFault, TestOneGate};

fn client(stand_in: &TestOneGate) -> OneGate {
    startup::crypto();
    let [endpoint, vm, token] = [0, 1, 2].map(|at| stand_in.variables()[at].1.clone());
    OneGate::new(&endpoint, &vm, &token)
}

fn ready(stand_in: &TestOneGate) -> Option<String> {
    stand_in.attribute(ONEGATE_VM, "READY")
}

async fn until(what: &str, wanted: impl Fn() -> bool) {
    let begun = Instant::now();
    while !wanted() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn ready_is_put_as_the_stock_client_puts_it_and_erased() {
    let stand_in = TestOneGate::start();
    let onegate = client(&stand_in);
    assert_eq!(onegate.attribute(READY).await.unwrap(), None);
    onegate.tell(READY, YES).await.unwrap();
    assert_eq!(onegate.attribute(READY).await.unwrap().as_deref(), Some("YES"));
    onegate.erase(READY).await.unwrap();
    assert_eq!(ready(&stand_in), None);
    let told = ["PUT /vm data=READY%3DYES&type=1", "PUT /vm data=READY&type=2"];
    assert_eq!([&stand_in.asked()[1], &stand_in.asked()[3]], told);
}

#[tokio::test]
async fn an_address_is_told_whole_and_what_the_server_would_damage_is_not_told() {
    let stand_in = TestOneGate::start();
    let onegate = client(&stand_in);
    let word = zonemesh_standin::base64_word("[fd00::1?]>:51822");
    assert!(word.contains('/') || word.contains('+') || word.contains('='), "{word}");
    onegate.tell(ZONEMESH_GATEWAY, &word).await.unwrap();
    assert_eq!(onegate.attribute(ZONEMESH_GATEWAY).await.unwrap(), Some(word));
    for damaged in ["[fd00::1]:51822", "a,b", "a\\b", "a b", "a&type=2"] {
        let refused = onegate.tell(ZONEMESH_GATEWAY, damaged).await.unwrap_err();
        assert!(matches!(refused, OneGateError::NotPlain { .. }), "{damaged}");
    }
}

#[tokio::test]
async fn whatever_onegate_answers_ends_in_words_without_the_token() {
    let mut stand_in = TestOneGate::start();
    let onegate = client(&stand_in);
    for (fault, words) in [
        (OneGateFault::Error, "refuses: 500 \"Internal server error\""),
        (OneGateFault::Garbage, "is no JSON"),
        (OneGateFault::Hang, "does not answer"),
    ] {
        stand_in.fails(Some(fault));
        let error = onegate.service().await.unwrap_err();
        assert!(error_line(&error).contains(words), "{}", error_line(&error));
        assert!(!format!("{error:?}").contains("dG9rZW4="), "the token is told");
    }
    stand_in.fails(None);
    let stranger = OneGate { token: String::from("c3RyYW5nZXI=").into(), ..onegate.clone() };
    let refused = stranger.tell(READY, YES).await.unwrap_err();
    assert!(
        matches!(&refused, OneGateError::Refused { status: 401, body, .. } if body == "Not authorized")
    );
    stand_in.stop();
    let error = error_line(&onegate.service().await.unwrap_err());
    // Reset, if the stand-in was just about to take the call.
    let is_told = ["refused", "reset"].iter().any(|word| error.contains(word));
    assert!(error.contains("does not answer") && is_told, "{error}");
    let damaged = OneGate { token: String::from("to\nken").into(), ..onegate };
    let error = damaged.tell(READY, YES).await.unwrap_err();
    assert!(matches!(error, OneGateError::Header { key: "TOKENTXT", .. }), "{error:?}");
}

#[tokio::test]
async fn a_companion_erases_the_ready_of_before_and_tells_its_own_until_it_is_heard() {
    let mut stand_in = TestOneGate::start();
    stand_in.write(ONEGATE_VM, "READY", Some("YES"));
    let folder = tempfile::tempdir().unwrap();
    let federation = "health-eu".parse().unwrap();
    let onegate = ToldOneGate { onegate: Some(client(&stand_in)), gateway_status: None };
    let state = StateFolder::new(folder.path());
    let mut reporter = Reporter::begin(&state, "supernode", &federation, onegate);
    until("the old READY is erased", || ready(&stand_in).is_none()).await;

    // It answers 500 more often than anybody used to try, then is not there.
    stand_in.fails(Some(OneGateFault::Error));
    let before = stand_in.asked().len();
    reporter.enter(CompanionState::Ready);
    until("it is told again and again", || stand_in.asked().len() >= before + 4).await;
    stand_in.stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stand_in.fails(None);
    stand_in.start_again();
    until("READY=YES is heard", || ready(&stand_in).as_deref() == Some("YES")).await;

    reporter.enter(CompanionState::Waiting);
    until("a companion that is not ready says so", || ready(&stand_in).is_none()).await;
}

#[tokio::test]
async fn what_runs_in_a_vm_is_told_and_what_an_earlier_boot_has_said_is_erased() {
    let stand_in = TestOneGate::start();
    for (name, value) in [("FL_READY", "true"), ("FL_ENDPOINT", "10.9.9.9:1"), ("OTHER", "kept")] {
        stand_in.write(ONEGATE_VM, name, Some(value));
    }
    let folder = tempfile::tempdir().unwrap();
    let federation = "health-eu".parse().unwrap();
    let onegate = ToldOneGate { onegate: Some(client(&stand_in)), gateway_status: None };
    let state = StateFolder::new(folder.path());
    let mut reporter = Reporter::begin(&state, "superlink", &federation, onegate);
    let said = |name: &str| stand_in.attribute(ONEGATE_VM, name);
    until("what was there is erased", || {
        said("FL_READY").is_none() && said("FL_ENDPOINT").is_none()
    })
    .await;

    reporter.flower_version("1.42.0");
    reporter.ca("-----BEGIN CERTIFICATE-----\n");
    reporter.started(4711, "10.10.10.5:8000");
    reporter.enter(CompanionState::Ready);
    until("it is ready", || ready(&stand_in).as_deref() == Some("YES")).await;
    for (name, value) in [
        ("FL_ROLE", "superlink"),
        ("FL_VERSION", "1.42.0"),
        ("FL_ENDPOINT", "10.10.10.5:8000"),
        ("FL_CA_CERT", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="),
        ("FL_READY", "true"),
        ("OTHER", "kept"),
    ] {
        assert_eq!(said(name).as_deref(), Some(value), "{name}");
    }
    reporter.enter(CompanionState::Starting);
    until("it is not ready any more", || said("FL_READY").is_none()).await;
    assert_eq!(ready(&stand_in), None, "READY goes first");
    assert_eq!(said("FL_ROLE").as_deref(), Some("superlink"));
}

#[tokio::test]
async fn a_vm_that_is_a_gateway_as_well_is_ready_only_while_both_are() {
    let stand_in = TestOneGate::start();
    stand_in.write(ONEGATE_VM, "READY", Some("YES"));
    // The gateway's companion has told this, and nobody else may erase it.
    stand_in.write(ONEGATE_VM, "ZONEMESH_GATEWAY", Some("MTAuMTAuMTAuMTo1MTgyMg=="));
    let folder = tempfile::tempdir().unwrap();
    let federation = "health-eu".parse().unwrap();
    let status = folder.path().join("gateway.json");
    let goes = |text: &str| std::fs::write(&status, text).unwrap();
    goes("{\"ready\": true}");
    let told =
        ToldOneGate { onegate: Some(client(&stand_in)), gateway_status: Some(status.clone()) };
    let state = StateFolder::new(folder.path());
    let mut reporter = Reporter::begin(&state, "superlink", &federation, told);
    until("what an earlier boot has said is erased", || ready(&stand_in).is_none()).await;

    goes("{\"ready\": false, \"missing\": \"no tunnel to another zone has been up yet\"}");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    reporter.enter(CompanionState::Ready);
    until("the SuperLink is ready", || {
        stand_in.attribute(ONEGATE_VM, "FL_READY").as_deref() == Some("true")
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ready(&stand_in), None, "the gateway is not ready");

    goes("{\"ready\": true}");
    until("both are ready", || ready(&stand_in).as_deref() == Some("YES")).await;
    std::fs::remove_file(&status).unwrap();
    until("the gateway is not there any more", || ready(&stand_in).is_none()).await;
    goes("{\"ready\": true}");
    until("it is back", || ready(&stand_in).as_deref() == Some("YES")).await;
    reporter.enter(CompanionState::Starting);
    until("the SuperLink is not ready any more", || ready(&stand_in).is_none()).await;
    assert!(stand_in.attribute(ONEGATE_VM, "ZONEMESH_GATEWAY").is_some());
}
