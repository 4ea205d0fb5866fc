//! The registry with its files: the only place where records enter and leave the core.
//!
//! Promises: what this zone says is on disk before it is in force or told to anybody, and what others
//! have said before it is passed on; whoever watches is woken after each change; the lock is held for
//! one decision and never across an await or a write.

mod audit;
mod complaints;
mod keep;
mod leave;
mod offers;
mod publish;
mod trust;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Notify, broadcast, watch};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::member::{Member, MembershipError};
use zonemesh_core::membership::{ItemId, Membership};
use zonemesh_core::name::ZoneName;
use zonemesh_core::pace::PublicationPace;
use zonemesh_core::record::RecordContent;
use zonemesh_core::registry::{HeldRecord, RecordRejected, Registry};
use zonemesh_core::replication::{ReplicationSession, SessionOutput, StreamMessage, StreamRefused};
use zonemesh_core::time::UnixMillis;

use crate::facts::disk::records::RecordFiles;
use crate::facts::disk::trust::TrustFiles;
use crate::facts::disk::{DiskWriter, Together, remove, set_aside};
use crate::facts::findings::FindingBoard;
use crate::facts::journal::AuditFile;
use crate::failure::{Exit, Failure, OrExit as _};

use complaints::Complaints;
pub(crate) use leave::FAREWELL;
pub(crate) use publish::NotPublished;
pub(crate) use trust::{Admitted, TrustChange};

/// Changed zones that a slow stream may lag behind before it falls back to a digest.
const QUEUE: usize = 256;
/// What streams have to pass on.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// Trust items that are held since now; they go before the records that need them.
    Trust(Arc<[ItemId]>),
    /// A gateway whose record has changed.
    Record(GatewayId),
}

/// The registry, its files and those who wait for changes.
pub(crate) struct Ledger {
    state: Mutex<LedgerState>,
    disk: DiskWriter,
    together: Together,
    files: RecordFiles,
    trust: TrustFiles,
    audit: AuditFile,
    /// Whoever changes what is this zone's own, one after the other.
    turns: Arc<tokio::sync::Mutex<()>>,
    changed: broadcast::Sender<News>,
    revision: watch::Sender<u64>,
    admitted: watch::Sender<Arc<Admitted>>,
    due: Notify,
    complaints: Complaints,
    /// True while something that others have said is not on disk.
    is_owed: AtomicBool,
}

/// What a gateway's ledger is opened with.
pub(crate) struct OwnZone {
    pub(crate) zone: ZoneName,
    /// The name of this gateway.
    pub(crate) gateway: String,
    pub(crate) identity: ZoneIdentity,
    /// The members that are written by hand, this zone among them.
    pub(crate) members: Vec<Member>,
}

/// A record that was read from the disk.
struct RestoredRecord {
    path: PathBuf,
    id: GatewayId,
    /// True if release 0.1.0 wrote it.
    is_past: bool,
}

struct LedgerState {
    registry: Registry,
    draft: RecordContent,
    pace: PublicationPace,
}

impl Ledger {
    /// Opens the ledger with what the disk still knows.
    pub(crate) fn open(
        own: OwnZone,
        state_folder: &Path,
        disk: DiskWriter,
    ) -> Result<Arc<Self>, Failure> {
        let now = now();
        let message = || format!("cannot use the records in {}", state_folder.display());
        let trust = TrustFiles::open(state_folder).or_exit(Exit::Configuration, message)?;
        let membership = trust.read().or_exit(Exit::Trust, || {
            "cannot read which mesh this gateway belongs to; restore the state folder, or move the file away and join again".to_owned()
        })?;
        let registry = open_registry(own, membership, now)
            .or_exit(Exit::Configuration, || "the peers contradict each other".to_owned())?;
        let files = RecordFiles::open(state_folder).or_exit(Exit::Configuration, message)?;
        let mut state = LedgerState {
            registry,
            draft: RecordContent::farewell(),
            pace: PublicationPace::default(),
        };
        let mut restored = Vec::new();
        for (path, record) in files.read_all().or_exit(Exit::Configuration, message)? {
            match state.registry.restore(record, now) {
                Ok(id) => {
                    let held = state.registry.get_gateway(&id);
                    let is_past = held.is_some_and(HeldRecord::is_of_the_past);
                    restored.push(RestoredRecord { path, id, is_past });
                }
                // It was in order while its zone was a member, and is again if it comes back.
                Err(RecordRejected::RevokedZone | RecordRejected::UnknownZone) => {}
                Err(reason) => set_aside(&path, &reason),
            }
        }
        // What a zone said in release 0.1.0 lies beside what its gateway says now.
        for one in restored {
            let held = state.registry.get_gateway(&one.id);
            if held.is_none_or(|held| held.is_of_the_past() != one.is_past) {
                remove(&one.path);
            }
        }
        if let Some(own) = state.registry.own_record() {
            state.draft = own.record.content.clone();
        }
        let admitted = watch::Sender::new(Arc::new(Admitted::of(&state.registry)));
        Ok(Arc::new(Self {
            state: Mutex::new(state),
            disk,
            together: Together::new(state_folder),
            files,
            trust,
            audit: AuditFile::new(state_folder),
            turns: Arc::default(),
            admitted,
            changed: broadcast::Sender::new(QUEUE),
            revision: watch::Sender::new(1),
            due: Notify::new(),
            complaints: Complaints::default(),
            is_owed: AtomicBool::new(false),
        }))
    }

