//! One question over HTTP/1.1 on a stream that is connected already.
//!
//! It promises to end: an answer is read up to a bound, in a bounded time. It knows no chunks,
//! redirects or connections that last: it asks a SuperLink's `/health` and `/openapi.json`, which
//! need none.
//! Specification: RFC 9112.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The description of Flower's API has 34 kB.
const LONGEST_ANSWER: u64 = 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(3);

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpAnswer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Asks, and reads to the end.
///
/// # Errors
/// The connection ends before there is an answer, it is none of HTTP/1.1, or it takes too long.
pub(super) async fn get<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: SocketAddr,
    path: &str,
) -> Result<HttpAnswer> {
    match tokio::time::timeout(TIMEOUT, ask(stream, host, path)).await {
        Ok(answer) => answer,
        Err(_elapsed) => {
            let late = format!("no answer over HTTP within {} s", TIMEOUT.as_secs());
            Err(Error::new(ErrorKind::TimedOut, late))
        }
    }
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    host: SocketAddr,
    path: &str,
) -> Result<HttpAnswer> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut text = Vec::new();
    let read = stream.take(LONGEST_ANSWER).read_to_end(&mut text).await;
    // Python's servers end without a word of TLS; what was read before is there all the same.
    if let Err(error) = read
        && error.kind() != ErrorKind::UnexpectedEof
    {
        return Err(error);
    }
    parse(&text).ok_or_else(|| Error::new(ErrorKind::InvalidData, "the answer is no HTTP/1.1"))
}

fn parse(text: &[u8]) -> Option<HttpAnswer> {
    let end = text.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (text.get(..end)?, text.get(end + 4..)?);
    let head = std::str::from_utf8(head).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(HttpAnswer { status, body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"{}".as_slice()));
        assert_eq!(parse(b"HTTP/1.0 404 Not Found\r\n\r\n").unwrap().status, 404);
        for none in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/2 200\r\n\r\n",
            "\x15\x03\x01\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(parse(none.as_bytes()), None, "{none:?}");
        }
    }
}
