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
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::invitation::GatewayHint;
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::member::Member;
use zonemesh_core::name::ZoneName;
use zonemesh_core::neighbours::{self, Zones};
use zonemesh_core::prefix;
use zonemesh_core::record::{Gateway, Lane};
use zonemesh_core::registry::Registry;

/// What a gateway does for its zone, as far as others are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GatewayRole {
    /// What is sent to the zone goes to it: the first that the zone's record names.
    Active,
    /// What it sends is accepted, nothing but probes is sent to it.
    Standby,
}

/// Another zone's gateway, as tunnel, routes and registry need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerPlan {
    pub(crate) id: GatewayId,
    pub(crate) role: GatewayRole,
    pub(crate) wireguard_key: WireGuardPublicKey,
    /// The key that it is changing to.
    pub(crate) next_key: Option<WireGuardPublicKey>,
    /// Its lanes beside the first.
    pub(crate) lanes: Vec<Lane>,
    pub(crate) endpoints: Vec<Endpoint>,
    /// The zone's prefixes if they are routed to this gateway, else none.
    pub(crate) prefixes: Vec<IpNet>,
    pub(crate) tunnel_ips: Vec<IpAddr>,
    pub(crate) registry_port: u16,
    /// True if this gateway keeps a registry stream to it.
    pub(crate) is_neighbour: bool,
    /// True if the tunnel is kept up also while nobody uses it.
    pub(crate) keeps_alive: bool,
}

impl PeerPlan {
    /// True if this gateway has only got another name: that of its record.
    pub(crate) fn is_same_gateway(&self, other: &Self) -> bool {
        self.id.zone == other.id.zone && self.wireguard_key == other.wireguard_key
    }

    /// The peer's tunnel IPs and prefixes.
    pub(crate) fn allowed_ips(&self) -> impl Iterator<Item = IpNet> {
        let addresses = self.tunnel_ips.iter().copied().map(IpNet::from);
        addresses.chain(self.prefixes.iter().copied())
    }
}

/// All that follows from who belongs to the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MeshPlan {
    /// In the order of their zones, the active gateway of each first.
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
    pub(crate) hints: &'a BTreeMap<ZonePublicKey, Vec<GatewayHint>>,
    /// Most lanes that the tunnel has to one peer, the first included.
    pub(crate) most_lanes: u8,
}

/// How a gateway is reached, from wherever that is known.
struct Reached {
    id: GatewayId,
    /// The tunnel IPs that its record names; empty if there is no record.
    tunnel_ips: Vec<IpAddr>,
    wireguard_key: WireGuardPublicKey,
    next_key: Option<WireGuardPublicKey>,
    lanes: Vec<Lane>,
    endpoints: Vec<Endpoint>,
    registry_port: u16,
}

