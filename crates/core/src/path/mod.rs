//! The path to a peer, judged by small probes inside its tunnel: delay, loss, state, MTU.
//!
//! Pure: `now` comes in as the time since any fixed moment of a clock that never goes back, answers
//! come in by number, and what is to be sent or told goes out as values. Promises that one lost
//! probe changes nothing, that a path at the edge of a threshold does not flap, and that a peer that
//! never answers probes (another WireGuard) is judged by its handshakes alone. Refuses to know how
//! a probe looks and how it travels.

mod health;
mod last_mile;
mod monitor;
mod mtu;
mod quality;
mod refusal;
mod sightings;

pub use health::{PathChange, PathHealth, PathObservation, PathReason, PathState, SESSION_LIFE};
pub use last_mile::{AskedWay, LastMile};
pub use monitor::{AnswerSeen, HandshakeStatus, PathEvent, PathMonitor, PathSummary, ProbeRequest};
pub use mtu::{MTU_CHECK_EVERY, MtuChange, MtuSearch, SMALLEST_MTU};
pub use quality::{LossyWay, PROBE_LENGTH, PROBE_PATIENCE, PathQuality, ProbeLoss};
pub use refusal::SendRefusal;
pub use sightings::PeerSightings;
