//! Callers that begin something and do not go on, in bytes of their own.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zonemesh_api::serve;

use super::{Running, start};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_HEADERS: u8 = 4;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;

fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(content.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(content);
    frame
}

/// The headers of a call, as HPACK writes them without a table.
fn headers() -> Vec<u8> {
    let mut headers = vec![0x83, 0x87];
    let path = b"/zonemesh.v1.Local/Resolve";
    for (name, value) in
        [(&[0x04][..], &path[..]), (&[0x01], b"gw"), (&[0x0f, 0x10], b"application/grpc")]
    {
        headers.extend(name);
        headers.push(u8::try_from(value.len()).unwrap());
        headers.extend(value);
    }
    headers
}

async fn secured(running: &Running) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(running.address).await.unwrap();
    let name = running.address.ip().into();
    TlsConnector::from(running.tls.clone()).connect(name, tcp).await.unwrap()
}

/// Sends `count` requests, each but for its last bytes.
async fn half_of_requests(running: &Running, count: u32) -> TlsStream<TcpStream> {
    let mut line = secured(running).await;
    let mut message = vec![0];
    message.extend(u32::try_from(serve::SMALL_REQUEST).unwrap().to_be_bytes());
    // Four of them are as much as HTTP/2 lets everyone send unasked.
    message.resize(serve::SMALL_REQUEST - 100, 0);
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    line.write_all(&bytes).await.unwrap();
    line.flush().await.unwrap();
    // What the server lets it send counts from here.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut bytes = frame(SETTINGS, ACK, 0, &[]);
    for stream in (1..).step_by(2).take(count as usize) {
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &headers()));
        bytes.extend(frame(DATA, 0, stream, &message));
    }
    // More than a server lets it send is its end.
    let _cut_off = line.write_all(&bytes).await;
    let _cut_off = line.flush().await;
    line
}

/// Reads, and answers pings, until the server has ended the call or the connection.
async fn hear_the_end(mut line: TlsStream<TcpStream>) {
    let mut head = [0; 9];
    while line.read_exact(&mut head).await.is_ok() {
        let [a, b, c, kind, flags, ..] = head;
        let mut content = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        line.read_exact(&mut content).await.unwrap();
        if kind == PING && flags & ACK == 0 {
            line.write_all(&frame(PING, ACK, 0, &content)).await.unwrap();
        }
        if kind == RESET || kind == HEADERS && flags & END_STREAM != 0 {
            return;
        }
    }
}

#[tokio::test]
async fn who_says_half_of_something_is_left_after_ten_seconds() {
    let running = start().await;
    let mut no_tls = TcpStream::connect(running.address).await.unwrap();
    let no_http = secured(&running).await;
    let mut half_http = secured(&running).await;
    half_http.write_all(&PREFACE[..9]).await.unwrap();
    half_http.flush().await.unwrap();
    let half_a_request = half_of_requests(&running, 1).await;
    let deadline = serve::REQUEST_TIMEOUT + Duration::from_secs(3);
    let mut nothing = Vec::new();
    let begun = Instant::now();
    let [no_tls, no_http, half_http, half_a_request] = tokio::join!(
        timeout(deadline, async { drop(no_tls.read_to_end(&mut nothing).await) }),
        timeout(deadline, hear_the_end(no_http)),
        timeout(deadline, hear_the_end(half_http)),
        timeout(deadline, async {
            hear_the_end(half_a_request).await;
            assert!(begun.elapsed() > serve::REQUEST_TIMEOUT / 2, "it was not refused as such");
        }),
    )
    .into();
    assert!(no_tls.is_ok(), "nothing was said");
    assert!(no_http.is_ok(), "nothing was said behind TLS");
    assert!(half_http.is_ok(), "HTTP/2 was begun by half");
    assert!(half_a_request.is_ok(), "a request was sent by half");
}

/// What this process has in memory, in KiB.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What 32 lines of `count` requests each take, the callers' ends included.
async fn taken_kib(count: u32) -> usize {
    let running = start().await;
    let mut lines = vec![half_of_requests(&running, count).await];
    let before = resident_kib();
    for _ in 0..32 {
        lines.push(half_of_requests(&running, count).await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    resident_kib() - before
}

#[tokio::test]
async fn half_sent_requests_of_one_caller_take_little_memory() {
    let more = taken_kib(2).await;
    assert!(more < 8 * 1024, "{more} KiB for requests within what may be sent");
}

#[tokio::test]
async fn more_half_sent_requests_than_may_be_sent_take_little_memory() {
    let more = taken_kib(64).await;
    assert!(more < 8 * 1024, "{more} KiB");
}
