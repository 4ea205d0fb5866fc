//! One link to a peer: what the lanes share of it, and its state behind a lock.
//!
//! Pure: owns no socket and no thread. The state itself ([`PeerCore`]) stands in `core`, what the
//! noise layer says in `noise`, and which links there are to one peer in `links`.

mod choice;
mod core;
mod lanes;
mod links;
mod noise;
mod turn;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use zonemesh_core::key::WireGuardPublicKey;

pub(crate) use self::choice::QUIET;
pub(crate) use self::core::{PeerCore, Sealed};
pub(crate) use self::lanes::{Leaves, PeerLanes};
pub(crate) use self::links::Links;
pub(crate) use self::noise::{
    DATA_OVERHEAD, INITIATION, Identities, Identity, TYPE_DATA, receiver_index,
};
pub(crate) use self::turn::{HeldTurn, Turn};
use crate::config::Peer;
use crate::offload::Pause;
use crate::status::PeerStatus;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

/// What all links of one lane to a peer share.
pub(crate) struct Shared {
    pub(crate) rx_bytes: AtomicU64,
    pub(crate) tx_bytes: AtomicU64,
    /// Sends of many datagrams at once, which the path to this peer may not take.
    pub(crate) segmentation: Pause,
    /// The largest packet that passes to this peer, if less than the tunnel's MTU does.
    largest: AtomicUsize,
    carrier: links::Carrier,
    /// Packets may leave by this lane: it has a session and gets answers.
    usable: AtomicBool,
    /// There are packets for this lane, which has no session.
    asked: AtomicBool,
    /// It was said that nobody answers on this lane.
    reported: AtomicBool,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            rx_bytes: AtomicU64::new(0),
            tx_bytes: AtomicU64::new(0),
            segmentation: Pause::new(Instant::now()),
            largest: AtomicUsize::new(usize::MAX),
            carrier: links::Carrier::nobody(),
            usable: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            reported: AtomicBool::new(false),
        }
    }

    /// Bounds packets to this peer beyond the tunnel's MTU; `None` takes the bound away.
    pub(crate) fn set_mtu(&self, largest: Option<u16>) {
        self.largest.store(largest.map_or(usize::MAX, usize::from), Ordering::Relaxed);
    }
}

/// A link in service: one own key, one key of the peer's.
pub(crate) struct ActivePeer {
    pub(crate) own: WireGuardPublicKey,
    pub(crate) key: WireGuardPublicKey,
    /// Which lane it is of, 0 for the first: whose socket it uses.
    pub(crate) lane: usize,
    /// Whose thread may send the datagrams that it has sealed, if several do.
    pub(crate) turn: Turn,
    /// 24 bits; sessions of this link have it in the upper bits of their index.
    pub(crate) index: u32,
    pub(crate) shared: Arc<Shared>,
    core: Mutex<PeerCore>,
}

impl ActivePeer {
    pub(crate) fn new(
        identity: Arc<Identity>,
        config: Peer,
        (lane, index): (usize, u32),
        shared: Arc<Shared>,
    ) -> Self {
        let (own, key) = (identity.key, config.public_key);
        let core = PeerCore::new(identity, config, index);
        Self { own, key, lane, turn: Turn::new(), index, shared, core: Mutex::new(core) }
    }

    /// What bounds padding and TCP segments towards this peer in a tunnel of this MTU.
    pub(crate) fn mtu(&self, of_tunnel: usize) -> usize {
        of_tunnel.min(self.shared.largest.load(Ordering::Relaxed))
    }

    /// Counts what was sent, as on the wire.
    pub(crate) fn count_sent(&self, bytes: usize) {
        self.shared.tx_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// True if the session of this index, as a data message names it, is one of this peer.
    pub(crate) fn has_session(&self, session_index: Option<u32>) -> bool {
        session_index.is_some_and(|session| session >> 8 == self.index)
    }

    /// The peer's state. A thread that panicked under the lock leaves a session that can only
    /// fail to open packets, so the lock stays usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, PeerCore> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> PeerStatus {
        let core = self.lock();
        PeerStatus {
            public_key: self.key,
            name: core.config.name.clone(),
            endpoint: core.path.map(|path| path.remote),
            latest_handshake: core.latest_handshake,
            rx_bytes: self.shared.rx_bytes.load(Ordering::Relaxed),
            tx_bytes: self.shared.tx_bytes.load(Ordering::Relaxed),
            allowed_ips: core.config.allowed_ips.clone(),
            handshake_attempts_unanswered: core.schedule.unanswered(),
            knows_next_key: false,
            uses_current_key: core.session_is_up(),
            segmentation_refused: self.shared.segmentation.refusals(),
            segmentation_paused: self.shared.segmentation.is_on(Instant::now()),
            lanes: Vec::new(),
        }
    }
}
