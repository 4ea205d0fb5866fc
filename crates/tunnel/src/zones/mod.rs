//! The peers in service, by key, by session index and by allowed IP, with all their lanes and links.
//!
//! Never changed, only replaced: threads read one zones for a whole batch. A new zones keeps the
//! peers that were there, with their sessions and the endpoints they roamed to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use zonemesh_core::key::WireGuardPublicKey;

use crate::allowed_ips::AllowedIps;
use crate::config::Peer;
use crate::error::PeersError;
use crate::peer::{Identities, LaneState, RemoteGateway, RemoteLane, RemoteLink};

/// The peers in service.
pub(crate) struct RemoteZones {
    /// In the order in which they were given.
    all: Vec<Arc<RemoteGateway>>,
    by_key: HashMap<WireGuardPublicKey, Arc<RemoteGateway>>,
    by_index: HashMap<u32, Arc<RemoteLink>>,
    routes: AllowedIps<Arc<RemoteGateway>>,
}

impl RemoteZones {
    pub(crate) fn empty() -> Self {
        Self {
            all: Vec::new(),
            by_key: HashMap::new(),
            by_index: HashMap::new(),
            routes: AllowedIps::new(),
        }
    }

    /// The zones that follows this one: exactly `peers`, known ones with all they have. A peer is
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
    fn peer(&self, identities: &Identities, config: Peer, next: &mut Self) -> RemoteGateway {
        let mut lanes = Vec::new();
        for (lane, own) in identities.each_lane().enumerate() {
            let Some(config) = config.of_lane(lane) else { break };
            lanes.push(self.links((lane, &own), config, next));
        }
        let before = keys(&config).find_map(|key| self.by_key.get(&key));
        RemoteGateway::new(config, lanes, identities.lanes(), before)
    }

    /// The links of a lane to a peer: those that were there, and new ones for new keys.
    fn links(
        &self,
        (lane, identities): (usize, &Identities),
        config: Peer,
        next: &mut Self,
    ) -> RemoteLane {
        let keys = || keys(&config);
        let known = keys().find_map(|key| {
            let links = self.by_key.get(&key)?.lanes().get(lane)?;
            links.iter().any(|link| link.key == key).then_some(links)
        });
        let shared =
            known.map_or_else(|| Arc::new(LaneState::new()), |links| links.shared().clone());
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
                        Arc::new(RemoteLink::new(identity, config, place, Arc::clone(&shared)))
                    }
                };
                next.by_index.insert(link.index, Arc::clone(&link));
                all.push(link);
            }
        }
        let links = RemoteLane::new(config, all, shared);
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
    pub(crate) fn by_key(&self, key: &WireGuardPublicKey) -> Option<&Arc<RemoteGateway>> {
        self.by_key.get(key)
    }

    /// The link of a session.
    pub(crate) fn by_session(&self, session_index: u32) -> Option<&Arc<RemoteLink>> {
        self.by_index.get(&(session_index >> 8))
    }

    /// The peer that an inner address belongs to.
    pub(crate) fn owner_of(&self, address: IpAddr) -> Option<&Arc<RemoteGateway>> {
        self.routes.find(address)
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = &Arc<RemoteGateway>> {
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
mod tests;
