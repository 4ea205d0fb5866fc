//! A zone in service: who may send for it, and who of these is sent to.
//!
//! Its inner addresses are accepted from each of its gateways, and packets to them go to one: so two
//! gateways that both think they serve the zone lose nothing, and a change from one to the other is
//! one store, for which nothing is built anew. Which one is active is not decided here.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ipnet::IpNet;

use super::{OwnIdentities, RemoteGateway};
use crate::config::TunnelZone;
use crate::status::ZoneStatus;

/// A zone and its gateways, at least one.
pub(crate) struct RemoteZone {
    pub(crate) name: String,
    allowed_ips: Vec<IpNet>,
    gateways: Vec<RemoteGateway>,
    /// Position of the gateway that packets are sent to.
    active: AtomicUsize,
}

impl RemoteZone {
    /// `active` is the position of the one that is sent to.
    pub(crate) fn new(
        name: String,
        allowed_ips: Vec<IpNet>,
        gateways: Vec<RemoteGateway>,
        active: usize,
    ) -> Self {
        assert!(!gateways.is_empty(), "each zone has a gateway");
        Self { name, allowed_ips, gateways, active: active.into() }
    }

    pub(crate) fn allowed_ips(&self) -> &[IpNet] {
        &self.allowed_ips
    }

    pub(crate) fn gateways(&self) -> &[RemoteGateway] {
        &self.gateways
    }

    /// The gateway that packets to this zone are sent to. Any order of memory will do: whichever of
    /// two a packet is sealed for, the zone takes it.
    pub(crate) fn active(&self) -> &RemoteGateway {
        match &self.gateways[..] {
            [only] => only,
            all => all.get(self.active.load(Ordering::Relaxed)).unwrap_or(&all[0]),
        }
    }

    /// Sends to the gateway at this position from now on.
    pub(crate) fn set_active(&self, position: usize) {
        self.active.store(position, Ordering::Relaxed);
    }

    pub(crate) fn is_active(&self, gateway: &RemoteGateway) -> bool {
        std::ptr::eq(self.active(), gateway)
    }

    /// What was told of it, to be told again.
    pub(crate) fn settings(&self) -> TunnelZone {
        TunnelZone {
            name: self.name.clone(),
            allowed_ips: self.allowed_ips.clone(),
            gateways: self.gateways.iter().map(|gateway| gateway.settings().clone()).collect(),
        }
    }

    /// `identities` says which own keys there are.
    pub(crate) fn status(&self, identities: &OwnIdentities, now: Instant) -> ZoneStatus {
        let of = |gateway: &RemoteGateway| gateway.status(identities, now);
        ZoneStatus {
            name: self.name.clone(),
            allowed_ips: self.allowed_ips.clone(),
            active: self.active().key,
            gateways: self.gateways.iter().map(of).collect(),
        }
    }
}
