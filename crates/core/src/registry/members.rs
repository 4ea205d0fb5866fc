//! The SuperNodes of a federation, in all zones that may train in it.
//!
//! Promises the same choice at each look, of at most [`MAX_ADMITTED`] and [`MAX_SUPERNODES`] of one
//! zone, however many gateways it says it has: the first of each zone come before the second of any,
//! so that no zone takes the places of the others. A zone that is cut off is
//! as it was heard last; one that has left, is revoked or blocked has none.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{FederationName, ZoneName};
use crate::record::{MAX_ADMITTED, MAX_SUPERNODES};

use super::Registry;

/// A SuperNode that may take part in a federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationMember {
    /// The key that Flower is to know it by (SubjectPublicKeyInfo in DER).
    pub public_key: Vec<u8>,
    /// Its zone.
    pub zone: ZoneName,
    /// True if its companion speaks to its gateway.
    pub is_online: bool,
    /// True if its Flower was started and waits to be online.
    pub is_connecting: bool,
}

impl Registry {
    /// The SuperNodes of `federation`, in the order of their zones and keys.
    #[must_use]
    pub fn members_of(&self, federation: &FederationName) -> Vec<FederationMember> {
        let zones = self.training_zones(federation);
        fairly(zones.map(|zone| self.supernodes_of(zone, federation)))
    }

    fn training_zones(&self, federation: &FederationName) -> impl Iterator<Item = &ZoneName> {
        // Who is blocked or revoked is no member.
        let members = self.members().map(|member| &member.zone);
        members.filter(|zone| self.left_since(zone).is_none() && self.may_train(zone, federation))
    }

    /// Those of one zone, which may have several gateways: at most as many as one of them may say.
    fn supernodes_of(&self, zone: &ZoneName, federation: &FederationName) -> Vec<FederationMember> {
        let said = self.in_force(zone).flat_map(|held| &held.record.content.supernodes);
        let mut by_key: BTreeMap<&[u8], FederationMember> = BTreeMap::new();
        for node in said.filter(|node| node.federation == *federation) {
            let member = by_key.entry(&node.public_key).or_insert_with(|| FederationMember {
                public_key: node.public_key.clone(),
                zone: zone.clone(),
                is_online: false,
                is_connecting: false,
            });
            // Said by two gateways: one that has it is enough.
            member.is_online |= node.is_online;
            member.is_connecting |= node.is_connecting && node.is_online;
        }
        by_key.into_values().take(MAX_SUPERNODES).collect()
    }
}

/// The members of each zone, in the order of their keys. A key that two zones name has the better one
/// of its two places: nobody loses his by being named elsewhere.
fn fairly(zones: impl Iterator<Item = Vec<FederationMember>>) -> Vec<FederationMember> {
    let ranked = |members: Vec<FederationMember>| (0..).zip(members);
    let mut ranked: Vec<RankedMember> = zones
        .flat_map(ranked)
        .map(|(rank, member): (usize, _)| RankedMember { rank, member })
        .collect();
    ranked.sort_by(|a, b| (a.rank, &a.member.zone).cmp(&(b.rank, &b.member.zone)));
    let mut seen = BTreeSet::new();
    ranked.retain(|one| seen.insert(one.member.public_key.clone()));
    ranked.truncate(MAX_ADMITTED);
    let mut members: Vec<_> = ranked.into_iter().map(|one| one.member).collect();
    members.sort_by(|a, b| (&a.zone, &a.public_key).cmp(&(&b.zone, &b.public_key)));
    members
}

struct RankedMember {
    /// How many of the same zone go before it.
    rank: usize,
    member: FederationMember,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(zone: &str, key: u16) -> FederationMember {
        FederationMember {
            public_key: key.to_be_bytes().to_vec(),
            zone: zone.parse().unwrap(),
            is_online: true,
            is_connecting: false,
        }
    }

    fn zone(name: &str, keys: std::ops::Range<u16>) -> Vec<FederationMember> {
        keys.map(|key| member(name, key)).collect()
    }

    #[test]
    fn no_zone_takes_the_places_of_the_others() {
        let crowds: Vec<_> =
            (0..6).map(|n| zone(&format!("crowd{n}"), n * 64..n * 64 + 64)).collect();
        let others = zone("madrid", 1000..1003);
        let chosen = fairly(crowds.into_iter().chain([others]));
        assert_eq!(chosen.len(), MAX_ADMITTED);
        assert_eq!(chosen.iter().filter(|one| one.zone.as_str() == "madrid").count(), 3);
    }

    #[test]
    fn who_is_named_by_another_zone_too_keeps_his_place() {
        // A hostile zone, the first by its name, names the others' keys behind many of its own.
        let mut hostile = zone("a", 0..200);
        hostile.extend(zone("a", 1000..1009));
        let crowds = (0..4).map(|n| zone(&format!("b{n}"), 300 + n * 64..364 + n * 64));
        let chosen =
            fairly([hostile].into_iter().chain(crowds).chain([zone("madrid", 1000..1009)]));
        let there = |key: u16| chosen.iter().any(|one| one.public_key == key.to_be_bytes());
        assert!((1000..1009).all(there), "{chosen:?}");
        let keys: BTreeSet<_> = chosen.iter().map(|one| &one.public_key).collect();
        assert_eq!(keys.len(), chosen.len(), "each key once");
    }
}
