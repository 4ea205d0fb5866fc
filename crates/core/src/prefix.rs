//! Prefixes of zones: which lies in which, and that no two owners share an address.
//!
//! Two zones with overlapping prefixes would silently steal each other's packets: WireGuard's
//! allowed IPs belong to the last peer that was set. So the overlap is an error that names both.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

/// Two owners claim the same addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{second_owner}'s {} overlaps {first_owner}'s {}", named(second), named(first))]
pub struct Overlap {
    /// Who claimed first.
    pub first_owner: String,
    /// What the first one claimed.
    pub first: IpNet,
    /// Who claimed second; may be the same owner.
    pub second_owner: String,
    /// What the second one claimed.
    pub second: IpNet,
}

/// A tunnel address has all bits, and nobody has written a length behind it.
fn named(net: &IpNet) -> String {
    match net.prefix_len() == net.max_prefix_len() {
        true => format!("address {}", net.addr()),
        false => format!("prefix {net}"),
    }
}

/// Reads `address/length`. Leading zeros are refused: elsewhere `010` is 8 (RFC 6943, section
/// 3.1.1).
///
/// # Errors
/// [`NotPrefix`] says what it is instead.
pub fn parse(text: &str) -> Result<IpNet, NotPrefix> {
    let Some((address, length)) = text.split_once('/') else {
        let is_address = text.parse::<IpAddr>().is_ok();
        return Err(if is_address { NotPrefix::NoLength } else { NotPrefix::Other });
    };
    match (address.parse::<IpAddr>(), text.parse::<IpNet>()) {
        (Ok(_), Ok(net)) if length == net.prefix_len().to_string() => Ok(net),
        (_, Ok(net)) => Err(NotPrefix::LeadingZeros(net)),
        (_, Err(_)) => Err(NotPrefix::Other),
    }
}

/// Why a text is no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPrefix {
    /// An address alone.
    #[error("add the length of the prefix behind a '/', as in 10.10.10.0/24")]
    NoLength,
    /// Numbers that some programs read otherwise.
    #[error("leading zeros: write {0}")]
    LeadingZeros(IpNet),
    /// Anything else.
    #[error("expected an address, a '/' and a length of at most 32 (IPv4) or 128 (IPv6)")]
    Other,
}

/// True if the two share an address.
#[must_use]
pub fn overlaps(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// True if `net` is a part of one of `others`, and not the whole of it.
#[must_use]
pub fn is_part_of_another(others: &BTreeSet<IpNet>, net: &IpNet) -> bool {
    let mut wider = std::iter::successors(net.supernet(), IpNet::supernet);
    wider.any(|wider| others.contains(&wider.trunc()))
}

/// True if all of `inner` lies in one of `outer`.
#[must_use]
pub fn covered(inner: &IpNet, outer: &[IpNet]) -> bool {
    outer.iter().any(|net| net.contains(inner))
}

/// True if `address` lies in one of `prefixes`.
#[must_use]
pub fn contains(prefixes: &[IpNet], address: &IpAddr) -> bool {
    prefixes.iter().any(|net| net.contains(address))
}

/// What an address of a subnet is if it is no machine's (RFC 919, RFC 3021; RFC 4291, section 2.6.1;
/// RFC 6164).
#[must_use]
pub fn of_nobody(net: &IpNet, address: &IpAddr) -> Option<&'static str> {
    match net {
        _ if net.max_prefix_len() - net.prefix_len() < 2 => None,
        IpNet::V4(net) if *address == net.network() => Some("the address of the network"),
        IpNet::V4(net) if *address == net.broadcast() => Some("the broadcast address"),
        IpNet::V6(net) if *address == net.network() => Some("the address of all routers"),
        _ => None,
    }
}

/// What is left of `net` without these addresses, as few prefixes as it takes.
#[must_use]
pub fn without(net: IpNet, addresses: &[IpAddr]) -> Vec<IpNet> {
    let mut left = vec![net];
    while let Some(at) = left.iter().position(|net| addresses.iter().any(|ip| net.contains(ip))) {
        let whole = left.swap_remove(at);
        // A single address has no halves.
        left.extend(whole.subnets(whole.prefix_len() + 1).into_iter().flatten());
    }
    left.sort();
    left
}

/// A prefix that no zone may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{prefix} holds {what}, which no zone may have")]
pub struct ReservedPrefix {
    /// What was claimed.
    pub prefix: IpNet,
    /// What it would take along.
    pub what: &'static str,
}

