//! A link in service: one own key, one key of a gateway's. A whole WireGuard peer.
//!
//! What must be known without waiting stands here, what changes with messages behind the lock
//! ([`LinkState`]). What the noise layer is and says is in `noise`, the sessions in `sessions`, and
//! who may send what it sealed in `turn`.

mod noise;
mod sessions;
mod state;
mod turn;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use zonemesh_core::key::WireGuardPublicKey;

pub(crate) use self::noise::{
    DATA_OVERHEAD, INITIATION, Identities, Identity, TYPE_DATA, receiver_index,
};
pub(crate) use self::state::{LinkState, Sealed};
pub(crate) use self::turn::{HeldTurn, Turn};
use super::LaneState;
use crate::config::Peer;
use crate::status::PeerStatus;

/// A link in service: one own key, one key of the peer's.
pub(crate) struct RemoteLink {
    pub(crate) own: WireGuardPublicKey,
    pub(crate) key: WireGuardPublicKey,
    /// Which lane it is of, 0 for the first: whose socket it uses.
    pub(crate) lane: usize,
    /// Whose thread may send the datagrams that it has sealed, if several do.
    pub(crate) turn: Turn,
    /// 24 bits; sessions of this link have it in the upper bits of their index.
    pub(crate) index: u32,
    pub(crate) shared: Arc<LaneState>,
    core: Mutex<LinkState>,
}

impl RemoteLink {
    pub(crate) fn new(
        identity: Arc<Identity>,
        config: Peer,
        (lane, index): (usize, u32),
        shared: Arc<LaneState>,
    ) -> Self {
        let (own, key) = (identity.key, config.public_key);
        let core = LinkState::new(identity, config, index);
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
    pub(crate) fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> PeerStatus {
        let core = self.lock();
        PeerStatus {
            public_key: self.key,
            name: core.config().name.clone(),
            endpoint: core.path().map(|path| path.remote),
            latest_handshake: core.latest_handshake(),
            rx_bytes: self.shared.rx_bytes.load(Ordering::Relaxed),
            tx_bytes: self.shared.tx_bytes.load(Ordering::Relaxed),
            allowed_ips: core.config().allowed_ips.clone(),
            handshake_attempts_unanswered: core.unanswered(),
            knows_next_key: false,
            uses_current_key: core.session_is_up(),
            segmentation_refused: self.shared.segmentation.refusals(),
            segmentation_paused: self.shared.segmentation.is_on(Instant::now()),
            lanes: Vec::new(),
        }
    }
}
