//! What lies behind this gateway, as the VMs of its zone are told: they may have no route of their
//! own.
//!
//! Promises that nothing is told but its own tunnel addresses and what is barred in the clear here,
//! so that a VM's packets for a zone that was put out still come to this gateway, which lets none
//! through. Refuses to judge what a VM makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::watch;
use zonemesh_api::wire::local::NetworksBehind;
use zonemesh_core::prefix;

use crate::facts::disk::barred::BarredNetworks;
use crate::facts::in_force::ConfigInForce;
use crate::facts::lan;
use crate::plan::kernel::WantedMtus;

/// Where it is known.
#[derive(Clone)]
pub(crate) struct BehindGateway {
    /// All that is not this zone's.
    pub(crate) barred: watch::Receiver<Arc<BarredNetworks>>,
    /// How large packets into the tunnel may be.
    pub(crate) mtus: watch::Receiver<Arc<WantedMtus>>,
}

impl BehindGateway {
    /// All of it, now.
    pub(super) fn now(&self, config: &ConfigInForce) -> NetworksBehind {
        let config = config.now();
        let addresses = lan::addresses(&config.zone.prefixes, &config.tunnel.interface);
        let barred = BarredNetworks::clone(&self.barred.borrow()).all();
        let mut networks = networks(&barred, &self.mtus.borrow());
        // From there it is asked whether a VM is reached.
        let own = config.tunnel.addresses.iter().map(|ip| (prefix::host(*ip), None));
        networks.extend(own);
        NetworksBehind { networks, addresses }
    }
}

fn networks(barred: &BTreeSet<IpNet>, mtus: &WantedMtus) -> BTreeMap<IpNet, Option<u32>> {
    let mtu = |net: &IpNet| {
        let narrower = mtus.routes.iter().filter(|(other, _)| prefix::overlaps(other, net));
        u32::from(narrower.map(|(_, mtu)| *mtu).fold(mtus.link, u16::min))
    };
    barred.iter().map(|net| (net.trunc(), Some(mtu(net)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_the_mtu_of_the_tunnel_or_of_its_narrower_path() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let mtus =
            WantedMtus { link: 1420, routes: BTreeMap::from([(net("10.10.12.0/24"), 1300)]) };
        let barred = BTreeSet::from([net("10.10.11.0/24"), net("10.10.12.0/23")]);
        let expected = BTreeMap::from([
            (net("10.10.11.0/24"), Some(1420)),
            (net("10.10.12.0/23"), Some(1300)),
        ]);
        assert_eq!(networks(&barred, &mtus), expected);
    }
}
