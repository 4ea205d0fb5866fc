//! One table of zones after another: what was there is kept, what is new gets a place.
//!
//! Refuses what contradicts itself before anything is built, so that the table in service stays.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ipnet::IpNet;
use zonemesh_core::key::WireGuardPublicKey;

use super::RemoteZones;
use crate::config::{TunnelPeer, TunnelZone};
use crate::error::PeersError;
use crate::peer::{
    LaneSettings, LaneState, LinkPlace, OwnIdentities, OwnIdentity, RemoteGateway, RemoteLane,
    RemoteLink, RemoteZone,
};

/// What a new table is made from.
pub(super) struct ZonesReplacement<'a> {
    before: &'a RemoteZones,
    identities: &'a OwnIdentities,
    /// Indices of links, of both tables: a datagram for a link that went is never a new one's.
    taken: HashSet<u32>,
}

impl<'a> ZonesReplacement<'a> {
    pub(super) fn new(before: &'a RemoteZones, identities: &'a OwnIdentities) -> Self {
        Self { before, identities, taken: before.by_index.keys().copied().collect() }
    }

    /// A zone as it is told; the gateway that was sent to is sent to again.
    pub(super) fn zone(&mut self, told: TunnelZone) -> RemoteZone {
        let was_active = |peer: &TunnelPeer| {
            let position = first_keys(peer).find_map(|key| self.before.by_key.get(&key));
            position.is_some_and(|position| position.zone.is_active(position.gateway()))
        };
        let active = told.gateways.iter().position(was_active).unwrap_or(0);
        let gateways = told.gateways.into_iter().map(|peer| self.gateway(peer)).collect();
        RemoteZone::new(told.name, told.allowed_ips, gateways, active)
    }

    /// A gateway with as many lanes as both ends have.
    fn gateway(&mut self, told: TunnelPeer) -> RemoteGateway {
        let identities = self.identities;
        let mut lanes = Vec::new();
        for (number, own) in identities.each_lane().enumerate() {
            let Some(settings) = LaneSettings::of(&told, number) else { break };
            lanes.push(self.lane(number, &own, &settings));
        }
        let before = first_keys(&told).find_map(|key| self.before.by_key(&key));
        RemoteGateway::new(told, lanes, identities.lanes(), before)
    }

    /// A lane with the links that were there, and new ones for new keys.
    fn lane(&mut self, number: usize, own: &OwnIdentities, settings: &LaneSettings) -> RemoteLane {
        let before = self.before;
        let known = settings.keys().find_map(|key| {
            let lane = before.by_key(&key)?.lanes().get(number)?;
            lane.links().any(|link| link.key == key).then_some(lane)
        });
        let state =
            known.map_or_else(|| Arc::new(LaneState::new(number)), |lane| lane.state().clone());
        let is_only = own.next.is_none() && settings.keys().count() == 1;
        let mut links = Vec::new();
        for identity in own.iter() {
            for key in settings.keys() {
                let known = known.and_then(|lane| lane.link_of(&identity.key, &key));
                links.push(match known {
                    Some(link) => {
                        link.lock().reconfigure(settings.of_link(key));
                        Arc::clone(link)
                    }
                    None => {
                        let mut settings = settings.of_link(key);
                        // Which of several is to seek a session is decided when all are there.
                        settings.keepalive = settings.keepalive.filter(|_| is_only);
                        let place =
                            LinkPlace { lane: Arc::clone(&state), index: self.free_index() };
                        Arc::new(RemoteLink::new(Arc::clone(identity), settings, place))
                    }
                });
            }
        }
        let lane = RemoteLane::new(settings, links, state);
        lane.settle(own);
        lane
    }

    /// Starts at random, so that data for a session of an earlier start is not taken for ours.
    fn free_index(&mut self) -> u32 {
        const LAST: u32 = (1 << 24) - 1;
        let first = getrandom::u32().unwrap_or_default() & LAST;
        let mut candidates = (first..=LAST).chain(0..first);
        let free = candidates.find(|index| !self.taken.contains(index)).unwrap_or(first);
        self.taken.insert(free);
        free
    }
}

/// The keys of a peer on its first lane.
fn first_keys(peer: &TunnelPeer) -> impl Iterator<Item = WireGuardPublicKey> + use<> {
    LaneSettings::of(peer, 0).into_iter().flat_map(|lane| lane.keys())
}

/// Each zone has a gateway, each key one peer, each prefix one zone.
pub(super) fn check(identities: &OwnIdentities, zones: &[TunnelZone]) -> Result<(), PeersError> {
    check_keys(identities, zones)?;
    let mut prefixes: HashMap<IpNet, &TunnelZone> = HashMap::new();
    for zone in zones {
        if zone.gateways.is_empty() {
            return Err(PeersError::NoGateway { name: zone.name.clone() });
        }
        for prefix in zone.allowed_ips.iter().map(IpNet::trunc) {
            match prefixes.insert(prefix, zone) {
                Some(first) if !std::ptr::eq(first, zone) => {
                    let (first, second) = (first.name.clone(), zone.name.clone());
                    return Err(PeersError::SamePrefix { prefix, first, second });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn check_keys(identities: &OwnIdentities, zones: &[TunnelZone]) -> Result<(), PeersError> {
    let of_lane =
        |own: OwnIdentities| own.iter().map(|own: &Arc<OwnIdentity>| own.key).collect::<Vec<_>>();
    let own: HashSet<_> = identities.each_lane().flat_map(of_lane).collect();
    let mut owners: HashMap<WireGuardPublicKey, &TunnelZone> = HashMap::new();
    for zone in zones {
        let name = || zone.name.clone();
        for key in zone.gateways.iter().flat_map(|peer| all_keys(peer, identities.lanes())) {
            if own.contains(&key) {
                return Err(PeersError::OwnKey { name: name() });
            }
            if let Some(first) = owners.insert(key, zone) {
                let (first, second) = (first.name.clone(), name());
                return Err(PeersError::SameKey { key, first, second });
            }
        }
    }
    Ok(())
}

/// The keys of a peer on all lanes that this end has too.
fn all_keys(peer: &TunnelPeer, lanes: usize) -> impl Iterator<Item = WireGuardPublicKey> {
    let lanes = (0..lanes).map_while(|number| LaneSettings::of(peer, number));
    lanes.flat_map(|lane| lane.keys())
}
