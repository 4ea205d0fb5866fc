//! The connections of the users of this machine to the admin socket.
//!
//! Each user has some: what one of them leaves open keeps no other out, root least of all.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, UdsConnectInfo};
use zonemesh_api::crowd;
use zonemesh_api::serve::AcceptPause;

use crate::facts::rate_limits::{LimitedCall, RefusedCalls, Slot, Slots};

/// Most connections of one user, and of all.
const CONNECTIONS: (usize, usize) = (16, 1024);

/// Accepts them; it never ends by itself.
pub(super) struct UserConnections {
    listener: UnixListener,
    pause: AcceptPause,
    slots: Slots<u32>,
    refusals: Arc<RefusedCalls>,
}

impl UserConnections {
    pub(super) fn new(listener: UnixListener, refusals: Arc<RefusedCalls>) -> Self {
        let slots = Slots::new(CONNECTIONS.0, CONNECTIONS.1);
        Self { listener, pause: AcceptPause::default(), slots, refusals }
    }

    /// A place for one more connection of `user`.
    fn enter(&self, user: u32) -> Option<Slot<u32>> {
        let slot = self.slots.enter(&user);
        if slot.is_none() {
            self.refusals.count(LimitedCall::UserConnections, &format_args!("user {user}"));
        }
        slot
    }

    /// `None` closes it; who has too many is told that first.
    fn admit(&self, stream: UnixStream) -> Option<UserConnection> {
        let user = stream.peer_cred().ok()?.uid();
        match self.enter(user) {
            Some(slot) => Some(UserConnection { stream, _slot: slot }),
            None => {
                let told = stream.into_std().and_then(|mut to| to.write_all(&crowd::refusal()));
                // Who does not listen any more need not hear it.
                drop(told);
                None
            }
        }
    }
}

impl Stream for UserConnections {
    type Item = io::Result<UserConnection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            ready!(self.pause.poll_over(cx));
            match ready!(self.listener.poll_accept(cx)) {
                Ok((stream, _)) => {
                    if let Some(connection) = self.admit(stream) {
                        return Poll::Ready(Some(Ok(connection)));
                    }
                }
                Err(error) => self.pause.begin(&error),
            }
        }
    }
}

/// A connection of one user, with its place.
pub(super) struct UserConnection {
    stream: UnixStream,
    _slot: Slot<u32>,
}

impl Connected for UserConnection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for UserConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for UserConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio_stream::StreamExt as _;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn one_users_open_connections_keep_no_other_user_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let refusals = Arc::new(RefusedCalls::default());
        let listener = UnixListener::bind(&path).unwrap();
        let mut connections = UserConnections::new(listener, refusals.clone());
        let (mut clients, mut held) = (Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS.0 {
            clients.push(UnixStream::connect(&path).await.unwrap());
            held.push(connections.next().await.unwrap().unwrap());
        }
        let mut refused = UnixStream::connect(&path).await.unwrap();
        let none = tokio::time::timeout(SOON / 50, connections.next()).await;
        assert!(none.is_err(), "it has {} already", held.len());
        let mut told = Vec::new();
        refused.read_to_end(&mut told).await.expect("it is told, and closed");
        assert_eq!(told, crowd::refusal());
        assert_eq!(refusals.counters(), [("user_connections", 1)]);
        let own = held[0].stream.peer_cred().unwrap().uid();
        for other in [0, 1000, 65534].into_iter().filter(|other| *other != own) {
            assert!(connections.enter(other).is_some(), "{other}");
        }
        held.pop();
        clients.push(UnixStream::connect(&path).await.unwrap());
        let next = tokio::time::timeout(SOON, connections.next()).await;
        assert!(next.unwrap().unwrap().is_ok(), "a place was given back");
    }
}
