//! From members, records and configuration to peers, routes and streams: a pure decision.
//!
//! In a mesh whose members are written by hand the configuration says everything. In a managed one
//! grants say who belongs to it and what may be routed where; keys and endpoints of the gateways come
//! from their zones' records. Promises: no zone gets another's addresses, keys or routes by what it
//! says about itself, and none can spoil the whole set for the others.

mod claims;
mod outside;
mod plain;
mod reached;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use zonemesh_config::{Config, Endpoint};
use zonemesh_core::finding::Subject;
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::invitation::GatewayHint;
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::member::Member;
use zonemesh_core::membership::Membership;
use zonemesh_core::name::ZoneName;
use zonemesh_core::neighbours::{self, Zones};
use zonemesh_core::prefix;
use zonemesh_core::record::Lane;
use zonemesh_core::registry::Registry;

#[cfg(test)]
pub(crate) use claims::KeyDispute;
pub(crate) use claims::TakenKey;
pub(crate) use outside::{AddressOwner, CoveredAddress, MachineAddresses, OuterAddresses};
pub(crate) use plain::{PlainPeer, RefusedShare, written_of_plain_peers};
use reached::Reached;

/// What a gateway does for its zone, as far as others are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GatewayRole {
    /// What is sent to the zone goes to it: the first that the zone's record names.
    Active,
    /// What it sends is accepted, nothing but probes is sent to it.
    Standby,
}

/// Another zone's gateway, as tunnel, routes and registry need it; or a plain WireGuard peer, of which
/// the registry knows nothing.
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
    /// Addresses outside that its prefixes hold: the tunnels' own datagrams go around.
    pub(crate) aside: Vec<IpAddr>,
    pub(crate) registry_port: u16,
    /// True if this gateway keeps a registry stream to it.
    pub(crate) is_neighbour: bool,
    /// True if the tunnel is kept up also while nobody uses it.
    pub(crate) keeps_alive: bool,
    /// There if it runs plain WireGuard: `id` is then its name here, and no zone's.
    pub(crate) plain: Option<PlainPeer>,
}

impl PeerPlan {
    /// True if this gateway has only got another name: that of its record.
    pub(crate) fn is_same_gateway(&self, other: &Self) -> bool {
        self.id.zone == other.id.zone && self.wireguard_key == other.wireguard_key
    }

    /// True if it runs plain WireGuard.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain.is_some()
    }

    /// True if both are gateways of one zone.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.id.zone == other.id.zone && !self.is_plain() && !other.is_plain()
    }

    /// What it is to the tunnel: a zone, or a plain peer.
    pub(crate) fn owner(&self) -> String {
        if self.is_plain() { self.id.to_string() } else { self.id.zone.to_string() }
    }

    /// What a finding about it is about, where its zone has no other gateway.
    pub(crate) fn subject(&self) -> Subject {
        match self.plain {
            Some(_) => Subject::Gateway(self.id.clone()),
            None => Subject::Zone(self.id.zone.clone()),
        }
    }

    /// Silence after which an empty packet goes to it; `usual` is that to gateways.
    pub(crate) fn keepalive(&self, usual: Duration) -> Option<Duration> {
        match self.plain {
            Some(plain) => plain.keepalive,
            None => self.keeps_alive.then_some(usual),
        }
    }

    /// Every key that it has.
    pub(crate) fn all_keys(&self) -> impl Iterator<Item = WireGuardPublicKey> {
        let of_lanes = self.lanes.iter().flat_map(Lane::wireguard_keys);
        std::iter::once(self.wireguard_key).chain(self.next_key).chain(of_lanes)
    }

    /// The peer's tunnel IPs and prefixes.
    pub(crate) fn allowed_ips(&self) -> impl Iterator<Item = IpNet> {
        let addresses = self.tunnel_ips.iter().copied().map(IpNet::from);
        addresses.chain(self.prefixes.iter().copied())
    }

    /// What of these is routed into the tunnel for everybody.
    pub(crate) fn routes(&self) -> impl Iterator<Item = IpNet> {
        self.allowed_ips().flat_map(|net| prefix::without(net, &self.aside))
    }
}

