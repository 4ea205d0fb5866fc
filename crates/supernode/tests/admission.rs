//! `zonemesh-supernode` at a SuperLink that admits SuperNodes by their keys: a real local API on
//! loopback, a stand-in for Flower's program, and the test itself as the SuperLink's TLS port.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use zonemesh_api::v1::{self, NodeAdmissionState, SuperNodeState};
use zonemesh_core::record::node_key_digest;
use zonemesh_standin::{CompanionProcess, LIVES, TestGateway, TlsServer, leaf};

const PROGRAM: &str = env!("CARGO_BIN_EXE_zonemesh-supernode");

struct Stage {
    gateway: TestGateway,
    superlink: TlsServer,
    process: CompanionProcess,
}

impl Stage {
    async fn new() -> Self {
        let gateway = TestGateway::start();
        let names = ["127.0.0.1".parse().unwrap()];
        let served = leaf(&gateway.ca, &names, SystemTime::now());
        let superlink = TlsServer::start(0, served, &["h2"]).await;
        let flower = ("flower-supernode", LIVES);
        let process = CompanionProcess::new(PROGRAM, &gateway.variables(), flower);
        Self { gateway, superlink, process }
    }

    /// Flower's list has this of the key, if it has anything.
    fn lists(&self, key: &[u8], state: Option<NodeAdmissionState>, online_since_unix_s: u64) {
        let node = state.map(|state| v1::AdmittedNode {
            key: node_key_digest(key).to_vec(),
            admission: Some(v1::NodeAdmission {
                state: state.into(),
                node_id: u64::MAX,
                online_since_unix_s,
            }),
        });
        self.gateway.show_but(self.superlink.address, |view| {
            view.authenticates = true;
            view.node = node;
        });
    }

    fn reported(&self) -> v1::CompanionReport {
        self.gateway.reported.lock().unwrap().clone().unwrap_or_default()
    }

    async fn key(&self) -> Vec<u8> {
        self.process.until(|_| !self.reported().public_key.is_empty()).await;
        self.reported().public_key
    }
}

#[tokio::test]
async fn flower_starts_once_its_key_is_registered_and_is_ready_once_it_is_online() {
    let mut stage = Stage::new().await;
    stage.lists(b"", None, 0);
    stage.process.run();
    let key = stage.key().await;
    stage.process.until_reason("F514").await;
    assert!(stage.process.starts().is_empty(), "Flower would end at once");
    let file = stage.process.state().join("tls/supernode.key");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!((key.len(), mode & 0o777), (91, 0o600));

    stage.lists(&key, Some(NodeAdmissionState::Registered), 0);
    stage.process.until_state("starting").await;
    stage.process.until(|_| !stage.process.starts().is_empty()).await;
    let start = stage.process.starts().remove(0);
    let argument = format!("--auth-supernode-private-key {}", file.display());
    assert!(start.contains(&argument), "{start}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stage.process.status()["state"], "starting", "it lives, and is not online");
    assert_eq!(stage.reported().supernode(), SuperNodeState::Connecting);

    stage.lists(&key, Some(NodeAdmissionState::Online), 9);
    stage.process.until_state("ready").await;
    stage.process.until(|_| stage.reported().supernode() == SuperNodeState::Running).await;
    assert_eq!(stage.reported().node_id, u64::MAX);
    stage.lists(&key, Some(NodeAdmissionState::Registered), 9);
    stage.process.until_reason("F515").await;
    assert_eq!(stage.process.status()["state"], "starting");
    stage.lists(&key, Some(NodeAdmissionState::Online), 20);
    stage.process.until_state("ready").await;
    assert_eq!(stage.process.starts().len(), 1, "Flower was left alone");
    assert!(!stage.process.log().contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_key_outlives_a_restart_and_one_that_is_spent_is_replaced() {
    let mut stage = Stage::new().await;
    stage.lists(b"", None, 0);
    stage.process.run();
    let key = stage.key().await;
    stage.process.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(stage.process.wait(), Some(0));
    *stage.gateway.reported.lock().unwrap() = None;
    stage.process.run();
    assert_eq!(stage.key().await, key);

    stage.lists(&key, Some(NodeAdmissionState::Spent), 0);
    stage.process.until(|_| stage.reported().public_key != key).await;
    assert!(stage.process.log().contains("F513"), "{}", stage.process.log());
    let next = stage.reported().public_key;
    stage.lists(&next, Some(NodeAdmissionState::Registered), 0);
    stage.process.until_state("starting").await;
    assert_eq!(stage.reported().public_key, next, "one is enough");
    assert!(stage.process.state().join("tls/supernode.aside").is_file());
}

/// Somebody who reaches the Control API registers each key as soon as it is known, before its owner.
#[tokio::test]
async fn a_key_that_somebody_else_has_registered_first_is_told_and_not_replaced_again_and_again() {
    let mut stage = Stage::new().await;
    stage.lists(b"", None, 0);
    stage.process.run();
    let key = stage.key().await;
    stage.lists(&key, Some(NodeAdmissionState::Spent), 0);
    let status = stage.process.until_reason("F517").await;
    let reason = status["reason"].to_string();
    assert!(reason.contains("somebody else") && reason.contains("Control API"), "{reason}");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(stage.reported().public_key, key, "{}", stage.process.log());
    assert!(!stage.process.log().contains("F513"), "{}", stage.process.log());
    assert_eq!(stage.process.log().matches("F517").count(), 1, "{}", stage.process.log());
    let (exit, _, errors) = stage.process.output(&["plan"]);
    assert_eq!(exit, 10, "it may pass: {errors}");
    // Whoever is in charge there has put it right.
    stage.lists(&key, Some(NodeAdmissionState::Registered), 0);
    stage.process.until_state("starting").await;
    assert_eq!(stage.reported().public_key, key);
}
