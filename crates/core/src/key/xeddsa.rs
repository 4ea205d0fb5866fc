//! Signatures by X25519 keys: XEdDSA (Signal, "The XEdDSA and VXEdDSA Signature Schemes", revision 1).
//!
//! Promises: only who has the private key can sign; a signature has one form (strict rules as for
//! Ed25519), a key too. The private key is taken with the sign that gives its Edwards point an even
//! x, as the specification says, so that whoever verifies needs the public key alone. Refuses to know
//! what is signed.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use super::strict;

/// Keeps the hash that makes the nonce apart from all others: 2^256 - 2, little-endian.
const NONCE_PREFIX: [u8; 32] = {
    let mut prefix = [0xff; 32];
    prefix[0] = 0xfe;
    prefix
};
/// The specification's Z, which it wants random. Here nothing is random: a record that is written anew
/// must have the same bytes. The nonce is as secret as Ed25519's without it, as it hashes the key.
const ADDITIONAL: [u8; 64] = [0; 64];

pub(super) fn sign(private: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let clamped = Zeroizing::new(clamp_integer(*private));
    let secret = Zeroizing::new(Scalar::from_bytes_mod_order(*clamped));
    let mut public = EdwardsPoint::mul_base(&secret).compress().to_bytes();
    let is_odd = public[31] >> 7;
    // No branch: which sign it is says a bit of the key to who can measure time.
    let sign = Scalar::ONE - Scalar::from(2 * is_odd);
    let secret = Zeroizing::new(*secret * sign);
    public[31] &= 0x7f;
    let nonce = Zeroizing::new(hash(&[
        &NONCE_PREFIX,
        Zeroizing::new(secret.to_bytes()).as_slice(),
        message,
        &ADDITIONAL,
    ]));
    let commitment = EdwardsPoint::mul_base(&nonce).compress().to_bytes();
    let answer = *nonce + hash(&[&commitment, &public, message]) * *secret;
    Signature::from_components(commitment, answer.to_bytes()).to_bytes()
}

pub(super) fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    // A second form of the same point is not the same key.
    if !is_canonical(public) {
        return false;
    }
    let Some(point) = MontgomeryPoint(*public).to_edwards(0) else { return false };
    strict::verify(&VerifyingKey::from(point), message, signature)
}

/// True for a number below 2^255 - 19, little-endian.
fn is_canonical(public: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = public;
    *last < 0x7f || (*last == 0x7f && (*first < 0xed || middle.iter().any(|byte| *byte != 0xff)))
}

