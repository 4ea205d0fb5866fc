//! A gateway's identity: the Ed25519 key that signs its record.
//!
//! Its zone's key says in a certificate whose it is (`record::certificate`). Where a gateway has its
//! zone's key it needs no file of its own: its key follows from that one.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{KeyError, ZoneIdentity, ZonePublicKey, strict};

/// A gateway's public key (Ed25519, 32 bytes), with its point: each is used as soon as it is read, and
/// the point costs a tenth of a signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GatewayPublicKey(VerifyingKey);

impl GatewayPublicKey {
    /// Takes 32 bytes that are a point of the curve of large order.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`] for any other 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        super::usable(&bytes).map(Self)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// True if `signature` over `message` was made by this key (RFC 8032, strict rules).
    #[must_use]
    pub fn verify_strict(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        strict::verify(&self.0, message, signature)
    }
}

impl fmt::Debug for GatewayPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ZonePublicKey(self.0.to_bytes()).fmt(f)
    }
}

/// The key of one gateway. Wiped on drop.
pub struct GatewayIdentity(SigningKey);

impl GatewayIdentity {
    /// Takes a 32-byte seed (RFC 8032): random bytes, or those of a stored key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> GatewayPublicKey {
        GatewayPublicKey(self.0.verifying_key())
    }

    /// Signs `message` (Ed25519, RFC 8032).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl ZoneIdentity {
    /// The key of the zone's gateway of this name, where that gateway has the zone's key: it follows
    /// from it and tells nothing about it (HKDF-Expand with SHA-256, RFC 5869).
    #[must_use]
    pub fn of_gateway(&self, name: &str) -> GatewayIdentity {
        const LABEL: &[u8] = b"zonemesh gateway identity v1\0";
        let seed = self.seed();
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*seed).expect("HMAC takes keys of any length");
        mac.update(LABEL);
        mac.update(name.as_bytes());
        mac.update(&[1]);
        GatewayIdentity::from_seed(&Zeroizing::new(mac.finalize().into_bytes().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'zonemesh gateway identity v1\0gw1\1' | openssl dgst -sha256 -mac HMAC -macopt hexkey:07…07`
    #[test]
    fn the_key_of_a_gateway_follows_from_its_zones_and_name() {
        let zone = ZoneIdentity::from_seed(&[7; 32]);
        let seed = SEED_OF_GW1;
        let expected = GatewayIdentity::from_seed(&seed).public_key();
        assert_eq!(zone.of_gateway("gw1").public_key(), expected);
        assert_ne!(zone.of_gateway("gw2").public_key(), expected);
        assert_ne!(expected.as_bytes(), zone.public_key().as_bytes());
    }

    const SEED_OF_GW1: [u8; 32] = [
        0x24, 0x00, 0x86, 0x8b, 0xed, 0x69, 0xec, 0x39, 0xbc, 0x6d, 0xaf, 0x48, 0xfa, 0xba, 0x60,
        0x79, 0x04, 0x0d, 0xaf, 0xf8, 0xbd, 0x66, 0x8e, 0xd4, 0x3a, 0xc4, 0x40, 0xaf, 0x17, 0x4b,
        0x82, 0x3b,
    ];
}
