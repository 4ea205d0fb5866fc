//! Addresses outside the tunnels that lie inside what is granted.
//!
//! A grant may name more than its zone has. Promises: no tunnel is led through a tunnel by it. What
//! holds an outer address of this gateway is not routed here at all; where a prefix holds one of
//! another gateway, only the tunnels' own datagrams to it go around, see `act::network::aside`. Either
//! is told. Refuses to know routes of the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use zonemesh_config::Endpoint;
use zonemesh_core::name::ZoneName;

use super::PeerPlan;

/// Where gateways are outside of the tunnels, as far as it is seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OuterAddresses {
    /// This gateway's.
    pub(crate) own: BTreeSet<IpAddr>,
    /// Those of others, where their tunnels lead to now.
    pub(crate) others: BTreeMap<IpAddr, ZoneName>,
}

/// A net that holds an address outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CoveredAddress {
    /// Whose net it is.
    pub(crate) zone: ZoneName,
    pub(crate) net: IpNet,
    pub(crate) address: IpAddr,
    /// Whose address it is; `None` for this gateway's own.
    pub(crate) of: Option<ZoneName>,
}

impl OuterAddresses {
    /// These, and all that the endpoints of the peers name.
    pub(super) fn with(&self, peers: &[PeerPlan]) -> Self {
        let mut all = self.clone();
        for peer in peers {
            for endpoint in &peer.endpoints {
                if let Endpoint::Address(at) = endpoint {
                    all.others.entry(at.ip()).or_insert_with(|| peer.id.zone.clone());
                }
            }
        }
        all.others.retain(|ip, _| !all.own.contains(ip));
        all
    }

    /// Takes from the peers what holds an address of this gateway.
    pub(super) fn take_own(&self, peers: &mut [PeerPlan]) -> Vec<CoveredAddress> {
        let mut covered = Vec::new();
        for PeerPlan { id, prefixes, tunnel_ips, .. } in peers {
            let mut is_free = |net: &IpNet| {
                let held = self.own.iter().find(|ip| net.contains(*ip));
                covered.extend(held.map(|address| CoveredAddress {
                    zone: id.zone.clone(),
                    net: *net,
                    address: *address,
                    of: None,
                }));
                held.is_none()
            };
            prefixes.retain(&mut is_free);
            tunnel_ips.retain(|ip| is_free(&IpNet::from(*ip)));
        }
        covered
    }

    /// Which addresses of others lie in what is routed to the peers.
    pub(super) fn covered_by(&self, peers: &[PeerPlan]) -> Vec<CoveredAddress> {
        let of_net = |zone: &ZoneName, net: IpNet| {
            let held = self.others.iter().filter(move |(ip, _)| net.contains(*ip));
            let zone = zone.clone();
            held.map(move |(address, of)| CoveredAddress {
                zone: zone.clone(),
                net,
                address: *address,
                of: Some(of.clone()),
            })
            .collect::<Vec<_>>()
        };
        let nets = peers.iter().flat_map(|peer| peer.allowed_ips().map(|net| (&peer.id.zone, net)));
        nets.flat_map(|(zone, net)| of_net(zone, net)).collect()
    }
}
