//! Keys of the gateways under test: made from a number, so that a failure can be repeated.
//!
//! Owns the three forms of a key: bytes, base64 as `wg` writes it, hex as the UAPI does. They guard
//! nothing: never use them outside a lab.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boringtun::x25519::{PublicKey, StaticSecret};

/// A key pair.
#[derive(Clone)]
pub struct TunnelKey {
    bytes: [u8; 32],
}

impl TunnelKey {
    /// The key pair of a number, clamped as Curve25519 wants it (RFC 7748, section 5).
    #[must_use]
    pub fn of(number: u16) -> Self {
        let mut bytes = [0x5a; 32];
        bytes[8..10].copy_from_slice(&number.to_be_bytes());
        bytes[0] &= 248;
        bytes[31] = (bytes[31] & 127) | 64;
        Self { bytes }
    }

    /// The secret half, as the noise layer wants it.
    #[must_use]
    pub fn secret(&self) -> StaticSecret {
        StaticSecret::from(self.bytes)
    }

    /// The secret bytes.
    #[must_use]
    pub fn secret_bytes(&self) -> [u8; 32] {
        self.bytes
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::from(&self.secret())
    }

    /// The secret half as `wg` writes it.
    #[must_use]
    pub fn secret_base64(&self) -> String {
        base64(&self.bytes)
    }

    /// The public half as `wg` writes it.
    #[must_use]
    pub fn public_base64(&self) -> String {
        base64(self.public().as_bytes())
    }

    /// The secret half as the UAPI writes it.
    #[must_use]
    pub fn secret_hex(&self) -> String {
        hex(&self.bytes)
    }

    /// The public half as the UAPI writes it.
    #[must_use]
    pub fn public_hex(&self) -> String {
        hex(self.public().as_bytes())
    }
}

/// 32 bytes as `wg` writes them.
#[must_use]
pub fn base64(bytes: &[u8; 32]) -> String {
    STANDARD.encode(bytes)
}

/// 32 bytes as the UAPI writes them.
#[must_use]
pub fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
