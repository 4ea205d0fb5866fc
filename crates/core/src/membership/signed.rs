//! A trust item as it travels and is kept: its bytes and the signatures that it has so far.
//!
//! Promises: an item is kept and passed on as the bytes that were signed; there is one item for each
//! payload, and signatures of several signers are merged into it. Refuses to know whose signatures
//! count (`chain`).

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::file;
use super::item::{ContentId, ItemId, MAX_SIGNATURES, SetHash, TrustItem, TrustKind};
use super::key::{AuthorityIdentity, AuthorityPublicKey};
use super::wire::{self, ItemError};

/// An authority's signature of an item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuthoritySignature {
    /// Whose.
    pub key: AuthorityPublicKey,
    /// Ed25519 over the kind's domain text and the payload.
    pub signature: [u8; 64],
}

/// An item as it travels and is kept, with as many signatures as it has so far.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedTrustItem {
    kind: TrustKind,
    payload: Bytes,
    /// In the order of the keys.
    signatures: Vec<AuthoritySignature>,
}

impl SignedTrustItem {
    /// Encodes an item that nobody has signed yet: the request of the offline path.
    #[must_use]
    pub fn unsigned(item: &TrustItem) -> Self {
        Self { kind: item.kind(), payload: wire::encode(item), signatures: Vec::new() }
    }

    /// Takes an item as it came from elsewhere; nothing is believed yet.
    #[must_use]
    pub fn from_parts(
        kind: TrustKind,
        payload: Bytes,
        mut signatures: Vec<AuthoritySignature>,
    ) -> Self {
        signatures.sort();
        Self { kind, payload, signatures }
    }

    /// Adds the signature of `identity`, or replaces the one that it had.
    pub fn sign(&mut self, identity: &AuthorityIdentity) {
        let key = identity.public_key();
        let signature = identity.sign(&self.signed_bytes());
        self.signatures.retain(|present| present.key != key);
        self.signatures.push(AuthoritySignature { key, signature });
        self.signatures.sort();
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> TrustKind {
        self.kind
    }

    /// Among items that are offered together: sets in the order of their epochs, then pages, then the
    /// rest.
    #[must_use]
    pub fn turn(&self) -> (u8, u64) {
        match self.kind {
            TrustKind::AuthoritySet => match self.decode() {
                Ok(TrustItem::AuthoritySet(set)) => (0, set.epoch),
                _ => (0, u64::MAX),
            },
            TrustKind::GrantPage => (1, 0),
            TrustKind::Grant | TrustKind::Revocation => (2, 0),
        }
    }

    /// The bytes that were signed.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The signatures, in the order of their keys.
    #[must_use]
    pub fn signatures(&self) -> &[AuthoritySignature] {
        &self.signatures
    }

    /// Bytes of payload and signatures.
    #[must_use]
    pub fn size(&self) -> usize {
        self.payload.len() + self.signatures.len() * 96
    }

    /// Its name. The signers of sets and pages are no part of it: these hold or they do not.
    #[must_use]
    pub fn id(&self) -> ItemId {
        let mut hash = self.hash_of_content();
        if matches!(self.kind, TrustKind::Grant | TrustKind::Revocation) {
            self.signatures.iter().for_each(|signature| hash.update(signature.key.as_bytes()));
        }
        ItemId(hash.finalize().into())
    }

    /// The name of what it says.
    #[must_use]
    pub fn content_id(&self) -> ContentId {
        ContentId(self.hash_of_content().finalize().into())
    }

    fn hash_of_content(&self) -> Sha256 {
        let mut hash = Sha256::new_with_prefix(self.kind.domain());
        hash.update((self.payload.len() as u64).to_be_bytes());
        hash.update(&self.payload);
        hash
    }

    /// The same item with the signatures of these keys only.
    #[must_use]
    pub fn signed_only_by(mut self, counts: impl Fn(&AuthorityPublicKey) -> bool) -> Self {
        self.signatures.retain(|signature| counts(&signature.key));
        self
    }

    /// The same item with the signatures of `other`, which says the same, too. One for each key.
    #[must_use]
    pub fn merged_with(mut self, other: &Self) -> Self {
        let present: BTreeSet<_> = self.signatures.iter().map(|s| s.key).collect();
        let more = other.signatures.iter().filter(|s| !present.contains(&s.key)).cloned();
        self.signatures.extend(more);
        self.signatures.sort();
        self
    }

    /// SHA-256 of the payload; of the first authority set it is the mesh id.
    #[must_use]
    pub fn payload_hash(&self) -> SetHash {
        Sha256::digest(&self.payload).into()
    }

    /// What the item says. Says nothing about the signatures.
    ///
    /// # Errors
    /// [`ItemError`] names the field.
    pub fn decode(&self) -> Result<TrustItem, ItemError> {
        wire::decode(self.kind, &self.payload)
    }

    /// The keys that have signed, if every signature holds and no key stands twice.
    #[must_use]
    pub fn signers(&self) -> Option<BTreeSet<AuthorityPublicKey>> {
        let message = self.signed_bytes();
        let holds = |s: &AuthoritySignature| s.key.verify_strict(&message, &s.signature);
        let keys: BTreeSet<_> = self.signatures.iter().map(|s| s.key).collect();
        let distinct = keys.len() == self.signatures.len() && keys.len() <= MAX_SIGNATURES;
        (distinct && self.signatures.iter().all(holds)).then_some(keys)
    }

    /// The form in which an item is kept on disk and carried by hand.
    #[must_use]
    pub fn to_file_bytes(&self) -> Vec<u8> {
        file::to_file_bytes(self)
    }

    /// Reads the form in which an item is kept on disk; the signatures are not checked here.
    ///
    /// # Errors
    /// [`ItemError`] if the bytes are something else, cut off or damaged.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self, ItemError> {
        file::from_file_bytes(bytes)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        [self.kind.domain(), &self.payload].concat()
    }
}

impl fmt::Debug for SignedTrustItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedTrustItem")
            .field("kind", &self.kind)
            .field("bytes", &self.payload.len())
            .field("id", &self.id())
            .finish()
    }
}
