//! With whom a gateway keeps a registry stream: about six of a thousand, the same on both ends.
//!
//! Every zone picks the next zone on a ring and some at random; two zones are neighbours if one of
//! them has picked the other. All of it follows from the zones' names and a seed that the mesh
//! shares, so that both ends of a pair know it without asking. Zones that others can reach from
//! outside form the ring; those that only dial out pick among them, and are picked by nobody. In a
//! small mesh all are neighbours of all.
//!
//! Promises: the graph is connected; a zone that comes or goes moves few of the others' streams.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::name::ZoneName;

/// The zones of a mesh; true for those that have an endpoint which others can reach.
pub type Zones = BTreeMap<ZoneName, bool>;

/// The neighbours of `own`, about `wanted` of them; more for a zone that many must use. Empty if
/// `own` is not among `zones`.
#[must_use]
pub fn choose(own: &ZoneName, zones: &Zones, seed: &[u8], wanted: usize) -> BTreeSet<ZoneName> {
    let Some(index) = zones.keys().position(|zone| zone == own) else {
        return BTreeSet::new();
    };
    let graph = Graph::new(zones, seed, wanted);
    let all = 0..graph.points.len();
    let mut chosen: BTreeSet<usize> = graph.picks(index).collect();
    chosen.extend(all.filter(|other| graph.picks(*other).any(|pick| pick == index)));
    zones.keys().enumerate().filter(|(i, _)| chosen.contains(i)).map(|(_, z)| z.clone()).collect()
}

/// All pairs of neighbours, each once, the lower name first.
#[must_use]
pub fn pairs(zones: &Zones, seed: &[u8], wanted: usize) -> BTreeSet<(ZoneName, ZoneName)> {
    let graph = Graph::new(zones, seed, wanted);
    let names: Vec<_> = zones.keys().collect();
    let picks = (0..names.len()).flat_map(|zone| graph.picks(zone).map(move |pick| (zone, pick)));
    let pair = |(a, b): (usize, usize)| (names[a.min(b)].clone(), names[a.max(b)].clone());
    picks.map(pair).collect()
}

struct Graph {
    /// Of each zone, in the order of the names: a pseudo-random number.
    points: Vec<u64>,
    /// Zones that may be picked, in the order of the ring.
    ring: Vec<usize>,
    /// Place on the ring; of a zone that is not on it, where it would be.
    places: Vec<usize>,
    /// How many zones a zone picks.
    count: usize,
}

impl Graph {
    fn new(zones: &Zones, seed: &[u8], wanted: usize) -> Self {
        let points: Vec<u64> = zones.keys().map(|zone| point(zone, seed)).collect();
        let reachable = |(index, open): (usize, &bool)| open.then_some(index);
        let mut ring: Vec<usize> = zones.values().enumerate().filter_map(reachable).collect();
        let small = zones.len() <= wanted.saturating_add(1);
        if ring.is_empty() || small {
            ring = (0..zones.len()).collect();
        }
        ring.sort_by_key(|index| (points[*index], *index));
        let place =
            |index: usize| ring.partition_point(|on| (points[*on], *on) < (points[index], index));
        let places = (0..zones.len()).map(place).collect();
        // Each pick is a neighbour of both ends.
        let count = if small { zones.len() } else { wanted.div_ceil(2).max(1) };
        Self { points, ring, places, count }
    }

    /// The zones that `zone` picks: the next one on the ring, the others at random.
    fn picks(&self, zone: usize) -> impl Iterator<Item = usize> + '_ {
        let place = self.places[zone];
        let after = if self.ring.get(place) == Some(&zone) { place + 1 } else { place };
        let successor = self.ring[after % self.ring.len()];
        // Rotated, as it would else be the same in both directions, and who is picked would
        // mostly pick back: fewer different edges for the same picks.
        let distance = |other: usize| mix(self.points[zone] ^ self.points[other].rotate_left(32));
        let others = self.ring.iter().copied().filter(move |on| *on != zone && *on != successor);
        let mut nearest: Vec<(u64, usize)> = Vec::new();
        for other in others {
            nearest.push((distance(other), other));
            // Sorting all of a large ring for the sake of the first few would cost more than the
            // rest of the choice; a few times as many as are wanted are kept in between.
            if nearest.len() > 4 * self.count {
                nearest.sort_unstable();
                nearest.truncate(self.count - 1);
            }
        }
        nearest.sort_unstable();
        nearest.truncate(self.count - 1);
        let random = nearest.into_iter().map(|(_, other)| other);
        std::iter::once(successor).filter(move |on| *on != zone).chain(random)
    }
}

