//! This gateway's own record: its only writer.
//!
//! Promises: a version is signed once; publishing the same content again changes nothing; a record
//! of this zone with a higher version (a wiped disk, a restored snapshot, a cloned gateway) is
//! jumped above and the content published again. Two live clones would jump above each other for
//! ever, so that jumps are spaced, each wait twice the last.

use crate::gateway::GatewayId;
use crate::key::{ZoneIdentity, ZonePublicKey};
use crate::member::OutOfBounds;
use crate::record::{
    DecodeError, MAX_RECORD_BYTES, RecordContent, SignedRecord, Version, ZoneRecord,
};
use crate::time::UnixMillis;

use super::{HeldRecord, RecordAccepted, RecordRejected, Registry};

/// Wait between the first jump and the second.
const FIRST_WAIT_MS: u64 = 5_000;
/// Longest wait between two jumps.
const LONGEST_WAIT_MS: u64 = 320_000;
/// After this long without a jump the waits start anew.
const QUIET_MS: u64 = 900_000;

/// Why the own record cannot be published. The earlier record stays.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PublishError {
    /// A field is not valid.
    #[error("this zone's record is not valid")]
    Invalid(#[source] DecodeError),
    /// Too many SuperLinks or CA certificates.
    #[error("this zone's record would have {0} bytes, more than 65536")]
    TooLarge(usize),
    /// Beyond what this zone may claim.
    #[error("this zone may not claim that")]
    OutOfBounds(#[source] OutOfBounds),
}

/// The own record after a publication.
#[derive(Debug, Clone)]
pub struct PublishedRecord {
    /// The record that is held now. Store it before it leaves the gateway.
    pub record: SignedRecord,
    /// Its version.
    pub version: Version,
    /// False if the content was the same and nothing changed.
    pub changed: bool,
}

pub(super) struct Own {
    gateway: GatewayId,
    identity: ZoneIdentity,
    incarnation: u64,
    draft: Option<RecordContent>,
    /// Highest version that was ever seen with this zone's signature. Not that of what is held: a
    /// restored record may be refused, and its version still must not be signed for other bytes.
    highest: Option<Version>,
    jump: Jump,
}

#[derive(Default)]
struct Jump {
    due_at: Option<UnixMillis>,
    last: Option<UnixMillis>,
    wait_ms: u64,
}

impl Own {
    pub(super) fn new(gateway: GatewayId, identity: ZoneIdentity, incarnation: u64) -> Self {
        Self { gateway, identity, incarnation, draft: None, highest: None, jump: Jump::default() }
    }
}

impl Own {
    pub(super) fn key(&self) -> ZonePublicKey {
        self.identity.public_key()
    }

    pub(super) fn id(&self) -> &GatewayId {
        &self.gateway
    }

    pub(super) fn set_gateway(&mut self, name: String) {
        self.gateway.gateway = name;
    }

    /// Remembers a version that this zone has signed.
    pub(super) fn note_version(&mut self, version: Version) {
        self.highest = self.highest.max(Some(version));
    }

    /// What this zone said before a restart it says until something changes: a newer record of it, as
    /// after a backup was restored, is to be surpassed by that.
    pub(super) fn goes_on_saying(&mut self, content: RecordContent) {
        self.draft = Some(content);
    }

    /// Judges a record of this zone, rightly signed, that this registry does not hold.
    pub(super) fn judge_foreign(
        &mut self,
        foreign: Version,
        newer: bool,
        cloned: bool,
        now: UnixMillis,
    ) -> Result<RecordAccepted, RecordRejected> {
        match (newer, cloned) {
            (false, true) => Err(RecordRejected::CloneRefused),
            (false, false) => Err(RecordRejected::Outdated),
            (true, _) => {
                self.note_version(foreign);
                if self.draft.is_some() {
                    self.jump.schedule(now);
                }
                Ok(RecordAccepted::OwnSurpassed)
            }
        }
    }

    fn next_version(&self) -> Version {
        let first = Version { incarnation: self.incarnation, seq: 1 };
        self.highest.map_or(first, Version::next)
    }
}

impl Jump {
    fn schedule(&mut self, now: UnixMillis) {
        // A clock that went back must not hold a jump for longer than its wait.
        let after_last = |last: UnixMillis| last.min(now).plus(self.wait_ms).max(now);
        let due_at = self.last.map_or(now, after_last);
        self.due_at.get_or_insert(due_at);
    }

    fn take(&mut self, now: UnixMillis) -> bool {
        if self.due_at.is_none_or(|due_at| due_at > now) {
            return false;
        }
        let quiet = self.last.is_none_or(|last| now.since(last) > QUIET_MS);
        self.wait_ms = match quiet {
            true => FIRST_WAIT_MS,
            false => self.wait_ms.saturating_mul(2).min(LONGEST_WAIT_MS),
        };
        self.due_at = None;
        self.last = Some(now);
        true
    }
}

/// A record of this zone that is signed and not in force yet.
#[derive(Debug, Clone)]
pub struct PreparedRecord {
    held: HeldRecord,
    changed: bool,
}

impl PreparedRecord {
    /// The record, to be stored.
    #[must_use]
    pub fn record(&self) -> &SignedRecord {
        &self.held.signed
    }

    /// False if it is held already: nothing is to be stored.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.changed
    }
}