/// All that follows from who belongs to the mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MeshPlan {
    /// In the order of their zones, the active gateway of each first; then the plain peers.
    pub(crate) peers: Vec<PeerPlan>,
    /// What must never leave in the clear: all that other zones may claim, blocked ones included, and
    /// what is written of plain peers.
    pub(crate) backstops: BTreeSet<IpNet>,
    /// Those of them that are barred because the file says so, and no longer than it does.
    pub(crate) written: BTreeSet<IpNet>,
    /// Whose certificates are accepted.
    pub(crate) trusted: Vec<(String, [u8; 32])>,
    /// Keys that a zone names and does not get.
    pub(crate) taken: Vec<TakenKey>,
    /// What plain peers do not get, as it is somebody else's.
    pub(crate) refused: Vec<RefusedShare>,
    /// Where the tunnels lead to, outside.
    pub(crate) outer: BTreeSet<IpAddr>,
    /// Addresses outside that lie in what is granted.
    pub(crate) covered: Vec<CoveredAddress>,
    /// Those of other gateways among them, and in what is barred: the tunnels' own datagrams go around.
    pub(crate) aside: BTreeSet<IpAddr>,
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
        let (plain, refused) = sources.plain_peers(&peers);
        peers.extend(plain);
        for peer in &mut peers {
            peer.prefixes.retain(|net| sources.is_foreign(net));
        }
        let outer = sources.outer.with(&peers);
        let mut covered = outer.take_own(&mut peers);
        covered.extend(outer.covered_by(&peers));
        let own = registry.all_members().find(|member| member.zone == *registry.zone());
        let granted = own.into_iter().flat_map(|own| &own.tunnel_ips);
        let granted: Vec<_> = granted.chain(&config.tunnel.addresses).copied().collect();
        covered.extend(outer.own_left_out(registry.zone(), &granted));
        covered.extend(outer.kept_here(&peers));
        let (backstops, written) = sources.bars();
        let is_barred = |ip: &IpAddr| backstops.iter().any(|net| net.contains(ip));
        let endpoints: BTreeSet<_> = outer.others.into_keys().collect();
        let aside: BTreeSet<_> = endpoints.iter().copied().filter(is_barred).collect();
        for peer in &mut peers {
            let nets: Vec<_> = peer.allowed_ips().collect();
            peer.aside = aside.iter().copied().filter(|ip| prefix::contains(&nets, ip)).collect();
        }
        Self {
            peers,
            backstops,
            written,
            covered,
            outer: endpoints,
            aside,
            trusted: others().map(|m| (m.zone.to_string(), *m.key.as_bytes())).collect(),
            taken,
            refused,
        }
    }

    /// What stays barred also when nobody says any more that it is another zone's.
    pub(crate) fn lasting_bars(&self) -> BTreeSet<IpNet> {
        self.backstops.difference(&self.written).copied().collect()
    }

    /// What is routed into the tunnel for everybody.
    pub(crate) fn routed(&self) -> BTreeSet<IpNet> {
        self.peers.iter().flat_map(PeerPlan::routes).collect()
    }

    /// What is barred in the clear for everybody.
    #[cfg(test)]
    pub(crate) fn barred(&self) -> BTreeSet<IpNet> {
        self.without_aside(&self.backstops)
    }

    /// Some of these networks, but for what goes around.
    pub(crate) fn without_aside(&self, nets: &BTreeSet<IpNet>) -> BTreeSet<IpNet> {
        let aside: Vec<_> = self.aside.iter().copied().collect();
        nets.iter().flat_map(|net| prefix::without(*net, &aside)).collect()
    }

    /// The same where the kernel lets nothing go around: barred is then everything.
    pub(crate) fn closed(mut self) -> Self {
        self.aside.clear();
        self.peers.iter_mut().for_each(|peer| peer.aside.clear());
        self
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
    /// Where gateways are outside of the tunnels.
    pub(crate) outer: &'a OuterAddresses,
    /// Most lanes that the tunnel has to one peer, the first included.
    pub(crate) most_lanes: u8,
    /// True if this zone has left and everyone who could be told was told: nobody is called.
    pub(crate) is_gone: bool,
    /// What was barred before: in the kernel at the start, on disk, and since.
    pub(crate) kept: &'a BTreeSet<IpNet>,
}

