//! From members, records and configuration to peers, routes and streams: a pure decision.
//!
//! In a mesh whose members are written by hand the configuration says everything. In a managed one
//! grants say who belongs to it and what may be routed where; keys and endpoints of the gateways come
//! from their zones' records. Promises: no zone gets another's addresses, keys or routes by what it
//! says about itself, and none can spoil the whole set for the others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use zonemesh_config::{Config, Endpoint, PeerSettings};
use zonemesh_core::invitation::GatewayHint;
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::name::ZoneName;
use zonemesh_core::neighbours::{self, Zones};
use zonemesh_core::prefix;
use zonemesh_core::record::Lane;
use zonemesh_core::registry::{Member, Registry};

/// Another zone's gateway, as tunnel, routes and registry need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerPlan {
    pub(crate) zone: ZoneName,
    pub(crate) wireguard_key: WireGuardPublicKey,
    /// The key that it is changing to.
    pub(crate) next_key: Option<WireGuardPublicKey>,
    /// Its lanes beside the first.
    pub(crate) lanes: Vec<Lane>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) prefixes: Vec<IpNet>,
    pub(crate) tunnel_ips: Vec<IpAddr>,
    pub(crate) registry_port: u16,
    /// True if this gateway keeps a registry stream to it.
    pub(crate) is_neighbour: bool,
    /// True if the tunnel is kept up also while nobody uses it.
    pub(crate) keeps_alive: bool,
}

impl PeerPlan {
    /// The peer's tunnel IPs and prefixes.
    pub(crate) fn allowed_ips(&self) -> impl Iterator<Item = IpNet> {
        let addresses = self.tunnel_ips.iter().copied().map(IpNet::from);
        addresses.chain(self.prefixes.iter().copied())
    }
}

/// All that follows from who belongs to the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MeshPlan {
    /// In the order of their zones.
    pub(crate) peers: Vec<PeerPlan>,
    /// What must never leave in the clear: all that other zones may claim, blocked ones included.
    pub(crate) backstops: BTreeSet<IpNet>,
    /// Whose certificates are accepted.
    pub(crate) trusted: Vec<(String, [u8; 32])>,
    /// Keys that a zone names and that are another's.
    pub(crate) taken: Vec<TakenKey>,
}

/// A WireGuard key that a zone names though it is another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenKey {
    pub(crate) zone: ZoneName,
    /// Which of its keys.
    pub(crate) what: &'static str,
}

impl MeshPlan {
    /// What follows from what is known now.
    pub(crate) fn of(sources: &PlanSources<'_>) -> Self {
        let PlanSources { registry, config, .. } = sources;
        let others = || registry.members().filter(|member| member.zone != *registry.zone());
        let mut taken = Vec::new();
        let mut peers = sources.peers(others(), &mut taken);
        sources.choose_neighbours(&mut peers);
        let is_foreign = |net: &IpNet| {
            !config.zone.prefixes.iter().any(|own| prefix::overlaps(own, net))
                && !config.tunnel.addresses.iter().any(|own| net.contains(own))
        };
        for peer in &mut peers {
            peer.prefixes.retain(is_foreign);
        }
        let all = registry.all_members().filter(|member| member.zone != *registry.zone());
        Self {
            peers,
            backstops: all.flat_map(nets).filter(is_foreign).collect(),
            trusted: others().map(|m| (m.zone.to_string(), *m.key.as_bytes())).collect(),
            taken,
        }
    }

    /// What is routed into the tunnel.
    pub(crate) fn routed(&self) -> BTreeSet<IpNet> {
        self.peers.iter().flat_map(PeerPlan::allowed_ips).collect()
    }
}

fn nets(member: &Member) -> impl Iterator<Item = IpNet> {
    let addresses = member.tunnel_ips.iter().copied().map(IpNet::from);
    addresses.chain(member.prefixes.iter().copied())
}

/// What is known now.
pub(crate) struct PlanSources<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) config: &'a Config,
    /// This gateway's WireGuard keys, on all its lanes.
    pub(crate) own_keys: &'a [WireGuardPublicKey],
    /// How zones are reached that have said nothing yet.
    pub(crate) hints: &'a BTreeMap<ZonePublicKey, GatewayHint>,
    /// Most lanes that the tunnel has to one peer, the first included.
    pub(crate) most_lanes: u8,
}

