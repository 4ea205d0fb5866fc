//! OneGate's client against a stand-in that answers as the real server does.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use zonemesh_appliance::reporter::onegate::{OneGate, OneGateError};
use zonemesh_appliance::startup;

/// Answers one request per given answer, and gives back what it was asked.
async fn stand_in(answers: &'static [&'static str]) -> (OneGate, JoinSet<Vec<String>>) {
    startup::crypto();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"type=1") {
                let mut buffer = [0_u8; 1024];
                let read = stream.read(&mut buffer).await.unwrap();
                assert_ne!(read, 0, "{:?}", String::from_utf8_lossy(&request));
                request.extend_from_slice(&buffer[..read]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            asked.push(String::from_utf8(request).unwrap());
        }
        asked
    });
    let mut onegate = OneGate::new(&endpoint, "7", "dG9rZW4=");
    onegate.pause = Duration::from_millis(10);
    (onegate, server)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 21\r\nConnection: close\r\n\r\nInternal server error";
const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 14\r\nConnection: close\r\n\r\nNot authorized";

#[tokio::test]
async fn ready_is_put_as_the_stock_client_puts_it() {
    let (onegate, mut server) = stand_in(&[OK]).await;
    onegate.report_ready().await.unwrap();
    let asked = server.join_next().await.unwrap().unwrap();
    let (head, body) = asked[0].split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("put /vm http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nx-onegate-token: dg9rzw4=\r\n"), "{head}");
    assert!(head.contains("\r\nx-onegate-vmid: 7\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"), "{head}");
    assert_eq!(body, "data=READY%3DYES&type=1");
}

#[tokio::test]
async fn a_passing_trouble_is_tried_again() {
    let (onegate, mut server) = stand_in(&[BROKEN, REFUSED, OK]).await;
    onegate.report_ready().await.unwrap();
    assert_eq!(server.join_next().await.unwrap().unwrap().len(), 3);
}

#[tokio::test]
async fn the_third_refusal_is_the_last_and_is_told() {
    let (onegate, mut server) = stand_in(&[REFUSED, REFUSED, REFUSED]).await;
    let error = onegate.report_ready().await.unwrap_err();
    assert!(
        matches!(&error, OneGateError::Refused { status: 401, body, .. } if body == "Not authorized")
    );
    assert!(!format!("{error:?}").contains("dG9rZW4="), "the token is not told");
    assert_eq!(server.join_next().await.unwrap().unwrap().len(), 3);
}

#[tokio::test]
async fn a_token_that_is_no_header_is_told_without_a_try() {
    startup::crypto();
    let mut onegate = OneGate::new("http://127.0.0.1:1", "7", "to\nken");
    onegate.pause = Duration::ZERO;
    let error = onegate.report_ready().await.unwrap_err();
    assert!(matches!(error, OneGateError::Header { key: "TOKENTXT", .. }), "{error:?}");
}