impl PlanSources<'_> {
    /// True if what was barred once stays so: whoever was put out, and whatever an authority set or a
    /// grant says no more, has packets that somebody may wait for on the way. In a mesh that is written
    /// by hand the file says who belongs to it, and who does no more.
    fn keeps_bars(&self) -> bool {
        self.registry.membership().is_some() || self.config.peers.is_empty()
    }

    /// True of what is not this zone's.
    fn is_foreign(&self, net: &IpNet) -> bool {
        !self.config.zone.prefixes.iter().any(|own| prefix::overlaps(own, net))
            && !self.config.tunnel.addresses.iter().any(|own| net.contains(own))
    }

    /// What must never leave in the clear, and what of it is barred because the file says so alone.
    fn bars(&self) -> (BTreeSet<IpNet>, BTreeSet<IpNet>) {
        let (registry, config) = (self.registry, self.config);
        let others = registry.all_members().filter(|member| member.zone != *registry.zone());
        let owned: BTreeSet<IpNet> = others.flat_map(nets).map(|net| net.trunc()).collect();
        // A bar of before that is narrower than what a zone has now would take that part from it.
        let is_apart = |net: &IpNet| !prefix::is_part_of_another(&owned, net);
        let is_foreign = |net: &IpNet| self.is_foreign(net);
        // A zone that was put out gets nothing, and nobody on the way to it either.
        let ever = registry.membership().into_iter().flat_map(Membership::ever_claimed);
        let ever = ever.filter(|(zone, _)| *zone != registry.zone()).map(|(_, net)| net);
        // Nor does one whose section cannot be used.
        let left_out = config.left_out.iter().filter(|peer| peer.is_zone());
        let left_out = left_out.flat_map(|peer| peer.networks.iter().copied());
        let before = ever.chain(left_out).filter(is_apart);
        let mut backstops: BTreeSet<IpNet> =
            owned.iter().copied().chain(before).filter(is_foreign).collect();
        if self.keeps_bars() {
            let known: Vec<_> = backstops.iter().copied().collect();
            let is_more = |net: &IpNet| !known.iter().any(|other| other.contains(net));
            backstops.extend(self.kept.iter().copied().filter(is_foreign).filter(is_more));
        }
        let written = written_of_plain_peers(config).filter(is_apart).filter(is_foreign);
        let mut written: BTreeSet<_> = written.collect();
        written.retain(|net| !backstops.contains(net));
        backstops.extend(&written);
        (backstops, written)
    }

    /// One peer for each gateway of a member whose key is known and is its own.
    fn peers<'m>(
        &self,
        members: impl Iterator<Item = &'m Member>,
        taken: &mut Vec<TakenKey>,
    ) -> Vec<PeerPlan> {
        let mut members: Vec<_> = members.collect();
        members.sort_by_key(|member| (self.serial(&member.zone), &member.zone));
        let named: Vec<_> = members.iter().flat_map(|member| self.gateways(member)).collect();
        let own_zone = self.registry.zone();
        // What is written by hand of a plain peer is its key, unless a gateway proves it.
        let plain = plain::keys(self.config, &named);
        let kept: Vec<_> = self.own_keys.iter().copied().chain(plain).collect();
        let mut left = claims::settle(named, own_zone, &kept, taken).into_iter().peekable();
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
            aside: Vec::new(),
            registry_port: gateway.registry_port,
            is_neighbour: true,
            keeps_alive: true,
            plain: None,
        }
    })
}

#[cfg(test)]
mod tests;
