//! The connections of the users of this machine to the admin socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::net::{UnixListener, UnixStream};
use tokio_stream::Stream;
use zonemesh_api::serve::AcceptPause;

/// Accepts them; it never ends by itself.
pub(super) struct UserConnections {
    listener: UnixListener,
    pause: AcceptPause,
}

impl UserConnections {
    pub(super) fn new(listener: UnixListener) -> Self {
        Self { listener, pause: AcceptPause::default() }
    }
}

impl Stream for UserConnections {
    type Item = io::Result<UnixStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            ready!(self.pause.poll_over(cx));
            match ready!(self.listener.poll_accept(cx)) {
                Ok((stream, _)) => return Poll::Ready(Some(Ok(stream))),
                Err(error) => self.pause.begin(&error),
            }
        }
    }
}
