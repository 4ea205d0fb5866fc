//! Proofs that both ends of a redemption know the invitation's secret.
//!
//! HMAC-SHA256 (RFC 2104) under a key derived from the secret, over a domain text, the mesh, the
//! invitation, the joiner's key and first record, and the TLS connection on which it is said, which
//! ties both ends to it; each field with its length. The inviter's proof also covers what it answers.
//! Compared in constant time. The joiner signs the same with its zone's key: the secret may be with a
//! thief, and what one said on another connection says nothing on this one.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{InvitationId, InvitationSecret, Redemption, RedemptionAnswer};
use crate::mesh::MeshId;
use crate::record::SignedRecord;

const KEY_DOMAIN: &[u8] = b"zonemesh invitation key v1\0";
const JOINER_DOMAIN: &[u8] = b"zonemesh redeem v2, joiner\0";
const INVITER_DOMAIN: &[u8] = b"zonemesh redeem v2, inviter\0";
const SIGNATURE_DOMAIN: &[u8] = b"zonemesh redeem v2, zone\0";

/// What the two ends of one TLS connection share, and no other connection has (the exporter of RFC
/// 8446, section 7.5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChannelBinding(pub [u8; 32]);

impl ChannelBinding {
    /// What it is derived under.
    pub const LABEL: &'static [u8] = b"EXPERIMENTAL zonemesh redeem v2";
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelBinding(..)")
    }
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
    /// `hash` is that of the invitation which is asked for.
    pub(super) fn new(
        mesh: &MeshId,
        hash: [u8; 32],
        asked: &Redemption,
        binding: &ChannelBinding,
    ) -> Self {
        let InvitationId(id) = &asked.invitation;
        let record = record_hash(&asked.record);
        let fields: [&[u8]; 6] =
            [mesh.as_str().as_bytes(), id, &hash, asked.zone_key.as_bytes(), &record, &binding.0];
        let mut bytes = Vec::new();
        for field in fields {
            bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field);
        }
        Self(bytes)
    }

    /// What the joiner's zone key signs.
    pub(super) fn to_be_signed(&self, proof: &RedemptionProof) -> Vec<u8> {
        [SIGNATURE_DOMAIN, &self.0, &proof.0].concat()
    }
}

fn record_hash(record: &SignedRecord) -> [u8; 32] {
    let hash = Sha256::new_with_prefix(record.signature()).chain_update(record.payload());
    hash.finalize().into()
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
        answer: &RedemptionAnswer,
    ) -> RedemptionProof {
        let ids: Vec<_> = answer.trust.iter().map(|item| item.id().0).collect();
        let record = answer.record.as_ref().map(record_hash).unwrap_or_default();
        let pending = [u8::from(answer.pending)];
        self.mac(&[INVITER_DOMAIN, &transcript.0, &pending, &record, ids.as_flattened()])
    }

    fn mac(&self, parts: &[&[u8]]) -> RedemptionProof {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        parts.iter().for_each(|part| mac.update(part));
        RedemptionProof(mac.finalize().into_bytes().into())
    }
}
