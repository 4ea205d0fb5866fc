//! The other end: a zone, its gateways, the lanes to a gateway, the links of a lane.
//!
//! Each tier is a file and knows only the one below: [`RemoteZone`] owns inner addresses and says
//! which gateway is sent to; [`RemoteGateway`] is what WireGuard calls a peer, and says by which lane
//! a packet leaves; [`RemoteLane`] is one pair of ports, [`RemoteLink`] one pair of keys, and
//! `link/state.rs` has what stands behind the link's lock. Pure: owns no socket and no thread.

mod choice;
mod gateway;
mod lane;
mod link;
mod zone;

use std::time::{Instant, SystemTime};

pub(crate) use self::choice::QUIET;
pub(crate) use self::gateway::{Departure, RemoteGateway};
pub(crate) use self::lane::{LaneSettings, LaneState, RemoteLane};
pub(crate) use self::link::{
    COOKIE, DATA_OVERHEAD, HeldSendTurn, INITIATION, LinkPlace, LinkSettings, OwnIdentities,
    OwnIdentity, PortNews, RESPONSE, RemoteLink, Sealed, TYPE_COOKIE, TYPE_DATA, TYPE_INITIATION,
    TYPE_RESPONSE, receiver_index,
};
pub(crate) use self::zone::RemoteZone;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClockReading {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
}

impl ClockReading {
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}