fn point(zone: &ZoneName, seed: &[u8]) -> u64 {
    let hash = Sha256::new_with_prefix(seed).chain_update([0]).chain_update(zone.as_str());
    let hash = hash.finalize();
    hash.iter().take(8).fold(0, |point, byte| point << 8 | u64::from(*byte))
}

/// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As the configuration has it, unless told otherwise.
    const WANTED: usize = 6;

    fn mesh(open: &[bool]) -> Zones {
        let name = |index: usize| format!("z{index}").parse().unwrap();
        open.iter().enumerate().map(|(index, open)| (name(index), *open)).collect()
    }

    fn connected(zones: &Zones, pairs: &BTreeSet<(ZoneName, ZoneName)>) -> bool {
        let mut reached: BTreeSet<_> = zones.keys().take(1).collect();
        loop {
            let before = reached.len();
            for (a, b) in pairs {
                if reached.contains(a) || reached.contains(b) {
                    reached.extend([a, b]);
                }
            }
            if reached.len() == before {
                return before == zones.len();
            }
        }
    }

    fn degrees(zones: &Zones, pairs: &BTreeSet<(ZoneName, ZoneName)>) -> Vec<usize> {
        let of = |zone| pairs.iter().filter(|(a, b)| a == zone || b == zone).count();
        zones.keys().map(of).collect()
    }

    #[test]
    fn three_zones_are_neighbours_of_each_other() {
        let zones = mesh(&[true, false, false]);
        assert_eq!(pairs(&zones, b"mesh", WANTED).len(), 3);
        assert_eq!(choose(&"z1".parse().unwrap(), &zones, b"mesh", WANTED).len(), 2);
    }

    #[test]
    fn a_thousand_zones_have_about_six_neighbours_and_few_hops() {
        let zones = mesh(&[true; 1000]);
        let pairs = pairs(&zones, b"mesh", WANTED);
        let degrees = degrees(&zones, &pairs);
        let mean = degrees.iter().sum::<usize>() / degrees.len();
        assert!((5..=6).contains(&mean), "{mean}");
        assert!(degrees.iter().all(|degree| (3..=20).contains(degree)));
        let mut hops = 0;
        let mut reached: BTreeSet<_> = zones.keys().take(1).collect();
        while reached.len() < zones.len() {
            hops += 1;
            let next = pairs.iter().filter(|(a, b)| reached.contains(a) != reached.contains(b));
            let next: Vec<_> = next.flat_map(|(a, b)| [a, b]).collect();
            reached.extend(next);
        }
        assert!(hops <= 8, "{hops}");
    }

    #[test]
    fn a_zone_that_leaves_moves_few_streams_of_others() {
        let before = mesh(&[true; 200]);
        let mut after = before.clone();
        after.remove(&"z77".parse().unwrap());
        let of = |zones: &Zones| pairs(zones, b"mesh", WANTED);
        let (before, after) = (of(&before), of(&after));
        assert!(after.difference(&before).count() <= 20);
        assert!(before.difference(&after).count() <= 20);
    }

    proptest! {
        #[test]
        fn the_graph_is_connected_and_both_ends_agree(
            open in prop::collection::vec(any::<bool>(), 1..60),
            seed in any::<[u8; 4]>(),
            wanted in 1..9_usize,
        ) {
            let zones = mesh(&open);
            let pairs = pairs(&zones, &seed, wanted);
            prop_assert!(connected(&zones, &pairs));
            for zone in zones.keys() {
                let chosen = choose(zone, &zones, &seed, wanted);
                prop_assert!(!chosen.contains(zone));
                for other in zones.keys() {
                    let pair = (zone.min(other).clone(), zone.max(other).clone());
                    prop_assert_eq!(chosen.contains(other), pairs.contains(&pair));
                }
            }
        }

        #[test]
        fn zones_that_nobody_can_reach_are_neighbours_of_reachable_ones_only(
            open in prop::collection::vec(any::<bool>(), 10..60),
        ) {
            prop_assume!(open.contains(&true));
            let zones = mesh(&open);
            for (a, b) in pairs(&zones, b"mesh", WANTED) {
                prop_assert!(zones[&a] || zones[&b]);
            }
        }
    }
}
