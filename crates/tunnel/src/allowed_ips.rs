//! Allowed IPs: which peer an inner address belongs to, by longest prefix.
//!
//! Used both ways: the destination picks the peer outward, the source must belong to the peer
//! inward (WireGuard paper, section 2). One prefix leads to one owner. Built once and then only
//! read; a lookup probes one hash table per prefix length in use.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

/// A table from prefixes to their owners.
pub(crate) struct AllowedIps<T> {
    v4: Vec<PrefixLevel<T>>,
    v6: Vec<PrefixLevel<T>>,
}

/// All prefixes of one length.
struct PrefixLevel<T> {
    prefix_len: u8,
    owners: HashMap<u128, T>,
}

impl<T> AllowedIps<T> {
    pub(crate) fn new() -> Self {
        Self { v4: Vec::new(), v6: Vec::new() }
    }

    /// Gives `prefix` to `owner`; host bits are ignored. Returns the owner it had before.
    pub(crate) fn insert(&mut self, prefix: IpNet, owner: T) -> Option<T> {
        let bits = masked(prefix.addr(), prefix.prefix_len());
        let levels = match prefix {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        };
        let prefix_len = prefix.prefix_len();
        let at = levels.partition_point(|level| level.prefix_len > prefix_len);
        if levels.get(at).is_none_or(|level| level.prefix_len != prefix_len) {
            let owners = HashMap::new();
            levels.insert(at, PrefixLevel { prefix_len, owners });
        }
        levels[at].owners.insert(bits, owner)
    }

    /// The owner of the longest prefix that holds `address`.
    pub(crate) fn find(&self, address: IpAddr) -> Option<&T> {
        let levels = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        levels.iter().find_map(|level| level.owners.get(&masked(address, level.prefix_len)))
    }
}

/// The first `prefix_len` bits of an address, left-aligned.
fn masked(address: IpAddr, prefix_len: u8) -> u128 {
    let bits = match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len));
    bits & mask.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(prefixes: &[&str]) -> AllowedIps<usize> {
        let mut table = AllowedIps::new();
        for (owner, prefix) in prefixes.iter().enumerate() {
            table.insert(prefix.parse().unwrap(), owner);
        }
        table
    }

    #[test]
    fn the_longest_prefix_wins() {
        let table = table(&["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "::/0"]);
        let find = |text: &str| table.find(text.parse().unwrap()).copied();
        assert_eq!(find("192.0.2.1"), Some(0));
        assert_eq!(find("10.9.9.9"), Some(1));
        assert_eq!(find("10.1.9.9"), Some(2));
        assert_eq!(find("10.1.2.3"), Some(3));
        assert_eq!(find("2001:db8::1"), Some(4));
    }

    #[test]
    fn an_address_outside_all_prefixes_has_no_owner() {
        let table = table(&["10.0.0.0/8", "2001:db8::/32"]);
        assert_eq!(table.find("11.0.0.1".parse().unwrap()), None);
        assert_eq!(table.find("2001:db9::1".parse().unwrap()), None);
        assert_eq!(table.find("::ffff:10.0.0.1".parse().unwrap()), None);
    }

    #[test]
    fn a_prefix_has_one_owner_whatever_its_host_bits() {
        let mut table = table(&["10.1.2.3/16"]);
        assert_eq!(table.insert("10.1.0.0/16".parse().unwrap(), 7), Some(0));
        assert_eq!(table.find("10.1.2.3".parse().unwrap()), Some(&7));
    }

    fn prefix() -> impl Strategy<Value = IpNet> {
        // Few distinct bits, so that prefixes nest often.
        let v4 = (0u32..16, 0u8..=32)
            .prop_map(|(bits, len)| IpNet::new(IpAddr::V4((bits << 28 | bits).into()), len));
        let v6 = (0u128..16, 0u8..=128)
            .prop_map(|(bits, len)| IpNet::new(IpAddr::V6((bits << 124 | bits).into()), len));
        prop_oneof![v4, v6].prop_map(|net| net.unwrap())
    }

    proptest! {
        #[test]
        fn lookups_agree_with_a_linear_search(prefixes in prop::collection::vec(prefix(), 0..40), probe in prefix()) {
            let mut table = AllowedIps::new();
            for (owner, prefix) in prefixes.iter().enumerate() {
                table.insert(*prefix, owner);
            }
            let address = probe.addr();
            let slow = prefixes
                .iter()
                .enumerate()
                .filter(|(_, prefix)| prefix.contains(&address))
                .max_by_key(|(owner, prefix)| (prefix.prefix_len(), *owner))
                .map(|(owner, _)| owner);
            prop_assert_eq!(table.find(address).copied(), slow);
        }
    }
}
