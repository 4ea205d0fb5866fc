//! One end of a stream between two gateways.
//!
//! Promises: two sessions whose messages arrive leave both registries with the same records; lost
//! messages delay that until the next digest, never prevent it. A record is not sent back to where
//! it came from. Nothing a neighbour says can panic; what it may not say ends the stream
//! ([`StreamRefused`]).

use crate::gateway::GatewayId;
use crate::name::ZoneName;
use crate::record::{ProtocolRange, SignedRecord};
use crate::registry::{RecordAccepted, RecordRejected, Registry, VersionVector};
use crate::time::UnixMillis;

use super::batch::batches;
use super::clock::{ClockOffset, Estimator};
use super::output::{RefusedClaim, SessionOutput};
use super::refused::StreamRefused;
use super::trust::{self, TrustState};
use super::{
    DIGEST_INTERVAL_MS, HeldTrust, HeldVersions, MeshId, RegistryDigest, StreamBody, StreamHello,
    StreamMessage,
};

/// What was held when the versions were last sent, and whether those of the trust items were among
/// them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct OpenQuestion {
    held: RegistryDigest,
    with_trust: bool,
}

/// One end of a stream between two gateways.
pub struct ReplicationSession {
    mesh: MeshId,
    protocol: ProtocolRange,
    neighbour: ZoneName,
    agreed: Option<u32>,
    clock: Estimator,
    /// What the neighbour is known to hold.
    theirs: VersionVector,
    pub(super) trust: TrustState,
    /// The question that is open since the last digest: two ends that differ would otherwise answer
    /// each other's versions with versions for ever.
    asked: Option<OpenQuestion>,
    digest_at: UnixMillis,
}

impl ReplicationSession {
    /// A session with the gateway of zone `neighbour`, as its certificate says.
    #[must_use]
    pub fn new(mesh: MeshId, neighbour: ZoneName) -> Self {
        Self {
            mesh,
            protocol: ProtocolRange::CURRENT,
            neighbour,
            agreed: None,
            clock: Estimator::default(),
            theirs: VersionVector::new(),
            trust: TrustState::default(),
            asked: None,
            digest_at: UnixMillis::default(),
        }
    }

    /// The neighbour's zone.
    #[must_use]
    pub fn neighbour(&self) -> &ZoneName {
        &self.neighbour
    }

    /// The protocol version in use, once the neighbour has said hello.
    #[must_use]
    pub fn protocol(&self) -> Option<u32> {
        self.agreed
    }

    /// The neighbour's clock minus ours, once it has said something.
    #[must_use]
    pub fn clock_offset(&self) -> Option<ClockOffset> {
        self.clock.offset()
    }

    /// The first message, to be sent when the stream opens.
    pub fn open(&mut self, registry: &Registry, now: UnixMillis) -> StreamMessage {
        self.digest_at = now.plus(DIGEST_INTERVAL_MS);
        let hello = StreamHello {
            mesh: self.mesh.clone(),
            zone: registry.zone().clone(),
            protocol: self.protocol,
            holds: summary(registry),
        };
        self.message(StreamBody::Hello(hello), now)
    }

    /// Takes a message of the neighbour.
    ///
    /// # Errors
    /// [`StreamRefused`], which is counted: close the stream.
    pub fn handle(
        &mut self,
        message: StreamMessage,
        registry: &mut Registry,
        now: UnixMillis,
    ) -> Result<SessionOutput, StreamRefused> {
        self.follow(message, registry, now).inspect_err(|refused| registry.refuse(refused.reason()))
    }

    fn follow(
        &mut self,
        message: StreamMessage,
        registry: &mut Registry,
        now: UnixMillis,
    ) -> Result<SessionOutput, StreamRefused> {
        self.clock.handle(message.clock, now);
        let mut output = SessionOutput::default();
        match (message.body, self.agreed) {
            (StreamBody::Hello(hello), None) => {
                self.agreed = Some(self.check(&hello)?);
                let ours = summary(registry);
                let answer = match self.same(&ours, &hello.holds) {
                    true => vec![self.message(StreamBody::Digest(ours), now)],
                    false => self.compare(&hello.holds, registry, now),
                };
                output.messages.extend(answer);
            }
            (StreamBody::Hello(_), Some(_)) => return Err(StreamRefused::SecondHello),
            (_, None) => return Err(StreamRefused::NoHello),
            (StreamBody::Digest(theirs), Some(_)) => {
                output.messages.extend(self.compare(&theirs, registry, now));
            }
            (StreamBody::Versions(theirs), Some(_)) => {
                output.messages = self.answer(theirs, registry, now);
            }
            (StreamBody::TrustIds(theirs), Some(_)) => {
                output.messages = self.answer_trust(&theirs, registry, now);
            }
            (StreamBody::Trust(items), Some(_)) => self.trust.take(items, registry),
            (StreamBody::Items(items), Some(_)) => self.take(items, registry, now, &mut output),
            // Tunnels are not the registry's: who has them answers.
            (
                StreamBody::CountersQuestion | StreamBody::Counters(_) | StreamBody::Unknown,
                Some(_),
            ) => {}
        }
        Ok(output)
    }

