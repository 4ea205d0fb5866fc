//! The path to a peer, judged by small probes inside its tunnel: delay, loss, state, MTU.
//!
//! Pure: `now` comes in as the time since any fixed moment of a clock that never goes back, answers
//! come in by number, and what is to be sent or told goes out as values. Promises that one lost
//! probe changes nothing, that a path at the edge of a threshold does not flap, and that a peer that
//! never answers probes (another WireGuard) is judged by its handshakes alone. Refuses to know how
//! a probe looks and how it travels.

mod health;
mod monitor;
mod mtu;
mod quality;

pub use health::{PathChange, PathHealth, PathObservation, PathReason, PathState, SESSION_LIFE};
pub use monitor::{HandshakeStatus, PathEvent, PathMonitor, PathSummary, ProbeRequest};
pub use mtu::{MTU_CHECK_EVERY, MtuChange, MtuSearch, SMALLEST_MTU};
pub use quality::{PROBE_LENGTH, PROBE_PATIENCE, PathQuality, ProbeLoss};
// The names of before, until all callers have the new ones.
pub use self::{
    HandshakeStatus as Session, MTU_CHECK_EVERY as CHECK_EVERY, PROBE_LENGTH as LENGTH,
    PROBE_PATIENCE as PATIENCE, PathChange as Change, PathEvent as Event, PathHealth as Health,
    PathMonitor as Monitor, PathObservation as Seen, PathQuality as Quality, PathReason as Reason,
    PathState as State, PathSummary as Summary, ProbeLoss as Loss, ProbeRequest as Request,
    SMALLEST_MTU as SMALLEST,
};
