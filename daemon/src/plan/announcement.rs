//! What configuration and disk make this zone say about itself, and whom it believes.

use zonemesh_config::{Config, Endpoint, PeerSettings};
use zonemesh_core::key::{WireGuardKeys, ZonePublicKey};
use zonemesh_core::prefix;
use zonemesh_core::record::{CaSet, Gateway, Lane, ProtocolRange, SuperLink, ZoneDraft};
use zonemesh_core::registry::Member;

/// The zones of the mesh with their bounds: this one and its peers.
pub(crate) fn members(config: &Config, own_key: ZonePublicKey) -> Vec<Member> {
    let own = Member {
        zone: config.zone.name.clone(),
        key: own_key,
        prefixes: config.zone.prefixes.clone(),
        tunnel_ips: config.tunnel.addresses.clone(),
    };
    let of = |peer: &PeerSettings| Member {
        zone: peer.zone.clone(),
        key: peer.zone_key,
        prefixes: peer.prefixes.clone(),
        tunnel_ips: peer.tunnel_addresses.clone(),
    };
    std::iter::once(own).chain(config.peers.iter().map(of)).collect()
}

/// What this zone says as configuration and disk say.
pub(crate) struct Announcement<'a> {
    pub(crate) config: &'a Config,
    pub(crate) keys: WireGuardKeys,
    /// Before the tunnel is there they are what they were.
    pub(crate) lanes: Option<Vec<Lane>>,
    /// The CAs that this gateway holds.
    pub(crate) ca_sets: Vec<CaSet>,
}

impl Announcement<'_> {
    /// Changes what the zone has said until now. SuperLinks that registered before a restart stay, if
    /// their federation and address are still this zone's.
    pub(crate) fn apply(self, draft: &mut ZoneDraft) {
        let Self { config, keys, lanes, ca_sets } = self;
        let own = gateway(config, keys);
        let is_own = |g: &&Gateway| g.name == own.name || g.wireguard_key == own.wireguard_key;
        let before = draft.gateways.iter().find(is_own).map(|gateway| gateway.lanes.clone());
        let lanes = lanes.or(before).unwrap_or_default();
        draft.gateways = vec![Gateway { lanes, ..own }];
        draft.prefixes.clone_from(&config.zone.prefixes);
        draft.protocol = ProtocolRange::CURRENT;
        draft.superlinks.retain(|superlink| belongs(config, superlink));
        // A CA whose files cannot be read stays announced as it was.
        draft.ca_sets.retain(|set| {
            !ca_sets.iter().any(|held| held.federation == set.federation)
                && config.federations.iter().any(|held| held.name == set.federation)
        });
        draft.ca_sets.extend(ca_sets);
        draft.ca_sets.sort_by(|a: &CaSet, b: &CaSet| a.federation.cmp(&b.federation));
    }
}

fn gateway(config: &Config, keys: WireGuardKeys) -> Gateway {
    Gateway {
        name: config.gateway.name.clone(),
        wireguard_key: keys.current,
        next_wireguard_key: keys.next,
        lanes: Vec::new(),
        endpoints: config.gateway.endpoints.iter().map(Endpoint::to_string).collect(),
        tunnel_ips: config.tunnel.addresses.clone(),
        registry_port: config.registry.port,
    }
}

fn belongs(config: &Config, superlink: &SuperLink) -> bool {
    let held = config.federations.iter().any(|held| held.name == superlink.federation);
    let inside = |ip| prefix::contains(&config.zone.prefixes, ip);
    held && superlink.addresses.iter().all(inside)
}
