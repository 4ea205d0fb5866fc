//! What configuration and disk make this zone say about itself, and whom it believes.

use std::sync::Arc;

use zonemesh_config::{Config, Endpoint, PeerSettings};
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::pace::Change;
use zonemesh_core::prefix;
use zonemesh_core::record::{CaSet, Gateway, Lane, ProtocolRange, SuperLink, ZoneDraft};
use zonemesh_core::registry::Member;

use crate::facts::certificates::FederationCas;
use crate::facts::ledger::{Ledger, NotPublished};

/// The public WireGuard keys of this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WireGuardKeys {
    pub(crate) current: WireGuardPublicKey,
    /// The one that it is changing to, and answers to already.
    pub(crate) next: Option<WireGuardPublicKey>,
}

impl WireGuardKeys {
    pub(crate) fn iter(self) -> impl Iterator<Item = WireGuardPublicKey> {
        std::iter::once(self.current).chain(self.next)
    }

    /// The one that somebody who hears of this gateway now should use.
    pub(crate) fn newest(self) -> WireGuardPublicKey {
        self.next.unwrap_or(self.current)
    }
}

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

/// Publishes this zone's record as configuration and disk say. SuperLinks that registered before
/// the restart stay, if their federation and address are still this zone's. Before the tunnel is there,
/// its lanes are what they were.
pub(crate) async fn publish(
    config: &Config,
    keys: WireGuardKeys,
    lanes: Option<Vec<Lane>>,
    cas: &FederationCas,
    ledger: &Arc<Ledger>,
) -> Result<(), NotPublished> {
    let edit = |draft: &mut ZoneDraft| {
        let before = draft.gateways.first().map(|gateway| gateway.lanes.clone());
        let lanes = lanes.or(before).unwrap_or_default();
        draft.gateways = vec![Gateway { lanes, ..gateway(config, keys) }];
        draft.prefixes.clone_from(&config.zone.prefixes);
        draft.protocol = ProtocolRange::CURRENT;
        draft.superlinks.retain(|superlink| belongs(config, superlink));
        // A CA whose files cannot be read stays announced as it was.
        draft.ca_sets.retain(|set| {
            cas.get(&set.federation).is_none()
                && config.federations.iter().any(|held| held.name == set.federation)
        });
        draft.ca_sets.extend(cas.ca_sets());
        draft.ca_sets.sort_by(|a: &CaSet, b: &CaSet| a.federation.cmp(&b.federation));
    };
    ledger.edit(Change::Urgent, edit).await
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
