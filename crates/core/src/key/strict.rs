//! Strict verification of an Ed25519 signature: what ed25519-dalek's `verify_strict` accepts, and
//! nothing else, for a tenth less.
//!
//! That one decompresses R to see whether its order is small. Where the signature holds, R is the
//! canonical form of a point that was computed, and of those with a small order there are eight.

use std::sync::LazyLock;

use curve25519_dalek::constants::EIGHT_TORSION;
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};

/// All points of small order, in their canonical form.
static SMALL_ORDER: LazyLock<[[u8; 32]; 8]> =
    LazyLock::new(|| EIGHT_TORSION.map(|point| point.compress().to_bytes()));

/// True if `signature` over `message` was made by `key`, and has its one form.
pub(super) fn verify(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    !key.is_weak()
        && !SMALL_ORDER.contains(signature.r_bytes())
        && key.verify(message, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::edwards::EdwardsPoint;
    use curve25519_dalek::scalar::Scalar;
    use ed25519_dalek::{Signer as _, SigningKey};
    use proptest::prelude::*;
    use sha2::{Digest as _, Sha512};

    use super::*;

    fn accepts(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
        let mine = verify(key, message, signature);
        let theirs = key.verify_strict(message, &Signature::from_bytes(signature)).is_ok();
        assert_eq!(mine, theirs, "{key:?} {signature:02x?}");
        mine
    }

    /// What whoever has the private key can make so that the equation holds: s = k * secret.
    fn with_r(secret: &Scalar, key: &VerifyingKey, r: &[u8; 32], message: &[u8]) -> [u8; 64] {
        let hash = Sha512::new().chain_update(r).chain_update(key.as_bytes()).chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        Signature::from_components(*r, (k * secret).to_bytes()).to_bytes()
    }

    #[test]
    fn a_commitment_or_key_of_small_order_is_refused_though_the_equation_holds() {
        let secret = Scalar::from(7_u64);
        let key = VerifyingKey::from(EdwardsPoint::mul_base(&secret));
        let mut holds = 0;
        for r in *SMALL_ORDER {
            let signature = with_r(&secret, &key, &r, b"zonemesh");
            holds += u8::from(key.verify(b"zonemesh", &Signature::from_bytes(&signature)).is_ok());
            assert!(!accepts(&key, b"zonemesh", &signature));
            let weak = VerifyingKey::from_bytes(&r).unwrap();
            for r in *SMALL_ORDER {
                assert!(!accepts(&weak, b"", &with_r(&Scalar::ZERO, &weak, &r, b"")));
            }
        }
        assert_eq!(holds, 1, "with the identity as commitment plain rules accept");
    }

    #[test]
    fn a_commitment_in_a_second_form_is_refused() {
        // y = 2^255 - 18 is 1, and the identity's sign bit may be set by those who decode loosely.
        let mut other_one = [0xff; 32];
        (other_one[0], other_one[31]) = (0xee, 0x7f);
        let mut signed_one = [0; 32];
        (signed_one[0], signed_one[31]) = (1, 0x80);
        let secret = Scalar::from(7_u64);
        let key = VerifyingKey::from(EdwardsPoint::mul_base(&secret));
        for r in [other_one, signed_one, [0xff; 32]] {
            assert!(!accepts(&key, b"zonemesh", &with_r(&secret, &key, &r, b"zonemesh")));
        }
    }

    proptest! {
        #[test]
        fn it_accepts_what_verify_strict_accepts(
            seed in any::<[u8; 32]>(),
            message in prop::collection::vec(any::<u8>(), 0..100),
            at in 0..512_usize,
            other in any::<[u8; 64]>(),
        ) {
            let key = SigningKey::from_bytes(&seed);
            let mut signature = key.sign(&message).to_bytes();
            let key = key.verifying_key();
            prop_assert!(accepts(&key, &message, &signature));
            signature[at / 8] ^= 1 << (at % 8);
            prop_assert!(!accepts(&key, &message, &signature));
            prop_assert!(!accepts(&key, &message, &other));
        }
    }
}
