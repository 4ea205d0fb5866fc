//! The zones in service, by gateway key, by session index and by inner address.
//!
//! Never changed, only replaced: threads read one table for a whole batch. A new table keeps the
//! gateways that were there, with their sessions and the endpoints they roamed to. Who may send is
//! apart from who is sent to: a session index leads to the zone whose inner addresses it may use, an
//! inner address to the zone whose active gateway gets the packet.

mod replacement;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use zonemesh_core::key::WireGuardPublicKey;

use self::replacement::{ZonesReplacement, check};
use crate::allowed_ips::AllowedIps;
use crate::config::TunnelZone;
use crate::error::PeersError;
use crate::peer::{OwnIdentities, RemoteGateway, RemoteLink, RemoteZone};

/// The zones in service.
pub(crate) struct RemoteZones {
    /// In the order in which they were given.
    all: Vec<Arc<RemoteZone>>,
    by_key: HashMap<WireGuardPublicKey, GatewayPosition>,
    by_index: HashMap<u32, SessionOwner>,
    owners: AllowedIps<Arc<RemoteZone>>,
}

/// Where a gateway stands.
struct GatewayPosition {
    zone: Arc<RemoteZone>,
    /// Position among the zone's gateways, as they were told.
    gateway: usize,
}

/// Whose a session is.
pub(crate) struct SessionOwner {
    pub(crate) link: Arc<RemoteLink>,
    /// What comes from the session must be from an inner address of this zone, whichever of its
    /// gateways is active.
    pub(crate) zone: Arc<RemoteZone>,
}

impl RemoteZones {
    pub(crate) fn empty() -> Self {
        Self {
            all: Vec::new(),
            by_key: HashMap::new(),
            by_index: HashMap::new(),
            owners: AllowedIps::new(),
        }
    }

    /// The table that follows this one: exactly `zones`, known gateways with all they have. A gateway
    /// is known by any of its keys.
    pub(crate) fn replace(
        &self,
        identities: &OwnIdentities,
        zones: Vec<TunnelZone>,
    ) -> Result<Self, PeersError> {
        check(identities, &zones)?;
        let mut replacement = ZonesReplacement::new(self, identities);
        let mut next = Self::empty();
        for told in zones {
            next.add(replacement.zone(told));
        }
        Ok(next)
    }

    fn add(&mut self, zone: RemoteZone) {
        let zone = Arc::new(zone);
        for prefix in zone.allowed_ips() {
            self.owners.insert(*prefix, Arc::clone(&zone));
        }
        for (gateway, links) in zone.gateways().iter().enumerate() {
            for link in links.links() {
                let position = GatewayPosition { zone: Arc::clone(&zone), gateway };
                self.by_key.insert(link.key, position);
                let owner = SessionOwner { link: Arc::clone(link), zone: Arc::clone(&zone) };
                self.by_index.insert(link.index, owner);
            }
        }
        self.all.push(zone);
    }

    /// The gateway that has this key, on any lane, its next one included.
    pub(crate) fn by_key(&self, key: &WireGuardPublicKey) -> Option<&RemoteGateway> {
        self.by_key.get(key).map(GatewayPosition::gateway)
    }

    /// Whose session this is, as a data message names it.
    pub(crate) fn by_session(&self, session_index: u32) -> Option<&SessionOwner> {
        self.by_index.get(&(session_index >> 8))
    }

    /// The zone that an inner address belongs to.
    pub(crate) fn owner_of(&self, address: IpAddr) -> Option<&Arc<RemoteZone>> {
        self.owners.find(address)
    }

    /// Sends to this gateway what is for its zone. False if there is no such gateway.
    pub(crate) fn set_active(&self, key: &WireGuardPublicKey) -> bool {
        let known = self.by_key.get(key);
        if let Some(position) = known {
            position.zone.set_active(position.gateway);
        }
        known.is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<RemoteZone>> {
        self.all.iter()
    }

    /// The gateways of all zones.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = &RemoteGateway> {
        self.all.iter().flat_map(|zone| zone.gateways())
    }
}

impl GatewayPosition {
    fn gateway(&self) -> &RemoteGateway {
        &self.zone.gateways()[self.gateway]
    }
}

#[cfg(test)]
mod tests;
