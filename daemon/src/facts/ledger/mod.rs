//! The registry with its files: the only place where records enter and leave the core.
//!
//! Promises: a record or trust item is on disk before it leaves this gateway; whoever watches is woken after
//! each change; the lock is held for one decision and never across an await.

mod complaints;
mod offers;
mod trust;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, broadcast, watch};
use zonemesh_core::key::ZoneIdentity;
use zonemesh_core::membership::{ItemId, Membership};
use zonemesh_core::name::ZoneName;
use zonemesh_core::pace::{Change, Pace};
use zonemesh_core::record::{SignedRecord, ZoneDraft};
use zonemesh_core::registry::{Member, MembershipError, PublishError, Registry, Rejected};
use zonemesh_core::replication::{Message, Output, Refused, Session};
use zonemesh_core::time::UnixMillis;

use crate::facts::disk::records::RecordFiles;
use crate::facts::disk::trust::TrustFiles;
use crate::facts::disk::{remove, set_aside};
use crate::failure::{Exit, Failure, OrExit as _};

use complaints::Complaints;
use trust::Admitted;
pub(crate) use trust::Outcome;

/// Changed zones that a slow stream may lag behind before it falls back to a digest.
const QUEUE: usize = 256;
/// How long the ledger sleeps when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// What streams have to pass on.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// Trust items that are held since now; they go before the records that need them.
    Trust(Arc<[ItemId]>),
    /// A zone whose record has changed.
    Record(ZoneName),
}

/// The registry, its files and those who wait for changes.
pub(crate) struct Ledger {
    state: Mutex<State>,
    files: RecordFiles,
    pub(crate) trust: TrustFiles,
    changed: broadcast::Sender<News>,
    revision: watch::Sender<u64>,
    pub(crate) admitted: watch::Sender<Arc<Admitted>>,
    pub(crate) due: Notify,
    complaints: Complaints,
}

pub(crate) struct State {
    pub(crate) registry: Registry,
    draft: ZoneDraft,
    pace: Pace,
}

impl Ledger {
    /// Opens the ledger with what the disk still knows.
    pub(crate) fn open(
        zone: &ZoneName,
        identity: ZoneIdentity,
        members: Vec<Member>,
        state_folder: &Path,
    ) -> Result<Self, Failure> {
        let now = now();
        let message = || format!("cannot use the records in {}", state_folder.display());
        let trust = TrustFiles::open(state_folder).or_exit(Exit::Configuration, message)?;
        let membership = trust.read().or_exit(Exit::Trust, || {
            "cannot read which mesh this gateway belongs to; restore the state folder, or move the file away and join again".to_owned()
        })?;
        let registry = open_registry((zone.clone(), identity), members, membership, now)
            .or_exit(Exit::Configuration, || "the peers contradict each other".to_owned())?;
        let files = RecordFiles::open(state_folder).or_exit(Exit::Configuration, message)?;
        let mut state = State { registry, draft: empty_draft(), pace: Pace::default() };
        for (path, record) in files.read_all().or_exit(Exit::Configuration, message)? {
            match state.registry.restore(record, now) {
                Ok(_) => {}
                // It was in order until its zone was revoked.
                Err(Rejected::RevokedZone) => remove(&path),
                Err(reason) => set_aside(&path, &reason),
            }
        }
        if let Some(own) = state.registry.get(zone) {
            state.draft = own.record.content.clone();
        }
        let admitted = watch::Sender::new(Arc::new(Admitted::of(&state.registry)));
        Ok(Self {
            state: Mutex::new(state),
            files,
            trust,
            admitted,
            changed: broadcast::Sender::new(QUEUE),
            revision: watch::Sender::new(1),
            due: Notify::new(),
            complaints: Complaints::default(),
        })
    }