fn hash(parts: &[&[u8]]) -> Scalar {
    let mut hash = Sha512::new();
    parts.iter().for_each(|part| hash.update(part));
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::key::{WireGuardPrivateKey, WireGuardPublicKey};

    /// The order of the base point, little-endian (RFC 8032, section 5.1).
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];

    fn key(byte: u8) -> WireGuardPrivateKey {
        WireGuardPrivateKey::from_bytes([byte; 32])
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn unhex<const N: usize>(text: &str) -> [u8; N] {
        std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
    }

    /// Made with libxeddsa 2.0 (Python package XEdDSA 1.2.0): `priv_force_sign(key, False)`, then
    /// `ed25519_priv_sign(key, b"zonemesh", bytes(64))`. The second key's point has an odd x; of the
    /// first that library hashes the key before it is reduced for the nonce, and the specification
    /// after, which nobody sees who verifies.
    #[test]
    fn signatures_are_those_of_another_implementation() {
        let vectors = [
            (
                7,
                "13be4feaeaf204c7fd3358fc9c00721881d174278128227ec674f37f7fe97b6d",
                "1cad67804d52f52da04fa578a42f2d1aa7a6538b4216c4770f2560cade17df26\
                 7bd4d2041b197097291df27b060a760a8fa9ab31be4fcb30576266513877c402",
            ),
            (
                9,
                "57db4b359f23ae5e146e4e2512056704722506348c150c14753d0c933d04d421",
                "0b62bbdfc310fbf89eda7c6283614b13cc12fced1d17577814a83bd3f381db04\
                 775ee10b498054ce71ff10c35659a26ab1b2ae54f943cad462b947ee512fd60f",
            ),
        ];
        for (byte, public, signature) in vectors {
            let key = key(byte);
            assert_eq!(hex(&key.public_key().0), public);
            assert_eq!(hex(&key.sign(b"zonemesh")) == signature, byte == 9);
            assert!(key.public_key().verify(b"zonemesh", &unhex(signature)));
        }
    }

    #[test]
    fn a_key_is_a_number_below_the_fields_order() {
        let mut largest = [0xff; 32];
        (largest[0], largest[31]) = (0xec, 0x7f);
        let mut order = largest;
        order[0] = 0xed;
        let mut high_bit = [0; 32];
        high_bit[31] = 0x80;
        let canonical = [[0; 32], largest, order, high_bit, [0xff; 32]];
        assert_eq!(
            canonical.map(|key| super::is_canonical(&key)),
            [true, true, false, false, false]
        );
    }

    #[test]
    fn a_key_of_small_order_or_of_the_twist_proves_nothing() {
        let signature = key(7).sign(b"");
        // 0, 1, a point of order 8, one of the twist, and 2^255 - 18, which is 1 in another form.
        let order_8 = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
        let order_8 =
            std::array::from_fn(|at| u8::from_str_radix(&order_8[2 * at..2 * at + 2], 16).unwrap());
        let mut one = [0; 32];
        one[0] = 1;
        let mut other_one = [0xff; 32];
        (other_one[0], other_one[31]) = (0xee, 0x7f);
        for public in [[0; 32], one, order_8, [2; 32], other_one] {
            assert!(!WireGuardPublicKey(public).verify(b"", &signature));
            assert!(!WireGuardPublicKey(public).verify(b"", &[0; 64]));
            // R = identity, s = 0 is right for each message if the key may be the identity.
            let mut nothing = [0; 64];
            nothing[0] = 1;
            assert!(!WireGuardPublicKey(public).verify(b"", &nothing));
        }
    }

    proptest! {
        #[test]
        fn a_signature_holds_for_its_key_and_message_only(
            private in any::<[u8; 32]>(),
            message in prop::collection::vec(any::<u8>(), 0..100),
            other in any::<[u8; 32]>(),
        ) {
            let key = WireGuardPrivateKey::from_bytes(private);
            let signature = key.sign(&message);
            prop_assert!(key.public_key().verify(&message, &signature));
            let longer = [message.as_slice(), b"x"].concat();
            prop_assert!(!key.public_key().verify(&longer, &signature));
            let other = WireGuardPrivateKey::from_bytes(other).public_key();
            prop_assert!(other == key.public_key() || !other.verify(&message, &signature));
        }

        #[test]
        fn a_changed_signature_does_not_hold(private in any::<[u8; 32]>(), at in 0..512_usize) {
            let key = WireGuardPrivateKey::from_bytes(private);
            let mut signature = key.sign(b"zonemesh");
            signature[at / 8] ^= 1 << (at % 8);
            prop_assert!(!key.public_key().verify(b"zonemesh", &signature));
        }

        #[test]
        fn a_signature_has_no_second_form(private in any::<[u8; 32]>()) {
            let key = WireGuardPrivateKey::from_bytes(private);
            let mut signature = key.sign(b"zonemesh");
            // s + order is the same number modulo the order.
            let mut carry = 0;
            for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
                let sum = u16::from(*byte) + u16::from(order) + carry;
                (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
            }
            prop_assert!(!key.public_key().verify(b"zonemesh", &signature));
            // Nor has the key: its highest bit is no part of it (RFC 7748, section 5).
            let mut public = key.public_key();
            public.0[31] |= 0x80;
            prop_assert!(!public.verify(b"zonemesh", &key.sign(b"zonemesh")));
        }
    }
}
