//! The registry of one gateway: the newest valid record of each zone.
//!
//! A pure state machine. Every record has exactly one writer, its zone, so that there is no leader,
//! no quorum and no clock in any order: the newest version that its zone signed within its bounds
//! wins, everywhere. Nothing is ever deleted; silence changes nothing.
//!
//! It owns the zone's identity and is the only one to write the zone's own record (`own`). It
//! refuses to know who the neighbours are and how records travel (`crate::replication`).

mod lookup;
mod outcome;
mod own;
mod trust;
mod vector;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::key::{ZoneIdentity, ZonePublicKey};
use crate::member;
use crate::membership::Membership;
use crate::name::ZoneName;
use crate::record::{MAX_RECORD_BYTES, Problem, SignedRecord, ZoneRecord};
use crate::time::UnixMillis;

use crate::member::{Member, MembershipError};
use crate::mesh::RootHash;
pub use lookup::{FoundSuperLink, SignedRevocation};
pub use outcome::{RecordAccepted, RecordCounters, RecordRejected};
pub use own::{PreparedRecord, PublishError, PublishedRecord};
pub use trust::{MembershipChange, Standing, TrustNews};
pub use vector::{RecordHead, VersionVector};

/// A record that is held: verified, within its zone's bounds.
#[derive(Debug, Clone)]
pub struct HeldRecord {
    /// The record.
    pub record: ZoneRecord,
    /// The same as it was signed.
    pub signed: SignedRecord,
    /// When it arrived, by this gateway's clock.
    pub received_at: UnixMillis,
    digest: u64,
    key: ZonePublicKey,
    /// Signed by a key that its zone has left: still true, replaced by whatever the new key signs.
    former: bool,
}

impl HeldRecord {
    /// Version and content in brief.
    #[must_use]
    pub fn head(&self) -> RecordHead {
        RecordHead { version: self.record.version, digest: self.digest }
    }
}

/// The newest valid record of each zone.
pub struct Registry {
    /// Who may write: granted or configured, blocked ones included, so that their records are
    /// passed on.
    members: BTreeMap<ZoneName, Member>,
    trust: trust::Trust,
    held: BTreeMap<ZoneName, HeldRecord>,
    /// The hash over `held`, until that changes.
    root: OnceLock<RootHash>,
    own: own::Own,
    counters: RecordCounters,
}

impl Registry {
    /// An empty registry of the gateway whose zone is `zone`, in a mesh whose members are written
    /// by hand.
    ///
    /// `incarnation` starts the own record's version if no earlier record of this zone is restored:
    /// pass something larger each time the store was lost, for example milliseconds since 1970.
    ///
    /// # Errors
    /// [`MembershipError`] if the members contradict each other or do not know this zone's key.
    pub fn new(
        zone: ZoneName,
        identity: ZoneIdentity,
        members: Vec<Member>,
        incarnation: u64,
    ) -> Result<Self, MembershipError> {
        let members = member::check(members)?;
        match members.get(&zone) {
            None => return Err(MembershipError::OwnZoneMissing(zone)),
            Some(own) if own.key != identity.public_key() => {
                return Err(MembershipError::OtherIdentity(zone));
            }
            Some(_) => {}
        }
        Ok(Self {
            trust: trust::Trust::configured(members.clone()),
            members,
            held: BTreeMap::new(),
            root: OnceLock::new(),
            own: own::Own::new(zone, identity, incarnation),
            counters: RecordCounters::default(),
        })
    }

    /// An empty registry of the gateway whose zone is `zone`, in a managed mesh. `configured` are
    /// members written by hand; each counts until its zone is granted. Whether this zone is a
    /// member is [`Registry::standing`].
    ///
    /// # Errors
    /// [`MembershipError`] if the configured members contradict each other.
    pub fn managed(
        zone: ZoneName,
        identity: ZoneIdentity,
        configured: Vec<Member>,
        membership: Membership,
        incarnation: u64,
    ) -> Result<Self, MembershipError> {
        let mut registry = Self {
            trust: trust::Trust::configured(member::check(configured)?),
            members: BTreeMap::new(),
            held: BTreeMap::new(),
            root: OnceLock::new(),
            own: own::Own::new(zone, identity, incarnation),
            counters: RecordCounters::default(),
        };
        registry.manage(membership);
        Ok(registry)
    }

