//! A record that is held: verified, within its zone's bounds.
//!
//! Promises: a proof of a key is checked once, when the record is taken. Refuses to know which record
//! of a gateway is the newest (`registry`).

use std::collections::BTreeSet;

use crate::gateway::GatewayId;
use crate::key::{WireGuardPublicKey, ZonePublicKey};
use crate::record::{KeyProof, SignedRecord, ZoneRecord};
use crate::time::UnixMillis;

use super::vector::RecordHead;

/// A record that is held.
#[derive(Debug, Clone)]
pub struct HeldRecord {
    /// The record.
    pub record: ZoneRecord,
    /// The same as it was signed.
    pub signed: SignedRecord,
    /// When it arrived, by this gateway's clock.
    pub received_at: UnixMillis,
    digest: u64,
    pub(super) key: ZonePublicKey,
    /// Signed under a key that its zone has left: still true, replaced by whatever the new key signs.
    pub(super) former: bool,
    /// The WireGuard keys that it names and proves.
    proven: BTreeSet<WireGuardPublicKey>,
}

impl HeldRecord {
    pub(super) fn new(
        record: ZoneRecord,
        signed: SignedRecord,
        key: ZonePublicKey,
        received_at: UnixMillis,
    ) -> Self {
        let (digest, proven) = (signed.digest(), BTreeSet::new());
        Self { digest, record, signed, received_at, key, former: false, proven }
    }

    /// Which gateway's it is.
    #[must_use]
    pub fn id(&self) -> GatewayId {
        self.record.id()
    }

    /// Version and content in brief.
    #[must_use]
    pub fn head(&self) -> RecordHead {
        RecordHead { version: self.record.version, digest: self.digest }
    }

    /// True if it proves that its gateway has this WireGuard key.
    #[must_use]
    pub fn proves(&self, key: &WireGuardPublicKey) -> bool {
        self.proven.contains(key)
    }

    /// True if it is of release 0.1.0, from this gateway's own disk: it raises the tunnels until its
    /// zone speaks again, and is not passed on.
    #[must_use]
    pub fn is_of_the_past(&self) -> bool {
        self.record.is_of_the_past()
    }

    /// True if it counts for versions and hashes.
    pub(super) fn counts(&self) -> bool {
        !self.former && !self.is_of_the_past()
    }

    /// Its place among the records of its zone, the newest last. The writers are one zone's, so that a
    /// clock may say it.
    pub(super) fn age_in_zone(&self) -> AgeInZone<'_> {
        AgeInZone {
            counts: self.counts(),
            issued_at: self.record.issued_at,
            gateway: &self.record.gateway,
        }
    }

    /// Checks its proofs, but for those that `before` has shown to hold.
    pub(super) fn prove(&mut self, before: Option<&Self>) {
        let before = before.filter(|before| before.key == self.key);
        for gateway in &self.record.content.gateways {
            let was = before.into_iter().flat_map(|before| &before.record.content.gateways);
            let was = was.filter(|was| was.name == gateway.name).flat_map(|was| &was.proofs);
            let known: Vec<&KeyProof> =
                was.filter(|proof| before.is_some_and(|held| held.proves(&proof.key))).collect();
            let named: BTreeSet<_> = gateway.wireguard_keys().collect();
            let holds = |proof: &&KeyProof| {
                named.contains(&proof.key)
                    && (known.contains(proof) || proof.holds(&self.key, &gateway.name))
            };
            self.proven.extend(gateway.proofs.iter().filter(holds).map(|proof| proof.key));
        }
    }
}

/// How the records of one zone are ordered.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AgeInZone<'a> {
    counts: bool,
    issued_at: UnixMillis,
    gateway: &'a str,
}
