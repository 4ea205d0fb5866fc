//! Keys: WireGuard (X25519) and zone identity (Ed25519).
//!
//! Public keys print as text and parse from it; secrets have neither `Debug` nor `Display`, are
//! wiped on drop and leave this module only as bytes that are wiped too. A zone key carries the
//! prefix `ed25519:` so that it cannot be mistaken for a WireGuard key, which has the same length.
//! A WireGuard key signs too (`xeddsa`), so that its holder can prove that it has it.

mod gateway;
mod strict;
mod xeddsa;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

pub use gateway::{GatewayIdentity, GatewayPublicKey};

use crate::not_base64::NotBase64;

/// Marks a zone key in its text form.
const ZONE_KEY_PREFIX: &str = "ed25519:";

/// Why a text is no valid key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not base64.
    #[error("a key is 44 characters of base64")]
    Base64(#[source] NotBase64),
    /// Base64 of something that is not 32 bytes.
    #[error("a key has 32 bytes (44 characters of base64), this one has {0}")]
    Length(usize),
    /// A zone key without its prefix.
    #[error("a zone key starts with \"ed25519:\" (is this a WireGuard key?)")]
    NoZonePrefix,
    /// A WireGuard key with a zone key's prefix.
    #[error("this is a zone key (\"ed25519:\"), a WireGuard key was expected")]
    ZonePrefix,
    /// 32 bytes that are no point of the curve, or one of small order.
    #[error("these 32 bytes are no usable Ed25519 public key")]
    NotAPoint,
    /// A preshared key of zeros.
    #[error("a secret of zeros is none to WireGuard: `wg genpsk` makes one")]
    NoSecret,
}

/// Some editors put a byte order mark before a text.
fn decode(text: &str) -> Result<[u8; 32], KeyError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let bytes =
        Zeroizing::new(STANDARD.decode(text).map_err(|error| KeyError::Base64(error.into()))?);
    <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_wrong_length| KeyError::Length(bytes.len()))
}

/// An Ed25519 key with its point, if that has large order.
fn usable(bytes: &[u8; 32]) -> Result<VerifyingKey, KeyError> {
    let key = VerifyingKey::from_bytes(bytes).map_err(|_no_point| KeyError::NotAPoint)?;
    if key.is_weak() { Err(KeyError::NotAPoint) } else { Ok(key) }
}

/// A WireGuard public key (X25519, 32 bytes), shown in base64 as `wg` does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WireGuardPublicKey(pub [u8; 32]);

impl WireGuardPublicKey {
    /// True if whoever made `signature` over `message` has the private key (XEdDSA, strict rules).
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        xeddsa::verify(&self.0, message, signature)
    }
}

/// The public WireGuard keys of one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireGuardKeys {
    /// The one that it has.
    pub current: WireGuardPublicKey,
    /// The one that it is changing to, and answers to already.
    pub next: Option<WireGuardPublicKey>,
}

impl WireGuardKeys {
    /// Both.
    pub fn iter(self) -> impl Iterator<Item = WireGuardPublicKey> {
        std::iter::once(self.current).chain(self.next)
    }

    /// The one that somebody who hears of this gateway now should use.
    #[must_use]
    pub fn newest(self) -> WireGuardPublicKey {
        self.next.unwrap_or(self.current)
    }
}

/// A zone's public key (Ed25519, 32 bytes), shown as `ed25519:` and base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ZonePublicKey([u8; 32]);

impl ZonePublicKey {
    /// Takes 32 bytes that are a point of the curve of large order.
    ///
    /// # Errors
    /// [`KeyError::NotAPoint`] for any other 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        usable(&bytes).map(|_point| Self(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// True if `signature` over `message` was made by this key (RFC 8032, strict rules).
    #[must_use]
    pub fn verify_strict(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| strict::verify(&key, message, signature))
    }
}

impl FromStr for WireGuardPublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.starts_with(ZONE_KEY_PREFIX) {
            return Err(KeyError::ZonePrefix);
        }
        decode(text).map(Self)
    }
}

impl FromStr for ZonePublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let base64 = text.strip_prefix(ZONE_KEY_PREFIX).ok_or(KeyError::NoZonePrefix)?;
        Self::from_bytes(decode(base64)?)
    }
}

impl fmt::Display for WireGuardPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Display for ZonePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ZONE_KEY_PREFIX}{}", STANDARD.encode(self.0))
    }
}

macro_rules! text_form {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = KeyError;

            fn try_from(text: String) -> Result<Self, KeyError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(key: $name) -> Self {
                key.to_string()
            }
        }

        /// Shortened, for logs: the first eight characters of the base64 form.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}…", &STANDARD.encode(self.0)[..8])
            }
        }
    };
}

text_form!(WireGuardPublicKey);
text_form!(ZonePublicKey);

/// A WireGuard private key. Wiped on drop; clamped by X25519 itself (RFC 7748, section 5).
#[derive(Clone)]
pub struct WireGuardPrivateKey(Zeroizing<[u8; 32]>);

