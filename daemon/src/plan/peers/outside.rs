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
use zonemesh_core::finding::Subject;
use zonemesh_core::name::ZoneName;

use super::PeerPlan;

/// Where gateways are outside of the tunnels, as far as it is seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OuterAddresses {
    /// This gateway's.
    pub(crate) own: BTreeSet<IpAddr>,
    /// Those of others, where their tunnels lead to now: of a zone's gateway, or of a plain peer.
    pub(crate) others: BTreeMap<IpAddr, Subject>,
    /// Those of this machine that are no tunnel addresses.
    pub(crate) machine: MachineAddresses,
}

/// What this machine has outside of the tunnel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MachineAddresses {
    pub(crate) outside: Vec<IpAddr>,
    /// Tunnel addresses that were set and are not used, as it had them when the gateway started.
    pub(crate) left_out: Vec<IpAddr>,
}

/// A net that holds an address outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CoveredAddress {
    /// Whose net it is: a zone's, or a plain peer's.
    pub(crate) owner: Subject,
    pub(crate) net: IpNet,
    pub(crate) address: IpAddr,
    pub(crate) of: AddressOwner,
}

/// Whose an outer address is that lies in a net.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AddressOwner {
    /// This gateway's: the net is not routed here.
    Here,
    /// This gateway's, and the net is a tunnel address of its own.
    HereTwice,
    /// This machine's, for something else: what is for it ends here.
    Machine,
    /// Another zone's gateway, or a plain peer.
    Other(Subject),
}

impl OuterAddresses {
    /// These, and all that the endpoints of the peers name.
    pub(super) fn with(&self, peers: &[PeerPlan]) -> Self {
        let mut all = self.clone();
        for peer in peers {
            for endpoint in &peer.endpoints {
                if let Endpoint::Address(at) = endpoint {
                    all.others.entry(at.ip()).or_insert_with(|| peer.subject());
                }
            }
        }
        all.others.retain(|ip, _| !all.own.contains(ip));
        all
    }

    /// Takes from the peers what holds an address of this gateway.
    pub(super) fn take_own(&self, peers: &mut [PeerPlan]) -> Vec<CoveredAddress> {
        let mut covered = Vec::new();
        for peer in peers {
            let owner = peer.subject();
            let PeerPlan { prefixes, tunnel_ips, .. } = peer;
            let mut is_free = |net: &IpNet| {
                let held = self.own.iter().find(|ip| net.contains(*ip));
                covered.extend(held.map(|address| CoveredAddress {
                    owner: owner.clone(),
                    net: *net,
                    address: *address,
                    of: AddressOwner::Here,
                }));
                held.is_none()
            };
            prefixes.retain(&mut is_free);
            tunnel_ips.retain(|ip| is_free(&IpNet::from(*ip)));
        }
        covered
    }

    /// Tunnel addresses of this gateway's own zone that it has outside.
    pub(super) fn own_left_out(&self, zone: &ZoneName, granted: &[IpAddr]) -> Vec<CoveredAddress> {
        let MachineAddresses { outside, left_out } = &self.machine;
        let granted = granted.iter().filter(|ip| outside.contains(ip));
        let all: BTreeSet<_> = granted.chain(left_out).collect();
        let told = all.into_iter().map(|address| CoveredAddress {
            owner: Subject::Zone(zone.clone()),
            net: IpNet::from(*address),
            address: *address,
            of: AddressOwner::HereTwice,
        });
        told.collect()
    }

    /// Addresses of this machine in what is routed to the peers, by which no tunnel leaves.
    pub(super) fn kept_here(&self, peers: &[PeerPlan]) -> Vec<CoveredAddress> {
        let kept = self.machine.outside.iter().filter(|ip| !self.own.contains(ip));
        let of_address = |ip: &IpAddr| {
            let holds = |peer: &PeerPlan| peer.allowed_ips().find(|net| net.contains(ip));
            peers.iter().find_map(|peer| Some((peer.subject(), holds(peer)?)))
        };
        let kept = kept.filter_map(|ip| {
            let (owner, net) = of_address(ip)?;
            Some(CoveredAddress { owner, net, address: *ip, of: AddressOwner::Machine })
        });
        kept.collect()
    }

    /// Which addresses of others lie in what is routed to the peers.
    pub(super) fn covered_by(&self, peers: &[PeerPlan]) -> Vec<CoveredAddress> {
        let of_net = |owner: Subject, net: IpNet| {
            let held = self.others.iter().filter(move |(ip, _)| net.contains(*ip));
            held.map(move |(address, of)| CoveredAddress {
                owner: owner.clone(),
                net,
                address: *address,
                of: AddressOwner::Other(of.clone()),
            })
            .collect::<Vec<_>>()
        };
        let nets =
            peers.iter().flat_map(|peer| peer.allowed_ips().map(move |net| (peer.subject(), net)));
        nets.flat_map(|(owner, net)| of_net(owner, net)).collect()
    }
}
