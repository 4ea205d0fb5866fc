//! Peers that run plain WireGuard: a router or host without Zonemesh, written by hand.
//!
//! Each is a peer of the tunnel with routes and bars as a zone has them, and no member of the mesh:
//! it has no tunnel address, so that nothing of the mesh is asked of it or answered to it. Promises:
//! what is this zone's or another zone's is never a plain peer's, whatever the file says and whichever
//! came first; what it does not get for that reason is told and stays barred in the clear.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use zonemesh_config::{Config, WireGuardPeerSettings};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::name::ZoneName;
use zonemesh_core::prefix;
use zonemesh_core::registry::Registry;

use super::reached::Reached;
use super::{GatewayRole, PeerPlan, PlanSources, nets};

/// What is written of a plain peer beside what every peer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlainPeer {
    /// Its own persistent keepalive.
    pub(crate) keepalive: Option<Duration>,
    /// True if the file says where it is; else it calls.
    pub(crate) is_called: bool,
}

/// Something of a plain peer that it does not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedShare {
    pub(crate) peer: GatewayId,
    pub(crate) what: RefusedPart,
}

/// What of it, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RefusedPart {
    Network { net: IpNet, shared: IpNet, owner: NetworkOwner },
    Key(ZoneName),
}

/// Whose a network is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NetworkOwner {
    Here,
    Zone(ZoneName),
}

impl fmt::Display for RefusedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { net, shared, owner: NetworkOwner::Here } => {
                write!(f, "{net} of its allowed_ips overlaps this zone's {shared}")
            }
            Self::Network { net, shared, owner: NetworkOwner::Zone(zone) } => {
                write!(f, "{net} of its allowed_ips overlaps zone {zone}'s {shared}")
            }
            Self::Key(zone) => write!(f, "its public_key is that of zone {zone}'s gateway"),
        }
    }
}

/// What belongs to somebody of the mesh.
struct Owned {
    net: IpNet,
    owner: NetworkOwner,
}

/// The keys that plain peers have: what a gateway has proved to be its own is none of them.
pub(super) fn keys(config: &Config, zones: &[Reached]) -> Vec<WireGuardPublicKey> {
    let proven: BTreeSet<_> = zones.iter().flat_map(|gateway| &gateway.proven).collect();
    let written = config.wireguard_peers.iter().map(|peer| peer.public_key);
    written.filter(|key| !proven.contains(key)).collect()
}

/// What the file gives to plain peers, be it theirs or not.
pub(crate) fn written_of_plain_peers(config: &Config) -> impl Iterator<Item = IpNet> {
    let left_out = config.left_out.iter().filter(|peer| !peer.is_zone());
    let left_out = left_out.flat_map(|peer| peer.networks.iter().copied());
    let peers = config.wireguard_peers.iter();
    peers.flat_map(|peer| peer.allowed_ips.iter().copied()).chain(left_out)
}

impl PlanSources<'_> {
    /// The plain peers beside those of the zones, and what they do not get.
    pub(super) fn plain_peers(&self, zones: &[PeerPlan]) -> (Vec<PeerPlan>, Vec<RefusedShare>) {
        let owned = owned(self.registry, self.config);
        let (mut peers, mut refused) = (Vec::new(), Vec::new());
        for settings in &self.config.wireguard_peers {
            let id = GatewayId::wireguard_peer(settings.name.clone());
            let refuse = |what| RefusedShare { peer: id.clone(), what };
            let has_key = |zone: &&PeerPlan| zone.all_keys().any(|key| key == settings.public_key);
            if let Some(zone) = zones.iter().find(has_key) {
                refused.push(refuse(RefusedPart::Key(zone.id.zone.clone())));
                continue;
            }
            let mut prefixes = Vec::new();
            for net in &settings.allowed_ips {
                match owned.iter().find(|owned| prefix::overlaps(&owned.net, net)) {
                    None => prefixes.push(*net),
                    Some(Owned { net: shared, owner }) => {
                        let (net, shared, owner) = (*net, *shared, owner.clone());
                        refused.push(refuse(RefusedPart::Network { net, shared, owner }));
                    }
                }
            }
            peers.push(peer(settings, id, prefixes));
        }
        (peers, refused)
    }
}

/// All that is this zone's, or another member's. A zone that was put out owns nothing any more.
fn owned(registry: &Registry, config: &Config) -> Vec<Owned> {
    let addresses = config.tunnel.addresses.iter().map(|ip: &IpAddr| IpNet::from(*ip));
    let here = config.zone.prefixes.iter().copied().chain(addresses);
    let here = here.map(|net| Owned { net, owner: NetworkOwner::Here });
    let members = registry.all_members().flat_map(|member| {
        let is_own = member.zone == *registry.zone();
        let owner = move || match is_own {
            true => NetworkOwner::Here,
            false => NetworkOwner::Zone(member.zone.clone()),
        };
        nets(member).map(move |net| Owned { net, owner: owner() })
    });
    here.chain(members).collect()
}

fn peer(settings: &WireGuardPeerSettings, id: GatewayId, prefixes: Vec<IpNet>) -> PeerPlan {
    PeerPlan {
        id,
        role: GatewayRole::Active,
        wireguard_key: settings.public_key,
        next_key: None,
        lanes: Vec::new(),
        endpoints: settings.endpoint.iter().cloned().collect(),
        prefixes,
        tunnel_ips: Vec::new(),
        aside: Vec::new(),
        registry_port: 0,
        is_neighbour: false,
        keeps_alive: settings.persistent_keepalive.is_some(),
        plain: Some(PlainPeer {
            keepalive: settings.persistent_keepalive,
            is_called: settings.endpoint.is_some(),
        }),
    }
}
