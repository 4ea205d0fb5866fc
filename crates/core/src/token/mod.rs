//! Tokens of VMs: `zmt1.<pin>.<secret>`, and the hash by which a gateway knows one.
//!
//! Promises that a token says which zone its VM may talk to, that its secret is wiped and in no
//! error, and that every text of another form is refused with the command that makes a new one.
//! What a token is good for (role, federation, end) is the gateway's to say and stands in no token.
//! It refuses to know how a gateway proves that it is of that zone (`attestation`, TLS).

mod hash;
pub(crate) mod known;
mod pin;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

pub use hash::{TokenHash, TokenHashError};
pub use known::{KeptTokens, KeptTokensError, KnownToken, KnownTokenError, MAX_KNOWN};
pub use pin::{MeshPin, ZonePin, ZonePinError};

/// What every token of this form begins with.
const FORM: &str = "zmt1";
/// Bytes of a new token's secret.
pub const SECRET_BYTES: usize = 24;
/// The same as characters: what follows the last dot.
pub const SECRET_CHARACTERS: usize = SECRET_BYTES / 3 * 4;
/// Fewest and most bytes that a secret may have: 128 bits, and what a person can still paste.
const SECRET_RANGE: std::ops::RangeInclusive<usize> = 16..=64;
/// Longest text that is looked at.
const MAX_TEXT: usize = 512;

/// Why a text is no token. The text itself is in none of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VmTokenError {
    /// What 0.1.0 made: it pins nothing.
    #[error(
        "it has the form of 0.1.0, which pins no zone: make a new one with `zonemesh key generate token`"
    )]
    OldForm,
    /// Something else.
    #[error(
        "it is no token, zmt1.PIN.SECRET: make one with `zonemesh key generate token` and copy it whole"
    )]
    Form,
    /// The part that says which zone.
    #[error(
        "its pin cannot be read ({0}): copy it whole, or make a new one with `zonemesh key generate token`"
    )]
    Pin(ZonePinError),
    /// The part that nobody else knows.
    #[error("its secret is damaged or shorter than 128 bits: copy it whole")]
    Secret,
}

/// A VM's token: secret, so wiped, and shown nowhere.
#[derive(Clone)]
pub struct VmToken {
    text: Zeroizing<String>,
    pin: ZonePin,
}

impl VmToken {
    /// A token of fresh random bytes.
    #[must_use]
    pub fn new(pin: ZonePin, secret: &[u8; SECRET_BYTES]) -> Self {
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret));
        let text = Zeroizing::new(format!("{FORM}.{pin}.{}", secret.as_str()));
        Self { text, pin }
    }

    /// The whole text, for the request that proves it to a gateway that is pinned.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The zone that its VM may talk to.
    #[must_use]
    pub fn pin(&self) -> &ZonePin {
        &self.pin
    }

    /// How many characters its secret has.
    #[must_use]
    pub fn secret_length(&self) -> usize {
        self.text.len() - self.text.rfind('.').map_or(0, |dot| dot + 1)
    }

    /// What the gateway keeps of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.text)
    }
}

impl fmt::Debug for VmToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VmToken({})", self.pin)
    }
}

impl FromStr for VmToken {
    type Err = VmTokenError;

    fn from_str(text: &str) -> Result<Self, VmTokenError> {
        if text.len() > MAX_TEXT {
            return Err(VmTokenError::Form);
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [FORM, pin, secret] = parts.as_slice() else {
            return Err(if is_old(text) { VmTokenError::OldForm } else { VmTokenError::Form });
        };
        let pin = pin.parse().map_err(VmTokenError::Pin)?;
        let bytes = URL_SAFE_NO_PAD.decode(secret).map(Zeroizing::new);
        match bytes {
            Ok(bytes) if SECRET_RANGE.contains(&bytes.len()) => {
                Ok(Self { text: Zeroizing::new(text.to_owned()), pin })
            }
            _ => Err(VmTokenError::Secret),
        }
    }
}

/// True for what a gateway of 0.1.0 knew as a token: 32 bytes in base64url and nothing else.
#[must_use]
pub fn is_old(text: &str) -> bool {
    text.len() == 43 && URL_SAFE_NO_PAD.decode(text).is_ok()
}

/// What a VM's companion runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VmRole {
    /// A federation's SuperLink.
    SuperLink,
    /// A SuperNode.
    SuperNode,
}

impl VmRole {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SuperLink => "superlink",
            Self::SuperNode => "supernode",
        }
    }
}

#[cfg(test)]
mod tests;