impl PlanSources<'_> {
    /// One peer for each gateway of a member whose key is known. Where two name one key, the zone
    /// that was granted first keeps it; nobody gets this gateway's own.
    fn peers<'m>(
        &self,
        members: impl Iterator<Item = &'m Member>,
        taken: &mut Vec<TakenKey>,
    ) -> Vec<PeerPlan> {
        let mut members: Vec<_> = members.collect();
        members.sort_by_key(|member| (self.serial(&member.zone), &member.zone));
        let mut keys: BTreeSet<_> = self.own_keys.iter().copied().collect();
        let mut peers = Vec::new();
        for member in members {
            let mut gateways = self.gateways(member);
            gateways.retain(|gateway| {
                let is_free = keys.insert(gateway.wireguard_key);
                if !is_free {
                    let zone = member.zone.clone();
                    taken.push(TakenKey { zone, what: "its WireGuard key" });
                }
                is_free
            });
            peers.extend(of_zone(member, gateways));
        }
        keep_foreign_keys_apart(&mut peers, keys, taken);
        peers.sort_by(|a, b| (&a.id.zone, a.role, &a.id).cmp(&(&b.id.zone, b.role, &b.id)));
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

    /// How the gateways of a zone are reached, the active one first.
    fn gateways(&self, member: &Member) -> Vec<Reached> {
        let configured = self.configured(member);
        let by_hand = configured.map(|peer| self.by_hand(peer));
        let is_granted = self.serial(&member.zone) > 0;
        let mut gateways = match by_hand {
            Some(by_hand) if !is_granted => self.beside(member, by_hand),
            by_hand => {
                let announced = self.announced(member);
                if announced.is_empty() { by_hand.into_iter().collect() } else { announced }
            }
        };
        if !is_granted {
            return gateways;
        }
        // What was written here by hand is tried too: it may be a private path.
        let written = configured.into_iter().flat_map(|peer| &peer.endpoints);
        if let Some(active) = gateways.get_mut(0) {
            let new: Vec<_> = written.filter(|e| !active.endpoints.contains(e)).cloned().collect();
            active.endpoints.extend(new);
        }
        for gateway in &mut gateways {
            gateway.endpoints.retain(|endpoint| self.is_outside(endpoint));
        }
        gateways
    }

    /// The gateway of a `[[peer]]`. Its name stands in its zone's record only; until that is known
    /// it has the name that gateways have by default.
    fn by_hand(&self, peer: &PeerSettings) -> Reached {
        Reached {
            id: GatewayId::assumed(peer.zone.clone()),
            tunnel_ips: Vec::new(),
            wireguard_key: peer.wireguard_key,
            next_key: None,
            lanes: Vec::new(),
            endpoints: peer.endpoints.clone(),
            registry_port: self.config.registry.port,
        }
    }

    /// A gateway that is written by hand, with what its record says beside that, and the other
    /// gateways of its zone.
    fn beside(&self, member: &Member, by_hand: Reached) -> Vec<Reached> {
        let mut recorded = self.recorded(member);
        let names = |key| {
            move |gateway: &Reached| gateway.wireguard_key == key || gateway.next_key == Some(key)
        };
        // A record that knows the key no more is of a gateway that has changed it since.
        let known = recorded.iter().position(names(by_hand.wireguard_key)).unwrap_or(0);
        if known >= recorded.len() {
            return vec![by_hand];
        }
        let recorded_by_hand = recorded.remove(known);
        let newest = recorded_by_hand.next_key.unwrap_or(recorded_by_hand.wireguard_key);
        let next_key = (newest != by_hand.wireguard_key).then_some(newest);
        let Reached { id, tunnel_ips, lanes, .. } = recorded_by_hand;
        recorded.insert(0, Reached { id, tunnel_ips, lanes, next_key, ..by_hand });
        recorded
    }

    /// What the zone's record says of its gateways.
    fn recorded(&self, member: &Member) -> Vec<Reached> {
        let further = usize::from(self.most_lanes) - 1;
        let of = |(id, gateway): (GatewayId, &Gateway)| Reached {
            id,
            tunnel_ips: gateway.tunnel_ips.clone(),
            wireguard_key: gateway.wireguard_key,
            next_key: gateway.next_wireguard_key.filter(|next| *next != gateway.wireguard_key),
            lanes: gateway.lanes.iter().take(further).copied().collect(),
            endpoints: endpoints(&gateway.endpoints),
            registry_port: gateway.registry_port,
        };
        let held = self.registry.get(&member.zone);
        held.into_iter().flat_map(|held| held.record.gateways()).map(of).collect()
    }

    /// What the zone's record says, or its invitation while there is no record.
    fn announced(&self, member: &Member) -> Vec<Reached> {
        let recorded = self.recorded(member);
        let hints = self.hints.get(&member.key).map_or(&[][..], Vec::as_slice);
        if hints.is_empty() || !recorded.is_empty() {
            return recorded;
        }
        let of = |hint: &GatewayHint| Reached {
            id: GatewayId::new(member.zone.clone(), hint.gateway.as_str()),
            tunnel_ips: hint.tunnel_ips.clone(),
            wireguard_key: hint.wireguard_key,
            next_key: None,
            lanes: Vec::new(),
            endpoints: endpoints(&hint.endpoints),
            registry_port: self.config.registry.port,
        };
        hints.iter().map(of).collect()
    }

    /// An endpoint inside the tunnels would be reached through itself.
    fn is_outside(&self, endpoint: &Endpoint) -> bool {
        let Endpoint::Address(address) = endpoint else { return true };
        !self.registry.all_members().flat_map(nets).any(|net| net.contains(&address.ip()))
    }

    /// Streams only where they are wanted beside etcd.
    fn choose_neighbours(&self, peers: &mut [PeerPlan]) {
        self.choose_tunnels(peers);
        // A stream goes where packets to the zone go.
        for peer in peers.iter_mut().filter(|peer| peer.role == GatewayRole::Standby) {
            peer.is_neighbour = false;
        }
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
            peers.iter().filter(|p| !p.endpoints.is_empty()).map(|p| &p.id.zone).collect();
        let zones: Zones = membership
            .members()
            .map(|member| (member.zone.clone(), reachable.contains(&member.zone)))
            .chain([(own.clone(), is_open)])
            .collect();
        let wanted = usize::from(self.config.mesh.neighbours);
        let seed = membership.mesh().as_str().as_bytes();
        let chosen = neighbours::choose(own, &zones, seed, wanted);
        let all_known = chosen.iter().all(|zone| peers.iter().any(|peer| peer.id.zone == *zone));
        for peer in peers {
            let zone = &peer.id.zone;
            let granted = membership.member(zone).is_some();
            // A newcomer has nobody but its inviter until records arrive.
            let helps = !all_known && self.registry.get(zone).is_none();
            peer.is_neighbour = !granted || chosen.contains(zone) || helps;
            peer.keeps_alive = peer.is_neighbour || !is_open;
        }
    }
}