    /// Reads the registry.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Registry) -> T) -> T {
        read(&self.lock().registry)
    }

    /// What this zone says, or will say as soon as readiness may be published again.
    pub(crate) fn draft(&self) -> RecordContent {
        self.lock().draft.clone()
    }

    /// Counts the changes that watchers have to look at.
    pub(crate) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// What has changed, from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<News> {
        self.changed.subscribe()
    }

    /// The first message of a stream.
    pub(crate) fn open_session(&self, session: &mut ReplicationSession) -> StreamMessage {
        session.open(&self.lock().registry, now())
    }

    /// Takes a neighbour's message: stores what changed, wakes everyone, returns the answers.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        session: &mut ReplicationSession,
        message: StreamMessage,
    ) -> Result<Vec<StreamMessage>, StreamRefused> {
        let (handled, trust) = {
            let mut state = self.lock();
            let handled = session.handle(message, &mut state.registry, now());
            (handled, self.take_trust_news(&mut state))
        };
        let neighbour = session.neighbour().as_str();
        self.complain_of_trust(neighbour, &trust.rejected);
        let (changed, outcome) = match handled {
            Ok(SessionOutput { messages, changed, rejected, claims }) => {
                let records = rejected.iter().filter(|reason| reason.is_suspicious());
                let reasons = records.map(|reason| reason.as_str());
                self.complaints.is_heard_again(neighbour);
                self.complaints.tell(neighbour, "zone record", reasons);
                claims.iter().for_each(|refused| self.complaints.tell_of_claim(neighbour, refused));
                changed.iter().for_each(|id| self.complaints.claims_no_more(&id.zone));
                if !changed.is_empty() && !rejected.iter().any(|reason| reason.is_suspicious()) {
                    self.complaints.is_honest_again(neighbour);
                }
                (changed, Ok(messages))
            }
            Err(refused) => {
                let reason = Some(refused.reason()).filter(|reason| reason.is_suspicious());
                let reason = reason.into_iter().map(RecordRejected::as_str);
                self.complaints.tell(neighbour, "registry stream", reason);
                (Vec::new(), Err(refused))
            }
        };
        self.keep(changed, trust).await;
        self.due.notify_one();
        outcome
    }

    /// Where what is found about this gateway is kept.
    pub(crate) fn findings(&self) -> Arc<FindingBoard> {
        self.complaints.findings.clone()
    }

    /// Neighbours may bring records of zones that are left out here.
    pub(crate) fn expect_strangers(&self) {
        self.complaints.expect_strangers();
    }

    /// Counts a neighbour's message that could not be read.
    pub(crate) fn refuse_unreadable(&self, neighbour: &ZoneName) {
        self.lock().registry.refuse(RecordRejected::Malformed);
        let reason = std::iter::once(RecordRejected::Malformed.as_str());
        self.complaints.tell(neighbour.as_str(), "message", reason);
    }

    /// Asks a session what to send, at a time or after a change.
    pub(crate) fn ask<T>(
        &self,
        session: &mut ReplicationSession,
        ask: impl FnOnce(&mut ReplicationSession, &Registry, UnixMillis) -> T,
    ) -> T {
        ask(session, &self.lock().registry, now())
    }

    fn announce(&self, gateways: &[GatewayId]) {
        for gateway in gateways {
            // Nobody listens while no stream is open.
            let _ = self.changed.send(News::Record(gateway.clone()));
        }
        if !gateways.is_empty() {
            self.wake_watchers();
        }
    }

    /// Passes on trust items that are held since now.
    fn announce_trust(&self, stored: Vec<ItemId>) {
        if !stored.is_empty() {
            // Nobody listens while no stream is open.
            let _ = self.changed.send(News::Trust(stored.into()));
        }
    }

    /// Wakes everyone who looks at the registry.
    fn wake_watchers(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    fn lock(&self) -> MutexGuard<'_, LedgerState> {
        // Each decision leaves the state whole, so that a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_registry(
    own: OwnZone,
    membership: Option<Membership>,
    now: UnixMillis,
) -> Result<Registry, MembershipError> {
    let OwnZone { zone, gateway, identity, members } = own;
    let registry = match membership {
        Some(membership) => Registry::managed(zone, identity, members, membership, now.0),
        None => Registry::new(zone, identity, members, now.0),
    };
    Ok(registry?.named(gateway))
}

/// This gateway's clock.
pub(crate) fn now() -> UnixMillis {
    UnixMillis::from(SystemTime::now())
}

#[cfg(test)]
mod tests;
