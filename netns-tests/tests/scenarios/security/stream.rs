//! Registry streams of somebody who holds a zone's key, beside its honest gateway.
//!
//! Promises that what berlin has answered comes after all that was said before it.

use std::time::SystemTime;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use zonemesh_api::v1::RegistryMessage;
use zonemesh_api::v1::registry_client::RegistryClient;
use zonemesh_core::record::SignedRecord;
use zonemesh_core::replication::{
    ClockStamp, HeldVersions, StreamBody, StreamHello, StreamMessage,
};
use zonemesh_core::time::UnixMillis;

/// A registry stream.
pub(super) struct Stream {
    outbound: mpsc::Sender<RegistryMessage>,
    inbound: Streaming<RegistryMessage>,
}

impl Stream {
    /// Opens a stream and says hello.
    pub(super) async fn open(
        client: &mut RegistryClient<Channel>,
        hello: StreamHello,
    ) -> Result<Self, Status> {
        let (outbound, queue) = mpsc::channel(64);
        let first = message(StreamBody::Hello(hello));
        // The queue has room.
        let _sent = outbound.try_send(first);
        let inbound = client.exchange(ReceiverStream::new(queue)).await?.into_inner();
        Ok(Self { outbound, inbound })
    }

    pub(super) async fn say(&self, body: StreamBody) -> Result<()> {
        self.say_raw(message(body)).await
    }

    pub(super) async fn say_raw(&self, message: RegistryMessage) -> Result<()> {
        self.outbound.send(message).await.context("the stream has ended")
    }

    /// All records that berlin holds, at least `count`, after it has read what was said before.
    pub(super) async fn records(&mut self, count: usize) -> Result<Vec<SignedRecord>> {
        self.say(StreamBody::Versions(HeldVersions::default())).await?;
        loop {
            let next = self.inbound.message().await?.context("berlin has closed the stream")?;
            match StreamMessage::try_from(next)?.body {
                StreamBody::Items(items) if items.len() >= count => return Ok(items),
                _ => {}
            }
        }
    }

    /// Why berlin ends the stream.
    pub(super) async fn end(&mut self) -> Result<String> {
        loop {
            match self.inbound.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(String::new()),
                Err(status) => return Ok(status.message().to_owned()),
            }
        }
    }
}

pub(super) fn now() -> UnixMillis {
    UnixMillis::from(SystemTime::now())
}

fn message(body: StreamBody) -> RegistryMessage {
    StreamMessage { clock: ClockStamp { sent_at: now(), echo: None }, body }.into()
}

/// Runs `work` in a runtime of its own; for the inside of a namespace.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}
