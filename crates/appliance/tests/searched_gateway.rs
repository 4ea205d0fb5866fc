//! A gateway that CONTEXT does not name: looked for through a OneGate that is as unkind as the real
//! one.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;
use zonemesh_appliance::gateway::{GatewayTalk, LocalGateway, SetFile};
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::settings;
use zonemesh_appliance::startup;
use zonemesh_context::Variables;
use zonemesh_context::source::Environment;
use zonemesh_standin::{
    LOOPBACK, OneGateFault, TestGateway, TestOneGate, VM_ACTIVE, VM_DONE, base64_word, free_port,
};

const PUBLISHED: &str = "ZONEMESH_GATEWAY";

/// Settings of a companion that is told of its gateway by nobody but OneGate.
fn client(gateway: &TestGateway, onegate: &TestOneGate, state: &Path, keeps: bool) -> LocalGateway {
    startup::crypto();
    let variables = [gateway.variables(), onegate.variables()].concat();
    let lookup = |key: &str| match key {
        "ONEAPP_ZONEMESH_GATEWAY" => None,
        "ONEAPP_ZONEMESH_STATE_DIR" => Some(state.display().to_string()),
        _ => variables.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()),
    };
    let settings = settings::superlink(Variables::new(vec![&Environment(lookup)])).unwrap();
    let file = state.join("authority-set");
    let file = if keeps { SetFile::Kept(file) } else { SetFile::Read(file) };
    LocalGateway::new(&settings.common, &settings.mesh, file)
}

fn publishes(onegate: &TestOneGate, vm: &str, state: &str, address: SocketAddr) {
    onegate.has_vm(vm, state);
    onegate.write(vm, PUBLISHED, Some(&base64_word(&address.to_string())));
}

fn closed() -> SocketAddr {
    SocketAddr::new(LOOPBACK, free_port())
}

async fn not_yet(client: &LocalGateway) -> String {
    let reason = client.resolve().await.unwrap_err();
    assert_eq!((reason.code(), reason.is_refusal()), ("N236", false), "{reason}");
    assert_eq!(client.address(), None);
    reason.to_string()
}

#[tokio::test]
async fn whatever_onegate_does_is_not_yet_and_said_in_words() {
    let (gateway, mut onegate) = (TestGateway::start(), TestOneGate::start());
    let folder = tempfile::tempdir().unwrap();
    let ask = || client(&gateway, &onegate, folder.path(), false);
    assert!(not_yet(&ask()).await.contains("that run has published ZONEMESH_GATEWAY"));
    publishes(&onegate, "3", VM_DONE, gateway.address);
    assert!(not_yet(&ask()).await.contains("that run has published ZONEMESH_GATEWAY"));
    onegate.has_vm("4", VM_ACTIVE);
    onegate.write("4", PUBLISHED, Some("[fd00::1\"]:51822"));
    assert!(not_yet(&ask()).await.contains("ZONEMESH_GATEWAY of VM 4 is no address"));
    publishes(&onegate, "4", VM_ACTIVE, closed());
    assert!(not_yet(&ask()).await.contains("does not answer"));
    for (fault, words) in [
        (OneGateFault::Error, "500"),
        (OneGateFault::Garbage, "no JSON"),
        (OneGateFault::Hang, "OneGate at"),
    ] {
        onegate.fails(Some(fault));
        let said = not_yet(&ask()).await;
        assert!(said.contains(words), "{said}");
    }
    let client = ask();
    onegate.stop();
    assert!(not_yet(&client).await.contains("does not answer"));
}

#[tokio::test]
async fn a_false_address_keeps_no_vm_out_whoever_wrote_it() {
    let (gateway, onegate) = (TestGateway::start(), TestOneGate::start());
    let mut false_one = TestGateway::start();
    false_one.is_replaced_by_a_false_one();
    false_one.start_again(false);
    let folder = tempfile::tempdir().unwrap();
    publishes(&onegate, "3", VM_ACTIVE, false_one.address);
    publishes(&onegate, "4", VM_ACTIVE, closed());
    let alone = not_yet(&client(&gateway, &onegate, folder.path(), false)).await;
    assert!(alone.contains(&false_one.address.to_string()), "{alone}");
    publishes(&onegate, "5", VM_ACTIVE, gateway.address);
    let client = client(&gateway, &onegate, folder.path(), false);
    client.resolve().await.unwrap();
    assert_eq!(client.address(), Some(gateway.address));
    assert!(false_one.seen.lock().unwrap().is_empty(), "a false one hears nothing");
    assert!(!folder.path().join("gateway-address").exists(), "a plan keeps nothing");
}

