//! How the gateways of a zone are reached, from wherever that is known.
//!
//! What is written by hand comes first where members are written by hand; in a managed mesh the zone's
//! record, or its invitation while there is none. Promises: nothing that a zone says about itself is
//! believed beyond its grant, only tried. Refuses to know whose a key is, see `claims`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use zonemesh_config::{Endpoint, PeerSettings};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::invitation::GatewayHint;
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::member::Member;
use zonemesh_core::prefix;
use zonemesh_core::record::{Gateway, Lane};
use zonemesh_core::registry::HeldRecord;

use super::PlanSources;

/// How a gateway is reached, from wherever that is known.
pub(super) struct Reached {
    pub(super) id: GatewayId,
    /// True if its present key is written here by hand: that needs no proof.
    pub(super) is_by_hand: bool,
    /// The keys that its record proves.
    pub(super) proven: BTreeSet<WireGuardPublicKey>,
    /// True if its record is of a release that proves keys.
    pub(super) must_prove: bool,
    /// The tunnel IPs that its record names; empty if there is no record.
    pub(super) tunnel_ips: Vec<IpAddr>,
    pub(super) wireguard_key: WireGuardPublicKey,
    pub(super) next_key: Option<WireGuardPublicKey>,
    pub(super) lanes: Vec<Lane>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) registry_port: u16,
}

impl PlanSources<'_> {
    fn configured(&self, member: &Member) -> Option<&PeerSettings> {
        let is = |peer: &&PeerSettings| peer.zone == member.zone && peer.zone_key == member.key;
        self.config.peers.iter().find(is)
    }

    /// How the gateways of a zone are reached, the active one first.
    pub(super) fn gateways(&self, member: &Member) -> Vec<Reached> {
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

    /// No gateway of another zone is reached in this one.
    fn is_outside(&self, endpoint: &Endpoint) -> bool {
        let Endpoint::Address(address) = endpoint else { return true };
        let (ip, config) = (address.ip(), self.config);
        !prefix::contains(&config.zone.prefixes, &ip) && !config.tunnel.addresses.contains(&ip)
    }
}

/// Those that are valid: what another zone says is not believed, only tried.
fn endpoints(texts: &[String]) -> Vec<Endpoint> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}
