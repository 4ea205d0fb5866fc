//! Where this gateway is: for the VMs of its zone, and for other zones. Pure.
//!
//! It promises that each prefix of the zone is one that this VM is in, or that a router in the zone
//! leads to, and that an address of the zone is never told to other zones as the way to it. It
//! refuses to decide whose word counts: what CONTEXT says comes before what OneGate says (`plan`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use zonemesh_config::Endpoint;
use zonemesh_core::prefix;

use crate::nics::VmNics;

/// UDP port of the tunnels, which a configuration from CONTEXT leaves as it is.
pub(crate) const TUNNEL_PORT: u16 = 51820;

/// A prefix of the zone that this VM has nothing to do with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no NIC of this VM is in {}, which is to be this zone's; seen: {seen}", texts(prefixes))]
pub(crate) struct NotInZone {
    prefixes: Vec<IpNet>,
    seen: String,
}

fn texts(values: &[impl ToString]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// This VM's address in its zone, of the wanted family if one is wanted: in the order of the prefixes,
/// then of the NICs.
pub(crate) fn lan_address(
    prefixes: &[IpNet],
    nics: &VmNics,
    family: Option<IpAddr>,
) -> Result<IpAddr, NotInZone> {
    let is_known = |net: &&IpNet| {
        let is_near = |other: IpNet| prefix::overlaps(net, &other);
        nics.local().any(|nic| is_near(nic.net.trunc()))
            || nics.routes.iter().any(|route| is_near(*route))
    };
    let unknown: Vec<IpNet> = prefixes.iter().filter(|net| !is_known(net)).copied().collect();
    let lacks = |prefixes: Vec<IpNet>| NotInZone { prefixes, seen: nics.seen() };
    if !unknown.is_empty() {
        return Err(lacks(unknown));
    }
    let is_wanted = |ip: &IpAddr| family.is_none_or(|family| family.is_ipv4() == ip.is_ipv4());
    let inside = |net: &IpNet| {
        let mut addresses = nics.local().map(|nic| nic.net.addr());
        addresses.find(|ip| net.contains(ip) && is_wanted(ip))
    };
    prefixes.iter().find_map(inside).ok_or_else(|| lacks(prefixes.to_vec()))
}

/// Where VMs reach what listens at `listen`.
pub(crate) fn reached_at(
    listen: SocketAddr,
    prefixes: &[IpNet],
    nics: &VmNics,
) -> Result<SocketAddr, NotInZone> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => lan_address(prefixes, nics, Some(listen.ip()))?,
        // It takes IPv4 too.
        IpAddr::V6(ip) if ip.is_unspecified() => lan_address(prefixes, nics, None)?,
        ip => ip,
    };
    Ok(SocketAddr::new(ip, listen.port()))
}

/// The public addresses of this VM, outside its zone.
pub(crate) fn public(prefixes: &[IpNet], nics: &VmNics) -> Vec<Endpoint> {
    let all = nics.addresses.iter().map(|nic| nic.net.addr());
    outside(prefixes, all)
}

/// Those of `addresses` that other zones may reach it at.
pub(crate) fn outside(
    prefixes: &[IpNet],
    addresses: impl Iterator<Item = IpAddr>,
) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for ip in addresses.filter(|ip| is_public(*ip) && !prefix::contains(prefixes, ip)) {
        let endpoint = Endpoint::Address(SocketAddr::new(ip, TUNNEL_PORT));
        if !endpoints.contains(&endpoint) {
            endpoints.push(endpoint);
        }
    }
    endpoints
}

/// An address that is routed on the internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

const fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    let is_carriers = first == 100 && second & 0xc0 == 64;
    let is_benchmarks = first == 198 && second & 0xfe == 18;
    let is_nobodys = first == 0 || first >= 224 || ip.is_loopback() || ip.is_link_local();
    !(is_nobodys || ip.is_private() || is_carriers || is_benchmarks)
}

/// Global unicast.
const fn is_public_v6(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xe000 == 0x2000
}