/// How a gateway is reached, from wherever that is known.
struct Reached {
    wireguard_key: WireGuardPublicKey,
    next_key: Option<WireGuardPublicKey>,
    lanes: Vec<Lane>,
    endpoints: Vec<Endpoint>,
    registry_port: u16,
}

impl PlanSources<'_> {
    /// One peer for each member whose gateway's key is known. Where two zones name one key, the
    /// zone that was granted first keeps it; nobody gets this gateway's own.
    fn peers<'m>(
        &self,
        members: impl Iterator<Item = &'m Member>,
        taken: &mut Vec<TakenKey>,
    ) -> Vec<PeerPlan> {
        let mut refuse = |zone: &ZoneName, what| taken.push(TakenKey { zone: zone.clone(), what });
        let mut members: Vec<_> = members.collect();
        members.sort_by_key(|member| (self.serial(&member.zone), &member.zone));
        let mut keys: BTreeSet<_> = self.own_keys.iter().copied().collect();
        let mut peers = Vec::new();
        for member in members {
            let configured = self.configured(member);
            let Some(reached) = self.reached(member, configured) else { continue };
            if !keys.insert(reached.wireguard_key) {
                refuse(&member.zone, "its WireGuard key");
                continue;
            }
            peers.push(PeerPlan {
                zone: member.zone.clone(),
                wireguard_key: reached.wireguard_key,
                next_key: reached.next_key,
                lanes: reached.lanes,
                endpoints: reached.endpoints,
                prefixes: member.prefixes.clone(),
                tunnel_ips: member.tunnel_ips.clone(),
                registry_port: reached.registry_port,
                is_neighbour: true,
                keeps_alive: true,
            });
        }
        // After all present keys, so that nobody's is taken away by another's next one.
        for peer in &mut peers {
            if peer.next_key.is_some_and(|key| !keys.insert(key)) {
                refuse(&peer.zone, "its next WireGuard key");
                peer.next_key = None;
            }
        }
        for peer in &mut peers {
            let of_lane = |l: &Lane| std::iter::once(l.wireguard_key).chain(l.next_wireguard_key);
            let of_lanes: Vec<_> = peer.lanes.iter().flat_map(of_lane).collect();
            if !of_lanes.into_iter().all(|key| keys.insert(key)) {
                refuse(&peer.zone, "a lane's WireGuard key");
                peer.lanes.clear();
            }
        }
        peers.sort_by(|a, b| a.zone.cmp(&b.zone));
        peers
    }

    fn serial(&self, zone: &ZoneName) -> u64 {
        let grant = self.registry.membership().and_then(|membership| membership.grant(zone));
        grant.map_or(0, |grant| grant.serial)
    }

    fn configured(&self, member: &Member) -> Option<&PeerSettings> {
        let is = |peer: &&PeerSettings| peer.zone == member.zone && peer.zone_key == member.key;
        self.config.peers.iter().find(is)
    }

    fn reached(&self, member: &Member, configured: Option<&PeerSettings>) -> Option<Reached> {
        let by_hand = configured.map(|peer| Reached {
            wireguard_key: peer.wireguard_key,
            next_key: self.announced_beside(member, peer.wireguard_key),
            lanes: self.lanes(member),
            endpoints: peer.endpoints.clone(),
            registry_port: self.config.registry.port,
        });
        if by_hand.is_some() && self.serial(&member.zone) == 0 {
            return by_hand;
        }
        let mut reached = self.announced(member).or(by_hand)?;
        // What was written here by hand is tried too: it may be a private path.
        for endpoint in configured.into_iter().flat_map(|peer| &peer.endpoints) {
            if !reached.endpoints.contains(endpoint) {
                reached.endpoints.push(endpoint.clone());
            }
        }
        reached.endpoints.retain(|endpoint| self.is_outside(endpoint));
        Some(reached)
    }

    /// The lanes that the zone's record names.
    fn lanes(&self, member: &Member) -> Vec<Lane> {
        let record = self.registry.get(&member.zone).map(|held| &held.record);
        let gateway = record.and_then(|record| record.content.gateways.first());
        let further = usize::from(self.most_lanes) - 1;
        gateway.map_or(Vec::new(), |gateway| gateway.lanes.iter().take(further).copied().collect())
    }

    /// The newest key that the zone says it has beside the one that is written here by hand.
    fn announced_beside(
        &self,
        member: &Member,
        by_hand: WireGuardPublicKey,
    ) -> Option<WireGuardPublicKey> {
        let record = &self.registry.get(&member.zone)?.record;
        let gateway = record.content.gateways.first()?;
        let newest = gateway.next_wireguard_key.unwrap_or(gateway.wireguard_key);
        (newest != by_hand).then_some(newest)
    }

    /// What the zone's record says, or its invitation while there is no record.
    fn announced(&self, member: &Member) -> Option<Reached> {
        let record = self.registry.get(&member.zone).map(|held| &held.record);
        let hint = self.hints.get(&member.key);
        let gateway = record.and_then(|record| record.content.gateways.first());
        let is_older = hint.is_some_and(|hint| {
            hint.newer_than.is_some() && hint.newer_than == record.map(|record| record.version)
        });
        match (gateway, hint) {
            (Some(gateway), _) if !is_older => Some(Reached {
                wireguard_key: gateway.wireguard_key,
                next_key: gateway.next_wireguard_key.filter(|next| *next != gateway.wireguard_key),
                lanes: self.lanes(member),
                endpoints: endpoints(&gateway.endpoints),
                registry_port: gateway.registry_port,
            }),
            (_, Some(hint)) => Some(Reached {
                wireguard_key: hint.wireguard_key,
                next_key: None,
                lanes: Vec::new(),
                endpoints: endpoints(&hint.endpoints),
                registry_port: self.config.registry.port,
            }),
            _ => None,
        }
    }

    /// An endpoint inside the tunnels would be reached through itself.
    fn is_outside(&self, endpoint: &Endpoint) -> bool {
        let Endpoint::Address(address) = endpoint else { return true };
        !self.registry.all_members().flat_map(nets).any(|net| net.contains(&address.ip()))
    }

    /// Streams only where they are wanted beside etcd.
    fn choose_neighbours(&self, peers: &mut [PeerPlan]) {
        self.choose_tunnels(peers);
        if self.config.registry.etcd.as_ref().is_some_and(|etcd| !etcd.streams) {
            peers.iter_mut().for_each(|peer| peer.is_neighbour = false);
        }
    }

    /// In a managed mesh only some are neighbours, the same on both ends; the others' tunnels rest
    /// until somebody uses them.
    fn choose_tunnels(&self, peers: &mut [PeerPlan]) {
        let Some(membership) = self.registry.membership() else { return };
        let own = self.registry.zone();
        let is_open = !self.config.gateway.endpoints.is_empty();
        let reachable: BTreeSet<_> =
            peers.iter().filter(|p| !p.endpoints.is_empty()).map(|p| &p.zone).collect();
        let zones: Zones = membership
            .members()
            .map(|member| (member.zone.clone(), reachable.contains(&member.zone)))
            .chain([(own.clone(), is_open)])
            .collect();
        let wanted = usize::from(self.config.mesh.neighbours);
        let seed = membership.mesh().as_str().as_bytes();
        let chosen = neighbours::choose(own, &zones, seed, wanted);
        let all_known = chosen.iter().all(|zone| peers.iter().any(|peer| peer.zone == *zone));
        for peer in peers {
            let granted = membership.member(&peer.zone).is_some();
            // A newcomer has nobody but its inviter until records arrive.
            let helps = !all_known && self.registry.get(&peer.zone).is_none();
            peer.is_neighbour = !granted || chosen.contains(&peer.zone) || helps;
            peer.keeps_alive = peer.is_neighbour || !is_open;
        }
    }
}

/// Those that are valid: what another zone says is not believed, only tried.
fn endpoints(texts: &[String]) -> Vec<Endpoint> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
