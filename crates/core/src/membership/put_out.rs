//! Keys that this gateway saw put out: revoked, or left out of the list of a set that it followed.
//!
//! What a set overtakes leaves the items, and with it the reason why a key was nobody's to take
//! back. So that is written down beside the set that is followed. It keeps nobody out: a grant in
//! force counts. Promises: it only grows, up to [`MAX_PUT_OUT`]; of too many those of the last set
//! stay. Refuses to know who asks to be let in (`crate::invitation`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Membership;
use super::overtaken::InForce;
use crate::key::ZonePublicKey;
use crate::name::ZoneName;

/// Most keys that are remembered: a list of grants four times over.
pub const MAX_PUT_OUT: usize = 4 * super::MAX_LISTED;

/// Keys that were put out here, with their zones. Clones share what they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOut(Arc<BTreeMap<ZonePublicKey, ZoneName>>);

impl PutOut {
    /// What was stored.
    pub fn new(keys: impl IntoIterator<Item = (ZonePublicKey, ZoneName)>) -> Self {
        Self(Arc::new(keys.into_iter().take(MAX_PUT_OUT).collect()))
    }

    /// All of them, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ZonePublicKey, &ZoneName)> {
        self.0.iter()
    }

    fn add(&mut self, fresh: BTreeMap<ZonePublicKey, ZoneName>) {
        if fresh.keys().all(|key| self.0.contains_key(key)) {
            return;
        }
        let known = self.0.iter().filter(|(key, _)| !fresh.contains_key(key));
        let room = MAX_PUT_OUT.saturating_sub(fresh.len());
        let mut all: BTreeMap<_, _> =
            known.take(room).map(|(key, zone)| (*key, zone.clone())).collect();
        all.extend(fresh);
        *self = Self::new(all);
    }
}

impl Membership {
    /// Writes down whom the set that is followed now has put out, or would have back in silence.
    pub(super) fn remember_put_out(&mut self, before: &InForce) {
        let revoked = before.revocations().map(|one| (one.zone_key, one.zone.clone()));
        let is_out =
            |zone: &ZoneName, key| self.grant(zone).map(|grant| grant.zone_key) != Some(key);
        let gone = before.grants().filter(|grant| is_out(&grant.zone, grant.zone_key));
        let gone = gone.map(|grant| (grant.zone_key, grant.zone.clone()));
        let fresh = revoked.chain(gone).collect();
        self.put_out.add(fresh);
    }

    /// Keys that were put out here under sets that were followed before.
    #[must_use]
    pub fn put_out(&self) -> &PutOut {
        &self.put_out
    }

    /// True if `key` is revoked, or was put out here under whatever set.
    #[must_use]
    pub fn was_put_out(&self, key: &ZonePublicKey) -> bool {
        self.is_revoked(key) || self.put_out.0.contains_key(key)
    }

    /// How many keys of `zone` were put out, under whatever set.
    #[must_use]
    pub fn keys_put_out(&self, zone: &ZoneName) -> usize {
        let revoked = self.revocations().filter(|one| one.zone == *zone).map(|one| one.zone_key);
        let earlier = self.put_out.iter().filter(|(_, of)| *of == zone).map(|(key, _)| *key);
        revoked.chain(earlier).collect::<std::collections::BTreeSet<_>>().len()
    }
}
