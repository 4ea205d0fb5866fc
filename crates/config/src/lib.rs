//! TOML text to a valid Zonemesh configuration.
//!
//! Owns the schema of `/etc/zonemesh/zonemesh.toml`: its defaults, its checks and the place of every
//! value in the file. Promises that a [`Config`] that exists is valid in itself, and that every
//! mistake in a file is reported at once, with line, column, key and the way out. Reads no file,
//! resolves no name and knows no private key: the caller does. The annotated schema is
//! `configs/zonemesh.example.toml`.

mod checks;
mod complaint;
mod config;
mod defaults;
mod difference;
mod draft;
mod endpoint;
mod error;
mod keys;
mod left_out;
mod mistakes;
mod notes;
mod reader;
mod salvage;
mod schema;
mod source;
mod syntax;
mod table;
mod value;

pub use config::Config;
pub use difference::{DifferenceKind, FileStanding, KeyDifference};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{ConfigError, ConfigErrors};
pub use keys::{
    EtcdSettings, FederationSettings, GatewaySettings, HttpSettings, JoinSettings,
    KeepaliveSettings, LocalApiSettings, LogSettings, MeshSettings, PeerSettings, ProbeSettings,
    RegistrySettings, SECTIONS, TokenSettings, TunnelSettings, WireGuardPeerSettings, ZoneSettings,
};
pub use left_out::LeftOutPeer;
pub use schema::{KeyNeed, KeySpec, SectionCount, SectionSpec, TakesEffect};
pub use source::FilePlace;
pub use value::{Lanes, LogFormat, LogLevel, SubjectName, WgSockets};
