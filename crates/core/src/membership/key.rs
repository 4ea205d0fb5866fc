//! Authority keys: the Ed25519 keys that sign who belongs to a mesh.
//!
//! The text form starts with `authority:`, so that none is mistaken for a zone key. The secret has
//! neither `Debug` nor `Display` and is wiped on drop; it may lie in a gateway or offline.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::key::{KeyError, ZoneIdentity, ZonePublicKey};

const PREFIX: &str = "authority:";
const ZONE_PREFIX: &str = "ed25519:";

/// Why a text is no authority key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityKeyError {
    /// Another kind of key, or none.
    #[error("an authority key starts with \"authority:\" (is this a zone key?)")]
    NoPrefix,
    /// Not a key behind the prefix.
    #[error("not a valid authority key")]
    Key(#[source] KeyError),
}

/// An authority's public key, shown as `authority:` and base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityPublicKey(ZonePublicKey);

impl AuthorityPublicKey {
    /// Takes 32 bytes that are a point of the curve of large order.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`] for any other 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        ZonePublicKey::from_bytes(bytes).map(Self)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(super) fn verify_strict(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, signature)
    }
}

impl fmt::Display for AuthorityPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        write!(f, "{PREFIX}{}", text.strip_prefix(ZONE_PREFIX).unwrap_or(&text))
    }
}

impl fmt::Debug for AuthorityPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AuthorityPublicKey {
    type Err = AuthorityKeyError;

    fn from_str(text: &str) -> Result<Self, AuthorityKeyError> {
        let base64 = text.strip_prefix(PREFIX).ok_or(AuthorityKeyError::NoPrefix)?;
        let key = format!("{ZONE_PREFIX}{base64}").parse();
        key.map(Self).map_err(AuthorityKeyError::Key)
    }
}

/// An authority's secret key. Wiped on drop.
pub struct AuthorityIdentity(ZoneIdentity);

impl AuthorityIdentity {
    /// Takes a 32-byte seed (RFC 8032): random bytes, or those of a stored key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ZoneIdentity::from_seed(seed))
    }

    /// Reads a key file's text.
    ///
    /// # Errors
    /// [`KeyError`] if it is not base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        ZoneIdentity::from_base64(text).map(Self)
    }

    /// The base64 text of a key file.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        self.0.to_base64()
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> AuthorityPublicKey {
        AuthorityPublicKey(self.0.public_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }
}
