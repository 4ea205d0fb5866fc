//! A companion's session with its gateway: what ends it, what does not, and how many a VM may have.

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use zonemesh_api::clients::local::LocalSession;
use zonemesh_api::v1;
use zonemesh_api::v1::companion_message::Body;
use zonemesh_api::v1::gateway_message::Body as Answer;
use zonemesh_api::v1::{CompanionMessage, RefusalKind};
use zonemesh_api::view::rfc3339;
use zonemesh_api::wire::local::CompanionHello;
use zonemesh_core::companion::{CompanionReport, ReportedFinding, ReportedState, SuperNodeState};
use zonemesh_core::token::{VmRole, ZonePin};

use crate::local_api::{answer, pinned, serving, token};
use crate::place;
use crate::zone::Place;

fn hello(place: Place, secret: u8) -> CompanionHello {
    let token = token(ZonePin::Key(place.identity().public_key()), secret);
    CompanionHello::by(&"health-eu".parse().unwrap(), &token, VmRole::SuperNode)
}

fn running() -> CompanionReport {
    CompanionReport::of(ReportedState::SuperNode(SuperNodeState::Running))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_refused_ends_nothing_and_a_second_hello_neither() {
    let place = place(40, 1);
    let mut zone = serving(place, &[("supernode", "")]).await;
    let mut gateway = pinned(place, &place.identity().public_key()).await;
    let mut session = LocalSession::open(&mut gateway, hello(place, 0), &[]).await.unwrap();
    let first = session.inbound.message().await.unwrap().unwrap();
    assert!(matches!(first.body, Some(Answer::View(_))), "a view goes first: {first:?}");

    let long = ReportedFinding { code: "F511".to_owned(), text: "x".repeat(513) };
    let number = session.say(CompanionReport { findings: vec![long], ..running() }).await;
    let Answer::Refused(refusal) = answer(&mut session, number).await.answer() else { panic!() };
    assert_eq!(refusal.kind(), RefusalKind::Invalid);
    assert_eq!(refusal.reason, "field findings.text: too many, or too long");

    let again: Body = hello(place, 0).into();
    let number = session.say(again).await;
    let said = answer(&mut session, number).await.answer();
    assert!(matches!(said, Answer::Refused(_)), "hello is said once: {said:?}");

    let number = session.say(running()).await;
    let said = answer(&mut session, number).await.answer();
    assert!(matches!(said, Answer::Taken(_)), "{said:?}");
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_a_later_release_is_passed_over() {
    let place = place(41, 1);
    let mut zone = serving(place, &[("supernode", "")]).await;
    let mut gateway = pinned(place, &place.identity().public_key()).await;
    let (outbound, queue) = mpsc::channel(4);
    let say = |number, body| CompanionMessage { number, body };
    outbound.send(say(0, Some(hello(place, 0).into()))).await.unwrap();
    // What is read of a body that this release does not know.
    outbound.send(say(5, None)).await.unwrap();
    outbound.send(say(6, Some(running().into()))).await.unwrap();
    let mut inbound = gateway.session(ReceiverStream::new(queue)).await.unwrap().into_inner();
    let answers = async {
        loop {
            let message = inbound.message().await.unwrap().unwrap();
            if message.answers > 0 {
                break message;
            }
        }
    };
    let first = tokio::time::timeout(Duration::from_secs(20), answers).await.unwrap();
    assert_eq!((first.answers, first.body), (6, Some(Answer::Taken(v1::ReportTaken {}))));
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_no_hello_is_left_after_5_s_and_who_says_something_else_at_once() {
    let place = place(42, 1);
    let mut zone = serving(place, &[("supernode", "")]).await;
    let mut gateway = pinned(place, &place.identity().public_key()).await;
    let (outbound, queue) = mpsc::channel(4);
    let report = CompanionMessage { number: 1, body: Some(running().into()) };
    outbound.send(report).await.unwrap();
    let refused = gateway.session(ReceiverStream::new(queue)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let (_silent, queue) = mpsc::channel(4);
    let begun = Instant::now();
    let refused = gateway.session(ReceiverStream::new(queue)).await.unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused}");
    assert!((4..9).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_needs_a_good_proof_and_a_vm_has_16() {
    let place = place(43, 1);
    let roles = [("supernode", ""), ("supernode", "expires = \"2020-01-01T00:00:00Z\"")];
    let mut zone = serving(place, &roles).await;
    let key = place.identity().public_key();
    let mut gateway = pinned(place, &key).await;
    let nobody = CompanionHello { proof: None, ..hello(place, 0) };
    for (hello, words) in [
        (hello(place, 9), "is not known to this gateway"),
        (hello(place, 1), "has expired"),
        (nobody, "is not known to this gateway"),
    ] {
        let refused = LocalSession::open(&mut gateway, hello, &[]).await.err().unwrap();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(refused.message().contains(words), "{refused}");
    }
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(LocalSession::open(&mut gateway, hello(place, 0), &[]).await.unwrap());
    }
    let refused = LocalSession::open(&mut gateway, hello(place, 0), &[]).await.err().unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    open.pop();
    let again = async {
        while LocalSession::open(&mut gateway, hello(place, 0), &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("its place is given back");
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_token() {
    let place = place(44, 1);
    let end = rfc3339((SystemTime::now() + Duration::from_secs(8)).into()).unwrap();
    let expires = format!("expires = \"{end}\"");
    let mut zone = serving(place, &[("supernode", &expires)]).await;
    let mut gateway = pinned(place, &place.identity().public_key()).await;
    let mut session = LocalSession::open(&mut gateway, hello(place, 0), &[]).await.unwrap();
    let number = session.say(running()).await;
    let said = answer(&mut session, number).await.answer();
    assert!(matches!(said, Answer::Taken(_)), "{said:?}");
    let ended = async {
        loop {
            if let Err(status) = session.inbound.message().await {
                break status;
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended}");
    assert!(ended.message().contains("has expired"), "{ended}");
    zone.stop().await;
}
