//! The networks of this VM, as OpenNebula tells them in CONTEXT: ETHn_IP, ETHn_MASK, ETHn_IP6 and
//! so on, of NICs and of their aliases.
//!
//! It promises that an address which is no address is kept as what was seen, and that one which is
//! not on this machine (EXTERNAL, a translation by somebody else) is never taken for one that is.
//! It refuses to look at the machine itself: the network may not be up yet.
//! Specification: one-apps' `loc-10-network.d/functions`: without ETHn_MASK 255.255.255.0 holds,
//! without ETHn_IP6_PREFIX_LENGTH 64; `ETHn_ROUTES` is `PREFIX via ADDRESS`, with commas.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use zonemesh_core::visible::quoted;

/// Without ETHn_MASK.
const USUAL_MASK: u8 = 24;
/// Without ETHn_IP6_PREFIX_LENGTH.
const USUAL_LENGTH: u8 = 64;

/// One address of a NIC or an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NicAddress {
    /// `ETH0`, `ETH0_ALIAS1`.
    pub(crate) nic: String,
    /// The address with the length of its network.
    pub(crate) net: IpNet,
    /// It leads to this VM and is not on it.
    pub(crate) is_external: bool,
}

impl fmt::Display for NicAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let external = if self.is_external { " (external)" } else { "" };
        write!(f, "{} {}{external}", self.nic, self.net)
    }
}

/// All NICs of this VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct VmNics {
    /// In the order of the NICs, of each before its aliases.
    pub(crate) addresses: Vec<NicAddress>,
    /// Where a router inside the zone leads to, as ETHn_ROUTES say.
    pub(crate) routes: Vec<IpNet>,
    /// What could not be read.
    pub(crate) unreadable: Vec<String>,
}

/// `ETH0`, or `ETH0_ALIAS1`, by their numbers: aliases come behind their NIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct NicNumber {
    nic: u32,
    alias: Option<u32>,
}

impl fmt::Display for NicNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ETH{}", self.nic)?;
        self.alias.map_or(Ok(()), |alias| write!(f, "_ALIAS{alias}"))
    }
}

impl NicNumber {
    /// Of which NIC a key says something, and what.
    fn of(key: &str) -> Option<(Self, &str)> {
        let (nic, rest) = key.strip_prefix("ETH")?.split_once('_')?;
        let nic = nic.parse().ok()?;
        let alias = rest.strip_prefix("ALIAS").and_then(|rest| rest.split_once('_'));
        Some(match alias {
            Some((alias, rest)) => (Self { nic, alias: Some(alias.parse().ok()?) }, rest),
            None => (Self { nic, alias: None }, rest),
        })
    }
}

impl VmNics {
    /// Reads what stands under these names. An empty value is as good as none.
    pub(crate) fn read<'a>(
        names: impl IntoIterator<Item = &'a str>,
        find: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut known: BTreeMap<NicNumber, BTreeMap<&str, String>> = BTreeMap::new();
        for name in names {
            let value = || find(name).filter(|value| !value.trim().is_empty());
            if let Some((number, what)) = NicNumber::of(name)
                && let Some(value) = value()
            {
                known.entry(number).or_default().insert(what, value.trim().to_owned());
            }
        }
        let mut nics = Self::default();
        for (number, values) in &known {
            nics.take(*number, values);
        }
        nics
    }

    fn take(&mut self, number: NicNumber, values: &BTreeMap<&str, String>) {
        let is_external = values.get("EXTERNAL").is_some_and(|said| is_yes(said));
        let families = [
            ("IP", "MASK", USUAL_MASK),
            ("IP6", "IP6_PREFIX_LENGTH", USUAL_LENGTH),
            ("IP6_ULA", "IP6_PREFIX_LENGTH", USUAL_LENGTH),
        ];
        for (key, length_key, usual) in families {
            let Some(address) = values.get(key) else { continue };
            let length = values.get(length_key);
            match network(address, length.map(String::as_str), usual) {
                Some(net) => {
                    let nic = number.to_string();
                    self.addresses.push(NicAddress { nic, net, is_external });
                }
                None => {
                    let length =
                        length.map(|length| format!(" {number}_{length_key}={}", quoted(length)));
                    let length = length.unwrap_or_default();
                    let address = quoted(address);
                    self.unreadable.push(format!("{number}_{key}={address}{length}"));
                }
            }
        }
        for route in values.get("ROUTES").into_iter().flat_map(|routes| routes.split(',')) {
            let prefix = route.split_whitespace().next().and_then(|net| net.parse::<IpNet>().ok());
            match prefix {
                Some(net) => self.routes.push(net.trunc()),
                None if route.trim().is_empty() => {}
                None => self.unreadable.push(format!("{number}_ROUTES={}", quoted(route))),
            }
        }
    }

    /// The addresses on this machine.
    pub(crate) fn local(&self) -> impl Iterator<Item = &NicAddress> {
        self.addresses.iter().filter(|address| !address.is_external)
    }

    /// What was seen, for people.
    pub(crate) fn seen(&self) -> String {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let unreadable = self.unreadable.iter().map(|text| format!("{text} (no address)"));
        let all: Vec<String> = addresses.chain(unreadable).collect();
        if all.is_empty() {
            return "none: CONTEXT has no ETHn_IP; it has with NETWORK=YES".to_owned();
        }
        all.join(", ")
    }
}

