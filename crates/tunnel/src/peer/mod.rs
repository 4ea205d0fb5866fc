//! The other end: its lanes, the links of a lane, and a link's state behind a lock.
//!
//! Pure: owns no socket and no thread.

mod choice;
mod gateway;
mod lane;
mod link;

use std::time::{Instant, SystemTime};

pub(crate) use self::choice::QUIET;
pub(crate) use self::gateway::{Leaves, RemoteGateway};
pub(crate) use self::lane::{LaneState, RemoteLane};
pub(crate) use self::link::{
    DATA_OVERHEAD, HeldTurn, INITIATION, Identities, Identity, RemoteLink, Sealed, TYPE_DATA,
    receiver_index,
};

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
