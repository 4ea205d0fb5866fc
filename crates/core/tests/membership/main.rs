//! Members of a managed mesh: which items count, what follows from them, how a zone joins.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod accept;
mod attacker;
mod attestation;
mod authorities;
mod change;
mod invitation;
mod members;
mod mesh;
mod model;
mod overtaken;
mod registry;
mod room;
mod upgrade;
