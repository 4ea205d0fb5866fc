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
use zonemesh_core::name::ZoneName;
use zonemesh_core::replication::{ReplicationSession, StreamMessage};

use crate::facts::keepalives::{Heard, Keepalives};
use crate::facts::ledger::{Ledger, News, now};
use crate::facts::streams::StreamBoard;

/// Messages that may wait for a slow neighbour.
pub(crate) const OUTBOX: usize = 64;
/// Items that are checked in one go: their signatures cost time, and others wait for the ledger.
const ITEMS_AT_ONCE: usize = 64;
/// Pause between them.
const PAUSE_BETWEEN_ITEMS: Duration = Duration::from_millis(1);

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
}

/// Runs a stream to `gateway`, whose zone its certificate has shown, until it ends. `probe` asks for
/// a sign of life now: the path has just changed.
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
    anyhow::ensure!(key.is_some(), "zone {neighbour} does not belong to this mesh");
    let mut session = ReplicationSession::new(mesh.clone(), neighbour.clone());
    let mut open = OpenMark { board: &context.board, gateway, marked: false };
    let result = tokio::select! {
        result = exchange(context, &mut session, &mut open, wires, probe) => result,
        changed = admitted.wait_for(|now| now.mesh != mesh || now.zones.get(neighbour).copied() != key) => {
            changed.context("the gateway stops")?;
            Err(anyhow::anyhow!("the members of the mesh have changed"))
        }
    };
    context.board.set_clock_offset(gateway, session.clock_offset());
    result
}

/// Marks the stream open on the board for as long as it lives.
struct OpenMark<'a> {
    board: &'a StreamBoard,
    gateway: &'a GatewayId,
    marked: bool,
}

impl OpenMark<'_> {
    fn set(&mut self) {
        if !self.marked {
            self.marked = true;
            if self.board.opened(self.gateway) {
                tracing::info!(zone = %self.gateway.zone, "registry stream open");
            }
        }
    }
}

impl Drop for OpenMark<'_> {
    fn drop(&mut self) {
        if self.marked && self.board.closed(self.gateway) {
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

async fn exchange(
    context: &StreamContext,
    session: &mut ReplicationSession,
    open: &mut OpenMark<'_>,
    wires: Wires,
    probe: &Notify,
) -> anyhow::Result<()> {
    let ledger = &context.ledger;
    let _heard = wires.heard;
    let neighbour = session.neighbour().clone();
    let mut inbound = Inbox { queue: wires.inbound, hear_at: Instant::now() };
    let mut outbox = Outbox { queue: wires.outbound, lost: false };
    let mut changes = ledger.changes();
    outbox.send(ledger.open_session(session))?;
    loop {
        if outbox.must_catch_up() {
            outbox.lost = false;
            outbox.send(ledger.ask(session, ReplicationSession::handle_loss))?;
        }
        let digest_in = Duration::from_millis(session.poll_timeout().since(now()));
        tokio::select! {
            message = inbound.next(ledger, &neighbour) => {
                let Some(message) = message? else { return Ok(()) };
                let pause = context.board.pause(&neighbour, message.items());
                inbound.hear_at = Instant::now() + pause;
                let mut parts = message.split(ITEMS_AT_ONCE).into_iter().peekable();
                while let Some(part) = parts.next() {
                    for answer in ledger.exchange(session, part).await? {
                        outbox.send(answer)?;
                    }
                    if parts.peek().is_some() {
                        tokio::time::sleep(PAUSE_BETWEEN_ITEMS).await;
                    }
                }
                open.set();
                context.board.set_clock_offset(open.gateway, session.clock_offset());
            }
            change = changes.recv() => match change {
                Ok(News::Trust(stored)) => {
                    let pushes = ledger.ask(session, |session, registry, now| {
                        session.handle_trust(&stored, registry, now)
                    });
                    pushes.into_iter().try_for_each(|push| outbox.send(push))?;
                }
                Ok(News::Record(gateway)) => {
                    let push = ledger.ask(session, |session, registry, now| {
                        session.handle_change(&gateway, registry, now)
                    });
                    push.map_or(Ok(()), |push| outbox.send(push))?;
                }
                Err(RecvError::Lagged(_)) => outbox.lost = true,
                Err(RecvError::Closed) => return Ok(()),
            },
            () = tokio::time::sleep(digest_in) => {
                let digest = ledger.ask(session, ReplicationSession::handle_timeout);
                digest.map_or(Ok(()), |digest| outbox.send(digest))?;
            }
            () = probe.notified() => outbox.lost = true,
        }
    }
}