impl Registry {
    /// Publishes what this zone says about itself. The version grows only if the content changed,
    /// or if the record that is held was surpassed.
    ///
    /// # Errors
    /// [`PublishError`]; what was published before stays.
    pub fn publish(
        &mut self,
        draft: RecordContent,
        now: UnixMillis,
    ) -> Result<PublishedRecord, PublishError> {
        let prepared = self.prepare(draft, now)?;
        Ok(self.put_in_force(prepared))
    }

    /// Signs what this zone is to say about itself. Store it, then [`Registry::put_in_force`]; until
    /// then nothing has changed. One at a time: two that are prepared beside each other have one version.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn prepare(
        &self,
        draft: RecordContent,
        now: UnixMillis,
    ) -> Result<PreparedRecord, PublishError> {
        let present = self.present(&self.own.gateway);
        let current = present.filter(|held| Some(held.record.version) >= self.own.highest);
        if let Some(held) = current.filter(|held| held.record.content == draft) {
            return Ok(PreparedRecord { held: held.clone(), changed: false });
        }
        self.sign(draft, now)
    }

    /// Holds a record of this zone that was prepared.
    pub fn put_in_force(&mut self, prepared: PreparedRecord) -> PublishedRecord {
        let PreparedRecord { held, changed } = prepared;
        let version = held.record.version;
        self.own.draft = Some(held.record.content.clone());
        let record = held.signed.clone();
        if changed {
            // What was seen above it in the meantime is still to be surpassed.
            if Some(version) > self.own.highest {
                self.own.jump.due_at = None;
            }
            self.own.note_version(version);
            // Of this gateway's own there is always room.
            let _held = self.hold(held);
        }
        PublishedRecord { record, version, changed }
    }

    /// Publishes again, above a record of this zone that came from elsewhere, if that is due.
    /// The caller stores the record before it leaves the gateway.
    pub fn poll_republish(&mut self, now: UnixMillis) -> Option<PublishedRecord> {
        let prepared = self.poll_surpassed(now)?;
        Some(self.put_in_force(prepared))
    }

    /// A record above the one of this zone that came from elsewhere, once each time that it is due.
    /// Store it, then [`Registry::put_in_force`], or [`Registry::surpass_later`].
    pub fn poll_surpassed(&mut self, now: UnixMillis) -> Option<PreparedRecord> {
        if !self.own.jump.take(now) {
            return None;
        }
        let draft = self.own.draft.clone()?;
        // The draft was published before: it is valid and within bounds, only its version is new.
        self.sign(draft, now).ok()
    }

    /// Asks for [`Registry::poll_surpassed`] again, after its usual wait.
    pub fn surpass_later(&mut self, now: UnixMillis) {
        self.own.jump.schedule(now);
    }

    /// When to ask [`Registry::poll_surpassed`] next, if at all.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<UnixMillis> {
        self.own.jump.due_at
    }

    fn sign(&self, draft: RecordContent, now: UnixMillis) -> Result<PreparedRecord, PublishError> {
        let record = ZoneRecord {
            zone: self.own.gateway.zone.clone(),
            gateway: self.own.gateway.gateway.clone(),
            certificate: None,
            version: self.own.next_version(),
            issued_at: now,
            content: draft,
        };
        let signed = SignedRecord::sign(&record, &self.own.identity);
        if signed.payload().len() > MAX_RECORD_BYTES {
            return Err(PublishError::TooLarge(signed.payload().len()));
        }
        // Others will decode it by the same rules: what they would refuse is not published.
        let record = signed.decode().map_err(PublishError::Invalid)?;
        if let Some(member) = self.members.get(&self.own.gateway.zone) {
            let bounds = member.check_bounds(&record);
            bounds.map_err(PublishError::OutOfBounds)?;
        }
        Ok(PreparedRecord {
            held: HeldRecord::new(record, signed, self.own.key(), now),
            changed: true,
        })
    }
}
