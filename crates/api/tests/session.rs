//! What a companion and its gateway say in a session: read as it was written, bounded, and open for
//! what a later release adds.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::time::Duration;

use prost::Message as _;
use zonemesh_api::v1;
use zonemesh_api::v1::companion_message::Body;
use zonemesh_api::wire::local::{
    CompanionHello, FederationQuestion, Registration, members, named_members, report,
};
use zonemesh_api::wire::onegate::OneGateIdentity;
use zonemesh_api::wire::{WireError, WireProblem};
use zonemesh_core::companion::{
    CompanionReport, FlowerActivity, ReportedFinding, ReportedState, SuperNodeState,
};
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::record::{
    Admission, AdmissionState, AdmittedNode, CaState, FlowerTransport, HeldCa, MAX_ADMITTED,
    Readiness,
};
use zonemesh_core::registry::FederationMember;
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::{SECRET_BYTES, VmRole, VmToken, ZonePin};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

/// Over the wire and back.
fn sent(body: impl Into<Body>) -> Body {
    let bytes = v1::CompanionMessage { number: 7, body: Some(body.into()) }.encode_to_vec();
    let message = v1::CompanionMessage::decode(bytes.as_slice()).unwrap();
    assert_eq!(message.number, 7);
    message.body.unwrap()
}

fn report_of(body: Body) -> v1::CompanionReport {
    let wire = match body {
        Body::Report(wire) => Some(wire),
        _ => None,
    };
    wire.unwrap()
}

fn full_report() -> CompanionReport {
    let finding = ReportedFinding { code: "F511".to_owned(), text: "not ready".to_owned() };
    let ca = |byte, state| HeldCa { certificate: [byte; 32], state };
    CompanionReport {
        state: ReportedState::SuperNode(SuperNodeState::Running),
        findings: vec![finding],
        flower_version: "1.25.0".to_owned(),
        node_id: Some(u64::MAX),
        public_key: vec![4; 91],
        cas: vec![ca(1, CaState::Active), ca(2, CaState::Next)],
        activity: Some(FlowerActivity::Training),
        clock: Some(NOW),
        again_after: Some(Duration::from_secs(10)),
        echo_port: Some(40_000),
        nodes: None,
    }
}

fn online() -> AdmittedNode {
    let state = AdmissionState::Online;
    let admission = Admission { state, node_id: u64::MAX, online_since: 1_800_000_000 };
    AdmittedNode { key: [7; 16], admission }
}

#[test]
fn who_may_take_part_comes_back_as_it_was_named_and_too_many_are_refused() {
    let member = FederationMember {
        public_key: vec![4; 91],
        zone: "madrid".parse().unwrap(),
        is_online: true,
        is_connecting: true,
    };
    let named = vec![member.clone(), FederationMember { is_online: false, ..member.clone() }];
    assert_eq!(named_members(members(named.clone())), Ok(named));
    assert!(named_members(members(vec![member.clone(); MAX_ADMITTED + 1])).is_err());
    let long = FederationMember { public_key: vec![4; 161], ..member };
    assert!(named_members(members(vec![long])).is_err());
    let mut wire = report_of(sent(CompanionReport {
        nodes: Some(vec![online()]),
        ..CompanionReport::of(ReportedState::SuperLink(Readiness::Ready))
    }));
    wire.nodes.as_mut().unwrap().nodes[0].key.pop();
    assert!(report(wire, VmRole::SuperLink).is_err());
}

fn wire_report() -> v1::CompanionReport {
    report_of(sent(full_report()))
}

#[test]
fn a_report_comes_back_as_it_was_said() {
    assert_eq!(report(wire_report(), VmRole::SuperNode), Ok(full_report()));
    let ready = CompanionReport::of(ReportedState::SuperLink(Readiness::Ready));
    for nodes in [None, Some(Vec::new()), Some(vec![online()])] {
        let superlink = CompanionReport { nodes, ..ready.clone() };
        assert_eq!(report(report_of(sent(superlink.clone())), VmRole::SuperLink), Ok(superlink));
    }
}

#[test]
fn a_hello_and_a_registration_come_back_as_they_were_said() {
    let token = VmToken::new(
        ZonePin::Key(ZoneIdentity::from_seed(&[1; 32]).public_key()),
        &[5; SECRET_BYTES],
    );
    let hello = CompanionHello::by(&"health-eu".parse().unwrap(), &token, VmRole::SuperNode);
    let onegate = Some(OneGateIdentity { vm: "7".into(), token: "t".to_owned().into() });
    let wire = match sent(CompanionHello { onegate, ..hello }) {
        Body::Hello(wire) => Some(wire),
        _ => None,
    };
    let read = CompanionHello::try_from(wire.unwrap()).unwrap();
    assert_eq!((read.federation.as_str(), read.release.is_empty()), ("health-eu", false));
    let proof = read.proof.unwrap();
    assert_eq!((proof.token.as_str(), proof.role), (token.reveal(), VmRole::SuperNode));
    assert_eq!(read.onegate.unwrap().vm, "7");

    let wanted = Registration {
        addresses: vec![[10, 10, 10, 5].into()],
        fleet_port: 9092,
        control_port: 9093,
        flower_version: "1.25.0".to_owned(),
        transport: FlowerTransport::Grpc,
        csr_pem: "CSR".to_owned(),
        clock: NOW,
        authenticates: true,
    };
    let wire = match sent(wanted.clone()) {
        Body::Registration(wire) => Some(wire),
        _ => None,
    };
    let read = Registration::try_from(wire.unwrap()).unwrap();
    assert_eq!((read.addresses, read.fleet_port), (wanted.addresses, 9092));
    assert_eq!((read.csr_pem.as_str(), read.clock, read.authenticates), ("CSR", NOW, true));
}

