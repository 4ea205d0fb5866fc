//! Certificates and TLS configurations of Zonemesh: bytes and PEM in, bytes and PEM out.
//!
//! Three kinds of trust live here and never mix: zones among themselves ([`zone`], [`trust`],
//! [`inviter`]), the zone that a VM pins at its gateway's local API ([`local`]), and Flower's
//! federation CA ([`federation`], [`request`]). [`mod@probe`] and [`mod@describe`] put certificates
//! and failed handshakes into words.
//! The crate reads no file, opens no socket and asks no clock: `now` is an argument. Only rustls
//! itself looks at the system's clock, at each handshake.
//! Specification: docs/ARCHITECTURE.md, RFC 5280, RFC 8446.

mod crypto;
pub mod describe;
pub mod federation;
pub mod inviter;
pub mod local;
pub mod probe;
pub mod request;
pub mod san;
pub mod trust;
mod validity;
pub mod zone;

pub use describe::{CertificateSummary, describe, describe_all};
pub use federation::{FederationCa, FederationError};
pub use inviter::{check_shown, unpinned_client_config};
pub use local::{asking_client_config, local_server_config, pinned_client_config};
pub use probe::{OfferedProtocol, Probe, ProbeFailure};
pub use request::{CertificateRequest, RequestError};
pub use san::San;
pub use trust::{
    TrustError, ZoneTrust, is_about_time, join_server_config, zone_client_config,
    zone_server_config,
};
pub use validity::rfc3339;
pub use zone::{CurrentLeaf, ZoneAuthority, ZoneError, ZoneLeaf};
