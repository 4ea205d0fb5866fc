//! What follows from the grants that hold: the members, and alarms where two contradict each other.
//!
//! Promises: the same members from the same grants, whatever their order; no two members share a
//! key or an address. Of one zone what names the head beats what is listed, then the higher serial,
//! then the lower name of the item. Of two zones that overlap the one that has had it longer keeps it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::item::{ContentId, Grant};
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
    /// Two grants of a zone say different things under one serial.
    #[error("two grants of zone {refused} have the serial {serial}: the older one holds")]
    SameSerial {
        /// The zone.
        refused: ZoneName,
        /// The serial of both.
        serial: u64,
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
    /// Who is not admitted, or not as one of its grants says.
    #[must_use]
    pub fn refused(&self) -> &ZoneName {
        match self {
            Self::Overlap { refused, .. }
            | Self::SameSerial { refused, .. }
            | Self::SameKey { refused, .. }
            | Self::Reserved { refused, .. } => refused,
        }
    }
}

/// A grant in force.
#[derive(Clone, Copy)]
pub(super) struct GrantInForce<'a> {
    pub(super) content: ContentId,
    /// It names the head; otherwise the head lists it.
    pub(super) names_head: bool,
    pub(super) grant: &'a Grant,
}

/// Members and alarms.
#[derive(Default)]
pub(super) struct Applied {
    pub(super) members: BTreeMap<ZoneName, Member>,
    pub(super) alarms: Vec<Alarm>,
    /// The grant of each zone that holds and is not revoked, applied or not.
    pub(super) chosen: BTreeMap<ZoneName, ContentId>,
}

/// Of each zone the grant that holds, those first that have been there longest; none of a zone whose
/// grant is revoked.
pub(super) fn chosen<'a>(
    grants: impl Iterator<Item = GrantInForce<'a>>,
    revoked: &BTreeSet<ZonePublicKey>,
) -> Vec<GrantInForce<'a>> {
    let rank = |g: &GrantInForce<'_>| {
        (g.names_head, g.grant.serial, Reverse(g.grant.since), Reverse(g.content))
    };
    let mut best: BTreeMap<&ZoneName, GrantInForce<'a>> = BTreeMap::new();
    for grant in grants {
        let present = best.entry(&grant.grant.zone).or_insert(grant);
        if rank(&grant) > rank(present) {
            *present = grant;
        }
    }
    let holds = |g: &GrantInForce<'_>| !revoked.contains(&g.grant.zone_key);
    let mut chosen: Vec<_> = best.into_values().filter(holds).collect();
    chosen.sort_by_key(|g| (g.grant.since, g.content));
    chosen
}

pub(super) fn apply<'a>(
    grants: impl Iterator<Item = GrantInForce<'a>> + Clone,
    revoked: &BTreeSet<ZonePublicKey>,
) -> Applied {
    let mut applied = Applied::default();
    let mut taken = Claims::default();
    let mut keys: BTreeMap<ZonePublicKey, &ZoneName> = BTreeMap::new();
    for GrantInForce { content, grant, .. } in chosen(grants.clone(), revoked) {
        applied.chosen.insert(grant.zone.clone(), content);
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
    applied.alarms.extend(same_serials(grants, &applied.chosen));
    applied
}

/// Zones of which a second grant has the serial of the one that holds.
fn same_serials<'a>(
    grants: impl Iterator<Item = GrantInForce<'a>>,
    chosen: &BTreeMap<ZoneName, ContentId>,
) -> Vec<Alarm> {
    let mut serials: BTreeMap<(&ZoneName, u64), Vec<GrantInForce<'a>>> = BTreeMap::new();
    for grant in grants.filter(|grant| grant.names_head) {
        serials.entry((&grant.grant.zone, grant.grant.serial)).or_default().push(grant);
    }
    let twice = serials.into_iter().filter(|((zone, _), grants)| {
        let holds = |one: &GrantInForce<'_>| chosen.get(*zone) == Some(&one.content);
        grants.iter().any(holds) && grants.iter().any(|one| !is_same(one.grant, grants[0].grant))
    });
    let alarm = |((zone, serial), _): ((&ZoneName, u64), _)| Alarm::SameSerial {
        refused: zone.clone(),
        serial,
    };
    twice.map(alarm).collect()
}

/// True if two grants of one zone give the same: one was given again, by a gateway that had lost it.
fn is_same(one: &Grant, other: &Grant) -> bool {
    member(one) == member(other) && one.federations == other.federations
}

fn member(grant: &Grant) -> Member {
    Member {
        zone: grant.zone.clone(),
        key: grant.zone_key,
        prefixes: grant.prefixes.clone(),
        tunnel_ips: grant.tunnel_ips.clone(),
    }
}