    /// Reads the registry.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Registry) -> T) -> T {
        read(&self.lock().registry)
    }

    /// What this zone says, or will say as soon as readiness may be published again.
    pub(crate) fn draft(&self) -> ZoneDraft {
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

    /// Changes what this zone says and publishes it, at once or when its pace allows.
    pub(crate) fn edit(
        &self,
        change: Change,
        edit: impl FnOnce(&mut ZoneDraft),
    ) -> Result<(), PublishError> {
        let mut state = self.lock();
        let before = state.draft.clone();
        edit(&mut state.draft);
        if state.draft == before && state.is_published() {
            return Ok(());
        }
        state.pace.handle_change(change, now());
        let published = self.publish_if_due(&mut state);
        if published.is_err() {
            state.draft = before;
        }
        drop(state);
        self.due.notify_one();
        published
    }

    /// Publishes what waited for its time, until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.next_due()) => {}
                () = self.due.notified() => continue,
            }
            let mut state = self.lock();
            self.publish_if_due(&mut state)?;
            if let Some(published) = state.registry.poll_republish(now()) {
                let zone = state.registry.zone().clone();
                self.store(&zone, &published.record);
                self.announce(&[zone]);
            }
        }
    }

    /// The first message of a stream.
    pub(crate) fn open_session(&self, session: &mut Session) -> Message {
        session.open(&self.lock().registry, now())
    }

    /// Takes a neighbour's message: stores what changed, wakes everyone, returns the answers.
    pub(crate) fn exchange(
        &self,
        session: &mut Session,
        message: Message,
    ) -> Result<Vec<Message>, Refused> {
        let mut state = self.lock();
        let handled = session.handle(message, &mut state.registry, now());
        let trust = self.settle_trust(&mut state);
        let Output { messages, changed, rejected } = handled.inspect_err(|refused| {
            let reason = Some(refused.reason()).filter(|reason| reason.is_suspicious());
            let reason = reason.into_iter().map(Rejected::as_str);
            self.complaints.tell(session.neighbour().as_str(), "registry stream", reason);
        })?;
        for zone in &changed {
            if let Some(held) = state.registry.get(zone) {
                self.store(zone, &held.signed);
            }
        }
        drop(state);
        let neighbour = session.neighbour().as_str();
        let records = rejected.iter().filter(|reason| reason.is_suspicious());
        self.complaints.tell(neighbour, "zone record", records.map(|reason| reason.as_str()));
        self.complain_of_trust(neighbour, &trust.rejected);
        self.announce(&changed);
        self.due.notify_one();
        Ok(messages)
    }

    /// Counts a neighbour's message that could not be read.
    pub(crate) fn refuse_unreadable(&self, neighbour: &ZoneName) {
        self.lock().registry.refuse(Rejected::Malformed);
        let reason = std::iter::once(Rejected::Malformed.as_str());
        self.complaints.tell(neighbour.as_str(), "message", reason);
    }

    /// Asks a session what to send, at a time or after a change.
    pub(crate) fn ask<T>(
        &self,
        session: &mut Session,
        ask: impl FnOnce(&mut Session, &Registry, UnixMillis) -> T,
    ) -> T {
        ask(session, &self.lock().registry, now())
    }

    fn publish_if_due(&self, state: &mut State) -> Result<(), PublishError> {
        if !state.pace.poll(now()) {
            return Ok(());
        }
        let published = state.registry.publish(state.draft.clone(), now())?;
        if published.changed {
            let zone = state.registry.zone().clone();
            self.store(&zone, &published.record);
            tracing::debug!(version = ?published.version, "published this zone's record");
            self.announce(&[zone]);
        }
        Ok(())
    }

    fn next_due(&self) -> Duration {
        let state = self.lock();
        let due = [state.pace.poll_timeout(), state.registry.poll_timeout()];
        let first = due.into_iter().flatten().min();
        first.map_or(IDLE, |due| Duration::from_millis(due.since(now())).min(IDLE))
    }

    pub(crate) fn store(&self, zone: &ZoneName, record: &SignedRecord) {
        if let Err(error) = self.files.store(zone, record) {
            tracing::error!(%zone, %error, "cannot store a zone record; is the disk full?");
        }
    }

    pub(crate) fn announce(&self, zones: &[ZoneName]) {
        for zone in zones {
            // Nobody listens while no stream is open.
            let _ = self.changed.send(News::Record(zone.clone()));
        }
        if !zones.is_empty() {
            self.wake_watchers();
        }
    }

    /// Passes on trust items that are held since now.
    pub(crate) fn announce_trust(&self, stored: Vec<ItemId>) {
        if !stored.is_empty() {
            // Nobody listens while no stream is open.
            let _ = self.changed.send(News::Trust(stored.into()));
        }
    }

    /// Wakes everyone who looks at the registry.
    pub(crate) fn wake_watchers(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Each decision leaves the state whole, so that a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_published(&self) -> bool {
        let own = self.registry.get(self.registry.zone());
        own.is_some_and(|own| own.record.content == self.draft)
    }
}

