//! The interfaces of this machine that are part of the zone's own network.
//!
//! Those that have an address inside the zone's prefixes. Promises to read the kernel at each look, and
//! that a bridge nobody is plugged into is in order: its VMs may be still to come. Refuses to know a
//! network that this machine only routes to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;
use zonemesh_core::prefix;

/// Those of these prefixes, by name, and whether packets can pass. None if the kernel does not say.
pub(crate) fn interfaces(prefixes: &[IpNet], tunnel: &str) -> BTreeMap<String, bool> {
    let is_lan = |one: &InterfaceAddress| {
        let address = one.address.as_ref().and_then(ip);
        one.interface_name != tunnel && address.is_some_and(|ip| prefix::contains(prefixes, &ip))
    };
    let all = getifaddrs().into_iter().flatten().filter(is_lan);
    let passes = |one: &InterfaceAddress| passes(one.flags, is_card(&one.interface_name));
    all.map(|one| (one.interface_name.clone(), passes(&one))).collect()
}

/// The addresses inside these prefixes that this machine has outside of the tunnel.
pub(crate) fn addresses(prefixes: &[IpNet], tunnel: &str) -> Vec<IpAddr> {
    let all = getifaddrs().into_iter().flatten().filter(|one| one.interface_name != tunnel);
    let mut found: Vec<_> = all.filter_map(|one| ip(one.address.as_ref()?)).collect();
    found.retain(|ip| prefix::contains(prefixes, ip));
    found.sort();
    found.dedup();
    found
}

/// True if an interface has this address, or the kernel does not say.
pub(crate) fn is_here(ip: &IpAddr) -> bool {
    let is_it =
        |one: InterfaceAddress| one.address.as_ref().and_then(self::ip).as_ref() == Some(ip);
    getifaddrs().map_or(true, |mut all| all.any(is_it))
}

/// It is up, and a card's cable, or what a hypervisor has in its place, is plugged in.
fn passes(flags: InterfaceFlags, is_card: bool) -> bool {
    let is_up = flags.contains(InterfaceFlags::IFF_UP);
    is_up && (!is_card || flags.contains(InterfaceFlags::IFF_RUNNING))
}

/// True if a device stands behind it: bridges, bonds and ends of a pair have none.
fn is_card(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).join("device").exists()
}

/// The address of an interface, if it is one of IP.
pub(crate) fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_with_an_address_of_the_zone_is_its_lan_unless_it_is_the_tunnel() {
        let nets = ["127.0.0.0/8".parse().unwrap()];
        assert_eq!(interfaces(&nets, "zm0"), BTreeMap::from([("lo".to_owned(), true)]));
        assert!(interfaces(&nets, "lo").is_empty());
        assert!(addresses(&nets, "zm0").contains(&"127.0.0.1".parse().unwrap()));
        assert_eq!(addresses(&nets, "lo"), [] as [IpAddr; 0]);
        assert!(interfaces(&[], "zm0").is_empty());
        let here = |ip: &str| is_here(&ip.parse().unwrap());
        assert!(here("127.0.0.1") && !here("192.0.2.77"));
    }

    #[test]
    fn a_card_without_a_cable_is_down_and_a_bridge_without_members_is_not() {
        let (up, running) = (InterfaceFlags::IFF_UP, InterfaceFlags::IFF_RUNNING);
        for (flags, is_card, expected) in [
            (up | running, true, true),
            (up, true, false),
            (up, false, true),
            (InterfaceFlags::empty(), true, false),
            (InterfaceFlags::empty(), false, false),
        ] {
            assert_eq!(passes(flags, is_card), expected, "{flags:?} {is_card}");
        }
    }
}