#[tokio::test]
async fn a_session_waits_for_a_gateway_that_comes_later_and_keeps_where_it_was() {
    let (gateway, mut onegate) = (TestGateway::start(), TestOneGate::start());
    let folder = tempfile::tempdir().unwrap();
    let begin = |onegate: &TestOneGate| client(&gateway, onegate, folder.path(), true).talk();
    onegate.fails(Some(OneGateFault::Error));
    let GatewayTalk { mut watched, session, line: _line } = begin(&onegate);
    let mut talking = JoinSet::new();
    talking.spawn(session.run());
    let lost = watched.wait_for(|seen| seen.lost.is_some()).await.unwrap().lost.clone();
    assert!(matches!(lost, Some(Reason::GatewayNotFound { .. })), "{lost:?}");
    onegate.fails(None);
    publishes(&onegate, "5", VM_ACTIVE, gateway.address);
    let found = watched.wait_for(|seen| seen.connected);
    tokio::time::timeout(Duration::from_secs(30), found).await.unwrap().unwrap();
    talking.shutdown().await;

    // The next boot, before OneGate is there.
    onegate.stop();
    let GatewayTalk { mut watched, session, line: _line } = begin(&onegate);
    talking.spawn(session.run());
    let found = watched.wait_for(|seen| seen.connected);
    tokio::time::timeout(Duration::from_secs(10), found).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_gateway_in_the_same_vm_is_found_in_its_companions_file_and_onegate_is_not_asked() {
    let (gateway, onegate) = (TestGateway::start(), TestOneGate::start());
    // Another VM says that it is the gateway.
    publishes(&onegate, "3", VM_ACTIVE, closed());
    let folder = tempfile::tempdir().unwrap();
    let status = folder.path().join("gateway.json");
    startup::crypto();
    let variables = [gateway.variables(), onegate.variables()].concat();
    let lookup = |key: &str| match key {
        "ONEAPP_ZONEMESH_GATEWAY" => None,
        "ONEAPP_ZONEMESH_GATEWAY_STATUS" => Some(status.display().to_string()),
        _ => variables.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()),
    };
    let settings = settings::superlink(Variables::new(vec![&Environment(lookup)])).unwrap();
    let file = SetFile::Read(folder.path().join("authority-set"));
    let client = LocalGateway::new(&settings.common, &settings.mesh, file);
    let waits = async |words: &str| {
        let reason = client.resolve().await.unwrap_err();
        assert_eq!((reason.code(), reason.is_refusal()), ("F520", false), "{reason}");
        assert!(reason.to_string().contains(words), "{reason}");
        assert_eq!(client.address(), None);
    };
    waits("its companion says nothing yet").await;
    for (text, words) in [
        ("{\"ready\": false, \"missing\": \"the daemon does not answer\"}", "the daemon does not"),
        ("{\"ready\": true}", "its configuration has no local API"),
        ("{\"ready\": tr", "is not what a gateway's companion writes"),
    ] {
        std::fs::write(&status, text).unwrap();
        waits(words).await;
    }
    // It need not be ready: a SuperLink is registered before the first tunnel is up.
    let serves = |at: SocketAddr| {
        std::fs::write(&status, format!("{{\"ready\": false, \"local_api\": \"{at}\"}}")).unwrap();
    };
    serves(closed());
    assert_eq!(client.resolve().await.unwrap_err().code(), "N201");
    serves(gateway.address);
    assert!(client.resolve().await.is_ok());
    assert_eq!(client.address(), Some(gateway.address));
    assert!(onegate.asked().is_empty(), "{:?}", onegate.asked());
}
