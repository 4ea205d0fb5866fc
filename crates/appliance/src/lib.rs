//! What the companions share: the VM's settings, Flower's versions, atomic files, the supervised
//! child, the gateway client, the checks before Flower starts, OneGate and the status file. Three
//! seams keep platforms apart: [`zonemesh_context::source`], `runner`, `reporter`.
//!
//! It promises that nothing here evaluates a context, logs a secret or leaves a process behind. It
//! refuses to know in which order these things are done: that is each companion's `run`.
//! Specification: docs/ARCHITECTURE.md.

pub mod asked;
pub mod backoff;
pub mod command;
pub mod companion;
pub mod connections;
pub mod files;
pub mod flower;
pub mod flower_vm;
pub mod gateway;
pub mod gateway_status;
pub mod installed;
mod log_writer;
pub mod node_key;
pub mod onegate;
pub mod partition;
pub mod plan;
pub mod preflight;
pub mod reason;
pub mod reporter;
mod routes;
pub mod runner;
pub mod settings;
pub mod startup;
pub mod state_folder;
