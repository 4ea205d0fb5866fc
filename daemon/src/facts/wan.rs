//! The interfaces by which this machine reaches other gateways, and whether packets can pass there.
//!
//! Which one leads to an address follows from what the kernel would send from. An interface that is
//! down leads nowhere, so the last that did is kept for each address. Promises that one by which
//! nothing is to be sent any more is missed by nobody. Refuses to know routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::lan;

/// The interface that leads to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WanLink {
    interface: String,
    /// False if the kernel knows no way there now.
    is_way: bool,
}

/// The interfaces by which other gateways are reached.
#[derive(Debug, Default)]
pub(crate) struct WanLinks {
    to: Mutex<BTreeMap<IpAddr, WanLink>>,
}

/// What the machine has: the interface of each address, and the flags of each interface.
#[derive(Debug, Default)]
struct ListedInterfaces {
    of: BTreeMap<IpAddr, String>,
    flags: BTreeMap<String, InterfaceFlags>,
}

impl ListedInterfaces {
    fn now() -> Self {
        let mut listed = Self::default();
        for one in getifaddrs().into_iter().flatten() {
            let address = one.address.as_ref().and_then(lan::ip);
            listed.of.extend(address.map(|ip| (ip, one.interface_name.clone())));
            listed.flags.insert(one.interface_name, one.flags);
        }
        listed
    }

    /// What is wrong with an interface, in words. Unlike a bridge of the zone's own network, which
    /// may wait for its VMs, one without a carrier leads nowhere.
    fn trouble(&self, link: &WanLink) -> Option<String> {
        let WanLink { interface, is_way } = link;
        match self.flags.get(interface) {
            None if self.flags.is_empty() || *is_way => None,
            None => Some(format!("{interface} is gone")),
            Some(flags) if !flags.contains(InterfaceFlags::IFF_UP) => {
                Some(format!("{interface} is down"))
            }
            Some(flags) if !flags.contains(InterfaceFlags::IFF_RUNNING) => {
                Some(format!("{interface} has no carrier"))
            }
            Some(_) => None,
        }
    }
}

impl WanLinks {
    /// Takes what the kernel would send from to each of these addresses, and where this gateway says
    /// that it is: there it is missed also if no way was ever there.
    pub(crate) fn follow(
        &self,
        remote: &BTreeSet<IpAddr>,
        from: &BTreeMap<IpAddr, IpAddr>,
        own: &[IpAddr],
    ) {
        self.follow_in(&ListedInterfaces::now(), remote, from, own);
    }

    fn follow_in(
        &self,
        listed: &ListedInterfaces,
        remote: &BTreeSet<IpAddr>,
        from: &BTreeMap<IpAddr, IpAddr>,
        own: &[IpAddr],
    ) {
        let mut known = self.lock();
        known.retain(|ip, _| remote.contains(ip));
        known.values_mut().for_each(|link| link.is_way = false);
        let link = |interface: &String, is_way| WanLink { interface: interface.clone(), is_way };
        for ip in remote {
            match from.get(ip).and_then(|source| listed.of.get(source)) {
                Some(interface) => drop(known.insert(*ip, link(interface, true))),
                None if known.contains_key(ip) => {}
                None => {
                    let own = own.iter().find(|own| own.is_ipv4() == ip.is_ipv4());
                    let at = own.and_then(|own| listed.of.get(own));
                    known.extend(at.map(|interface| (*ip, link(interface, false))));
                }
            }
        }
    }

    /// What is wrong with the interface that leads to each address, where something is.
    pub(crate) fn troubles(&self) -> BTreeMap<IpAddr, String> {
        self.troubles_in(&ListedInterfaces::now())
    }

    fn troubles_in(&self, listed: &ListedInterfaces) -> BTreeMap<IpAddr, String> {
        let known = self.lock();
        let wrong = known.iter().filter_map(|(ip, link)| Some((*ip, listed.trouble(link)?)));
        wrong.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, WanLink>> {
        self.to.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADRID: &str = "198.51.100.7";
    const OWN: &str = "192.0.2.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// An interface `wan0` with the address of this gateway.
    fn machine(flags: InterfaceFlags) -> ListedInterfaces {
        let of = BTreeMap::from([(ip(OWN), "wan0".to_owned())]);
        ListedInterfaces { of, flags: BTreeMap::from([("wan0".to_owned(), flags)]) }
    }

    fn sound() -> ListedInterfaces {
        machine(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING)
    }

    fn told(links: &WanLinks, listed: &ListedInterfaces) -> Vec<String> {
        links.troubles_in(listed).into_values().collect()
    }

    #[test]
    fn an_interface_that_led_to_a_gateway_is_missed_when_it_is_down_dead_or_gone() {
        let links = WanLinks::default();
        let (remote, way) = (BTreeSet::from([ip(MADRID)]), BTreeMap::from([(ip(MADRID), ip(OWN))]));
        links.follow_in(&sound(), &remote, &way, &[]);
        assert!(told(&links, &sound()).is_empty());
        let up = InterfaceFlags::IFF_UP;
        assert_eq!(told(&links, &machine(up)), ["wan0 has no carrier"]);
        let down = machine(InterfaceFlags::empty());
        assert_eq!(told(&links, &down), ["wan0 is down"]);
        // Its routes went with it: it is missed all the same.
        links.follow_in(&down, &remote, &BTreeMap::new(), &[]);
        assert_eq!(told(&links, &down), ["wan0 is down"]);
        let other = ListedInterfaces {
            of: BTreeMap::from([(ip("203.0.113.9"), "wan1".to_owned())]),
            flags: BTreeMap::from([("wan1".to_owned(), up | InterfaceFlags::IFF_RUNNING)]),
        };
        assert_eq!(told(&links, &other), ["wan0 is gone"]);
        // Another leads there now, and later nobody is there to be reached.
        let by_other = BTreeMap::from([(ip(MADRID), ip("203.0.113.9"))]);
        links.follow_in(&other, &remote, &by_other, &[]);
        assert!(told(&links, &other).is_empty());
        links.follow_in(&down, &BTreeSet::new(), &BTreeMap::new(), &[]);
        assert!(told(&links, &down).is_empty());
    }

    #[test]
    fn one_that_was_down_from_the_start_is_known_by_this_gateways_own_endpoint() {
        let (links, remote) = (WanLinks::default(), BTreeSet::from([ip(MADRID)]));
        let down = machine(InterfaceFlags::empty());
        links.follow_in(&down, &remote, &BTreeMap::new(), &[]);
        assert!(told(&links, &down).is_empty());
        links.follow_in(&down, &remote, &BTreeMap::new(), &[ip("2001:db8::1"), ip(OWN)]);
        assert_eq!(told(&links, &down), ["wan0 is down"]);
    }

    #[test]
    fn a_renamed_interface_is_no_gone_one_before_the_next_look_at_the_ways() {
        let links = WanLinks::default();
        let (remote, way) = (BTreeSet::from([ip(MADRID)]), BTreeMap::from([(ip(MADRID), ip(OWN))]));
        links.follow_in(&sound(), &remote, &way, &[]);
        let renamed = ListedInterfaces {
            flags: BTreeMap::from([("uplink".to_owned(), InterfaceFlags::IFF_UP)]),
            ..ListedInterfaces::default()
        };
        assert!(told(&links, &renamed).is_empty());
    }
}