impl WireGuardPrivateKey {
    /// Takes 32 random bytes, or the bytes of a stored key.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The matching public key.
    #[must_use]
    pub fn public_key(&self) -> WireGuardPublicKey {
        let secret = x25519_dalek::StaticSecret::from(*self.0);
        WireGuardPublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes())
    }

    /// The bytes, for the WireGuard handshake.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }

    /// Signs `message` (XEdDSA). The same key and message give the same signature.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        xeddsa::sign(&self.0, message)
    }

    /// The key of a further lane of the same gateway: it follows from this one, so that no other secret
    /// has to be kept, and tells nothing about it (HKDF-Expand with SHA-256, RFC 5869).
    #[must_use]
    pub fn of_lane(&self, lane: u8) -> Self {
        const LABEL: &[u8] = b"zonemesh wireguard lane v1\0";
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        mac.update(LABEL);
        mac.update(&[lane, 1]);
        Self::from_bytes(mac.finalize().into_bytes().into())
    }

    /// The base64 text of a key file, as `wg genkey` writes it.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(*self.0))
    }

    /// Reads a key file's text.
    ///
    /// # Errors
    /// [`KeyError`] if it is not base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        decode(text).map(Self::from_bytes)
    }
}

/// A WireGuard preshared key (32 bytes of symmetric secret). Wiped on drop.
#[derive(Clone)]
pub struct PresharedKey(Zeroizing<[u8; 32]>);

impl PresharedKey {
    /// Reads a key file's text.
    ///
    /// # Errors
    /// [`KeyError`] if it is not base64 of 32 bytes, or of zeros, which WireGuard takes for none.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(decode(text)?);
        if *bytes == [0; 32] { Err(KeyError::NoSecret) } else { Ok(Self(bytes)) }
    }

    /// The bytes, for the WireGuard handshake.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.0.clone()
    }
}

/// A zone's identity: the Ed25519 key that signs its records and is its private CA.
/// It never leaves the gateway; wiped on drop.
pub struct ZoneIdentity(SigningKey);

impl ZoneIdentity {
    /// Takes a 32-byte seed (RFC 8032): random bytes, or those of a stored key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a key file's text.
    ///
    /// # Errors
    /// [`KeyError`] if it is not base64 of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let seed = Zeroizing::new(decode(text)?);
        Ok(Self::from_seed(&seed))
    }

    /// The base64 text of a key file.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(*self.seed()))
    }

    /// The seed, for the TLS layer, which needs the same key as PKCS#8.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The zone's public key.
    #[must_use]
    pub fn public_key(&self) -> ZonePublicKey {
        ZonePublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` (Ed25519, RFC 8032).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7748, section 6.1: Alice's key pair.
    #[test]
    fn a_wireguard_key_has_the_public_key_of_rfc_7748() {
        let private =
            WireGuardPrivateKey::from_base64("dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=");
        let public = private.unwrap().public_key().to_string();
        assert_eq!(public, "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
    }

    #[test]
    fn a_byte_order_mark_before_a_key_is_passed_over() {
        let marked = "\u{feff}dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\r\n";
        let private = WireGuardPrivateKey::from_base64(marked).unwrap();
        assert!(private.public_key().to_string().starts_with("hSDwCYkw"));
    }

    #[test]
    fn a_secret_of_zeros_is_none() {
        let zeros = STANDARD.encode([0; 32]);
        assert_eq!(PresharedKey::from_base64(&zeros).err(), Some(KeyError::NoSecret));
        assert!(PresharedKey::from_base64(&STANDARD.encode([1; 32])).is_ok());
    }

    #[test]
    fn a_signature_holds_for_its_message_and_key_only() {
        let (alice, bob) = (ZoneIdentity::from_seed(&[1; 32]), ZoneIdentity::from_seed(&[2; 32]));
        let signature = alice.sign(b"record");
        assert!(alice.public_key().verify_strict(b"record", &signature));
        assert!(!alice.public_key().verify_strict(b"recorD", &signature));
        assert!(!bob.public_key().verify_strict(b"record", &signature));
    }

    #[test]
    fn the_two_kinds_of_keys_are_not_mistaken_for_each_other() {
        let zone = ZoneIdentity::from_seed(&[7; 32]).public_key().to_string();
        assert_eq!(zone.parse::<WireGuardPublicKey>(), Err(KeyError::ZonePrefix));
        assert_eq!(zone["ed25519:".len()..].parse::<ZonePublicKey>(), Err(KeyError::NoZonePrefix));
        assert_eq!(zone.parse::<ZonePublicKey>().unwrap().to_string(), zone);
    }

    #[test]
    fn a_key_of_wrong_length_says_how_long_it_is() {
        assert_eq!("AAAA".parse::<WireGuardPublicKey>(), Err(KeyError::Length(3)));
        assert!(matches!("kein Schlüssel".parse::<WireGuardPublicKey>(), Err(KeyError::Base64(_))));
    }

    #[test]
    fn the_identity_point_is_no_zone_key() {
        let mut bytes = [0u8; 32];
        bytes[0] = 1;
        assert_eq!(ZonePublicKey::from_bytes(bytes), Err(KeyError::NotAPoint));
    }

    /// `printf 'zonemesh wireguard lane v1\0\1\1' | openssl dgst -sha256 -mac HMAC -macopt hexkey:07…07`
    #[test]
    fn the_keys_of_lanes_follow_from_the_gateways() {
        let key = WireGuardPrivateKey::from_bytes([7; 32]);
        let first: String = key.of_lane(1).to_bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(first, "4184fca91af4f751bd442b1cd58bde571d7c9c8ef7bdfc8da0a98dbbd119df2d");
        assert_ne!(key.of_lane(1).public_key(), key.of_lane(2).public_key());
        assert_ne!(key.of_lane(1).public_key(), key.public_key());
    }

    #[test]
    fn logs_show_a_short_key() {
        let key = WireGuardPublicKey([0; 32]);
        assert_eq!(format!("{key:?}"), "AAAAAAAA…");
    }
}
