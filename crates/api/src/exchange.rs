//! A registry stream's way in, as messages of the core.
//!
//! The same for both ends, whoever dialled. Says apart whether the stream broke or its other end said
//! something that is no message; refuses to know what a message means.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use zonemesh_core::replication::StreamMessage;

use crate::said::Said;
use crate::v1::RegistryMessage;
use crate::wire::WireError;

/// Longest time until the other end says something at all. Both greet at once; a lossy path is slow.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);

/// Why no message comes.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    /// The connection is gone, or the other end has ended the stream with a reason.
    #[error("the stream broke")]
    Broken(#[source] Said),
    /// Bytes that are no message.
    #[error("a malformed message")]
    Malformed(#[source] WireError),
    /// The stream was opened, and no first message came.
    #[error("the other end has opened the stream and says nothing")]
    Silent,
}

/// Messages from the other end of a stream.
pub struct InboundMessages {
    stream: tonic::Streaming<RegistryMessage>,
    /// Until the first one is there.
    hello_by: Option<Instant>,
}

impl InboundMessages {
    /// The way in of a stream that is open.
    #[must_use]
    pub fn new(stream: tonic::Streaming<RegistryMessage>) -> Self {
        Self { stream, hello_by: Some(Instant::now() + HELLO_TIMEOUT) }
    }

    /// The next message; `None` when the other end has closed its way out.
    ///
    /// # Errors
    /// [`InboundError`].
    pub async fn next(&mut self) -> Result<Option<StreamMessage>, InboundError> {
        let message = match self.hello_by {
            Some(by) => timeout_at(by, self.stream.message()).await,
            None => Ok(self.stream.message().await),
        };
        let message = message
            .map_err(|_late| InboundError::Silent)?
            .map_err(|status| InboundError::Broken(status.into()))?;
        self.hello_by = None;
        message.map(StreamMessage::try_from).transpose().map_err(InboundError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;
    use tokio_stream::{Stream, StreamExt as _, iter, pending};
    use tonic::codec::{Codec as _, EncodeBody, Streaming};
    use tonic_prost::ProstCodec;
    use zonemesh_core::replication::{ClockStamp, StreamBody};
    use zonemesh_core::time::UnixMillis;

    use super::*;

    const SOON: Duration = Duration::from_millis(200);

    fn inbound(
        messages: impl Stream<Item = Result<RegistryMessage, tonic::Status>> + Send + 'static,
    ) -> InboundMessages {
        let mut codec = ProstCodec::<RegistryMessage, RegistryMessage>::default();
        let body = EncodeBody::new_client(codec.encoder(), messages, None, None);
        let mut inbound =
            InboundMessages::new(Streaming::new_request(codec.decoder(), body, None, None));
        assert!(inbound.hello_by.is_some_and(|by| by <= Instant::now() + HELLO_TIMEOUT));
        inbound.hello_by = Some(Instant::now() + SOON);
        inbound
    }

    #[tokio::test]
    async fn a_stream_on_which_nothing_is_said_has_an_end() {
        let heard = timeout(SOON * 10, inbound(pending()).next()).await;
        assert!(matches!(heard, Ok(Err(InboundError::Silent))), "{heard:?}");
    }

    #[tokio::test]
    async fn a_stream_may_be_silent_behind_its_first_message() {
        let body = StreamBody::Trust(Vec::new());
        let hello =
            StreamMessage { clock: ClockStamp { sent_at: UnixMillis(1), echo: None }, body };
        let mut inbound = inbound(iter([Ok(hello.clone().into())]).chain(pending()));
        assert_eq!(inbound.next().await.unwrap(), Some(hello));
        assert!(timeout(SOON * 3, inbound.next()).await.is_err());
    }
}
