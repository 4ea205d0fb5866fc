//! A registry stream's way in, as messages of the core.
//!
//! The same for both ends, whoever dialled. Says apart whether the stream broke or its other end said
//! something that is no message; refuses to know what a message means.

use zonemesh_core::replication::StreamMessage;

use crate::v1::RegistryMessage;
use crate::wire::WireError;

/// Why no message comes.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    /// The connection is gone, or the other end has ended the stream with a reason.
    #[error("the stream broke")]
    Broken(#[source] tonic::Status),
    /// Bytes that are no message.
    #[error("a malformed message")]
    Malformed(#[source] WireError),
}

/// Messages from the other end of a stream.
pub struct InboundMessages(tonic::Streaming<RegistryMessage>);

impl InboundMessages {
    /// The way in of a stream that is open.
    #[must_use]
    pub fn new(stream: tonic::Streaming<RegistryMessage>) -> Self {
        Self(stream)
    }

    /// The next message; `None` when the other end has closed its way out.
    ///
    /// # Errors
    /// [`InboundError`].
    pub async fn next(&mut self) -> Result<Option<StreamMessage>, InboundError> {
        let message = self.0.message().await.map_err(InboundError::Broken)?;
        message.map(StreamMessage::try_from).transpose().map_err(InboundError::Malformed)
    }
}
