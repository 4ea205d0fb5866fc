//! TOML text to a valid Zonemesh configuration.
//!
//! Owns the schema of `/etc/zonemesh/zonemesh.toml`: its defaults, its checks and the place of every
//! value in the file. Promises that a [`Config`] that exists is valid in itself, and that every
//! mistake in a file is reported at once, with line, column, key and the way out. Reads no file,
//! resolves no name and knows no private key: the caller does. The annotated schema is
//! `configs/zonemesh.example.toml`.

mod checks;
mod draft;
mod endpoint;
mod error;
mod origin;
mod parse;
mod reader;
pub mod schema;
mod settings;
mod source;
mod value;

pub use endpoint::{Endpoint, EndpointError};
pub use error::{ConfigError, ConfigErrors};
pub use settings::{
    Config, EtcdSettings, FederationSettings, GatewaySettings, JoinSettings, Lanes,
    LocalApiSettings, LogFormat, LogLevel, LogSettings, MeshSettings, PeerSettings, ProbeSettings,
    RegistrySettings, SubjectName, TokenSettings, TunnelSettings, ZoneSettings,
};
pub use source::FilePlace;
