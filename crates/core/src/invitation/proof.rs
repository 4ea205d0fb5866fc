//! Proofs that both ends of a redemption know the invitation's secret.
//!
//! HMAC-SHA256 (RFC 2104) under a key derived from the secret, over a domain text, the mesh, the
//! invitation, and the keys of both ends; each field with its length. The inviter's proof also
//! covers what it answers. Compared in constant time.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{InvitationId, InvitationSecret};
use crate::key::{WireGuardPublicKey, ZonePublicKey};
use crate::membership::SignedTrustItem;
use crate::mesh::MeshId;

const KEY_DOMAIN: &[u8] = b"zonemesh invitation key v1\0";
const JOINER_DOMAIN: &[u8] = b"zonemesh redeem v1, joiner\0";
const INVITER_DOMAIN: &[u8] = b"zonemesh redeem v1, inviter\0";

/// Who joins: made in its gateway, public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinerKeys {
    /// The new zone's key.
    pub zone_key: ZonePublicKey,
    /// Its gateway's WireGuard key.
    pub wireguard_key: WireGuardPublicKey,
}

/// A proof of knowing an invitation's secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RedemptionProof([u8; 32]);

impl RedemptionProof {
    /// A proof as it came from elsewhere; nothing is believed yet.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares in constant time.
    pub(super) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for RedemptionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(..)")
    }
}

/// What both ends prove about one redemption.
pub(super) struct Transcript(Vec<u8>);

impl Transcript {
    pub(super) fn new(
        mesh: &MeshId,
        id: InvitationId,
        hash: [u8; 32],
        joiner: &JoinerKeys,
        inviter: &ZonePublicKey,
    ) -> Self {
        let fields: [&[u8]; 6] = [
            mesh.as_str().as_bytes(),
            &id.0,
            &hash,
            joiner.zone_key.as_bytes(),
            &joiner.wireguard_key.0,
            inviter.as_bytes(),
        ];
        let mut bytes = Vec::new();
        for field in fields {
            bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field);
        }
        Self(bytes)
    }
}

/// The key of the proofs of one invitation: what the inviter keeps of the secret. Wiped on drop.
#[derive(Clone)]
pub struct RedeemKey(Zeroizing<[u8; 32]>);

impl RedeemKey {
    pub(super) fn new(secret: &InvitationSecret) -> Self {
        let hash = Sha256::new_with_prefix(KEY_DOMAIN).chain_update(*secret.0);
        Self(Zeroizing::new(hash.finalize().into()))
    }

    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn joiner_proof(&self, transcript: &Transcript) -> RedemptionProof {
        self.mac(&[JOINER_DOMAIN, &transcript.0])
    }

    pub(super) fn inviter_proof(
        &self,
        transcript: &Transcript,
        items: &[SignedTrustItem],
    ) -> RedemptionProof {
        let ids: Vec<_> = items.iter().map(|item| item.id().0).collect();
        self.mac(&[INVITER_DOMAIN, &transcript.0, ids.as_flattened()])
    }

    fn mac(&self, parts: &[&[u8]]) -> RedemptionProof {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        parts.iter().for_each(|part| mac.update(part));
        RedemptionProof(mac.finalize().into_bytes().into())
    }
}
