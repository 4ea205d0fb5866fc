//! The noise layer (boringtun) as a peer uses it: identities, messages, verdicts.
//!
//! Pure. Says what a message is and what became of it in the words of this crate; holds no state
//! of a peer. Protocol: WireGuard paper, section 5.4.

use std::sync::Arc;
use std::time::SystemTime;

use blake2::digest::Mac as _;
use blake2::digest::consts::U16;
use blake2::{Blake2s256, Blake2sMac, Digest as _};
use boringtun::noise::errors::WireGuardError;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use x25519_dalek::{PublicKey, StaticSecret};
use zonemesh_core::key::{PresharedKey, WireGuardPrivateKey, WireGuardPublicKey};

use crate::clock::HandshakeClock;
use crate::dropped::Dropped;

/// What sealing adds to a packet: header and authentication tag.
pub(crate) const DATA_OVERHEAD: usize = 32;
/// The longest message that is not data. Every buffer to write into has at least this room.
pub(crate) const INITIATION: usize = 148;
pub(crate) const RESPONSE: usize = 92;
pub(crate) const COOKIE: usize = 64;
/// Message types (WireGuard paper, section 5.4).
pub(crate) const TYPE_INITIATION: u8 = 1;
pub(crate) const TYPE_RESPONSE: u8 = 2;
pub(crate) const TYPE_COOKIE: u8 = 3;
pub(crate) const TYPE_DATA: u8 = 4;

/// A counter from which on nothing is taken (WireGuard paper, section 6.1): the nonce of a key is used
/// once, and a window that was moved there would refuse all that is still to come.
const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);

/// Behind an initiation or a response stand two MACs of 16 bytes; the first is made with the receiver's
/// public key (section 5.4.4).
const MAC_LABEL: &[u8] = b"mac1----";
const MACS: usize = 32;
const MAC: usize = 16;

/// This gateway's keys, as the noise layer wants them.
pub(crate) struct OwnIdentity {
    pub(crate) secret: StaticSecret,
    pub(crate) public: PublicKey,
    pub(crate) key: WireGuardPublicKey,
    /// What is known of the times of its own handshakes.
    pub(crate) clock: Arc<HandshakeClock>,
    /// What the first MAC of messages to this key is made with.
    mac_key: [u8; 32],
    /// Handshakes are limited where they arrive; inside a session they would be counted twice.
    unlimited: Arc<RateLimiter>,
    /// Those of the lanes from the second on.
    further: Vec<Arc<OwnIdentity>>,
}

impl OwnIdentity {
    /// The identity of a gateway with so many lanes.
    pub(crate) fn new(private: &WireGuardPrivateKey, lanes: u8) -> Self {
        Self::with_clock(private, lanes, &Arc::default())
    }

    /// An identity that goes on where another one's clock was.
    pub(crate) fn with_clock(
        private: &WireGuardPrivateKey,
        lanes: u8,
        clock: &Arc<HandshakeClock>,
    ) -> Self {
        let of_lane = |lane| Arc::new(Self::of_one(&private.of_lane(lane), clock));
        Self { further: (1..lanes).map(of_lane).collect(), ..Self::of_one(private, clock) }
    }

    fn of_one(private: &WireGuardPrivateKey, clock: &Arc<HandshakeClock>) -> Self {
        let secret = StaticSecret::from(*private.to_bytes());
        let public = PublicKey::from(&secret);
        Self {
            secret,
            public,
            key: private.public_key(),
            clock: Arc::clone(clock),
            mac_key: Blake2s256::new()
                .chain_update(MAC_LABEL)
                .chain_update(public.as_bytes())
                .finalize()
                .into(),
            unlimited: Arc::new(RateLimiter::new(&public, u64::MAX)),
            further: Vec::new(),
        }
    }

    /// True if whoever made this initiation or response knows this key: noise from strangers costs a hash
    /// and no place in a queue.
    pub(crate) fn is_meant(&self, message: &[u8]) -> bool {
        let Some((said, macs)) = message.split_last_chunk::<MACS>() else { return false };
        let mac = Blake2sMac::<U16>::new_from_slice(&self.mac_key);
        mac.is_ok_and(|mac| mac.chain_update(said).verify_slice(&macs[..MAC]).is_ok())
    }

