//! The hash of a token, in its text form `zmt1:<64 hexadecimal digits>`.
//!
//! Promises that the hash of a token of 0.1.0, which had no `zmt1:`, is refused as such, and that
//! tokens are compared in constant time. It is no secret: a token has at least 128 random bits.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What every hash begins with.
const FORM: &str = "zmt1:";

/// Why a text is no token's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenHashError {
    /// The hash of a token that pins nothing.
    #[error("it is the hash of a token of 0.1.0, which no companion takes any more")]
    OldForm,
    /// Something else.
    #[error("a token's hash is \"zmt1:\" and 64 hexadecimal digits")]
    Form,
}

/// SHA-256 of a token's whole text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    pub(super) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// A hash that was kept as bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Is this the hash of what a VM has shown?
    #[must_use]
    pub fn is_of(&self, shown: &str) -> bool {
        self.0.ct_eq(&Self::of(shown).0).into()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FORM)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenHash {
    type Err = TokenHashError;

    fn from_str(text: &str) -> Result<Self, TokenHashError> {
        match text.strip_prefix(FORM) {
            Some(digits) => digits32(digits).map(Self).ok_or(TokenHashError::Form),
            None if digits32(text).is_some() => Err(TokenHashError::OldForm),
            None => Err(TokenHashError::Form),
        }
    }
}

/// 64 hexadecimal digits of either case.
pub(super) fn digits32(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    Some(std::array::from_fn(|i| digits[2 * i] << 4 | digits[2 * i + 1]))
}
