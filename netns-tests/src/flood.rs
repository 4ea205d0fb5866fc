//! Floods: a member, or a VM, that asks a gateway for more than it should get.
//!
//! Owns callers with real keys over real TLS that never wait for luck: each sends as fast as it is let.
//! Promises an end at a set time or number, and tells what was sent. Refuses to judge: what the
//! others must not feel is the scenario's matter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::service_fn;
use zonemesh_api::clients::local::{self, LocalSession};
use zonemesh_api::v1::RegistryMessage;
use zonemesh_api::v1::local_client::LocalClient;
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::{ProtocolRange, RecordContent, SignedRecord, Version, ZoneRecord};
use zonemesh_core::replication::{ClockStamp, StreamBody, StreamMessage};
use zonemesh_core::time::UnixMillis;

use crate::key_holder::KeyHolder;
use crate::updates::{Post, Registering};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::Mesh;
use zonemesh_lab::namespace::Namespace;

/// Callers at once.
const CALLERS: usize = 16;

/// A member of the mesh with its real key, and the gateway that it floods.
#[derive(Clone)]
pub struct FloodingMember(Arc<KeyHolder>);

/// What a flood of messages came to.
#[derive(Debug, Default)]
pub struct Sent {
    /// TLS sessions that stood.
    pub connections: AtomicU64,
    /// Streams that were asked for.
    pub streams: AtomicU64,
    /// Messages that were handed to the streams.
    pub messages: AtomicU64,
    /// Connections and streams that were refused or ended.
    pub refused: AtomicU64,
}

impl FloodingMember {
    /// The member `zone` with the key of its gateway, as towards the gateway of `victim`.
    ///
    /// # Errors
    /// As [`KeyHolder::of`].
    pub fn of(lab: &Lab, mesh: &mut Mesh, zone: &str, victim: &str) -> Result<Self> {
        Ok(Self(Arc::new(KeyHolder::of(lab, mesh, zone, victim)?)))
    }

    /// The hello that is said again and again, although once is enough.
    #[must_use]
    pub fn hello(&self) -> RegistryMessage {
        message(StreamBody::Hello(self.0.hello()))
    }

    /// A message with `count` records of another zone, newer than its own, signed by this member.
    ///
    /// # Errors
    /// When `zone` is no name.
    pub fn forgeries(&self, zone: &str, count: u64) -> Result<RegistryMessage> {
        let zone: ZoneName = zone.parse()?;
        let content = RecordContent {
            gateways: Vec::new(),
            prefixes: Vec::new(),
            superlinks: Vec::new(),
            ca_sets: Vec::new(),
            protocol: ProtocolRange::CURRENT,
            ..RecordContent::default()
        };
        let record = |seq| ZoneRecord {
            gateway: format!("{zone}-gw1"),
            certificate: None,
            zone: zone.clone(),
            version: Version { incarnation: u64::MAX, seq },
            issued_at: UnixMillis(seq),
            content: content.clone(),
        };
        let forged = (0..count).map(|seq| SignedRecord::sign(&record(seq), &self.0.identity));
        Ok(message(StreamBody::Items(forged.collect())))
    }

    /// Opens connections and streams from `place`, says hello on each, and then `message` without end,
    /// for `period`.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn flood(
        &self,
        place: &Namespace,
        message: &RegistryMessage,
        period: Duration,
    ) -> Result<Sent> {
        let sent = Arc::new(Sent::default());
        let counted = sent.clone();
        place.inside(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let deadline = Instant::now() + period;
                let mut callers = JoinSet::new();
                for caller in 0..CALLERS {
                    // Half of them open a connection for each stream.
                    let streams = if caller % 2 == 0 { 1 } else { 100 };
                    let call = call(self.clone(), message.clone(), streams, counted.clone());
                    callers.spawn(async move { timeout_at(deadline, call).await.is_ok() });
                }
                while callers.join_next().await.is_some() {}
            });
            Ok(())
        })?;
        Ok(Arc::try_unwrap(sent).unwrap_or_default())
    }
}

fn message(body: StreamBody) -> RegistryMessage {
    StreamMessage { clock: ClockStamp { sent_at: UnixMillis(0), echo: None }, body }.into()
}