/// An endpoint as people write it: without a port it has the tunnels' usual one.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, zonemesh_config::EndpointError> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return SocketAddr::new(ip, TUNNEL_PORT).to_string().parse();
    }
    match text.parse() {
        Err(zonemesh_config::EndpointError::NoPort) => format!("{text}:{TUNNEL_PORT}").parse(),
        parsed => parsed,
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_context::keys;

    use super::*;
    use crate::nics::tests::nics;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn lan(prefixes: &[&str], values: &[(&str, &str)]) -> Result<String, String> {
        let address = lan_address(&nets(prefixes), &nics(values), None);
        address.map(|ip| ip.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_lan_address_is_that_of_the_nic_whose_network_has_the_prefix() {
        let two = [("ETH0_IP", "203.0.113.1"), ("ETH1_IP", "10.10.10.7")];
        for (prefixes, address) in [
            // The other NIC; the NIC's network in the prefix; the prefix in the NIC's network.
            (&["10.10.10.0/24"][..], "10.10.10.7"),
            (&["10.10.0.0/16"], "10.10.10.7"),
            (&["10.10.10.0/25"], "10.10.10.7"),
        ] {
            assert_eq!(lan(prefixes, &two).as_deref(), Ok(address), "{prefixes:?}");
        }
        let six = [
            ("ETH0_IP", "10.10.10.1"),
            ("ETH0_IP6_ULA", "fd00:10::1"),
            ("ETH0_ALIAS0_IP", "10.10.12.5"),
        ];
        assert_eq!(lan(&["fd00:10::/64"], &six).as_deref(), Ok("fd00:10::1"));
        assert_eq!(lan(&["fd00:10::/64", "10.10.10.0/24"], &six).as_deref(), Ok("fd00:10::1"));
        assert_eq!(lan(&["10.10.12.0/24"], &six).as_deref(), Ok("10.10.12.5"));
        let two = [("ETH0_IP", "10.10.10.7"), ("ETH1_IP", "10.10.10.129"), ("ETH1_MASK", "25")];
        assert_eq!(lan(&["10.10.10.128/25"], &two).as_deref(), Ok("10.10.10.129"));
    }

    #[test]
    fn a_prefix_that_no_nic_is_in_is_refused_with_what_was_seen() {
        let one = [("ETH0_IP", "10.10.10.1")];
        let told = lan(&["10.10.10.0/24", "10.10.11.0/24", "10.12.0.0/16"], &one).unwrap_err();
        let words = "no NIC of this VM is in 10.10.11.0/24, 10.12.0.0/16, which is to be this zone's; seen: ETH0 10.10.10.1/24";
        assert_eq!(told, words);
        assert!(lan(&["10.10.10.0/24"], &[]).unwrap_err().contains("NETWORK=YES"));
        // The VMs of the zone could reach it, and it is turned away at its own door.
        assert!(lan(&["10.10.10.128/25"], &one).is_err(), "beside the prefix");
        // An address that is translated elsewhere is not on this machine.
        let external = [("ETH0_IP", "10.10.10.1"), ("ETH0_EXTERNAL", "YES")];
        assert!(lan(&["10.10.10.0/24"], &external).unwrap_err().contains("(external)"));
        // A router in the zone leads there.
        let routed = [("ETH0_IP", "10.10.10.1"), ("ETH0_ROUTES", "10.12.0.0/16 via 10.10.10.254")];
        let address = lan(&["10.12.0.0/16", "10.10.10.0/24"], &routed);
        assert_eq!(address.as_deref(), Ok("10.10.10.1"));
        assert!(lan(&["10.12.0.0/16"], &routed).is_err(), "no address in the zone at all");
    }

    #[test]
    fn what_listens_everywhere_is_reached_at_the_lan_address_of_its_family() {
        let nics = nics(&[("ETH0_IP", "10.10.10.1"), ("ETH0_IP6_ULA", "fd00:10::1")]);
        let prefixes = nets(&["fd00:10::/64", "10.10.10.0/24"]);
        for (listen, reached) in [
            ("0.0.0.0:51822", "10.10.10.1:51822"),
            ("[::]:7", "[fd00:10::1]:7"),
            ("10.10.10.9:51822", "10.10.10.9:51822"),
        ] {
            let at = reached_at(listen.parse().unwrap(), &prefixes, &nics);
            assert_eq!(at.unwrap().to_string(), reached);
        }
    }

    #[test]
    fn other_zones_are_told_public_addresses_outside_the_zone() {
        let nics = nics(&[
            ("ETH0_IP", "10.10.10.1"),
            ("ETH1_IP", "203.0.113.1"),
            ("ETH1_IP6", "2001:db8::1"),
            ("ETH2_IP", "192.168.7.1"),
            ("ETH3_IP", "100.64.3.4"),
            ("ETH4_IP", "198.18.0.1"),
            ("ETH5_IP", "192.0.2.77"),
            ("ETH5_ALIAS0_IP", "203.0.113.1"),
            ("ETH6_IP", "169.254.1.1"),
        ]);
        let found = public(&nets(&["10.10.10.0/24", "192.0.2.0/24"]), &nics);
        let texts: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["203.0.113.1:51820", "[2001:db8::1]:51820"]);
    }

    #[test]
    fn an_endpoint_is_taken_as_people_write_it() {
        for (text, meant) in [
            ("203.0.113.1", "203.0.113.1:51820"),
            ("203.0.113.1:7", "203.0.113.1:7"),
            ("2001:db8::1", "[2001:db8::1]:51820"),
            ("[2001:db8::1]", "[2001:db8::1]:51820"),
            ("[2001:db8::1]:7", "[2001:db8::1]:7"),
            ("gw.Berlin.example", "gw.berlin.example:51820"),
            ("gw.berlin.example:7", "gw.berlin.example:7"),
        ] {
            assert_eq!(endpoint(text).unwrap().to_string(), meant);
        }
        for wrong in ["0.0.0.0", "gw_1.example", "203.0.113.1:0", "10.010.11.1", "https://gw"] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
        // Who writes the value elsewhere is told the same before it is here.
        for text in [
            "203.0.113.1",
            "[2001:db8::1]:7",
            "gw.Berlin.example:7",
            "0.0.0.0",
            "gw_1.example",
            "-gw.example",
            "203.0.113.1:0",
            "1.2.3.999",
            "10.010.11.1",
            "https://gw",
            "gw:70000",
            "2001:db8::1",
        ] {
            let judged = zonemesh_context::judged::judged(&keys::gateway::ENDPOINT, text);
            assert_eq!(judged.is_ok(), endpoint(text).is_ok(), "{text}");
        }
    }
}