#[test]
fn a_message_field_or_value_of_a_later_release_is_passed_over() {
    // Bodies 900 of either end, and field 4000 of a report: three bytes each.
    let later = [0xa2, 0x38, 3, 1, 2, 3];
    assert_eq!(v1::CompanionMessage::decode(&later[..]).unwrap().body, None);
    assert_eq!(v1::GatewayMessage::decode(&later[..]).unwrap().body, None);
    let mut wire = wire_report();
    (wire.supernode, wire.activity, wire.cas[0].state) = (9, 9, 9);
    let mut bytes = wire.encode_to_vec();
    bytes.extend([0x82, 0xfa, 0x01, 3, 1, 2, 3]);
    let read = report(v1::CompanionReport::decode(bytes.as_slice()).unwrap(), VmRole::SuperNode);
    let cas = full_report().cas[1..].to_vec();
    let state = ReportedState::SuperNode(SuperNodeState::Other(9));
    assert_eq!(read, Ok(CompanionReport { state, cas, activity: None, ..full_report() }));
    let refusal = v1::Refusal { kind: 77, reason: "later".to_owned(), next: String::new() };
    assert_eq!(refusal.kind(), v1::RefusalKind::Unspecified);
    let superlink = v1::CompanionReport { readiness: 9, ..wire_report() };
    let read = report(superlink, VmRole::SuperLink).unwrap();
    assert_eq!(read.state, ReportedState::SuperLink(Readiness::Other(9)));
}

#[test]
fn what_is_not_said_or_too_long_is_refused_with_its_field() {
    let refused = |change: &dyn Fn(&mut v1::CompanionReport)| {
        let mut wire = wire_report();
        change(&mut wire);
        report(wire, VmRole::SuperNode).unwrap_err()
    };
    let finding = |code: usize, text: usize| v1::CompanionFinding {
        code: "c".repeat(code),
        text: "t".repeat(text),
    };
    let too_many =
        |field: &str| WireError { field: field.to_owned(), problem: WireProblem::TooMany };
    assert_eq!(refused(&|wire| wire.findings = vec![finding(1, 1); 17]), too_many("findings"));
    let long = refused(&|wire| wire.findings = vec![finding(1, 513)]);
    assert_eq!(long, too_many("findings.text"));
    let long = refused(&|wire| wire.findings = vec![finding(17, 1)]);
    assert_eq!(long, too_many("findings.code"));
    assert_eq!(refused(&|wire| wire.public_key = vec![0; 161]), too_many("public_key"));
    assert_eq!(refused(&|wire| wire.flower_version = "1".repeat(65)), too_many("flower_version"));
    let cas = |count| vec![v1::HeldCaCertificate { sha256: vec![0; 32], state: 2 }; count];
    assert_eq!(refused(&|wire| wire.cas = cas(9)), too_many("cas"));
    let cut = refused(&|wire| wire.cas[0].sha256.truncate(31));
    assert_eq!(cut.problem, WireProblem::HashLength(31));
    assert_eq!(refused(&|wire| wire.supernode = 0).problem, WireProblem::Missing);
    let silent = report(wire_report(), VmRole::SuperLink).unwrap_err();
    assert_eq!((silent.field.as_str(), silent.problem), ("readiness", WireProblem::Missing));
    let hello = v1::CompanionHello { release: "1".repeat(65), ..v1::CompanionHello::default() };
    assert_eq!(CompanionHello::try_from(hello).err(), Some(too_many("release")));
}

#[test]
fn a_token_does_not_reach_the_log() {
    let proof = v1::VmProof { token: "hunter2".to_owned(), role: 1 };
    let onegate = v1::OneGateProof { vm: "7".to_owned(), token: "hunter2".to_owned() };
    let request = v1::ResolveRequest { federation: "f".to_owned(), proof: Some(proof.clone()) };
    assert!(!format!("{request:?} {onegate:?}").contains("hunter2"));
    let hello = v1::CompanionHello {
        proof: Some(proof),
        onegate: Some(onegate),
        ..v1::CompanionHello::default()
    };
    let message = v1::CompanionMessage { number: 0, body: Some(Body::Hello(hello)) };
    assert!(!format!("{message:?}").contains("hunter2"), "{message:?}");
}

#[test]
fn a_question_says_who_asks_or_nothing() {
    let ask = |role| {
        let proof = v1::VmProof { token: "t".to_owned(), role };
        let request = v1::ResolveRequest { federation: "health-eu".to_owned(), proof: Some(proof) };
        FederationQuestion::try_from(request)
    };
    for (role, read) in [(1, VmRole::SuperLink), (2, VmRole::SuperNode)] {
        let asked = ask(role).ok().and_then(|asked| asked.proof);
        assert_eq!(asked.map(|proof| proof.role), Some(read));
    }
    for role in [0, 7] {
        assert_eq!(ask(role).err().map(|error| error.field).as_deref(), Some("proof.role"));
    }
    let nobody = v1::ResolveRequest { federation: "health-eu".to_owned(), proof: None };
    assert!(FederationQuestion::try_from(nobody).is_ok_and(|asked| asked.proof.is_none()));
}