/// One caller; it never ends by itself.
async fn call(member: FloodingMember, message: RegistryMessage, streams: u32, sent: Arc<Sent>) {
    let hello = member.hello();
    let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    loop {
        let Ok(mut client) = member.0.connect().await else {
            count(&sent.refused);
            tokio::task::yield_now().await;
            continue;
        };
        count(&sent.connections);
        // A connection that was ended shows in the first call after it.
        for _ in 0..streams {
            count(&sent.streams);
            let (again, counted) = (message.clone(), sent.clone());
            let again = std::iter::repeat_with(move || {
                counted.messages.fetch_add(1, Ordering::Relaxed);
                again.clone()
            });
            let messages = std::iter::once(hello.clone()).chain(again);
            match client.exchange(tokio_stream::iter(messages)).await {
                Ok(answers) => {
                    let mut answers = answers.into_inner();
                    while let Ok(Some(_)) = answers.message().await {}
                    count(&sent.refused);
                }
                Err(status) => {
                    count(&sent.refused);
                    if status.code() != Code::ResourceExhausted {
                        break;
                    }
                }
            }
        }
    }
}

/// What a flood of registrations came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Registrations {
    /// Those that were served.
    pub served: u64,
    /// Those for which the token was not good.
    pub unauthenticated: u64,
    /// Those that were too many.
    pub too_many: u64,
    /// Those that ended in another way.
    pub other: u64,
}

/// Sends `count` registrations from a VM, over a few connections.
///
/// # Errors
/// When the namespace cannot be entered, or the gateway lets nobody in.
pub fn flood_with_registrations(
    from: &Post<'_>,
    request: &Registering,
    count: u64,
) -> Result<Registrations> {
    const CONNECTIONS: u64 = 8;
    from.place.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut callers = JoinSet::new();
            for _ in 0..CONNECTIONS {
                let client = local::connect(from.api, from.tls.clone()).await?;
                callers.spawn(register(client, request.clone(), count / CONNECTIONS));
            }
            let mut all = Registrations::default();
            while let Some(one) = callers.join_next().await {
                let one = one?;
                all.served += one.served;
                all.unauthenticated += one.unauthenticated;
                all.too_many += one.too_many;
                all.other += one.other;
            }
            Ok(all)
        })
    })
}

async fn register(
    mut client: LocalClient<Channel>,
    request: Registering,
    count: u64,
) -> Registrations {
    let mut seen = Registrations::default();
    let mut session = None;
    for _ in 0..count {
        let registered = again(&mut client, &mut session, &request).await;
        match registered.map_err(|status| status.code()) {
            Ok(()) => seen.served += 1,
            Err(Code::Unauthenticated) => seen.unauthenticated += 1,
            Err(Code::ResourceExhausted) => seen.too_many += 1,
            Err(_) => seen.other += 1,
        }
    }
    seen
}

/// In the session that is open, or in a new one.
async fn again(
    client: &mut LocalClient<Channel>,
    session: &mut Option<LocalSession>,
    request: &Registering,
) -> Result<(), Status> {
    let open = match session {
        Some(open) => open,
        None => session.insert(request.open(client).await?),
    };
    request.again(open).await.map(drop)
}

/// Opens `count` sessions from a VM and reads none of them, for `period`; returns how many the gateway
/// has let in.
///
/// # Errors
/// When the namespace cannot be entered, or the gateway lets nobody in.
pub fn listen_without_reading(from: &Post<'_>, count: u32, period: Duration) -> Result<usize> {
    const CONNECTIONS: u32 = 4;
    from.place.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut unread = Vec::new();
            for _ in 0..CONNECTIONS {
                let mut client = LocalClient::new(narrow(from).await?);
                for _ in 0..count / CONNECTIONS {
                    let hello = from.hello()?;
                    unread.extend(LocalSession::open(&mut client, hello, &[]).await.ok());
                }
            }
            tokio::time::sleep(period).await;
            Ok(unread.len())
        })
    })
}

/// A connection on which the other end may send one byte of each answer until it is read.
async fn narrow(from: &Post<'_>) -> Result<Channel> {
    let stream = TcpStream::connect(from.api).await?;
    let name = ServerName::IpAddress(from.api.ip().into());
    let stream = TlsConnector::from(from.tls.clone()).connect(name, stream).await?;
    let mut once = Some(TokioIo::new(stream));
    let connector = service_fn(move |_| {
        let stream = once.take().ok_or_else(|| std::io::Error::other("it was used already"));
        std::future::ready(stream)
    });
    let endpoint = Endpoint::from_shared(format!("http://{}", from.api))?;
    let endpoint = endpoint.initial_stream_window_size(1);
    Ok(endpoint.connect_with_connector(connector).await?)
}
