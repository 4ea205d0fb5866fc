//! Inner destinations that may come in: a peer reaches this end's own addresses and nothing beyond.
//!
//! Without a bound whoever holds a peer's key could have this machine forward packets to anywhere
//! that it has a route to. Plain WireGuard has no such bound, and neither has a plain interface here.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::allowed_ips::AllowedIps;

/// What may be reached through the tunnel at this end.
pub(crate) struct InnerDestinations(Option<AllowedIps<()>>);

impl InnerDestinations {
    /// These prefixes; all there is, if there are none to choose from.
    pub(crate) fn new(own: Option<&[IpNet]>) -> Self {
        Self(own.map(|own| {
            let mut table = AllowedIps::new();
            for prefix in own {
                table.insert(*prefix, ());
            }
            table
        }))
    }

    pub(crate) fn allow(&self, destination: IpAddr) -> bool {
        self.0.as_ref().is_none_or(|own| own.find(destination).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_prefixes_are_reached_and_nothing_else() {
        let own = ["10.1.0.0/16", "10.255.0.1/32", "fd00:1::/64"].map(|net| net.parse().unwrap());
        let own = InnerDestinations::new(Some(&own));
        let reached = |address: &str| own.allow(address.parse().unwrap());
        assert!(reached("10.1.255.255") && reached("10.255.0.1") && reached("fd00:1::9"));
        assert!(!reached("10.2.0.1") && !reached("10.255.0.2") && !reached("224.0.0.1"));
        assert!(!reached("fd00:2::9") && !reached("ff02::1"));
    }

    #[test]
    fn a_list_of_none_lets_nothing_in_and_no_list_everything() {
        let somewhere = "192.0.2.1".parse().unwrap();
        assert!(!InnerDestinations::new(Some(&[])).allow(somewhere));
        assert!(InnerDestinations::new(None).allow(somewhere));
    }
}
