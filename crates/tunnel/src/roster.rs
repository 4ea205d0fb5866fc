//! The peers in service, by key, by session index and by allowed IP, with all their lanes and links.
//!
//! Never changed, only replaced: threads read one roster for a whole batch. A new roster keeps the
//! peers that were there, with their sessions and the endpoints they roamed to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use zonemesh_core::key::WireGuardPublicKey;

use crate::allowed_ips::AllowedIps;
use crate::config::Peer;
use crate::error::PeersError;
use crate::peer::{ActivePeer, Identities, Links, PeerLanes, Shared};

/// The peers in service.
pub(crate) struct Roster {
    /// In the order in which they were given.
    all: Vec<Arc<PeerLanes>>,
    by_key: HashMap<WireGuardPublicKey, Arc<PeerLanes>>,
    by_index: HashMap<u32, Arc<ActivePeer>>,
    routes: AllowedIps<Arc<PeerLanes>>,
}

impl Roster {
    pub(crate) fn empty() -> Self {
        Self {
            all: Vec::new(),
            by_key: HashMap::new(),
            by_index: HashMap::new(),
            routes: AllowedIps::new(),
        }
    }

    /// The roster that follows this one: exactly `peers`, known ones with all they have. A peer is
    /// known by any of its keys.
    pub(crate) fn replace(
        &self,
        identities: &Identities,
        peers: Vec<Peer>,
    ) -> Result<Self, PeersError> {
        check(identities, &peers)?;
        let mut next = Self::empty();
        for config in peers {
            let peer = Arc::new(self.peer(identities, config, &mut next));
            for prefix in &peer.config().allowed_ips {
                next.routes.insert(*prefix, Arc::clone(&peer));
            }
            for link in peer.iter() {
                next.by_key.insert(link.key, Arc::clone(&peer));
            }
            next.all.push(peer);
        }
        Ok(next)
    }

    /// A peer with as many lanes as both ends have.
    fn peer(&self, identities: &Identities, config: Peer, next: &mut Self) -> PeerLanes {
        let mut lanes = Vec::new();
        for (lane, own) in identities.each_lane().enumerate() {
            let Some(config) = config.of_lane(lane) else { break };
            lanes.push(self.links((lane, &own), config, next));
        }
        let before = keys(&config).find_map(|key| self.by_key.get(&key));
        PeerLanes::new(config, lanes, identities.lanes(), before)
    }

    /// The links of a lane to a peer: those that were there, and new ones for new keys.
    fn links(
        &self,
        (lane, identities): (usize, &Identities),
        config: Peer,
        next: &mut Self,
    ) -> Links {
        let keys = || keys(&config);
        let known = keys().find_map(|key| {
            let links = self.by_key.get(&key)?.lanes().get(lane)?;
            links.iter().any(|link| link.key == key).then_some(links)
        });
        let shared = known.map_or_else(|| Arc::new(Shared::new()), |links| links.shared().clone());
        let is_only = identities.next.is_none() && keys().count() == 1;
        let mut all = Vec::new();
        for identity in identities.iter() {
            for key in keys() {
                let mut config = Peer { public_key: key, ..config.clone() };
                let link = match known.and_then(|links| links.of(&identity.key, &key)) {
                    Some(link) => {
                        link.lock().reconfigure(config);
                        Arc::clone(link)
                    }
                    None => {
                        // Which of several is to seek a session is decided when all are there.
                        config.keepalive = config.keepalive.filter(|_| is_only);
                        let identity = Arc::clone(identity);
                        let place = (lane, self.free_index(next));
                        Arc::new(ActivePeer::new(identity, config, place, Arc::clone(&shared)))
                    }
                };
                next.by_index.insert(link.index, Arc::clone(&link));
                all.push(link);
            }
        }
        let links = Links::new(config, all, shared);
        links.settle(identities);
        links
    }

    /// Starts at random, so that data for a session of an earlier start is not taken for ours.
    fn free_index(&self, next: &Self) -> u32 {
        const LAST: u32 = (1 << 24) - 1;
        let taken =
            |index: &u32| self.by_index.contains_key(index) || next.by_index.contains_key(index);
        let first = getrandom::u32().unwrap_or_default() & LAST;
        let mut candidates = (first..=LAST).chain(0..first);
        candidates.find(|index| !taken(index)).unwrap_or(first)
    }

    /// The peer that has this key, on any lane, its next one included.
    pub(crate) fn by_key(&self, key: &WireGuardPublicKey) -> Option<&Arc<PeerLanes>> {
        self.by_key.get(key)
    }

    /// The link of a session.
    pub(crate) fn by_session(&self, session_index: u32) -> Option<&Arc<ActivePeer>> {
        self.by_index.get(&(session_index >> 8))
    }

