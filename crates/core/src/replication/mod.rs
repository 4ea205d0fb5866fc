//! Replication between two gateways: one session for each stream.
//!
//! Both ends say [`StreamHello`]; whose hashes differ exchange version vectors, then what the other
//! lacks; changes are pushed as they come, and every [`DIGEST_INTERVAL_MS`] a digest finds what was lost.
//! In a managed mesh trust items travel the same way, before the records that need them.
//! Both ends follow the same rules; there is no client and no server in it.
//!
//! Pure: messages and `now` in, messages and changed zones out. It refuses to know streams and TLS;
//! the caller says whose certificate the neighbour has shown.

mod batch;
mod clock;
mod output;
mod refused;
mod session;
mod trust;

use std::collections::BTreeSet;

use crate::membership::{ItemId, SignedTrustItem};
use crate::mesh::MeshId;
use crate::mesh::RootHash;
use crate::name::ZoneName;
use crate::record::{ProtocolRange, SignedRecord};
use crate::registry::VersionVector;
use crate::time::UnixMillis;

pub use clock::{ClockEcho, ClockOffset, ClockStamp};
pub use output::{RefusedClaim, SessionOutput};
pub use refused::StreamRefused;
pub use session::ReplicationSession;

/// Time between two digests on a stream.
pub const DIGEST_INTERVAL_MS: u64 = 30_000;
/// Most bytes of items in one message, but for a single larger item.
pub const ITEMS_BYTES: usize = 256 * 1024;
/// Most names of trust items in one message.
const TRUST_IDS: usize = 4096;
/// Most bytes of a message that is read: room for items with their frames, and for the versions of
/// some thousand zones. What a hostile neighbour can have in memory is a few of these.
pub const MESSAGE_BYTES: usize = 512 * 1024;

/// All that a gateway holds, in brief.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryDigest {
    /// The records.
    pub root_hash: RootHash,
    /// The trust items, in a managed mesh.
    pub trust_hash: Option<RootHash>,
}

/// First message of both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHello {
    /// The sender's mesh.
    pub mesh: MeshId,
    /// The sender's zone.
    pub zone: ZoneName,
    /// What the sender speaks.
    pub protocol: ProtocolRange,
    /// What the sender holds.
    pub holds: RegistryDigest,
}

/// What the sender holds, item by item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldVersions {
    /// Which version of each zone's record.
    pub records: VersionVector,
    /// Which trust items, if the two ends differ in them: all, or the first of them.
    pub trust: Option<HeldTrust>,
}

/// The trust items that the sender holds whose names lie between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTrust {
    /// The lowest name that this tells about.
    pub from: ItemId,
    /// The highest.
    pub to: ItemId,
    /// The names between them, both included.
    pub ids: BTreeSet<ItemId>,
}

impl HeldTrust {
    /// All names there can be, of which these are held.
    #[must_use]
    pub fn whole(ids: BTreeSet<ItemId>) -> Self {
        Self { from: ItemId([0; 32]), to: ItemId([0xff; 32]), ids }
    }

    /// The same in parts of at most [`TRUST_IDS`] names, each between the ones beside it.
    fn parts(ids: BTreeSet<ItemId>) -> Vec<Self> {
        let all: Vec<_> = ids.into_iter().collect();
        let mut parts: Vec<_> =
            all.chunks(TRUST_IDS).map(|ids| Self::whole(ids.iter().copied().collect())).collect();
        for index in 1..parts.len() {
            // No chunk is empty; one name lies in two parts, which tells the same twice.
            if let Some(first) = parts[index].ids.first().copied() {
                parts[index].from = first;
                parts[index - 1].to = first;
                parts[index - 1].ids.insert(first);
            }
        }
        if parts.is_empty() { vec![Self::whole(BTreeSet::new())] } else { parts }
    }

    fn covers(&self, id: &ItemId) -> bool {
        (self.from..=self.to).contains(id)
    }
}

/// Most reasons that a gateway tells for what it has dropped.
pub const MAX_DROP_REASONS: usize = 64;

/// What a gateway has counted of the tunnel to another one, since whenever it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelCounters {
    /// Authentic bytes received, as on the wire (UDP payload).
    pub rx_bytes: u64,
    /// Bytes sent, as on the wire (UDP payload).
    pub tx_bytes: u64,
    /// When the last handshake was completed, by its own clock.
    pub latest_handshake: Option<UnixMillis>,
    /// Handshake initiations that it has sent since.
    pub unanswered_initiations: u64,
    /// Packets that it has dropped, of all its tunnels.
    pub dropped: Vec<DropCount>,
}

/// How many packets were dropped for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropCount {
    /// The reason's name, of whatever release.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamBody {
    /// Who I am and what I hold.
    Hello(StreamHello),
    /// What I hold, item by item.
    Versions(HeldVersions),
    /// Further trust items that I hold.
    TrustIds(HeldTrust),
    /// Records that you do not hold yet.
    Items(Vec<SignedRecord>),
    /// Trust items that you do not hold yet.
    Trust(Vec<SignedTrustItem>),
    /// What I hold, in brief.
    Digest(RegistryDigest),
    /// What have you counted of the tunnel between us?
    CountersQuestion,
    /// What I have counted of it.
    Counters(TunnelCounters),
    /// Something that a later release says; passed over. Never sent.
    Unknown,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMessage {
    /// The sender's clock.
    pub clock: ClockStamp,
    /// What is said.
    pub body: StreamBody,
}

impl StreamMessage {
    /// How many items it brings, each of which has a signature to be checked.
    #[must_use]
    pub fn items(&self) -> usize {
        match &self.body {
            StreamBody::Items(items) => items.len(),
            StreamBody::Trust(items) => items.len(),
            _ => 0,
        }
    }

    /// The same in parts of at most `most` records; trust items stay together, as they may need
    /// each other.
    #[must_use]
    pub fn split(self, most: usize) -> Vec<Self> {
        let clock = self.clock;
        let StreamBody::Items(mut rest) = self.body else { return vec![self] };
        let mut parts = Vec::new();
        while rest.len() > most.max(1) {
            let later = rest.split_off(most.max(1));
            parts.push(Self { clock, body: StreamBody::Items(rest) });
            rest = later;
        }
        parts.push(Self { clock, body: StreamBody::Items(rest) });
        parts
    }
}
