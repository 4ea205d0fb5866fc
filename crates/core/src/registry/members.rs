//! The SuperNodes of a federation, in all zones that may train in it.
//!
//! Promises the same choice at each look, of at most [`MAX_ADMITTED`]: the first of each zone come
//! before the second of any, so that no zone takes the places of the others. A zone that is cut off is
//! as it was heard last; one that has left, is revoked or blocked has none.

use std::collections::BTreeMap;

use crate::name::{FederationName, ZoneName};
use crate::record::MAX_ADMITTED;

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
        let mut by_key: BTreeMap<Vec<u8>, FederationMember> = BTreeMap::new();
        for zone in self.training_zones(federation) {
            for member in self.supernodes_of(zone, federation) {
                let known = by_key.entry(member.public_key.clone()).or_insert(member.clone());
                // Said by two gateways of a zone, or by two zones: one that has it is enough.
                known.is_online |= member.is_online;
                known.is_connecting |= member.is_connecting;
            }
        }
        fairly(by_key.into_values())
    }

    fn training_zones(&self, federation: &FederationName) -> impl Iterator<Item = &ZoneName> {
        // Who is blocked or revoked is no member.
        let members = self.members().map(|member| &member.zone);
        members.filter(|zone| self.left_since(zone).is_none() && self.may_train(zone, federation))
    }

    fn supernodes_of(
        &self,
        zone: &ZoneName,
        federation: &FederationName,
    ) -> impl Iterator<Item = FederationMember> {
        let said = self.in_force(zone).flat_map(|held| &held.record.content.supernodes);
        let its = said.filter(|node| node.federation == *federation);
        its.map(|node| FederationMember {
            public_key: node.public_key.clone(),
            zone: zone.clone(),
            is_online: node.is_online,
            is_connecting: node.is_connecting && node.is_online,
        })
    }
}

/// `all` are in the order of their keys.
fn fairly(all: impl Iterator<Item = FederationMember>) -> Vec<FederationMember> {
    let mut of_zone: BTreeMap<ZoneName, usize> = BTreeMap::new();
    let mut ranked: Vec<_> = all
        .map(|member| {
            let next = of_zone.entry(member.zone.clone()).or_default();
            *next += 1;
            RankedMember { rank: *next, member }
        })
        .collect();
    ranked.sort_by(|a, b| (a.rank, &a.member.zone).cmp(&(b.rank, &b.member.zone)));
    ranked.truncate(MAX_ADMITTED);
    let mut members: Vec<_> = ranked.into_iter().map(|one| one.member).collect();
    members.sort_by(|a, b| (&a.zone, &a.public_key).cmp(&(&b.zone, &b.public_key)));
    members
}

struct RankedMember {
    /// How many of the same zone go before it, and itself.
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

    #[test]
    fn no_zone_takes_the_places_of_the_others() {
        let crowd = (0..300).map(|key| member("crowd", key));
        let others = (1000..1003).map(|key| member("madrid", key));
        let chosen = fairly(crowd.chain(others));
        assert_eq!(chosen.len(), MAX_ADMITTED);
        assert_eq!(chosen.iter().filter(|one| one.zone.as_str() == "madrid").count(), 3);
    }
}
