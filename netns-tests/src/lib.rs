//! What the scenarios do to the Lab's zones from inside the protocols.
//!
//! Owns callers with real keys over real TLS (members, VMs, floods), the steps of a managed mesh,
//! WireGuard implementations as black boxes, and Debians that are booted. Promises nothing about
//! the zones themselves: those are `zonemesh_lab`'s. Refuses to judge: what must not happen is the
//! scenario's matter.

pub mod findings;
pub mod flood;
pub mod idle;
pub mod kernel_state;
pub mod key_holder;
pub mod managed;
pub mod markdown;
pub mod meddle;
pub mod systemd;
pub mod updates;
pub mod vm;
pub mod wireguard;
