//! What stands in for the others in the tests of the companions: a gateway, OneGate, and
//! Flower's programs.
//!
//! For tests only: no program that is shipped depends on it, and it panics where a test is to end.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

mod gateway;
mod onegate;
mod process;
mod tls;

pub use gateway::*;
pub use onegate::*;
pub use process::*;
pub use tls::*;
