//! What lies behind a gateway, as it tells the VMs of its zone.
//!
//! Promises that what is no prefix is left out, and that too much is refused by its field. Refuses
//! to judge which of it a VM may be led to: that is the companion's.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use zonemesh_core::prefix;

use super::super::{WireError, addresses};
use super::at_most;
use crate::v1;

const MAX_NETWORKS: usize = 4096;
const MAX_ADDRESSES: usize = 16;

/// What lies behind a gateway. Nothing is believed yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworksBehind {
    /// The networks, and the largest packet that the way there takes, if that is told.
    pub networks: BTreeMap<IpNet, Option<u32>>,
    /// The gateway's addresses in its zone's own network.
    pub addresses: Vec<IpAddr>,
}

impl From<NetworksBehind> for v1::NetworksBehind {
    fn from(behind: NetworksBehind) -> Self {
        let written = |(prefix, mtu): (&IpNet, &Option<u32>)| v1::NetworkBehind {
            prefix: prefix.to_string(),
            mtu: mtu.unwrap_or_default(),
        };
        let addresses = behind.addresses.iter().take(MAX_ADDRESSES);
        Self {
            networks: behind.networks.iter().take(MAX_NETWORKS).map(written).collect(),
            addresses: addresses.map(IpAddr::to_string).collect(),
        }
    }
}

impl TryFrom<v1::NetworksBehind> for NetworksBehind {
    type Error = WireError;

    fn try_from(wire: v1::NetworksBehind) -> Result<Self, WireError> {
        at_most("networks", wire.networks.len(), MAX_NETWORKS)?;
        at_most("addresses", wire.addresses.len(), MAX_ADDRESSES)?;
        let read = |network: &v1::NetworkBehind| {
            let prefix = prefix::parse(&network.prefix).ok()?.trunc();
            Some((prefix, Some(network.mtu).filter(|mtu| *mtu > 0)))
        };
        Ok(Self {
            networks: wire.networks.iter().filter_map(read).collect(),
            addresses: addresses("addresses", &wire.addresses)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_and_what_is_no_prefix_is_left_out() {
        let behind = NetworksBehind {
            networks: BTreeMap::from([
                ("10.10.11.0/24".parse().unwrap(), Some(1420)),
                ("fd00:11::/64".parse().unwrap(), None),
            ]),
            addresses: vec!["10.10.10.1".parse().unwrap(), "fd00:10::1".parse().unwrap()],
        };
        let mut wire = v1::NetworksBehind::from(behind.clone());
        for prefix in ["", "10.10.11.0", "010.0.0.0/8", "10.0.0.0/33", "any"] {
            wire.networks.push(v1::NetworkBehind { prefix: prefix.to_owned(), mtu: 1 });
        }
        assert_eq!(NetworksBehind::try_from(wire).unwrap(), behind);
    }

    #[test]
    fn too_much_is_refused_by_its_field() {
        let mut wire = v1::NetworksBehind::from(NetworksBehind::default());
        wire.networks = vec![v1::NetworkBehind::default(); MAX_NETWORKS + 1];
        let error = NetworksBehind::try_from(wire).unwrap_err();
        assert_eq!(error.to_line(), "field networks: too many, or too long");
        let addresses = vec!["10.10.10.1".to_owned(); MAX_ADDRESSES + 1];
        let wire = v1::NetworksBehind { networks: Vec::new(), addresses };
        assert!(
            NetworksBehind::try_from(wire).unwrap_err().to_line().starts_with("field addresses")
        );
    }
}
