//! The proof that a gateway has the WireGuard key that its record names.
//!
//! Everybody can read a public key and write it into a record of their own; a proof is a signature by
//! the key itself over whose it is, and holds for that zone key and gateway alone. Refuses to know who
//! keeps a key that two prove (whoever makes peers of records).

use std::fmt;

use crate::key::{WireGuardPrivateKey, WireGuardPublicKey, ZonePublicKey};

use super::SIGNATURE_BYTES;

/// What the signature covers besides, so that it cannot be taken for anything else.
const DOMAIN: &[u8] = b"zonemesh wireguard key proof v1\0";

/// A signature by a WireGuard key over the gateway that has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyProof {
    /// The key.
    pub key: WireGuardPublicKey,
    /// XEdDSA by that key.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl KeyProof {
    /// Proves that the gateway of this name, of the zone with this key, has `private`.
    #[must_use]
    pub fn make(private: &WireGuardPrivateKey, zone: &ZonePublicKey, gateway: &str) -> Self {
        let signature = private.sign(&signed_bytes(zone, gateway));
        Self { key: private.public_key(), signature }
    }

    /// True if it holds for that gateway of that zone.
    #[must_use]
    pub fn holds(&self, zone: &ZonePublicKey, gateway: &str) -> bool {
        self.key.verify(&signed_bytes(zone, gateway), &self.signature)
    }
}

/// The zone key has a fixed length, so that no two gateways have the same bytes.
fn signed_bytes(zone: &ZonePublicKey, gateway: &str) -> Vec<u8> {
    [DOMAIN, zone.as_bytes(), gateway.as_bytes()].concat()
}

impl fmt::Debug for KeyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyProof").field(&self.key).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::ZoneIdentity;

    #[test]
    fn a_proof_holds_for_one_key_one_zone_and_one_gateway() {
        let zone = |seed| ZoneIdentity::from_seed(&[seed; 32]).public_key();
        let key = |byte| WireGuardPrivateKey::from_bytes([byte; 32]);
        let proof = KeyProof::make(&key(7), &zone(1), "berlin-gw1");
        assert!(proof.holds(&zone(1), "berlin-gw1"));
        assert!(!proof.holds(&zone(2), "berlin-gw1"));
        assert!(!proof.holds(&zone(1), "berlin-gw2"));
        assert!(!KeyProof { key: key(8).public_key(), ..proof }.holds(&zone(1), "berlin-gw1"));
    }
}
