//! Whether packets reach another zone, over whichever of its gateways.

use std::sync::Arc;

use zonemesh_core::name::ZoneName;

use super::PeersInService;
use crate::facts::paths::PathBoard;
use crate::facts::reach;
use crate::facts::streams::StreamBoard;
use crate::facts::tunnel::DataPlane;

/// What tells of the way to other zones.
pub(crate) struct Reachability {
    pub(crate) own_zone: ZoneName,
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) peers: PeersInService,
    pub(crate) paths: Arc<PathBoard>,
    pub(crate) streams: Arc<StreamBoard>,
}

impl Reachability {
    /// True if packets reach `zone` as far as this gateway can tell: the probes of its path say so. Of
    /// a tunnel that is not watched, or whose peer answers no probes, the handshake and the registry
    /// stream do.
    pub(crate) fn reaches(&self, zone: &ZoneName) -> bool {
        if *zone == self.own_zone {
            return true;
        }
        let peers = self.peers.borrow().clone();
        let mut of_zone =
            peers.iter().filter(|peer| !peer.is_plain() && peer.id.zone == *zone).peekable();
        let has_stream = || self.streams.of_zone(zone).iter().any(|entry| entry.open > 0);
        if of_zone.peek().is_none() {
            return reach::is_reached(None, None, has_stream());
        }
        of_zone.any(|peer| {
            let path = self.paths.path(&peer.id);
            let tunnel = self.tunnel.peer_status(&peer.wireguard_key);
            reach::is_reached(path, tunnel.as_ref(), self.streams.entry(&peer.id).open > 0)
        })
    }

    /// The clock of `zone`'s gateways, as far as one has told, minus this one's, in milliseconds.
    pub(crate) fn clock_offset(&self, zone: &ZoneName) -> Option<i64> {
        match *zone == self.own_zone {
            true => Some(0),
            false => {
                let entries = self.streams.of_zone(zone);
                entries.iter().find_map(|entry| entry.clock_offset).map(|offset| offset.millis)
            }
        }
    }
}