/// Those that are valid: what another zone says is not believed, only tried.
fn endpoints(texts: &[String]) -> Vec<Endpoint> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The peers of one zone. All that it may claim is routed to its active gateway, but for the tunnel
/// IPs that another one names as its own.
fn of_zone(member: &Member, mut gateways: Vec<Reached>) -> impl Iterator<Item = PeerPlan> {
    let mut rest = member.tunnel_ips.clone();
    if let [active, others @ ..] = &mut gateways[..] {
        for other in others {
            other.tunnel_ips.retain(|ip| rest.contains(ip) && !active.tunnel_ips.contains(ip));
            rest.retain(|ip| !other.tunnel_ips.contains(ip));
        }
    }
    gateways.into_iter().enumerate().map(move |(index, gateway)| {
        let is_active = index == 0;
        let (prefixes, tunnel_ips) = match is_active {
            true => (member.prefixes.clone(), rest.clone()),
            false => (Vec::new(), gateway.tunnel_ips),
        };
        PeerPlan {
            id: gateway.id,
            role: if is_active { GatewayRole::Active } else { GatewayRole::Standby },
            wireguard_key: gateway.wireguard_key,
            next_key: gateway.next_key,
            lanes: gateway.lanes,
            endpoints: gateway.endpoints,
            prefixes,
            tunnel_ips,
            registry_port: gateway.registry_port,
            is_neighbour: true,
            keeps_alive: true,
        }
    })
}

/// Takes away next keys and lanes whose keys are another's. After all present keys, which are `keys`,
/// so that nobody's is taken away by another's next one.
fn keep_foreign_keys_apart(
    peers: &mut [PeerPlan],
    mut keys: BTreeSet<WireGuardPublicKey>,
    taken: &mut Vec<TakenKey>,
) {
    let mut refuse = |id: &GatewayId, what| taken.push(TakenKey { zone: id.zone.clone(), what });
    for peer in &mut *peers {
        if peer.next_key.is_some_and(|key| !keys.insert(key)) {
            refuse(&peer.id, "its next WireGuard key");
            peer.next_key = None;
        }
    }
    for peer in peers {
        let of_lane = |l: &Lane| std::iter::once(l.wireguard_key).chain(l.next_wireguard_key);
        let of_lanes: Vec<_> = peer.lanes.iter().flat_map(of_lane).collect();
        if !of_lanes.into_iter().all(|key| keys.insert(key)) {
            refuse(&peer.id, "a lane's WireGuard key");
            peer.lanes.clear();
        }
    }
}

#[cfg(test)]
mod tests;