fn open_registry(
    own: (ZoneName, ZoneIdentity),
    configured: Vec<Member>,
    membership: Option<Membership>,
    now: UnixMillis,
) -> Result<Registry, MembershipError> {
    match membership {
        Some(membership) => Registry::managed(own, configured, membership, now.0),
        None => Registry::new(own.0, own.1, configured, now.0),
    }
}

/// This gateway's clock.
pub(crate) fn now() -> UnixMillis {
    UnixMillis::from(SystemTime::now())
}

fn empty_draft() -> ZoneDraft {
    ZoneDraft {
        gateways: Vec::new(),
        prefixes: Vec::new(),
        superlinks: Vec::new(),
        ca_sets: Vec::new(),
        protocol: zonemesh_core::record::ProtocolRange::CURRENT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(folder: &Path) -> Ledger {
        let identity = ZoneIdentity::from_seed(&[1; 32]);
        let zone: ZoneName = "berlin".parse().unwrap();
        let member = Member {
            zone: zone.clone(),
            key: identity.public_key(),
            prefixes: vec!["10.10.10.0/24".parse().unwrap()],
            tunnel_ips: vec!["10.255.0.1".parse().unwrap()],
        };
        Ledger::open(&zone, identity, vec![member], folder).unwrap()
    }

    fn announce(ledger: &Ledger, prefix: &str) -> Result<(), PublishError> {
        ledger.edit(Change::Urgent, |draft| draft.prefixes = vec![prefix.parse().unwrap()])
    }

    fn version(ledger: &Ledger) -> zonemesh_core::record::Version {
        ledger.read(|registry| registry.get(registry.zone()).unwrap().record.version)
    }

    #[test]
    fn a_restart_goes_on_with_the_stored_counter() {
        let folder = tempfile::tempdir().unwrap();
        let first = ledger(folder.path());
        announce(&first, "10.10.10.0/24").unwrap();
        let before = version(&first);
        let second = ledger(folder.path());
        assert_eq!(version(&second), before);
        announce(&second, "10.10.10.0/25").unwrap();
        assert!(version(&second) > before);
        assert_eq!(version(&second).incarnation, before.incarnation);
    }

    #[test]
    fn a_corrupted_record_is_set_aside_and_a_new_incarnation_starts() {
        let folder = tempfile::tempdir().unwrap();
        announce(&ledger(folder.path()), "10.10.10.0/24").unwrap();
        let file = folder.path().join("records/berlin.record");
        std::fs::write(&file, "garbage").unwrap();
        let ledger = ledger(folder.path());
        assert!(ledger.read(|registry| registry.get(registry.zone()).is_none()));
        assert!(folder.path().join("records/berlin.record.bad1").exists());
        announce(&ledger, "10.10.10.0/24").unwrap();
        assert!(file.exists());
    }

    #[test]
    fn what_the_zone_may_not_say_is_refused_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        announce(&ledger, "10.10.10.0/24").unwrap();
        let refused = announce(&ledger, "10.10.11.0/24");
        assert!(matches!(refused, Err(PublishError::OutOfBounds(_))));
        assert_eq!(ledger.draft().prefixes, ["10.10.10.0/24".parse().unwrap()]);
    }

    #[test]
    fn watchers_are_woken_by_a_change_only() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = ledger(folder.path());
        let mut revision = ledger.revision();
        announce(&ledger, "10.10.10.0/24").unwrap();
        assert!(revision.has_changed().unwrap());
        revision.mark_unchanged();
        announce(&ledger, "10.10.10.0/24").unwrap();
        assert!(!revision.has_changed().unwrap());
    }
}
