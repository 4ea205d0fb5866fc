//! What follows from the grants that hold: the members, and alarms where two contradict each other.
//!
//! Promises: the same members from the same grants, whatever their order; no two members share a
//! key or an address. Of two zones that overlap the one whose claim has the lower serial keeps it;
//! a zone that is granted anew keeps the rank of its earlier grants for what they covered, so that
//! a rotation of keys opens nobody a gap.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::item::{Grant, ItemId};
use crate::key::ZonePublicKey;
use crate::member::Member;
use crate::name::ZoneName;
use crate::prefix::{Claims, Overlap, ReservedPrefix, check_all_ordinary, claims};

/// A grant that is held and not applied: most contradict another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Alarm {
    /// Two zones were granted the same addresses.
    #[error("zone {refused} is not admitted, as its grant overlaps zone {kept}'s")]
    Overlap {
        /// Who keeps them.
        kept: ZoneName,
        /// Who is not admitted.
        refused: ZoneName,
        /// What overlaps.
        #[source]
        overlap: Overlap,
    },
    /// Two zones were granted with the same key.
    #[error("zone {refused} is not admitted, as it was granted with zone {kept}'s key")]
    SameKey {
        /// Who keeps it.
        kept: ZoneName,
        /// Who is not admitted.
        refused: ZoneName,
    },
    /// A zone was granted what no zone may have.
    #[error("zone {refused} is not admitted")]
    Reserved {
        /// Who is not admitted.
        refused: ZoneName,
        /// What it was granted.
        #[source]
        reserved: ReservedPrefix,
    },
}

impl Alarm {
    /// Who is not admitted.
    #[must_use]
    pub fn refused(&self) -> &ZoneName {
        match self {
            Self::Overlap { refused, .. }
            | Self::SameKey { refused, .. }
            | Self::Reserved { refused, .. } => refused,
        }
    }
}

/// Members and alarms.
#[derive(Default)]
pub(super) struct Applied {
    pub(super) members: BTreeMap<ZoneName, Member>,
    pub(super) alarms: Vec<Alarm>,
    /// The newest grant of each zone that is not revoked, applied or not.
    pub(super) newest: BTreeMap<ZoneName, ItemId>,
}

/// Of each zone the newest grant, best rank first; none of a zone whose newest grant is revoked.
/// Grants are those that hold, by the name of their item.
pub(super) fn newest<'a>(
    grants: impl Iterator<Item = (ItemId, &'a Grant)>,
    revoked: &BTreeSet<ZonePublicKey>,
) -> Vec<(ItemId, &'a Grant)> {
    let mut by_zone: BTreeMap<&ZoneName, Vec<(ItemId, &Grant)>> = BTreeMap::new();
    for (id, grant) in grants {
        by_zone.entry(&grant.zone).or_default().push((id, grant));
    }
    let best = |grants: &Vec<(ItemId, &'a Grant)>| {
        let newest = grants.iter().max_by_key(|(id, g)| (g.serial, std::cmp::Reverse(*id)));
        let (id, newest) = newest.filter(|(_, grant)| !revoked.contains(&grant.zone_key))?;
        let unrevoked = grants.iter().filter(|(_, grant)| !revoked.contains(&grant.zone_key));
        Some((rank(newest, unrevoked.map(|(_, grant)| *grant)), *id, *newest))
    };
    let mut newest: Vec<_> = by_zone.values().filter_map(best).collect();
    newest.sort_by_key(|(rank, id, _)| (*rank, *id));
    newest.into_iter().map(|(_, id, grant)| (id, grant)).collect()
}

/// The serial since which this zone has claimed all that the grant claims.
fn rank<'a>(grant: &Grant, earlier: impl Iterator<Item = &'a Grant> + Clone) -> u64 {
    let since = |net: IpNet| {
        let covers =
            |g: &&Grant| claims(&g.prefixes, &g.tunnel_ips).any(|earlier| earlier.contains(&net));
        earlier.clone().filter(covers).map(|g| g.serial).min().unwrap_or(grant.serial)
    };
    let claimed = claims(&grant.prefixes, &grant.tunnel_ips);
    claimed.map(since).max().unwrap_or(grant.serial)
}

pub(super) fn apply<'a>(
    grants: impl Iterator<Item = (ItemId, &'a Grant)>,
    revoked: &BTreeSet<ZonePublicKey>,
) -> Applied {
    let mut applied = Applied::default();
    let mut taken = Claims::default();
    let mut keys: BTreeMap<ZonePublicKey, &ZoneName> = BTreeMap::new();
    for (id, grant) in newest(grants, revoked) {
        applied.newest.insert(grant.zone.clone(), id);
        let refused = grant.zone.clone();
        if let Some(kept) = keys.get(&grant.zone_key) {
            applied.alarms.push(Alarm::SameKey { kept: (*kept).clone(), refused });
            continue;
        }
        let nets: Vec<_> = claims(&grant.prefixes, &grant.tunnel_ips).collect();
        if let Err(reserved) = check_all_ordinary(&grant.prefixes, &grant.tunnel_ips) {
            applied.alarms.push(Alarm::Reserved { refused, reserved });
            continue;
        }
        if let Err(overlap) = taken.claim_all(&grant.zone, &nets) {
            let kept = overlap.first_owner.parse().unwrap_or_else(|_| refused.clone());
            applied.alarms.push(Alarm::Overlap { kept, refused, overlap });
            continue;
        }
        keys.insert(grant.zone_key, &grant.zone);
        applied.members.insert(refused, member(grant));
    }
    applied
}

fn member(grant: &Grant) -> Member {
    Member {
        zone: grant.zone.clone(),
        key: grant.zone_key,
        prefixes: grant.prefixes.clone(),
        tunnel_ips: grant.tunnel_ips.clone(),
    }
}
