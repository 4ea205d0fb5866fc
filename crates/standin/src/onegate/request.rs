//! One question to OneGate, as it comes over HTTP.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// A question, and who asks.
pub(super) struct AskedOneGate {
    /// Method, path and form with spaces between.
    pub(super) what: String,
    /// The VM that it says it is.
    pub(super) vm: String,
    /// What it shows for it.
    pub(super) token: String,
}

impl AskedOneGate {
    /// Reads one; nothing when whoever asks is gone before the end.
    pub(super) async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let (head, rest) = loop {
            let mut buffer = [0_u8; 4096];
            let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
            bytes.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8(bytes.clone()).ok()?;
            if let Some((head, rest)) = text.split_once("\r\n\r\n") {
                break (head.to_owned(), rest.to_owned());
            }
        };
        let header = |name: &str| {
            let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = rest.into_bytes();
        while body.len() < length {
            let mut buffer = [0_u8; 4096];
            let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
            body.extend_from_slice(&buffer[..read]);
        }
        let first = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
        let form = String::from_utf8(body).ok()?;
        let shown = |name: &str| header(name).unwrap_or_default();
        Some(Self {
            what: format!("{first} {form}").trim_end().to_owned(),
            vm: shown("x-onegate-vmid"),
            token: shown("x-onegate-token"),
        })
    }
}
