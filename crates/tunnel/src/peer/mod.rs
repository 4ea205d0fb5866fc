//! One peer: what the lanes share of it, and its state behind a lock.
//!
//! Pure: owns no socket and no thread. The state itself ([`PeerCore`]) stands in `core`, what the
//! noise layer says in `noise`.

mod core;
mod noise;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use zonemesh_core::key::WireGuardPublicKey;

pub(crate) use self::core::{PeerCore, Sealed};
pub(crate) use self::noise::{DATA_OVERHEAD, INITIATION, Identity, TYPE_DATA, receiver_index};
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

/// A peer in service.
pub(crate) struct ActivePeer {
    pub(crate) key: WireGuardPublicKey,
    /// 24 bits; sessions of this peer have it in the upper bits of their index.
    pub(crate) index: u32,
    pub(crate) rx_bytes: AtomicU64,
    pub(crate) tx_bytes: AtomicU64,
    /// Sends of many datagrams at once, which the path to this peer may not take.
    pub(crate) segmentation: Pause,
    /// The largest packet that passes to this peer, if less than the tunnel's MTU does.
    largest: AtomicUsize,
    core: Mutex<PeerCore>,
}

impl ActivePeer {
    pub(crate) fn new(identity: Arc<Identity>, config: Peer, index: u32) -> Self {
        let key = config.public_key;
        let core = PeerCore::new(identity, config, index);
        Self {
            key,
            index,
            rx_bytes: AtomicU64::new(0),
            tx_bytes: AtomicU64::new(0),
            segmentation: Pause::new(Instant::now()),
            largest: AtomicUsize::new(usize::MAX),
            core: Mutex::new(core),
        }
    }

    /// What bounds padding and TCP segments towards this peer in a tunnel of this MTU.
    pub(crate) fn mtu(&self, of_tunnel: usize) -> usize {
        of_tunnel.min(self.largest.load(Ordering::Relaxed))
    }

    /// Bounds packets to this peer beyond the tunnel's MTU; `None` takes the bound away.
    pub(crate) fn set_mtu(&self, largest: Option<u16>) {
        self.largest.store(largest.map_or(usize::MAX, usize::from), Ordering::Relaxed);
    }

    /// Counts what was sent, as on the wire.
    pub(crate) fn count_sent(&self, bytes: usize) {
        self.tx_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
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
        self.status_of(&self.lock())
    }

    /// Its settings, and its status at the same moment.
    pub(crate) fn in_full(&self) -> (Peer, PeerStatus) {
        let core = self.lock();
        (core.config.clone(), self.status_of(&core))
    }

    fn status_of(&self, core: &PeerCore) -> PeerStatus {
        PeerStatus {
            public_key: self.key,
            name: core.config.name.clone(),
            endpoint: core.path.map(|path| path.remote),
            latest_handshake: core.latest_handshake,
            rx_bytes: self.rx_bytes.load(Ordering::Relaxed),
            tx_bytes: self.tx_bytes.load(Ordering::Relaxed),
            allowed_ips: core.config.allowed_ips.clone(),
            handshake_attempts_unanswered: core.schedule.unanswered(),
            segmentation_refused: self.segmentation.refusals(),
        }
    }
}