/// Addresses that mean something else on every machine: RFC 6890, RFC 4291.
const RESERVED: [(&str, &str); 10] = [
    ("0.0.0.0/8", "the unspecified address"),
    ("127.0.0.0/8", "loopback addresses"),
    ("169.254.0.0/16", "link-local addresses"),
    ("224.0.0.0/4", "multicast addresses"),
    ("255.255.255.255/32", "the broadcast address"),
    ("::/128", "the unspecified address"),
    ("::1/128", "the loopback address"),
    ("::ffff:0:0/96", "addresses of IPv4"),
    ("fe80::/10", "link-local addresses"),
    ("ff00::/8", "multicast addresses"),
];

/// Checks that `prefix` is one that a zone may have.
///
/// # Errors
/// [`ReservedPrefix`] says what it would take along.
pub fn check_ordinary(prefix: &IpNet) -> Result<(), ReservedPrefix> {
    let error = |what| Err(ReservedPrefix { prefix: *prefix, what });
    if prefix.prefix_len() == 0 {
        return error("every address, as a default route");
    }
    let is_touched = |net: &&str| net.parse().is_ok_and(|net| overlaps(&net, prefix));
    match RESERVED.iter().find(|(net, _)| is_touched(net)) {
        Some((_, what)) => error(what),
        None => Ok(()),
    }
}

/// Checks that a zone may have all of these.
///
/// # Errors
/// The first [`ReservedPrefix`].
pub(crate) fn check_all_ordinary(
    prefixes: &[IpNet],
    tunnel_ips: &[IpAddr],
) -> Result<(), ReservedPrefix> {
    let addresses = tunnel_ips.iter().map(|ip| host(*ip));
    prefixes.iter().copied().chain(addresses).try_for_each(|net| check_ordinary(&net))
}

/// A single address as a prefix (/32 or /128).
#[must_use]
pub fn host(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

/// All that a zone claims: its prefixes, and the tunnel IPs outside them.
pub(crate) fn claims<'a>(
    prefixes: &'a [IpNet],
    tunnel_ips: &'a [IpAddr],
) -> impl Iterator<Item = IpNet> + 'a {
    let outside = tunnel_ips.iter().filter(|ip| !contains(prefixes, ip));
    prefixes.iter().copied().chain(outside.map(|ip| host(*ip)))
}

/// Disjoint claims to addresses, each with its owner.
#[derive(Debug, Clone)]
pub struct Claims<O> {
    /// By family and first address; disjoint, so that the last one that begins before the end of
    /// another is the only one to look at.
    taken: BTreeMap<(bool, u128), (u128, IpNet, O)>,
}

impl<O> Default for Claims<O> {
    fn default() -> Self {
        Self { taken: BTreeMap::new() }
    }
}

impl<O: Clone + ToString> Claims<O> {
    /// Who holds an address of `net`, if someone does.
    fn holder(&self, net: &IpNet) -> Option<(&O, IpNet)> {
        let (family, first, last) = bounds(net);
        let (_, (end, held, owner)) = self.taken.range((family, 0)..=(family, last)).next_back()?;
        (*end >= first).then_some((owner, *held))
    }

    /// Claims `nets`, which are disjoint, all or none.
    ///
    /// # Errors
    /// The first [`Overlap`] with an earlier claim.
    pub fn claim_all(&mut self, owner: &O, nets: &[IpNet]) -> Result<(), Overlap> {
        let held = |net: &IpNet| self.holder(net).map(|(first, held)| (first, held, *net));
        if let Some((first_owner, first, second)) = nets.iter().find_map(held) {
            return Err(Overlap {
                first_owner: first_owner.to_string(),
                first,
                second_owner: owner.to_string(),
                second,
            });
        }
        for net in nets {
            let (family, first, last) = bounds(net);
            self.taken.insert((family, first), (last, *net, owner.clone()));
        }
        Ok(())
    }
}

/// Family, first and last address.
fn bounds(net: &IpNet) -> (bool, u128, u128) {
    match net {
        IpNet::V4(net) => {
            (false, u32::from(net.network()).into(), u32::from(net.broadcast()).into())
        }
        IpNet::V6(net) => (true, net.network().into(), net.broadcast().into()),
    }
}

