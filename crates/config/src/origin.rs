//! Where the values of a configuration come from.
//!
//! Lets what is found out after reading (a key file that cannot be read, a peer that is oneself) be
//! reported with the same precision as what the reader found.

use std::collections::BTreeMap;

use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};

use crate::error::{ConfigError, ConfigErrors};
use crate::reader::Complaint;
use crate::settings::Config;
use crate::source::FilePlace;

/// The file, and the place of each key in it.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) file: String,
    pub(crate) places: BTreeMap<String, FilePlace>,
}

impl Config {
    /// Where the value of a dotted key stands in the file, or `None` where it is a default.
    ///
    /// ```
    /// # let text = include_str!("../../../configs/zonemesh.example.toml");
    /// # let config = zonemesh_config::Config::parse(text, "zonemesh.toml").unwrap();
    /// assert!(config.place("peer[0].zone_key").is_some());
    /// ```
    #[must_use]
    pub fn place(&self, key: &str) -> Option<FilePlace> {
        self.origin.places.get(key).copied()
    }

    /// The file and, where the key stands in it, its line: the opening of a message about it.
    #[must_use]
    pub fn describe_place(&self, key: &str) -> String {
        match self.place(key) {
            Some(place) => format!("{}:{}:{}: {key}", self.origin.file, place.line, place.column),
            None => format!("{}: {key} (its default)", self.origin.file),
        }
    }

    /// Checks what needs this gateway's own keys: that no peer carries one of them.
    ///
    /// # Errors
    /// One [`ConfigError`] per peer key that is an own key.
    pub fn check_keys(
        &self,
        own_wg: WireGuardPublicKey,
        own_zone: ZonePublicKey,
    ) -> Result<(), ConfigErrors> {
        let mut errors = Vec::new();
        for (index, peer) in self.peers.iter().enumerate() {
            let clashes = [
                ("wireguard_key", "WireGuard", peer.wireguard_key == own_wg),
                ("zone_key", "zone", peer.zone_key == own_zone),
            ];
            for (key, what, _) in clashes.iter().filter(|(_, _, clash)| *clash) {
                let complaint = Complaint::new(
                    format!("found this gateway's own {what} key"),
                    format!("the key of zone {:?}", peer.zone.as_str()),
                    "put the peer's public key here, or remove the peer: a zone is not its own peer",
                );
                errors.push(self.error_at(&format!("peer[{index}].{key}"), complaint));
            }
        }
        ConfigErrors::unless_empty(Some(()), errors)
    }

    fn error_at(&self, key: &str, complaint: Complaint) -> ConfigError {
        let FilePlace { line, column } =
            self.place(key).unwrap_or(FilePlace { line: 1, column: 1 });
        ConfigError {
            file: self.origin.file.clone(),
            line,
            column,
            key: key.to_owned(),
            found: complaint.found,
            expected: complaint.expected,
            fix: complaint.fix,
        }
    }
}
