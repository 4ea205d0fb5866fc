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

pub use health::{Change, Health, Reason, SESSION_LIFE, Seen, State};
pub use monitor::{Event, Monitor, Request, Session, Summary};
pub use mtu::{CHECK_EVERY, MtuChange, MtuSearch, SMALLEST};
pub use quality::{LENGTH, Loss, PATIENCE, Quality};