    /// Takes back a record from this gateway's own store. Everything is checked anew; refused
    /// records are not counted, the caller sets their files aside.
    ///
    /// # Errors
    /// [`RecordRejected`] for the same reasons as [`Registry::accept`].
    pub fn restore(
        &mut self,
        signed: SignedRecord,
        received_at: UnixMillis,
    ) -> Result<ZoneName, RecordRejected> {
        let record = self.authenticate(&signed)?;
        let zone = record.zone.clone();
        let candidate = self.candidate(record, signed, received_at)?;
        if zone == *self.zone() {
            self.own.note_version(candidate.record.version);
        }
        self.check_bounds(&candidate)?;
        match self.present(&zone) {
            Some(present) if !candidate.head().supersedes(&present.head()) => {
                return Err(RecordRejected::Outdated);
            }
            _ => {
                if zone == *self.zone() {
                    self.own.goes_on_saying(candidate.record.content.clone());
                }
                self.hold(candidate);
            }
        }
        Ok(zone)
    }

    /// Offers a record that came from elsewhere.
    ///
    /// # Errors
    /// [`RecordRejected`]: the first check that failed. Each is counted.
    pub fn accept(
        &mut self,
        signed: SignedRecord,
        now: UnixMillis,
    ) -> Result<RecordAccepted, RecordRejected> {
        let outcome = self.judge(signed, now);
        self.counters.count(&outcome);
        outcome
    }

    /// Counts what was refused before it was a record: what cannot be read as one, or a whole stream.
    pub fn refuse(&mut self, reason: RecordRejected) {
        self.counters.count(&Err(reason));
    }

    fn judge(
        &mut self,
        signed: SignedRecord,
        now: UnixMillis,
    ) -> Result<RecordAccepted, RecordRejected> {
        let record = self.authenticate(&signed)?;
        let zone = record.zone.clone();
        let present = self.present(&zone).map(HeldRecord::head);
        let candidate = self.candidate(record, signed, now)?;
        let head = candidate.head();
        if present == Some(head) {
            return Ok(RecordAccepted::Known);
        }
        let cloned = present.is_some_and(|present| present.version == head.version);
        if cloned {
            self.counters.alarm_clone();
        }
        let newer = present.is_none_or(|present| head.supersedes(&present));
        if zone == *self.zone() {
            return self.own.judge_foreign(head.version, newer, cloned, now);
        }
        self.check_bounds(&candidate)?;
        match (newer, cloned) {
            (true, _) => {
                self.hold(candidate);
                Ok(RecordAccepted::Stored(zone))
            }
            (false, true) => Err(RecordRejected::CloneRefused),
            (false, false) => Err(RecordRejected::Outdated),
        }
    }

    /// The checks that need no state: size, form, member, signature.
    fn authenticate(&self, signed: &SignedRecord) -> Result<ZoneRecord, RecordRejected> {
        if signed.payload().len() > MAX_RECORD_BYTES {
            return Err(RecordRejected::TooLarge);
        }
        let record = signed.decode().map_err(|error| match error.problem {
            Problem::TooMany { .. } => RecordRejected::TooLarge,
            _ => RecordRejected::Malformed,
        })?;
        let Some(member) = self.members.get(&record.zone) else {
            return Err(self.trust.stranger(&record.zone));
        };
        let present = self.present(&record.zone);
        let verified = present.is_some_and(|held| held.signed == *signed);
        if !verified && !signed.verify(&member.key) {
            return Err(RecordRejected::BadSignature);
        }
        Ok(record)
    }

    fn candidate(
        &self,
        record: ZoneRecord,
        signed: SignedRecord,
        received_at: UnixMillis,
    ) -> Result<HeldRecord, RecordRejected> {
        let member = self.members.get(&record.zone).ok_or(RecordRejected::UnknownZone)?;
        Ok(held(record, signed, member.key, received_at))
    }

    fn hold(&mut self, candidate: HeldRecord) {
        self.root.take();
        self.held.insert(candidate.record.zone.clone(), candidate);
    }

    fn check_bounds(&self, candidate: &HeldRecord) -> Result<(), RecordRejected> {
        let member = self.members.get(&candidate.record.zone);
        let member = member.ok_or(RecordRejected::UnknownZone)?;
        Ok(member.check_bounds(&candidate.record)?)
    }

    /// This gateway's zone.
    #[must_use]
    pub fn zone(&self) -> &ZoneName {
        self.own.zone()
    }

    /// The members of the mesh, in the order of their names; this zone is one of them, zones that
    /// this gateway has blocked are not.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| !self.trust.is_blocked(&member.zone))
    }

    /// The members, zones that this gateway has blocked included.
    pub fn all_members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The record of a zone that counts for versions and hashes.
    fn present(&self, zone: &ZoneName) -> Option<&HeldRecord> {
        self.held.get(zone).filter(|held| !held.former)
    }

    /// How often each outcome has happened.
    #[must_use]
    pub fn counters(&self) -> &RecordCounters {
        &self.counters
    }
}

fn held(
    record: ZoneRecord,
    signed: SignedRecord,
    key: ZonePublicKey,
    received_at: UnixMillis,
) -> HeldRecord {
    HeldRecord { digest: signed.digest(), record, signed, received_at, key, former: false }
}
