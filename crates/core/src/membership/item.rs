//! Trust items: what a mesh's authorities say. Grants, revocations and authority sets.
//!
//! Promises: an item is kept and passed on as the bytes that were signed, under a domain text of
//! its own, so that no signature holds for another kind of item or for a record. Refuses to know
//! which authorities are right (`authority`) and what follows from an item (`applied`).

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};

use super::key::{AuthorityIdentity, AuthorityPublicKey};
use super::wire::{self, ItemError};
use crate::key::ZonePublicKey;
use crate::mesh::MeshId;
use crate::name::ZoneName;
use crate::time::UnixMillis;

/// Largest payload of a trust item.
pub const MAX_ITEM_BYTES: usize = 8 * 1024;
/// Most authority keys of a mesh, and most signatures of an item.
pub const MAX_AUTHORITIES: usize = 16;

/// SHA-256 of an authority set's payload; that of the first one names the mesh.
pub type SetHash = [u8; 32];

/// What kind of item it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrustKind {
    /// Who may sign.
    AuthoritySet,
    /// A zone belongs to the mesh.
    Grant,
    /// A zone key belongs to it no more.
    Revocation,
}

impl TrustKind {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthoritySet => "authority_set",
            Self::Grant => "grant",
            Self::Revocation => "revocation",
        }
    }

    fn domain(self) -> &'static [u8] {
        match self {
            Self::AuthoritySet => b"zonemesh authority set v1\0",
            Self::Grant => b"zonemesh grant v1\0",
            Self::Revocation => b"zonemesh revocation v1\0",
        }
    }
}

/// Who may sign for a mesh. The first set names the mesh by its hash and needs no signature; each
/// further one is linked to the one before it and signed by that one's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthoritySet {
    /// 0 for the first set, then one more each time.
    pub epoch: u64,
    /// Hash of the set before; `None` for the first one.
    pub previous: Option<SetHash>,
    /// The keys, at most [`MAX_AUTHORITIES`].
    pub keys: BTreeSet<AuthorityPublicKey>,
    /// How many of them must sign.
    pub threshold: u32,
    /// When it was written, by the writer's clock. For people.
    pub issued_at: UnixMillis,
}

/// A zone belongs to the mesh: its key and all that it may claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The mesh.
    pub mesh: MeshId,
    /// The zone's name.
    pub zone: ZoneName,
    /// The zone's key.
    pub zone_key: ZonePublicKey,
    /// The prefixes that it may announce.
    pub prefixes: Vec<IpNet>,
    /// The tunnel IPs that its gateways may use.
    pub tunnel_ips: Vec<IpAddr>,
    /// Orders grants: of one zone the highest holds, of two zones that overlap the lowest keeps.
    pub serial: u64,
    /// When it was written, by the writer's clock. For people.
    pub issued_at: UnixMillis,
}

/// A zone key belongs to the mesh no more, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The mesh.
    pub mesh: MeshId,
    /// The zone that had the key.
    pub zone: ZoneName,
    /// The key.
    pub zone_key: ZonePublicKey,
    /// Its number, for people.
    pub serial: u64,
    /// Why, for people; at most 256 characters.
    pub reason: String,
    /// When it was written, by the writer's clock. For people.
    pub issued_at: UnixMillis,
}

/// What an item says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustItem {
    /// Who may sign.
    AuthoritySet(AuthoritySet),
    /// A zone belongs to the mesh.
    Grant(Grant),
    /// A zone key belongs to it no more.
    Revocation(Revocation),
}

impl TrustItem {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> TrustKind {
        match self {
            Self::AuthoritySet(_) => TrustKind::AuthoritySet,
            Self::Grant(_) => TrustKind::Grant,
            Self::Revocation(_) => TrustKind::Revocation,
        }
    }
}

/// Names an item by SHA-256 over its kind, its payload and its signatures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub [u8; 32]);

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

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

    /// Its name.
    #[must_use]
    pub fn id(&self) -> ItemId {
        let mut hash = Sha256::new_with_prefix(self.kind.domain());
        hash.update((self.payload.len() as u64).to_be_bytes());
        hash.update(&self.payload);
        for AuthoritySignature { key, signature } in &self.signatures {
            hash.update(key.as_bytes());
            hash.update(signature);
        }
        ItemId(hash.finalize().into())
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
        let distinct = keys.len() == self.signatures.len() && keys.len() <= MAX_AUTHORITIES;
        (distinct && self.signatures.iter().all(holds)).then_some(keys)
    }

    /// The form in which an item is kept on disk and carried by hand.
    #[must_use]
    pub fn to_file_bytes(&self) -> Vec<u8> {
        wire::to_file_bytes(self)
    }

    /// Reads the form in which an item is kept on disk; the signatures are not checked here.
    ///
    /// # Errors
    /// [`ItemError`] if the bytes are something else, cut off or damaged.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self, ItemError> {
        wire::from_file_bytes(bytes)
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
