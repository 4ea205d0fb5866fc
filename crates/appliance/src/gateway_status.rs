//! What the companion of a gateway says of it in a file, as another program of the same VM reads it.
//!
//! It promises that whatever stands there is a status or words, and that a file which is not there is
//! a gateway that is not ready. It refuses to know who is told: that is its readers'.
//! Shape of the file: `"schema": "zonemesh/gateway/v1"`, written by `zonemesh-gateway`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zonemesh_context::source::read_regular;

/// More than this no companion says of its gateway.
const MAX_BYTES: u64 = 1 << 20;

/// Why nothing is known of the gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayStatusError {
    /// No such file, or not for this user.
    #[error("its companion says nothing yet: {}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no status.
    #[error("{} is not what a gateway's companion writes", file.display())]
    Strange {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// How the gateway goes, as far as it concerns others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GatewayStatus {
    /// Nothing is missing.
    pub ready: bool,
    /// What it waits for.
    pub missing: Option<String>,
    /// Where the VMs of the zone reach its local API.
    pub local_api: Option<SocketAddr>,
}

impl GatewayStatus {
    /// What stands there now.
    ///
    /// # Errors
    /// The file is not there, or holds something else.
    pub fn read(file: &Path) -> Result<Self, GatewayStatusError> {
        let text = read_regular(file, MAX_BYTES)
            .map_err(|source| GatewayStatusError::Unreadable { file: file.to_owned(), source })?;
        serde_json::from_slice(&text)
            .map_err(|source| GatewayStatusError::Strange { file: file.to_owned(), source })
    }

    /// Why the gateway is not ready; nothing if it is.
    #[must_use]
    pub fn why_not_ready(file: &Path) -> Option<String> {
        match Self::read(file) {
            Ok(Self { ready: true, .. }) => None,
            Ok(Self { missing, .. }) => {
                Some(missing.unwrap_or_else(|| "it does not say why".to_owned()))
            }
            Err(error) => Some(zonemesh_core::exit::error_line(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_there_is_a_status_or_words() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("status.json");
        let why = || GatewayStatus::why_not_ready(&file);
        assert!(why().unwrap().contains("says nothing yet"), "{:?}", why());
        for (text, words) in [
            ("", "is not what a gateway's companion writes"),
            ("{\"ready\": \"yes\"}", "is not what a gateway's companion writes"),
            ("{\"ready\": true, \"local_api\": \"nowhere\"}", "is not what"),
            ("{\"ready\": false}", "it does not say why"),
            ("{\"ready\": false, \"missing\": \"the daemon does not answer\"}", "the daemon"),
        ] {
            std::fs::write(&file, text).unwrap();
            assert!(why().unwrap().contains(words), "{text}: {:?}", why());
        }
        let ready = "{\"schema\": \"zonemesh/gateway/v1\", \"ready\": true, \"zone\": \"berlin\",
            \"missing\": null, \"local_api\": \"10.10.10.1:51822\"}";
        std::fs::write(&file, ready).unwrap();
        assert_eq!(why(), None);
        let read = GatewayStatus::read(&file).unwrap();
        assert_eq!(read.local_api, Some("10.10.10.1:51822".parse().unwrap()));
    }
}
