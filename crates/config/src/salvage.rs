//! What can be read of a file that is no valid configuration: where its gateway keeps its state.
//!
//! Only to find what was kept there of the last file that was in force. Promises an absolute path for
//! any bytes; whether that is this file's folder is for who looks into it to see.

use std::path::PathBuf;

use toml::de::DeTable;

use crate::config::Config;
use crate::defaults::{self, Known};
use crate::keys::DraftGateway;
use crate::schema::KeySpec;
use crate::value;

impl Config {
    /// `gateway.state_dir` as far as it can be read, or its default.
    #[must_use]
    pub fn state_dir_of(bytes: &[u8]) -> PathBuf {
        let bytes = bytes.get(..Self::MAX_BYTES).unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes);
        let (file, _mistakes) = DeTable::parse_recoverable(&text);
        let gateway =
            file.get_ref().get("gateway").and_then(|section| section.get_ref().as_table());
        let written = gateway.and_then(|gateway| gateway.get("state_dir"));
        let written = written.and_then(|value| value::file(value.get_ref()).ok());
        let usual = DraftGateway::SPEC.key("state_dir").and_then(KeySpec::default_toml);
        let usual = || defaults::value_of(usual?, &Known::default(), value::file);
        written.or_else(usual).unwrap_or_default()
    }
}