/// Checks that no two of `claims` (owner, prefix) overlap.
///
/// # Errors
/// The first [`Overlap`] in the order of the claims.
pub fn check_disjoint<'a>(
    claims: impl IntoIterator<Item = (&'a str, IpNet)>,
) -> Result<(), Overlap> {
    let mut taken = Claims::default();
    claims.into_iter().try_for_each(|(owner, net)| taken.claim_all(&owner, &[net]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn an_overlap_names_both_owners() {
        let error =
            check_disjoint([("berlin", net("10.10.10.0/24")), ("madrid", net("10.10.0.0/16"))])
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            "madrid's prefix 10.10.0.0/16 overlaps berlin's prefix 10.10.10.0/24"
        );
        let tunnel = [("berlin", net("10.10.10.7/32")), ("madrid", net("10.10.10.0/24"))];
        let error = check_disjoint(tunnel).unwrap_err().to_string();
        assert_eq!(error, "madrid's prefix 10.10.10.0/24 overlaps berlin's address 10.10.10.7");
    }

    #[test]
    fn what_means_something_else_on_every_machine_is_no_zones() {
        for (prefix, what) in [
            ("0.0.0.0/0", "every address, as a default route"),
            ("::/0", "every address, as a default route"),
            ("0.0.0.0/1", "the unspecified address"),
            ("128.0.0.0/1", "link-local addresses"),
            ("127.0.0.53/32", "loopback addresses"),
            ("169.254.169.254/32", "link-local addresses"),
            ("239.1.0.0/16", "multicast addresses"),
            ("255.255.255.255/32", "the broadcast address"),
            ("::/3", "the unspecified address"),
            ("::ffff:10.0.0.0/104", "addresses of IPv4"),
            ("fe80::/64", "link-local addresses"),
            ("ff02::1/128", "multicast addresses"),
        ] {
            let refused = check_ordinary(&net(prefix));
            assert_eq!(refused, Err(ReservedPrefix { prefix: net(prefix), what }), "{prefix}");
        }
        assert!(RESERVED.iter().all(|(prefix, _)| prefix.parse::<IpNet>().is_ok()));
    }

    #[test]
    fn ordinary_prefixes_of_any_length_are_fine() {
        for prefix in ["10.0.0.0/8", "100.64.0.0/10", "203.0.113.7/32", "8.0.0.0/5", "fd00::/8"] {
            assert_eq!(check_ordinary(&net(prefix)), Ok(()), "{prefix}");
        }
        assert_eq!(check_ordinary(&net("2000::/3")), Ok(()));
    }

    #[test]
    fn a_prefix_without_an_address_is_all_the_rest_of_it() {
        let hole: IpAddr = "192.0.2.6".parse().unwrap();
        let left = without(net("192.0.2.0/29"), &[hole]);
        assert_eq!(left, ["192.0.2.0/30", "192.0.2.4/31", "192.0.2.7/32"].map(net));
        assert_eq!(without(net("10.0.0.0/8"), &[hole]), [net("10.0.0.0/8")]);
        assert_eq!(without(net("192.0.2.6/32"), &[hole]), []);
        assert_eq!(without(net("fd00::/8"), &["fd00::1".parse().unwrap()]).len(), 120);
    }

    #[test]
    fn the_first_and_the_last_address_of_a_subnet_are_no_machines() {
        for (subnet, address, what) in [
            ("10.10.10.0/24", "10.10.10.0", Some("the address of the network")),
            ("10.10.10.0/24", "10.10.10.255", Some("the broadcast address")),
            ("10.10.10.0/23", "10.10.10.255", None),
            ("10.10.10.0/31", "10.10.10.0", None),
            ("10.10.10.7/32", "10.10.10.7", None),
            ("fd00::/64", "fd00::", Some("the address of all routers")),
            ("fd00::/64", "fd00::ffff:ffff:ffff:ffff", None),
            ("fd00::/127", "fd00::", None),
        ] {
            let told = of_nobody(&net(subnet), &address.parse().unwrap());
            assert_eq!(told, what, "{address} of {subnet}");
        }
    }

    #[test]
    fn neighbouring_prefixes_and_other_families_do_not_overlap() {
        let claims =
            [("a", net("10.10.10.0/24")), ("b", net("10.10.11.0/24")), ("c", net("fd00::/64"))];
        assert_eq!(check_disjoint(claims), Ok(()));
    }

    #[test]
    fn a_larger_prefix_is_not_covered_by_a_smaller_one() {
        let bounds = [net("10.10.10.0/24")];
        assert!(covered(&net("10.10.10.128/25"), &bounds));
        assert!(!covered(&net("10.10.0.0/16"), &bounds));
        assert!(contains(&bounds, &"10.10.10.9".parse().unwrap()));
        assert!(!contains(&bounds, &"10.10.11.9".parse().unwrap()));
    }
}
