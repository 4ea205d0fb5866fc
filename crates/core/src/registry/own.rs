//! The zone's own record: its only writer.
//!
//! Promises: a version is signed once; publishing the same content again changes nothing; a record
//! of this zone with a higher version (a wiped disk, a restored snapshot, a cloned gateway) is
//! jumped above and the content published again. Two live clones would jump above each other for
//! ever, so that jumps are spaced, each wait twice the last.

use crate::key::{ZoneIdentity, ZonePublicKey};
use crate::name::ZoneName;
use crate::record::{DecodeError, MAX_RECORD_BYTES, SignedRecord, Version, ZoneDraft, ZoneRecord};
use crate::time::UnixMillis;

use super::{Accepted, OutOfBounds, Registry, Rejected};

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
    /// Too many SuperLinks, CA certificates or endpoints.
    #[error("this zone's record would have {0} bytes, more than 65536")]
    TooLarge(usize),
    /// Beyond what this zone may claim.
    #[error("this zone may not claim that")]
    OutOfBounds(#[source] OutOfBounds),
}

/// The own record after a publication.
#[derive(Debug, Clone)]
pub struct Published {
    /// The record that is held now. Store it before it leaves the gateway.
    pub record: SignedRecord,
    /// Its version.
    pub version: Version,
    /// False if the content was the same and nothing changed.
    pub changed: bool,
}

pub(super) struct Own {
    zone: ZoneName,
    identity: ZoneIdentity,
    incarnation: u64,
    draft: Option<ZoneDraft>,
    /// Highest version that was ever seen with this zone's signature.
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
    pub(super) fn new(zone: ZoneName, identity: ZoneIdentity, incarnation: u64) -> Self {
        Self { zone, identity, incarnation, draft: None, highest: None, jump: Jump::default() }
    }
}

impl Own {
    pub(super) fn key(&self) -> ZonePublicKey {
        self.identity.public_key()
    }

    pub(super) fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// Remembers a version that this zone has signed.
    pub(super) fn note_version(&mut self, version: Version) {
        self.highest = self.highest.max(Some(version));
    }

    /// Judges a record of this zone, rightly signed, that this registry does not hold.
    pub(super) fn judge_foreign(
        &mut self,
        foreign: Version,
        (newer, cloned): (bool, bool),
        now: UnixMillis,
    ) -> Result<Accepted, Rejected> {
        match (newer, cloned) {
            (false, true) => Err(Rejected::CloneRefused),
            (false, false) => Err(Rejected::Outdated),
            (true, _) => {
                self.note_version(foreign);
                if self.draft.is_some() {
                    self.jump.schedule(now);
                }
                Ok(Accepted::OwnSurpassed)
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

impl Registry {
    /// Publishes what this zone says about itself. The version grows only if the content changed,
    /// or if the record that is held was surpassed.
    ///
    /// # Errors
    /// [`PublishError`]; what was published before stays.
    pub fn publish(
        &mut self,
        draft: ZoneDraft,
        now: UnixMillis,
    ) -> Result<Published, PublishError> {
        if let Some(present) = self.present(&self.own.zone) {
            let current = Some(present.record.version) >= self.own.highest;
            if current && present.record.content == draft {
                let published = Published {
                    record: present.signed.clone(),
                    version: present.record.version,
                    changed: false,
                };
                self.own.draft = Some(draft);
                return Ok(published);
            }
        }
        self.issue(draft, now)
    }

    /// Publishes again, above a record of this zone that came from elsewhere, if that is due.
    /// The caller stores the record before it leaves the gateway.
    pub fn poll_republish(&mut self, now: UnixMillis) -> Option<Published> {
        if !self.own.jump.take(now) {
            return None;
        }
        let draft = self.own.draft.clone()?;
        // The draft was published before: it is valid and within bounds, only its version is new.
        self.issue(draft, now).ok()
    }

    /// When to ask [`Registry::poll_republish`] next, if at all.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<UnixMillis> {
        self.own.jump.due_at
    }

    fn issue(&mut self, draft: ZoneDraft, now: UnixMillis) -> Result<Published, PublishError> {
        let record = ZoneRecord {
            zone: self.own.zone.clone(),
            version: self.own.next_version(),
            issued_at: now,
            content: draft,
        };
        let signed = SignedRecord::sign(&record, &self.own.identity);
        if signed.payload().len() > MAX_RECORD_BYTES {
            return Err(PublishError::TooLarge(signed.payload().len()));
        }
        // Others will decode it by the same rules: what they would refuse is not published.
        signed.decode().map_err(PublishError::Invalid)?;
        if let Some(member) = self.members.get(&self.own.zone) {
            let bounds = member.check_bounds(&record);
            bounds.map_err(PublishError::OutOfBounds)?;
        }
        let version = record.version;
        self.own.note_version(version);
        self.own.jump.due_at = None;
        self.own.draft = Some(record.content.clone());
        let held = super::held((record, signed.clone()), self.own.key(), now);
        self.hold(held);
        Ok(Published { record: signed, version, changed: true })
    }
}
