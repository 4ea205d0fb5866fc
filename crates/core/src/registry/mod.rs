//! The registry of one gateway: the newest valid record of each gateway of each zone.
//!
//! A pure state machine. Every record has exactly one writer, a gateway that its zone has certified,
//! so that there is no leader, no quorum and no clock in any order: the newest version that its gateway
//! signed within its zone's bounds wins, everywhere. What a zone says is the union of its gateways'
//! records. Nothing is ever deleted, but for what is beyond [`MAX_ZONE_RECORDS`]; silence changes
//! nothing.
//!
//! It owns the zone's identity and is the only one to write this gateway's own record (`own`). It
//! refuses to know who the neighbours are and how records travel (`crate::replication`).

mod held;
mod lookup;
mod members;
mod outcome;
mod own;
mod trust;
mod vector;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::gateway::GatewayId;
use crate::key::ZoneIdentity;
use crate::member;
use crate::membership::Membership;
use crate::name::ZoneName;
use crate::record::{MAX_RECORD_BYTES, Problem, SignedRecord, ZoneRecord};
use crate::time::UnixMillis;

use crate::member::{Member, MembershipError, OutOfBounds};
use crate::mesh::RootHash;
pub use held::HeldRecord;
pub use lookup::{FoundSuperLink, SignedRevocation};
pub use members::FederationMember;
pub use outcome::{RecordAccepted, RecordCounters, RecordRejected};
pub use own::{PreparedRecord, PublishError, PublishedRecord};
pub use trust::{MembershipChange, Standing, TrustNews};
pub use vector::{RecordHead, VersionVector};

/// Most records of one zone, each of another gateway: beyond them the oldest goes.
pub const MAX_ZONE_RECORDS: usize = 8;

/// The newest valid record of each gateway.
pub struct Registry {
    /// Who may write: granted or configured, blocked ones included, so that their records are
    /// passed on.
    members: BTreeMap<ZoneName, Member>,
    trust: trust::Trust,
    /// Boxed: the nodes of a map have room for more than they hold.
    held: BTreeMap<GatewayId, Box<HeldRecord>>,
    /// The hash over `held`, until that changes.
    root: OnceLock<RootHash>,
    own: own::Own,
    counters: RecordCounters,
}

impl Registry {
    /// An empty registry of the gateway whose zone is `zone`, in a mesh whose members are written
    /// by hand. The gateway has its zone's key, and the name that gateways have by default
    /// ([`Registry::named`]).
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
            own: own::Own::new(GatewayId::assumed(zone), identity, incarnation),
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
            own: own::Own::new(GatewayId::assumed(zone), identity, incarnation),
            counters: RecordCounters::default(),
        };
        registry.manage(membership);
        Ok(registry)
    }

    /// The same of a gateway with another name. To be said before anything is restored.
    #[must_use]
    pub fn named(mut self, gateway: impl Into<String>) -> Self {
        self.own.set_gateway(gateway.into());
        self
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
    ) -> Result<GatewayId, RecordRejected> {
        let record = self.authenticate(&signed)?;
        let id = record.id();
        let candidate = self.candidate(record, signed, received_at)?;
        // The zone's one writer in release 0.1.0 was this gateway, whatever its name was.
        if id == *self.id() || (candidate.is_of_the_past() && id.zone == *self.zone()) {
            self.own.note_version(candidate.record.version);
        }
        self.check_bounds(&candidate)?;
        let is_past = candidate.is_of_the_past();
        if is_past && self.of_zone(&id.zone).any(|held| !held.is_of_the_past()) {
            return Err(RecordRejected::Outdated);
        }
        match self.present(&id) {
            Some(present) if !candidate.head().supersedes(&present.head()) => {
                return Err(RecordRejected::Outdated);
            }
            _ => {
                if id == *self.id() {
                    self.own.goes_on_saying(candidate.record.content.clone());
                }
                self.hold(candidate)?;
            }
        }
        Ok(id)
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
        if record.is_of_the_past() {
            return Err(RecordRejected::NoCommonProtocol);
        }
        let id = record.id();
        let present = self.present(&id).map(HeldRecord::head);
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
        if id == *self.id() {
            return self.own.judge_foreign(head.version, newer, cloned, now);
        }
        self.check_bounds(&candidate)?;
        match (newer, cloned) {
            (true, _) => {
                self.hold(candidate)?;
                Ok(RecordAccepted::Stored(id))
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
        let held = self.held.get(&record.id()).filter(|held| held.key == member.key);
        let verified = held.is_some_and(|held| held.signed == *signed);
        let known = held.and_then(|held| held.record.certificate.as_ref());
        if !verified && !signed.verify_decoded(&record, &member.key, known) {
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
        Ok(HeldRecord::new(record, signed, member.key, received_at))
    }

    /// Holds a record in place of the one before, and of what its zone said in release 0.1.0.
    fn hold(&mut self, mut candidate: HeldRecord) -> Result<(), RecordRejected> {
        let id = candidate.id();
        self.make_room(&id, &candidate)?;
        let past = self.of_zone(&id.zone).filter(|held| held.is_of_the_past());
        for past in past.map(HeldRecord::id).collect::<Vec<_>>() {
            if past != id {
                self.held.remove(&past);
            }
        }
        self.root.take();
        candidate.inherit(self.held.get(&id).map(Box::as_ref));
        self.held.insert(id, Box::new(candidate));
        Ok(())
    }

    /// Lets the oldest record of a zone go that has more gateways than it may, if that is older than
    /// the one that comes. This gateway's own always stays.
    fn make_room(&mut self, id: &GatewayId, candidate: &HeldRecord) -> Result<(), RecordRejected> {
        let others = self.of_zone(&id.zone).filter(|held| held.record.gateway != id.gateway);
        if others.clone().count() < MAX_ZONE_RECORDS {
            return Ok(());
        }
        let others = others.filter(|held| held.id() != *self.id());
        let Some(oldest) = others.min_by_key(|held| held.age_in_zone()) else { return Ok(()) };
        if *id != *self.id() && oldest.age_in_zone() > candidate.age_in_zone() {
            return Err(RecordRejected::TooManyGateways);
        }
        let oldest = oldest.id();
        self.held.remove(&oldest);
        Ok(())
    }

    fn check_bounds(&self, candidate: &HeldRecord) -> Result<(), RecordRejected> {
        let member = self.members.get(&candidate.record.zone);
        let member = member.ok_or(RecordRejected::UnknownZone)?;
        Ok(member.check_bounds(&candidate.record)?)
    }

    /// What a record claims that is not its zone's.
    #[must_use]
    pub fn beyond_bounds(&self, record: &ZoneRecord) -> Option<OutOfBounds> {
        self.members.get(&record.zone)?.check_bounds(record).err()
    }

    /// This gateway's zone.
    #[must_use]
    pub fn zone(&self) -> &ZoneName {
        &self.own.id().zone
    }

    /// This gateway.
    #[must_use]
    pub fn id(&self) -> &GatewayId {
        self.own.id()
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

    /// The record of a gateway that counts for versions and hashes.
    fn present(&self, gateway: &GatewayId) -> Option<&HeldRecord> {
        self.get_gateway(gateway).filter(|held| held.counts())
    }

    /// How often each outcome has happened.
    #[must_use]
    pub fn counters(&self) -> &RecordCounters {
        &self.counters
    }
}