    /// The peer that an inner address belongs to.
    pub(crate) fn owner_of(&self, address: IpAddr) -> Option<&Arc<PeerLanes>> {
        self.routes.find(address)
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = &Arc<PeerLanes>> {
        self.all.iter()
    }
}

/// The keys of a peer on its first lane, the next one last.
fn keys(peer: &Peer) -> impl Iterator<Item = WireGuardPublicKey> {
    let next = peer.next_key.filter(|next| *next != peer.public_key);
    std::iter::once(peer.public_key).chain(next)
}

fn all_keys(peer: Peer) -> Vec<WireGuardPublicKey> {
    keys(&peer).collect()
}

fn check(identities: &Identities, peers: &[Peer]) -> Result<(), PeersError> {
    let own_lanes = 0..identities.lanes();
    let own: Vec<_> = identities
        .each_lane()
        .flat_map(|own| own.iter().map(|i| i.key).collect::<Vec<_>>())
        .collect();
    let mut owners: HashMap<WireGuardPublicKey, &Peer> = HashMap::new();
    let mut prefixes: HashMap<IpNet, &Peer> = HashMap::new();
    for peer in peers {
        let name = || peer.name.clone();
        for key in own_lanes.clone().filter_map(|lane| peer.of_lane(lane)).flat_map(all_keys) {
            if own.contains(&key) {
                return Err(PeersError::OwnKey { name: name() });
            }
            if let Some(first) = owners.insert(key, peer) {
                let (first, second) = (first.name.clone(), name());
                return Err(PeersError::SameKey { key, first, second });
            }
        }
        for prefix in peer.allowed_ips.iter().map(IpNet::trunc) {
            match prefixes.insert(prefix, peer) {
                Some(first) if first.public_key != peer.public_key => {
                    let (first, second) = (first.name.clone(), name());
                    return Err(PeersError::SamePrefix { prefix, first, second });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Identity;
    use zonemesh_core::key::WireGuardPrivateKey;

    fn identity() -> Identities {
        Identities::one(Arc::new(Identity::new(&WireGuardPrivateKey::from_bytes([1; 32]), 1)))
    }

    fn peer(name: &str, seed: u8, allowed_ips: &[&str]) -> Peer {
        Peer {
            name: name.to_owned(),
            public_key: WireGuardPrivateKey::from_bytes([seed; 32]).public_key(),
            next_key: None,
            lanes: Vec::new(),
            preshared_key: None,
            allowed_ips: allowed_ips.iter().map(|text| text.parse().unwrap()).collect(),
            endpoint: None,
            keepalive: None,
        }
    }

    #[test]
    fn ones_own_key_is_refused_as_a_peer() {
        let refused = Roster::empty().replace(&identity(), vec![peer("me", 1, &[])]).err();
        assert_eq!(refused, Some(PeersError::OwnKey { name: "me".into() }));
    }

    #[test]
    fn one_key_cannot_be_two_peers() {
        let peers = vec![peer("a", 2, &[]), peer("b", 2, &[])];
        let refused = Roster::empty().replace(&identity(), peers).err();
        assert!(matches!(refused, Some(PeersError::SameKey { .. })));
    }

    #[test]
    fn a_prefix_on_two_peers_is_refused_with_both_named() {
        let peers = vec![peer("a", 2, &["10.1.0.0/16"]), peer("b", 3, &["10.1.2.3/16"])];
        let refused = Roster::empty().replace(&identity(), peers).err();
        let (first, second) = ("a".to_owned(), "b".to_owned());
        let prefix = "10.1.0.0/16".parse().unwrap();
        assert_eq!(refused, Some(PeersError::SamePrefix { prefix, first, second }));
    }

    #[test]
    fn an_unchanged_peer_is_kept_and_a_moved_prefix_leads_to_its_new_owner() {
        let identity = identity();
        let first = vec![peer("a", 2, &["10.1.0.0/16", "10.2.0.0/16"]), peer("b", 3, &[])];
        let first = Roster::empty().replace(&identity, first).unwrap();
        let second = vec![peer("a", 2, &["10.1.0.0/16"]), peer("b", 3, &["10.2.0.0/16"])];
        let second = first.replace(&identity, second).unwrap();
        for known in first.peers() {
            let link = known.first();
            assert!(Arc::ptr_eq(link, second.by_key(&known.key).unwrap().first()));
            let session = link.index << 8 | 3;
            assert!(Arc::ptr_eq(link, second.by_session(session).unwrap()));
        }
        let owner = second.owner_of("10.2.0.1".parse().unwrap()).unwrap();
        assert_eq!(owner.config().name, "b");
    }

    #[test]
    fn a_peer_between_two_keys_is_one_peer_with_the_links_it_had() {
        let identity = identity();
        let before =
            Roster::empty().replace(&identity, vec![peer("a", 2, &["10.1.0.0/16"])]).unwrap();
        let old = Arc::clone(before.peers().next().unwrap().first());
        let next = peer("a", 3, &[]).public_key;
        let both = vec![Peer { next_key: Some(next), ..peer("a", 2, &["10.1.0.0/16"]) }];
        let between = before.replace(&identity, both).unwrap();
        assert_eq!(between.peers().count(), 1);
        let links = between.by_key(&next).unwrap();
        assert!(Arc::ptr_eq(links.of(&old.own, &old.key).unwrap(), &old));
        let new = Arc::clone(links.of(&old.own, &next).unwrap());
        let after = between.replace(&identity, vec![peer("a", 3, &["10.1.0.0/16"])]).unwrap();
        assert!(Arc::ptr_eq(after.owner_of("10.1.0.1".parse().unwrap()).unwrap().first(), &new));
        assert!(after.by_key(&old.key).is_none());
        assert!(after.by_session(old.index << 8).is_none());
    }

    #[test]
    fn a_next_key_that_is_another_peers_is_refused() {
        let next_key = Some(peer("b", 3, &[]).public_key);
        let peers = vec![Peer { next_key, ..peer("a", 2, &[]) }, peer("b", 3, &[])];
        let refused = Roster::empty().replace(&identity(), peers).err();
        assert!(matches!(refused, Some(PeersError::SameKey { .. })));
    }

    #[test]
    fn a_removed_peer_owns_nothing() {
        let identity = identity();
        let first = vec![peer("a", 2, &["10.1.0.0/16"])];
        let first = Roster::empty().replace(&identity, first).unwrap();
        let second = first.replace(&identity, Vec::new()).unwrap();
        assert!(second.owner_of("10.1.0.1".parse().unwrap()).is_none());
        assert_eq!(second.peers().count(), 0);
    }
}
