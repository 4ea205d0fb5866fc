//! What counts of a route that the kernel tells.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteMetric};

/// The attributes of a route that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteParts {
    /// The routing table.
    pub table: u32,
    /// The lower, the sooner it is taken.
    pub metric: u32,
    /// The index of the interface, of a route with one.
    pub interface: Option<u32>,
    /// Who passes packets on.
    pub gateway: Option<IpAddr>,
    /// This machine's address on what it sends.
    pub source: Option<IpAddr>,
    /// How large packets may be, if the route says so.
    pub mtu: Option<u32>,
    /// It leads to several next hops, or to one of another family.
    pub has_several: bool,
    /// The interfaces of several next hops.
    pub interfaces: Vec<u32>,
}

/// Questions for all routes of each family.
#[must_use]
pub fn of_all_families() -> [RouteMessage; 2] {
    let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
    [v4, RouteMessageBuilder::<Ipv6Addr>::new().build()]
}

/// Where a route leads to.
#[must_use]
pub fn destination(route: &RouteMessage) -> Option<IpNet> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => ip(address),
        _ => None,
    });
    let any = match route.header.address_family {
        AddressFamily::Inet => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    IpNet::new(address.unwrap_or(any), route.header.destination_prefix_length).ok()
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::from(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::from(*ip)),
        _ => None,
    }
}

impl RouteParts {
    /// Those of this route.
    #[must_use]
    pub fn of(route: &RouteMessage) -> Self {
        let table = u32::from(route.header.table);
        let mut parts = Self { table, ..Self::default() };
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Table(table) => parts.table = *table,
                RouteAttribute::Priority(metric) => parts.metric = *metric,
                RouteAttribute::Oif(index) => parts.interface = Some(*index),
                RouteAttribute::Gateway(address) => parts.gateway = ip(address),
                RouteAttribute::PrefSource(address) => parts.source = ip(address),
                RouteAttribute::MultiPath(hops) => {
                    parts.has_several = true;
                    parts.interfaces = hops.iter().map(|hop| hop.interface_index).collect();
                }
                RouteAttribute::Via(_) => parts.has_several = true,
                RouteAttribute::Metrics(metrics) => {
                    parts.mtu = metrics.iter().find_map(|metric| match metric {
                        RouteMetric::Mtu(mtu) if *mtu > 0 => Some(*mtu),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        parts
    }

    /// All interfaces that it leads to.
    pub fn all_interfaces(&self) -> impl Iterator<Item = u32> {
        self.interface.into_iter().chain(self.interfaces.iter().copied())
    }

    /// The same for people.
    #[must_use]
    pub fn words(&self, route: &RouteMessage) -> String {
        let mut words = match (self.gateway, self.interface) {
            (Some(gateway), _) => format!("via {gateway}"),
            (None, Some(index)) => format!("to interface {index}"),
            (None, None) => format!("{:?}", route.header.kind).to_lowercase(),
        };
        if let Some(mtu) = self.mtu {
            words.push_str(&format!(", mtu {mtu}"));
        }
        words
    }
}
