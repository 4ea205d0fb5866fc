//! The registry as a protocol: what is accepted, who writes, what converges.
//!
//! `zones` makes zones with keys and bounds; the other modules are stories and properties.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod accept;
mod configured;
mod gateways;
mod mesh;
mod model;
mod own;
mod proofs;
mod record;
mod session;
mod zones;