    fn of_lane(self: &Arc<Self>, lane: usize) -> Option<Arc<Self>> {
        if lane == 0 { Some(Arc::clone(self)) } else { self.further.get(lane - 1).cloned() }
    }
}

/// The keys that this gateway answers to.
pub(crate) struct OwnIdentities {
    pub(crate) current: Arc<OwnIdentity>,
    /// The one that it is changing to.
    pub(crate) next: Option<Arc<OwnIdentity>>,
}

impl OwnIdentities {
    pub(crate) fn one(current: Arc<OwnIdentity>) -> Self {
        Self { current, next: None }
    }

    /// How many lanes there are.
    pub(crate) fn lanes(&self) -> usize {
        1 + self.current.further.len()
    }

    /// The keys of one lane, as long as there are so many.
    pub(crate) fn of_lane(&self, lane: usize) -> Option<Self> {
        let current = self.current.of_lane(lane)?;
        Some(Self { current, next: self.next.as_ref().and_then(|next| next.of_lane(lane)) })
    }

    /// The keys of all lanes, in order.
    pub(crate) fn each_lane(&self) -> impl Iterator<Item = Self> + '_ {
        (0..self.lanes()).filter_map(|lane| self.of_lane(lane))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<OwnIdentity>> + Clone {
        std::iter::once(&self.current).chain(&self.next)
    }

    pub(crate) fn newest(&self) -> &Arc<OwnIdentity> {
        self.next.as_ref().unwrap_or(&self.current)
    }
}

/// The other end, as a handshake needs it.
pub(super) struct RemoteKeys {
    pub(super) public_key: WireGuardPublicKey,
    pub(super) preshared: Option<PresharedKey>,
}

/// A noise state with a peer. boringtun reads the wall clock here, once, and panics before 1970.
pub(super) fn new_tunn(
    identity: &OwnIdentity,
    index: u32,
    remote: &RemoteKeys,
) -> Result<Box<Tunn>, Dropped> {
    if SystemTime::now() < SystemTime::UNIX_EPOCH {
        return Err(Dropped::ClockUnset);
    }
    Ok(Box::new(Tunn::new(
        identity.secret.clone(),
        PublicKey::from(remote.public_key.0),
        remote.preshared.as_ref().map(|key| *key.to_bytes()),
        None,
        index,
        Some(Arc::clone(&identity.unlimited)),
    )))
}

pub(super) fn has_session(tunn: &Tunn) -> bool {
    tunn.time_since_last_handshake().is_some()
}

/// The length of what a data message held.
pub(super) fn opened(result: TunnResult<'_>) -> Result<usize, Dropped> {
    match result {
        TunnResult::Done => Ok(0),
        TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
            Ok(packet.len())
        }
        TunnResult::Err(error) => Err(reason_for_data(&error)),
        TunnResult::WriteToNetwork(_) => Err(Dropped::NotWireGuard),
    }
}

pub(super) fn has_room(packet: usize, out: &[u8]) -> bool {
    out.len() >= INITIATION.max(packet + DATA_OVERHEAD)
}

/// The index by which the sender of a handshake message calls its session.
pub(super) fn sender_index(message: &[u8]) -> Option<u32> {
    message.get(4..8)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// The index of ours that a data message is for.
pub(crate) fn receiver_index(message: &[u8]) -> Option<u32> {
    sender_index(message)
}

/// True if the counter of a data message is one that a session may use.
pub(super) fn has_usable_counter(message: &[u8]) -> bool {
    let counter = message.get(8..16).and_then(<[u8]>::first_chunk);
    counter.is_some_and(|bytes| u64::from_le_bytes(*bytes) < REJECT_AFTER_MESSAGES)
}

fn reason_for_data(error: &WireGuardError) -> Dropped {
    match error {
        WireGuardError::InvalidPacket => Dropped::InnerMalformed,
        WireGuardError::InvalidCounter | WireGuardError::DuplicateCounter => Dropped::Replayed,
        WireGuardError::NoCurrentSession | WireGuardError::WrongIndex => Dropped::UnknownSession,
        _ => Dropped::Unauthentic,
    }
}
