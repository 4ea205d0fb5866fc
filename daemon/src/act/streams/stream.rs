//! One open stream to a neighbour: moves messages between the wire and its session.
//!
//! The same code serves both ends, whoever dialled. A neighbour that reads too slowly gets a
//! digest in place of what did not fit; one that says too much is heard later; one that says what it
//! may not is disconnected.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use zonemesh_api::exchange::{InboundError, InboundMessages};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::ItemId;
use zonemesh_core::name::ZoneName;
use zonemesh_core::registry::Registry;
use zonemesh_core::replication::{ReplicationSession, StreamBody, StreamMessage};

use crate::act::network::Network;
use crate::facts::keepalives::{Heard, Keepalives};
use crate::facts::ledger::{Admitted, Ledger, News, now};
use crate::facts::pairs::PairBoard;
use crate::facts::streams::StreamBoard;
use crate::facts::tunnel::DataPlane;

/// Messages that may wait for a slow neighbour.
pub(crate) const OUTBOX: usize = 64;
/// Items that are checked in one go: their signatures cost time, and others wait for the ledger.
const ITEMS_AT_ONCE: usize = 64;
/// Pause between them.
const PAUSE_BETWEEN_ITEMS: Duration = Duration::from_millis(1);
/// How long a zone that is out is told why; its tunnel stays so long.
pub(crate) const LAST_WORD: Duration = Duration::from_secs(1);
/// How long what was handed to the network may take to the other end.
pub(crate) const ON_ITS_WAY: Duration = Duration::from_millis(300);
/// How often it is looked whether it was handed over.
const LOOK: Duration = Duration::from_millis(10);

/// A stream ends as it is one of other members now; the next one is of those.
#[derive(Debug, thiserror::Error)]
#[error("the members of the mesh have changed")]
pub(super) struct MembersChanged;

/// Both directions of a stream.
pub(crate) struct Wires {
    pub(crate) inbound: InboundMessages,
    pub(crate) outbound: mpsc::Sender<StreamMessage>,
    /// What the other end has told of its keepalives, for as long as the stream lives.
    pub(crate) heard: Heard,
}

/// What every stream needs of the gateway.
#[derive(Clone)]
pub(crate) struct StreamContext {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) board: Arc<StreamBoard>,
    pub(crate) keepalives: Arc<Keepalives>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) pairs: Arc<PairBoard>,
    pub(crate) tunnel: Arc<dyn DataPlane>,
}

/// Runs a stream to `gateway`, whose zone its certificate has shown, until it ends. `probe` asks for
/// a sign of life now: the path has just changed. A zone that was revoked is told so at last.
pub(crate) async fn run(
    context: &StreamContext,
    gateway: &GatewayId,
    wires: Wires,
    probe: &Notify,
) -> anyhow::Result<()> {
    let neighbour = &gateway.zone;
    let mut admitted = context.ledger.admitted();
    let (mesh, key) = {
        let now = admitted.borrow_and_update();
        (now.mesh.clone(), now.zones.get(neighbour).copied())
    };
    let key = key.with_context(|| format!("zone {neighbour} does not belong to this mesh"))?;
    let is_other = |now: &Arc<Admitted>| now.mesh != mesh || now.zones.get(neighbour) != Some(&key);
    let mut talk = Talk {
        context,
        session: ReplicationSession::new(mesh.clone(), neighbour.clone()),
        open: OpenMark { context, gateway, marked: false },
        inbound: Inbox { queue: wires.inbound, hear_at: Instant::now() },
        outbox: Outbox { queue: wires.outbound, lost: false },
        _heard: wires.heard,
    };
    let result = tokio::select! {
        result = talk.exchange(probe) => result,
        changed = admitted.wait_for(is_other) => {
            changed.map(drop).context("the gateway stops")
        }
    };
    context.board.set_clock_offset(gateway, talk.session.clock_offset());
    if result.is_ok() && is_other(&admitted.borrow()) {
        // Nobody else will tell it: its tunnels go with this stream.
        let _told_or_time = tokio::time::timeout(LAST_WORD, talk.tell_of_revocation(&key)).await;
        return Err(MembersChanged.into());
    }
    result
}

/// Marks the stream open on the board for as long as it lives.
struct OpenMark<'a> {
    context: &'a StreamContext,
    gateway: &'a GatewayId,
    marked: bool,
}

impl OpenMark<'_> {
    /// True if it was not before.
    fn set(&mut self) -> bool {
        if self.marked {
            return false;
        }
        self.marked = true;
        if self.context.board.opened(self.gateway) {
            tracing::info!(zone = %self.gateway.zone, "registry stream open");
        }
        true
    }
}

impl Drop for OpenMark<'_> {
    fn drop(&mut self) {
        if self.marked && self.context.board.closed(self.gateway) {
            self.context.pairs.forget(self.gateway);
            tracing::info!(zone = %self.gateway.zone, "registry stream closed");
        }
    }
}

/// The way in: nothing is read while a neighbour that has said too much has to wait.
struct Inbox {
    queue: InboundMessages,
    hear_at: Instant,
}

impl Inbox {
    async fn next(
        &mut self,
        ledger: &Ledger,
        from: &ZoneName,
    ) -> anyhow::Result<Option<StreamMessage>> {
        tokio::time::sleep_until(self.hear_at).await;
        let message = self.queue.next().await;
        if matches!(message, Err(InboundError::Malformed(_))) {
            ledger.refuse_unreadable(from);
        }
        Ok(message?)
    }
}

/// The way out: full means lost, and lost is made good by a digest.
struct Outbox {
    queue: mpsc::Sender<StreamMessage>,
    lost: bool,
}

