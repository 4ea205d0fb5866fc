//! A record that is held: verified, within its zone's bounds.
//!
//! Promises: a proof of a key is checked when somebody asks for it, and once, also over later records
//! of the gateway. Refuses to know which record of a gateway is the newest (`registry`).

use std::collections::BTreeSet;
use std::sync::OnceLock;

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
    /// Signed under a key that its zone has left, or before it was granted less: its gateways are reached
    /// as it says until the zone speaks again.
    pub(super) former: bool,
    /// Proofs that are known to hold, from the record before.
    known: Vec<KeyProof>,
    /// The WireGuard keys that it names and proves, once somebody has asked.
    proven: OnceLock<BTreeSet<WireGuardPublicKey>>,
}

impl HeldRecord {
    pub(super) fn new(
        record: ZoneRecord,
        signed: SignedRecord,
        key: ZonePublicKey,
        received_at: UnixMillis,
    ) -> Self {
        let (digest, known, proven) = (signed.digest(), Vec::new(), OnceLock::new());
        Self { digest, record, signed, received_at, key, former: false, known, proven }
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
        self.proven.get_or_init(|| self.check_proofs()).contains(key)
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

    /// Remembers which of its proofs `before`, which it replaces, has shown to hold.
    pub(super) fn inherit(&mut self, before: Option<&Self>) {
        let Some(before) = before.filter(|before| before.key == self.key) else { return };
        let Some(proven) = before.proven.get() else { return };
        let proofs = before.record.content.gateways.iter().flat_map(|gateway| &gateway.proofs);
        self.known = proofs.filter(|proof| proven.contains(&proof.key)).copied().collect();
    }

    /// The keys that it names and proves. At most as many signatures are checked as one gateway may
    /// have proofs.
    fn check_proofs(&self) -> BTreeSet<WireGuardPublicKey> {
        let mut proven = BTreeSet::new();
        for gateway in &self.record.content.gateways {
            let named: BTreeSet<_> = gateway.wireguard_keys().collect();
            let holds = |proof: &&KeyProof| {
                named.contains(&proof.key)
                    && (self.known.contains(proof) || proof.holds(&self.key, &gateway.name))
            };
            proven.extend(gateway.proofs.iter().filter(holds).map(|proof| proof.key));
        }
        proven
    }
}

/// How the records of one zone are ordered.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AgeInZone<'a> {
    counts: bool,
    issued_at: UnixMillis,
    gateway: &'a str,
}
