//! From members, records and configuration to peers, routes and streams: a pure decision.
//!
//! In a mesh whose members are written by hand the configuration says everything. In a managed one
//! grants say who belongs to it and what may be routed where; keys and endpoints of the gateways come
//! from their zones' records. Promises: no zone gets another's addresses, keys or routes by what it
//! says about itself, and none can spoil the whole set for the others.

mod claims;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use zonemesh_config::{Config, Endpoint, PeerSettings};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::invitation::GatewayHint;
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::member::Member;
use zonemesh_core::membership::Membership;
use zonemesh_core::name::ZoneName;
use zonemesh_core::neighbours::{self, Zones};
use zonemesh_core::prefix;
use zonemesh_core::record::{Gateway, Lane};
use zonemesh_core::registry::{HeldRecord, Registry};

#[cfg(test)]
pub(crate) use claims::KeyDispute;
pub(crate) use claims::TakenKey;

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
    /// Keys that a zone names and does not get.
    pub(crate) taken: Vec<TakenKey>,
}

impl MeshPlan {
    /// What follows from what is known now.
    pub(crate) fn of(sources: &PlanSources<'_>) -> Self {
        let PlanSources { registry, config, .. } = sources;
        let others = || registry.members().filter(|member| member.zone != *registry.zone());
        let mut taken = Vec::new();
        let called = others().filter(|_| !sources.is_gone);
        let mut peers = sources.peers(called, &mut taken);
        sources.choose_neighbours(&mut peers);
        let is_foreign = |net: &IpNet| {
            !config.zone.prefixes.iter().any(|own| prefix::overlaps(own, net))
                && !config.tunnel.addresses.iter().any(|own| net.contains(own))
        };
        for peer in &mut peers {
            peer.prefixes.retain(is_foreign);
        }
        let all = registry.all_members().filter(|member| member.zone != *registry.zone());
        // A zone that was put out gets nothing, and nobody on the way to it either.
        let ever = registry.membership().into_iter().flat_map(Membership::ever_claimed);
        let ever = ever.filter(|(zone, _)| *zone != registry.zone()).map(|(_, net)| net);
        Self {
            peers,
            backstops: all.flat_map(nets).chain(ever).filter(is_foreign).collect(),
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
    /// True if this zone has left and everyone who could be told was told: nobody is called.
    pub(crate) is_gone: bool,
}

/// How a gateway is reached, from wherever that is known.
struct Reached {
    id: GatewayId,
    /// True if its present key is written here by hand: that needs no proof.
    is_by_hand: bool,
    /// The keys that its record proves.
    proven: BTreeSet<WireGuardPublicKey>,
    /// True if its record is of a release that proves keys.
    must_prove: bool,
    /// The tunnel IPs that its record names; empty if there is no record.
    tunnel_ips: Vec<IpAddr>,
    wireguard_key: WireGuardPublicKey,
    next_key: Option<WireGuardPublicKey>,
    lanes: Vec<Lane>,
    endpoints: Vec<Endpoint>,
    registry_port: u16,
}

impl PlanSources<'_> {
    /// One peer for each gateway of a member whose key is known and is its own.
    fn peers<'m>(
        &self,
        members: impl Iterator<Item = &'m Member>,
        taken: &mut Vec<TakenKey>,
    ) -> Vec<PeerPlan> {
        let mut members: Vec<_> = members.collect();
        members.sort_by_key(|member| (self.serial(&member.zone), &member.zone));
        let named = members.iter().flat_map(|member| self.gateways(member)).collect();
        let own_zone = self.registry.zone();
        let mut left = claims::settle(named, own_zone, self.own_keys, taken).into_iter().peekable();
        let mut peers = Vec::new();
        for member in members {
            let of_member = |gateway: &Reached| gateway.id.zone == member.zone;
            let gateways = std::iter::from_fn(|| left.next_if(of_member)).collect();
            peers.extend(of_zone(member, gateways));
        }
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
        let has_left = self.registry.left_since(&member.zone).is_some();
        let configured = self.configured(member).filter(|_| !has_left);
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
            is_by_hand: true,
            proven: BTreeSet::new(),
            must_prove: true,
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
        let Reached { wireguard_key, endpoints, registry_port, .. } = by_hand;
        let is_by_hand = true;
        let written =
            Reached { is_by_hand, wireguard_key, endpoints, registry_port, ..recorded_by_hand };
        recorded.insert(0, Reached { next_key, ..written });
        recorded
    }

    /// What the zone's records say of its gateways.
    fn recorded(&self, member: &Member) -> Vec<Reached> {
        let further = usize::from(self.most_lanes) - 1;
        let of = |held: &HeldRecord, id, gateway: &Gateway| Reached {
            id,
            is_by_hand: false,
            proven: gateway.wireguard_keys().filter(|key| held.proves(key)).collect(),
            must_prove: !held.is_of_the_past(),
            tunnel_ips: gateway.tunnel_ips.clone(),
            wireguard_key: gateway.wireguard_key,
            next_key: gateway.next_wireguard_key.filter(|next| *next != gateway.wireguard_key),
            lanes: gateway.lanes.iter().take(further).copied().collect(),
            endpoints: endpoints(&gateway.endpoints),
            registry_port: gateway.registry_port,
        };
        let held = self.registry.in_force(&member.zone);
        held.flat_map(|held| held.record.gateways().map(move |(id, gateway)| of(held, id, gateway)))
            .collect()
    }

    /// What the zone's record says, or its invitation while there is no record. Of a zone that has left
    /// only an invitation counts that it has redeemed since: it is coming back.
    fn announced(&self, member: &Member) -> Vec<Reached> {
        let recorded = self.recorded(member);
        let hints = self.hints.get(&member.key).map_or(&[][..], Vec::as_slice);
        let has_left = self.registry.left_since(&member.zone).is_some();
        if hints.is_empty() || has_left || !recorded.is_empty() {
            return recorded;
        }
        let of = |hint: &GatewayHint| Reached {
            id: GatewayId::new(member.zone.clone(), hint.gateway.as_str()),
            is_by_hand: false,
            proven: BTreeSet::new(),
            must_prove: false,
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
            .filter(|member| self.registry.left_since(&member.zone).is_none())
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

#[cfg(test)]
mod tests;
