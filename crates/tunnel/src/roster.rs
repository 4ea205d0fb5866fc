//! The peers in service, by key, by session index and by allowed IP.
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
use crate::peer::{ActivePeer, Identity};

/// The peers in service.
pub(crate) struct Roster {
    by_key: HashMap<WireGuardPublicKey, Arc<ActivePeer>>,
    by_index: HashMap<u32, Arc<ActivePeer>>,
    routes: AllowedIps<Arc<ActivePeer>>,
}

impl Roster {
    pub(crate) fn empty() -> Self {
        Self { by_key: HashMap::new(), by_index: HashMap::new(), routes: AllowedIps::new() }
    }

    /// The roster that follows this one: exactly `peers`, known ones with all they have.
    pub(crate) fn replace(
        &self,
        identity: &Arc<Identity>,
        peers: Vec<Peer>,
    ) -> Result<Self, PeersError> {
        check(identity, &peers)?;
        let mut next = Self::empty();
        for config in peers {
            let known = self.by_key.get(&config.public_key).map(Arc::clone);
            let allowed_ips = config.allowed_ips.clone();
            let peer = match known {
                Some(peer) => {
                    peer.lock().reconfigure(config);
                    peer
                }
                None => {
                    let index = self.free_index(&next);
                    Arc::new(ActivePeer::new(Arc::clone(identity), config, index))
                }
            };
            for prefix in allowed_ips {
                next.routes.insert(prefix, Arc::clone(&peer));
            }
            next.by_index.insert(peer.index, Arc::clone(&peer));
            next.by_key.insert(peer.key, peer);
        }
        Ok(next)
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

    pub(crate) fn by_key(&self, key: &WireGuardPublicKey) -> Option<&Arc<ActivePeer>> {
        self.by_key.get(key)
    }

    /// The peer of a session.
    pub(crate) fn by_session(&self, session_index: u32) -> Option<&Arc<ActivePeer>> {
        self.by_index.get(&(session_index >> 8))
    }

    /// The peer that an inner address belongs to.
    pub(crate) fn owner_of(&self, address: IpAddr) -> Option<&Arc<ActivePeer>> {
        self.routes.find(address)
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = &Arc<ActivePeer>> {
        self.by_key.values()
    }
}

fn check(identity: &Identity, peers: &[Peer]) -> Result<(), PeersError> {
    let mut keys = HashMap::new();
    let mut prefixes: HashMap<IpNet, &Peer> = HashMap::new();
    for peer in peers {
        let name = || peer.name.clone();
        if peer.public_key == identity.key {
            return Err(PeersError::OwnKey { name: name() });
        }
        if let Some(first) = keys.insert(peer.public_key, peer) {
            let (key, first) = (peer.public_key, first.name.clone());
            let second = name();
            return Err(PeersError::SameKey { key, first, second });
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
    use zonemesh_core::key::WireGuardPrivateKey;

    fn identity() -> Arc<Identity> {
        Arc::new(Identity::new(&WireGuardPrivateKey::from_bytes([1; 32])))
    }

    fn peer(name: &str, seed: u8, allowed_ips: &[&str]) -> Peer {
        Peer {
            name: name.to_owned(),
            public_key: WireGuardPrivateKey::from_bytes([seed; 32]).public_key(),
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
            assert!(Arc::ptr_eq(known, second.by_key(&known.key).unwrap()));
            let session = known.index << 8 | 3;
            assert!(Arc::ptr_eq(known, second.by_session(session).unwrap()));
        }
        let owner = second.owner_of("10.2.0.1".parse().unwrap()).unwrap();
        assert_eq!(owner.status().name, "b");
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
