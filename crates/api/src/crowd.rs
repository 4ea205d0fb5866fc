//! What a server says to a caller that has too many connections open already: HTTP/2's GOAWAY with
//! the reason in words, before a request is read.
//!
//! It costs the server one write and no state. An HTTP/2 library makes of it what it makes of any
//! broken connection, so that the caller reads it itself ([`is_full`]) when a call has failed.

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

/// The reason in words.
const REASON: &[u8] = b"too many connections of this user are open";
/// ENHANCE_YOUR_CALM (RFC 9113, section 7).
const CALM: u32 = 0xb;
/// How long a server may take to say it: it says so before anything else, or never.
const PATIENCE: Duration = Duration::from_secs(1);
/// An empty SETTINGS frame, as it must come first: length, type, flags, stream.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// What is written to such a caller; then the connection is closed.
#[must_use]
pub fn refusal() -> Vec<u8> {
    let length = u8::try_from(8 + REASON.len()).unwrap_or(u8::MAX);
    let mut bytes = SETTINGS.to_vec();
    bytes.extend([0, 0, length, 7, 0, 0, 0, 0, 0]);
    // No stream was taken up.
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(CALM.to_be_bytes());
    bytes.extend(REASON);
    bytes
}

/// True if the server at this unix socket has too many connections of this user. Writes nothing, so
/// that what the server says before it closes is never lost.
pub async fn is_full(socket: &Path) -> bool {
    let refusal = refusal();
    let ask = async {
        let mut stream = UnixStream::connect(socket).await.ok()?;
        let mut said = vec![0; refusal.len()];
        stream.read_exact(&mut said).await.ok()?;
        Some(said == refusal)
    };
    matches!(tokio::time::timeout(PATIENCE, ask).await, Ok(Some(true)))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::UnixListener;

    use super::*;

    async fn server_that_says(said: &'static [u8]) -> bool {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("the path is free");
        let (full, ()) = tokio::join!(is_full(&path), async {
            let (mut stream, _) = listener.accept().await.expect("somebody calls");
            stream.write_all(said).await.expect("it is heard");
        });
        full
    }

    #[tokio::test]
    async fn a_server_that_is_full_is_told_from_one_that_speaks_and_from_one_that_closes() {
        assert!(server_that_says(refusal().leak()).await);
        assert!(!server_that_says(&SETTINGS).await);
        assert!(!server_that_says(b"").await);
        assert!(!is_full(Path::new("/nowhere/admin.sock")).await);
    }
}
