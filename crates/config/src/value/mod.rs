//! The parsers of single values: one TOML value to one typed value, or what is wrong with it.
//!
//! Each says what was found, what was expected and the way out. Which key takes which parser stands
//! in the table of keys; a limit that only one key has is written there, as an argument.

mod addresses;
mod credentials;
mod files;
mod log;
mod names;
mod numbers;
mod times;

use toml::de::DeValue;

use crate::complaint::{Complaint, kind};

pub(crate) use addresses::{
    allowed_ip, endpoint, listen_address, loopback_address, prefix, tunnel_address, url,
};
pub(crate) use credentials::{peer_public_key, token_hash, vm_role, wireguard_key, zone_key};
pub use files::WgSockets;
pub(crate) use files::{file, socket, wg_sockets};
pub use log::{LogFormat, LogLevel};
pub(crate) use log::{log_format, log_level};
pub use names::SubjectName;
pub(crate) use names::{
    federation_name, gateway_name, interface, key_prefix, peer_name, subject_name, token_name,
    user, zone_name,
};
pub use numbers::Lanes;
pub(crate) use numbers::{count, lanes, port, truth};
pub(crate) use times::{duration, duration_within, expiry};

fn text<'v>(value: &'v DeValue<'_>, expected: &str) -> Result<&'v str, Complaint> {
    value.as_str().ok_or_else(|| {
        Complaint::new(format!("found {}", kind(value)), expected, "write it in quotes")
    })
}
