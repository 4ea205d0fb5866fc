//! A zone that speaks for itself: registry streams with its own key, beside its honest gateway.
//!
//! Owns what somebody can do who has a zone's key and no scruples. Promises that what berlin has answered
//! comes after all that was said before it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use netns_tests::lab::Lab;
use netns_tests::mesh::{Mesh, REGISTRY_PORT};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use zonemesh_api::clients::registry;
use zonemesh_api::v1::RegistryMessage;
use zonemesh_api::v1::registry_client::RegistryClient;
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::key::{ZoneIdentity, ZonePublicKey};
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::{ProtocolRange, SignedRecord};
use zonemesh_core::replication::{Body, Clock, Hello, MeshId, Message, Summary, Versions};
use zonemesh_core::time::UnixMillis;
use zonemesh_pki::{CurrentLeaf, ZoneAuthority, ZoneTrust, zone_client_config};

/// Whoever holds a zone's key.
pub(super) struct Caller {
    pub(super) zone: ZoneName,
    pub(super) identity: ZoneIdentity,
    pub(super) mesh: MeshId,
    tls: Arc<rustls::ClientConfig>,
    berlin: SocketAddr,
}

impl Caller {
    /// Takes the key out of the files of `zone`'s gateway.
    pub(super) fn with_key_of(lab: &Lab, mesh: &mut Mesh, zone: &str) -> Result<Self> {
        let file = mesh.gateway(zone)?.folder().join("zone.key");
        let identity = ZoneIdentity::from_base64(std::fs::read_to_string(file)?.trim())?;
        let own_ip = IpAddr::from(lab.zone(zone)?.tunnel_address);
        let authority = ZoneAuthority::from_seed(zone, &identity.seed())?;
        let leaf = CurrentLeaf::new(&authority.issue_leaf(&[own_ip], SystemTime::now())?)?;
        let key: ZonePublicKey = mesh.gateway("berlin")?.keys.zone.parse()?;
        let trust = ZoneTrust::new(&[("berlin".to_owned(), *key.as_bytes())])?;
        let berlin = IpAddr::from(lab.zone("berlin")?.tunnel_address);
        Ok(Self {
            zone: zone.parse()?,
            identity,
            mesh: MeshId::new(mesh.gateway(zone)?.zones()?.mesh),
            tls: zone_client_config(&trust, &leaf, "berlin")?,
            berlin: SocketAddr::new(berlin, REGISTRY_PORT),
        })
    }

    /// A connection to berlin's registry. Call this inside a namespace from which it is reached.
    pub(super) async fn connect(&self) -> Result<RegistryClient<Channel>> {
        Ok(registry::connect(self.berlin, self.tls.clone(), &Keepalive::DEFAULT).await?)
    }

    /// What an honest gateway of this zone says first.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            mesh: self.mesh.clone(),
            zone: self.zone.clone(),
            protocol: ProtocolRange::CURRENT,
            holds: Summary { root_hash: [0; 32], trust_hash: Some([0; 32]) },
        }
    }
}

/// A registry stream.
pub(super) struct Stream {
    outbound: mpsc::Sender<RegistryMessage>,
    inbound: Streaming<RegistryMessage>,
}

impl Stream {
    /// Opens a stream and says hello.
    pub(super) async fn open(
        client: &mut RegistryClient<Channel>,
        hello: Hello,
    ) -> Result<Self, Status> {
        let (outbound, queue) = mpsc::channel(64);
        let first = message(Body::Hello(hello));
        // The queue has room.
        let _sent = outbound.try_send(first);
        let inbound = client.exchange(ReceiverStream::new(queue)).await?.into_inner();
        Ok(Self { outbound, inbound })
    }

    pub(super) async fn say(&self, body: Body) -> Result<()> {
        self.say_raw(message(body)).await
    }

    pub(super) async fn say_raw(&self, message: RegistryMessage) -> Result<()> {
        self.outbound.send(message).await.context("the stream has ended")
    }

    /// All records that berlin holds, at least `count`, after it has read what was said before.
    pub(super) async fn records(&mut self, count: usize) -> Result<Vec<SignedRecord>> {
        self.say(Body::Versions(Versions::default())).await?;
        loop {
            let next = self.inbound.message().await?.context("berlin has closed the stream")?;
            match Message::try_from(next)?.body {
                Body::Items(items) if items.len() >= count => return Ok(items),
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

fn message(body: Body) -> RegistryMessage {
    Message { clock: Clock { sent_at: now(), echo: None }, body }.into()
}

/// Runs `work` in a runtime of its own; for the inside of a namespace.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}
