//! A link in service: one own key, one key of a gateway's. A whole WireGuard peer.
//!
//! What must be known without waiting stands here, what changes with messages behind the lock
//! ([`LinkState`]). What the noise layer is and says is in `noise`, the sessions in `sessions`, the way
//! to the gateway in `course`, and who may send what it sealed in `turn`.

mod course;
mod noise;
mod sessions;
mod state;
mod turn;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use zonemesh_core::key::{PresharedKey, WireGuardPublicKey};

pub(crate) use self::course::PortNews;
pub(crate) use self::noise::{
    COOKIE, DATA_OVERHEAD, INITIATION, OwnIdentities, OwnIdentity, RESPONSE, TYPE_COOKIE,
    TYPE_DATA, TYPE_INITIATION, TYPE_RESPONSE, receiver_index,
};
pub(crate) use self::state::{LinkState, Sealed};
pub(crate) use self::turn::{HeldSendTurn, SendTurn};
use super::LaneState;

/// What one link is told of a gateway.
pub(crate) struct LinkSettings {
    pub(crate) public_key: WireGuardPublicKey,
    pub(crate) preshared_key: Option<PresharedKey>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) keepalive: Option<Duration>,
}

/// Where a link belongs.
pub(crate) struct LinkPlace {
    pub(crate) lane: Arc<LaneState>,
    /// 24 bits; sessions of the link have it in the upper bits of their index.
    pub(crate) index: u32,
}

/// A pair of keys with all that hangs on it.
pub(crate) struct RemoteLink {
    pub(crate) own: WireGuardPublicKey,
    pub(crate) key: WireGuardPublicKey,
    /// Whose thread may send the datagrams that it has sealed, if several do.
    pub(crate) turn: SendTurn,
    pub(crate) index: u32,
    pub(crate) lane: Arc<LaneState>,
    state: Mutex<LinkState>,
}

/// A link at one moment.
pub(super) struct LinkStatus {
    pub(super) index: u32,
    pub(super) own: WireGuardPublicKey,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) latest_handshake: Option<SystemTime>,
    /// Initiations sent since the last session came up.
    pub(super) unanswered: u64,
    /// Initiations answered since the gateway has used a session.
    pub(super) unused: u64,
    /// A session that was made here may still carry packets, ours or the gateway's.
    pub(super) session_lives: bool,
}

impl RemoteLink {
    pub(crate) fn new(
        identity: Arc<OwnIdentity>,
        settings: LinkSettings,
        place: LinkPlace,
    ) -> Self {
        let LinkPlace { lane, index } = place;
        let (own, key) = (identity.key, settings.public_key);
        let state = Mutex::new(LinkState::new(identity, settings, index));
        Self { own, key, turn: SendTurn::new(), index, lane, state }
    }

    /// What bounds padding and TCP segments on this link in a tunnel of this MTU.
    pub(crate) fn mtu(&self, of_tunnel: usize) -> usize {
        self.lane.mtu(of_tunnel)
    }

    /// Counts what was sent, as on the wire.
    pub(crate) fn count_sent(&self, bytes: usize) {
        self.lane.tx_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.lane.note_refused(None);
    }

    /// Notes that the kernel has refused a datagram. One that is too long says nothing of the others.
    pub(crate) fn note_refused(&self, error: &io::Error) {
        if let Some(errno) = error.raw_os_error().filter(|errno| *errno != libc::EMSGSIZE) {
            self.lane.note_refused(Some(errno));
        }
    }

    /// True if the session of this index, as a data message names it, is one of this link.
    pub(crate) fn has_session(&self, session_index: Option<u32>) -> bool {
        session_index.is_some_and(|session| session >> 8 == self.index)
    }

    /// A thread that panicked under the lock leaves a session that can only fail to open packets, so
    /// the lock stays usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self, now: Instant) -> LinkStatus {
        let state = self.lock();
        LinkStatus {
            index: self.index,
            own: self.own,
            endpoint: state.path().map(|path| path.remote),
            latest_handshake: state.latest_handshake(),
            unanswered: state.unanswered(),
            unused: state.unused(),
            session_lives: state.has_living_session(now),
        }
    }
}