fn is_yes(text: &str) -> bool {
    text.eq_ignore_ascii_case("yes") || text.eq_ignore_ascii_case("true")
}

/// An address with the length of its network, which is a number or a mask.
fn network(address: &str, length: Option<&str>, usual: u8) -> Option<IpNet> {
    let address: IpAddr = address.split('/').next()?.parse().ok()?;
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        return None;
    }
    let length = match length {
        None => usual,
        Some(text) => match text.parse::<Ipv4Addr>() {
            Ok(mask) => ipnet::ipv4_mask_to_prefix(mask).ok()?,
            Err(_number) => text.parse().ok()?,
        },
    };
    IpNet::new(address, length).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn nics(values: &[(&str, &str)]) -> VmNics {
        let find = |name: &str| {
            let found = values.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        VmNics::read(values.iter().map(|(key, _)| *key), find)
    }

    #[test]
    fn a_context_as_opennebula_writes_it_gives_its_addresses_in_their_order() {
        let nics = nics(&[
            ("ETH10_IP", "10.0.0.9"),
            ("ETH0_ALIAS1_IP", "10.10.10.9"),
            ("ETH0_ALIAS1_MASK", "255.255.255.128"),
            ("ETH0_ALIAS0_IP", "203.0.113.9"),
            ("ETH0_ALIAS0_EXTERNAL", "YES"),
            ("ETH0_IP", "10.10.10.1"),
            ("ETH0_MASK", "255.255.0.0"),
            ("ETH0_MAC", "02:00:0a:0a:0a:01"),
            ("ETH0_IP6", "2001:db8::1"),
            ("ETH0_IP6_PREFIX_LENGTH", "56"),
            ("ETH0_IP6_ULA", "fd00:10::1"),
            ("ETH0_EXTERNAL", ""),
            ("ETH0_ROUTES", "10.20.0.0/16 via 10.10.10.254, 10.30.0.0/16 via 10.10.10.253"),
            ("ETH0_DNS", "10.10.10.2"),
            ("ETHX_IP", "10.1.1.1"),
        ]);
        let seen: Vec<String> = nics.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(
            seen,
            [
                "ETH0 10.10.10.1/16",
                "ETH0 2001:db8::1/56",
                "ETH0 fd00:10::1/56",
                "ETH0_ALIAS0 203.0.113.9/24 (external)",
                "ETH0_ALIAS1 10.10.10.9/25",
                "ETH10 10.0.0.9/24",
            ]
        );
        assert_eq!(nics.routes, ["10.20.0.0/16".parse().unwrap(), "10.30.0.0/16".parse().unwrap()]);
        assert!(nics.local().all(|address| address.nic != "ETH0_ALIAS0"));
    }

    #[test]
    fn what_is_no_address_is_seen_and_not_taken() {
        for (values, seen) in [
            (&[("ETH0_IP", "10.10.10")][..], "ETH0_IP=\"10.10.10\" (no address)"),
            (&[("ETH0_IP", "0.0.0.0")], "ETH0_IP=\"0.0.0.0\" (no address)"),
            (
                &[("ETH0_IP", "10.10.10.1"), ("ETH0_MASK", "255.0.255.0")],
                "ETH0_IP=\"10.10.10.1\" ETH0_MASK=\"255.0.255.0\" (no address)",
            ),
            (&[("ETH0_IP", "")], "none: CONTEXT has no ETHn_IP; it has with NETWORK=YES"),
            (&[("ETH0_IP", " 10.10.10.1 "), ("ETH0_MASK", "22")], "ETH0 10.10.10.1/22"),
        ] {
            assert_eq!(nics(values).seen(), seen);
        }
    }
}