impl Outbox {
    fn send(&mut self, message: StreamMessage) -> anyhow::Result<()> {
        match self.queue.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => {
                self.lost = true;
                Ok(())
            }
            Err(TrySendError::Closed(_)) => anyhow::bail!("the neighbour closed the stream"),
        }
    }

    fn must_catch_up(&self) -> bool {
        self.lost && self.queue.capacity() > 0
    }
}

/// One end of an open stream.
struct Talk<'a> {
    context: &'a StreamContext,
    session: ReplicationSession,
    open: OpenMark<'a>,
    inbound: Inbox,
    outbox: Outbox,
    _heard: Heard,
}

impl Talk<'_> {
    /// Goes on until the neighbour ends it, or says what it may not.
    async fn exchange(&mut self, probe: &Notify) -> anyhow::Result<()> {
        let ledger = &self.context.ledger;
        let neighbour = self.session.neighbour().clone();
        let mut changes = ledger.changes();
        let mut questions = self.context.pairs.questions();
        self.outbox.send(ledger.open_session(&mut self.session))?;
        loop {
            if self.outbox.must_catch_up() {
                self.outbox.lost = false;
                let digest = ledger.ask(&mut self.session, ReplicationSession::handle_loss);
                self.outbox.send(digest)?;
            }
            let digest_in = Duration::from_millis(self.session.poll_timeout().since(now()));
            tokio::select! {
                message = self.inbound.next(ledger, &neighbour) => {
                    let Some(message) = message? else { return Ok(()) };
                    self.hear(message).await?;
                }
                change = changes.recv() => match change {
                    Ok(news) => self.pass_on(&news)?,
                    Err(RecvError::Lagged(_)) => self.outbox.lost = true,
                    Err(RecvError::Closed) => return Ok(()),
                },
                () = tokio::time::sleep(digest_in) => {
                    let digest = ledger.ask(&mut self.session, ReplicationSession::handle_timeout);
                    digest.map_or(Ok(()), |digest| self.outbox.send(digest))?;
                }
                () = probe.notified() => self.outbox.lost = true,
                // What it lags behind were questions that somebody still waits for, or nobody any more.
                asked = questions.recv() => {
                    if asked.as_ref().map_or(true, |gateway| gateway == self.open.gateway) {
                        self.say_aside(StreamBody::CountersQuestion)?;
                    }
                }
            }
        }
    }

    /// Takes a message of the neighbour, part by part.
    async fn hear(&mut self, message: StreamMessage) -> anyhow::Result<()> {
        self.hear_aside(&message.body)?;
        let Self { context, session, open, inbound, outbox, .. } = self;
        let pause = context.board.pause(session.neighbour(), message.items());
        inbound.hear_at = Instant::now() + pause;
        let mut parts = message.split(ITEMS_AT_ONCE).into_iter().peekable();
        while let Some(part) = parts.next() {
            for answer in context.ledger.exchange(session, part).await? {
                outbox.send(answer)?;
            }
            if parts.peek().is_some() {
                tokio::time::sleep(PAUSE_BETWEEN_ITEMS).await;
            }
        }
        let is_new = open.set();
        context.board.set_clock_offset(open.gateway, session.clock_offset());
        // What it has counted until now: later answers are compared with it.
        if is_new { self.say_aside(StreamBody::CountersQuestion) } else { Ok(()) }
    }

    /// Takes what is said beside replication.
    fn hear_aside(&mut self, said: &StreamBody) -> anyhow::Result<()> {
        match said {
            StreamBody::CountersQuestion => {
                let ours = self.context.own_end(self.open.gateway);
                ours.map_or(Ok(()), |ours| self.say_aside(StreamBody::Counters(ours)))
            }
            StreamBody::Counters(theirs) if self.session.protocol().is_some() => {
                self.context.compare(self.open.gateway, theirs.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn say_aside(&mut self, body: StreamBody) -> anyhow::Result<()> {
        self.session.aside(body, now()).map_or(Ok(()), |message| self.outbox.send(message))
    }

    fn pass_on(&mut self, news: &News) -> anyhow::Result<()> {
        let ledger = &self.context.ledger;
        match news {
            News::Trust(stored) => self.push_trust(stored),
            News::Record(gateway) => {
                let push = ledger.ask(&mut self.session, |session, registry, now| {
                    session.handle_change(gateway, registry, now)
                });
                push.map_or(Ok(()), |push| self.outbox.send(push))
            }
        }
    }

    fn push_trust(&mut self, stored: &[ItemId]) -> anyhow::Result<()> {
        let ask = |session: &mut ReplicationSession, registry: &Registry, now| {
            session.handle_trust(stored, registry, now)
        };
        let pushes = self.context.ledger.ask(&mut self.session, ask);
        pushes.into_iter().try_for_each(|push| self.outbox.send(push))
    }

    /// Says what has revoked `key`, the neighbour's, as soon as that is on disk, and waits until it can
    /// have read it. Says nothing if the key was not revoked.
    async fn tell_of_revocation(mut self, key: &ZonePublicKey) {
        let revoking = self.context.ledger.kept_revocations(key).await;
        if revoking.is_empty() || self.push_trust(&revoking).is_err() {
            return;
        }
        let Self { mut inbound, outbox, .. } = self;
        while outbox.queue.capacity() < outbox.queue.max_capacity() && !outbox.queue.is_closed() {
            tokio::time::sleep(LOOK).await;
        }
        drop(outbox);
        // One that has read all of it ends its side; another has had the time.
        let ended = async { while let Ok(Some(_)) = inbound.queue.next().await {} };
        let _ended_or_time = tokio::time::timeout(ON_ITS_WAY, ended).await;
    }
}