    /// The record of `gateway` has changed: what to send, unless the neighbour has it already.
    pub fn handle_change(
        &mut self,
        gateway: &GatewayId,
        registry: &Registry,
        now: UnixMillis,
    ) -> Option<StreamMessage> {
        self.agreed?;
        let held = registry.get_gateway(gateway)?;
        let present = self.theirs.get(gateway);
        if present.is_some_and(|present| !held.head().supersedes(present)) {
            return None;
        }
        self.theirs.insert(gateway.clone(), held.head());
        Some(self.message(StreamBody::Items(vec![held.signed.clone()]), now))
    }

    /// When [`ReplicationSession::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> UnixMillis {
        self.digest_at
    }

    /// The digest, if it is due.
    pub fn handle_timeout(
        &mut self,
        registry: &Registry,
        now: UnixMillis,
    ) -> Option<StreamMessage> {
        // More than an interval ahead: the clock has gone back.
        let ahead = self.digest_at.since(now);
        if ahead > 0 && ahead <= DIGEST_INTERVAL_MS {
            return None;
        }
        Some(self.digest(registry, now))
    }

    /// Messages to the neighbour were lost, as its queue was full. Send the digest that this
    /// returns as soon as there is room: it replaces all of them.
    pub fn handle_loss(&mut self, registry: &Registry, now: UnixMillis) -> StreamMessage {
        self.digest(registry, now)
    }

    fn digest(&mut self, registry: &Registry, now: UnixMillis) -> StreamMessage {
        self.asked = None;
        self.digest_at = now.plus(DIGEST_INTERVAL_MS);
        self.message(StreamBody::Digest(summary(registry)), now)
    }

    /// Something that is said beside replication, once the neighbour has said hello.
    #[must_use]
    pub fn aside(&self, body: StreamBody, now: UnixMillis) -> Option<StreamMessage> {
        self.agreed.map(|_version| self.message(body, now))
    }

    pub(super) fn message(&self, body: StreamBody, now: UnixMillis) -> StreamMessage {
        let clock = self.clock.stamp(now);
        StreamMessage { clock, body }
    }

    fn check(&mut self, hello: &StreamHello) -> Result<u32, StreamRefused> {
        if !self.trust.agree(&self.mesh, &hello.mesh) {
            return Err(StreamRefused::Mesh {
                ours: self.mesh.clone(),
                theirs: hello.mesh.clone(),
            });
        }
        if hello.zone != self.neighbour {
            return Err(StreamRefused::Zone {
                certified: self.neighbour.clone(),
                said: hello.zone.clone(),
            });
        }
        let (ours, theirs) = (self.protocol, hello.protocol);
        let refused = StreamRefused::Protocol { ours, theirs };
        ours.common(theirs).ok_or(refused)
    }

    fn same(&self, ours: &RegistryDigest, theirs: &RegistryDigest) -> bool {
        ours.root_hash == theirs.root_hash && !self.trust_differs(ours, theirs)
    }

    fn trust_differs(&self, ours: &RegistryDigest, theirs: &RegistryDigest) -> bool {
        self.trust.shared && ours.trust_hash != theirs.trust_hash
    }

    /// Asks for what the neighbour holds and we lack, if we hold something else.
    fn compare(
        &mut self,
        theirs: &RegistryDigest,
        registry: &Registry,
        now: UnixMillis,
    ) -> Vec<StreamMessage> {
        let ours = summary(registry);
        match self.same(&ours, theirs) {
            true => Vec::new(),
            false => self.ask(self.trust_differs(&ours, theirs), registry, now),
        }
    }

    /// Sends our versions, once for each state of ours and digest.
    fn ask(&mut self, trust: bool, registry: &Registry, now: UnixMillis) -> Vec<StreamMessage> {
        let held = summary(registry);
        let covers = |asked: OpenQuestion| asked.held == held && (asked.with_trust || !trust);
        if self.asked.is_some_and(covers) {
            return Vec::new();
        }
        self.asked = Some(OpenQuestion { held, with_trust: trust });
        let membership = registry.membership().filter(|_| trust);
        let parts = membership.map(|membership| HeldTrust::parts(membership.ids()));
        let mut parts = parts.into_iter().flatten();
        let versions = HeldVersions { records: registry.version_vector(), trust: parts.next() };
        let versions = std::iter::once(StreamBody::Versions(versions));
        let bodies = versions.chain(parts.map(StreamBody::TrustIds));
        bodies.map(|body| self.message(body, now)).collect()
    }

    /// Sends what the neighbour lacks, and asks if it holds what we lack.
    fn answer(
        &mut self,
        theirs: HeldVersions,
        registry: &Registry,
        now: UnixMillis,
    ) -> Vec<StreamMessage> {
        let HeldVersions { records, trust } = theirs;
        let mut messages = Vec::new();
        let mut asks_trust = false;
        if let Some(theirs) = trust.filter(|_| self.trust.shared) {
            let lacking = self.trust.lacking(&theirs, registry);
            messages = self.trust_messages(lacking, now);
            asks_trust = trust::lacks_any_of(&theirs, registry);
        }
        let asks = asks_trust || registry.lacks_any_of(&records);
        let lacking = registry.items_newer_than(&records);
        self.theirs = records;
        self.note_sent(registry);
        let batches = batches(lacking, SignedRecord::size).into_iter();
        messages.extend(batches.map(|items| self.message(StreamBody::Items(items), now)));
        if asks {
            messages.extend(self.ask(asks_trust, registry, now));
        }
        messages
    }

    /// The same of further names of trust items.
    fn answer_trust(
        &mut self,
        theirs: &HeldTrust,
        registry: &Registry,
        now: UnixMillis,
    ) -> Vec<StreamMessage> {
        if !self.trust.shared {
            return Vec::new();
        }
        let lacking = self.trust.lacking(theirs, registry);
        let mut messages = self.trust_messages(lacking, now);
        if trust::lacks_any_of(theirs, registry) {
            messages.extend(self.ask(true, registry, now));
        }
        messages
    }

    /// The neighbour will hold what is held here: a change need not be sent twice. Of other zones
    /// nothing is remembered, whatever it says.
    fn note_sent(&mut self, registry: &Registry) {
        let mut held = registry.version_vector();
        for (id, head) in &mut held {
            match self.theirs.get(id) {
                Some(present) if !head.supersedes(present) => *head = *present,
                _ => {}
            }
        }
        self.theirs = held;
    }

    fn take(
        &mut self,
        items: Vec<SignedRecord>,
        registry: &mut Registry,
        now: UnixMillis,
        output: &mut SessionOutput,
    ) {
        for signed in items {
            let offered = signed.clone();
            match registry.accept(signed, now) {
                Ok(RecordAccepted::Stored(id)) => {
                    if let Some(held) = registry.get_gateway(&id) {
                        self.theirs.insert(id.clone(), held.head());
                    }
                    output.changed.push(id);
                }
                Ok(RecordAccepted::Known | RecordAccepted::OwnSurpassed) => {}
                Err(RecordRejected::BadSignature) if self.is_passed_on(&offered, registry) => {}
                Err(reason) => match claim_of(&offered, reason, registry) {
                    Some(refused) => output.claims.push(refused),
                    None => output.rejected.push(reason),
                },
            }
        }
        if registry.poll_republish(now).is_some() {
            output.changed.push(registry.id().clone());
        }
    }

    /// True of a record of a zone that is not the neighbour's, and of which nothing is valid here by the
    /// key that it has now: that may be the wrong one here, which its own stream tells, and no
    /// neighbour's fault.
    fn is_passed_on(&self, offered: &SignedRecord, registry: &Registry) -> bool {
        offered.decode().is_ok_and(|record| {
            let is_heard = registry.of_zone(&record.zone).next().is_some()
                && registry.former_key(&record.zone).is_none();
            record.zone != self.neighbour && !is_heard
        })
    }
}

/// What a record claims that was refused for that.
fn claim_of(
    offered: &SignedRecord,
    reason: RecordRejected,
    registry: &Registry,
) -> Option<RefusedClaim> {
    let record = offered.decode().ok()?;
    let claim = registry.beyond_bounds(&record)?;
    (RecordRejected::from(claim) == reason).then_some(RefusedClaim { zone: record.zone, claim })
}

fn summary(registry: &Registry) -> RegistryDigest {
    RegistryDigest { root_hash: registry.root_hash(), trust_hash: registry.trust_hash() }
}
