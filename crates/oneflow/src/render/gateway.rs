//! The address of a zone's gateway: the one that it gets, and the one that its VMs are told.
//!
//! Promises that both are one, and that it is a machine's in the zone as far as the zone is known.
//! Refuses to know from where the values come.

use std::net::{IpAddr, SocketAddr};

use super::{PlaceholderValue, RenderLack};
use crate::given::ZoneGiven;

/// What stands for the address that VMs route through, which others of the zone are told too.
pub(super) const PLACEHOLDER: &str = "gateway_ip";
/// Where the VMs are told it.
pub(super) const KEY: &str = "ONEAPP_ZONEMESH_GATEWAY";

/// What the VMs of a role are told.
pub(super) struct ToldGateway {
    pub(super) role: String,
    pub(super) ip: IpAddr,
}

/// It may have the local API's port behind it.
pub(super) fn ip_of(value: &str) -> Option<IpAddr> {
    let ip = value.parse::<IpAddr>().ok();
    ip.or_else(|| value.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Judges what was said; where only the VMs are told an address, the gateway gets that one.
pub(super) fn agree(
    placeholders: &mut Vec<PlaceholderValue>,
    told: &[ToldGateway],
    zone: Option<&ZoneGiven>,
    lacks: &mut Vec<RenderLack>,
) {
    let said = placeholders.iter().find(|given| given.name == PLACEHOLDER);
    let said = match said.map(|given| given.value.parse::<IpAddr>()) {
        Some(Ok(ip)) => Some(ip),
        // The way to give one is told elsewhere.
        Some(Err(_no_address)) => return,
        None => None,
    };
    let Some(ip) = said.or(told.first().map(|first| first.ip)) else { return };
    if let Some(other) = told.iter().find(|told| told.ip != ip) {
        let ToldGateway { role, ip: theirs } = other;
        lacks.push(RenderLack {
            what: format!("{PLACEHOLDER} is {ip}, and the VMs of {role} are told {theirs}"),
            give: format!("--set {PLACEHOLDER}={theirs}, or a folder made with --lan ZONE={ip}"),
        });
    } else if let Some((zone, why)) = zone.and_then(|zone| Some((zone, zone.refuses(&ip)?))) {
        let what = match said {
            Some(ip) => format!("{PLACEHOLDER} is {ip}: {why}"),
            None => format!("{KEY} is {ip}: {why}"),
        };
        let give = format!("an address of the gateway in {}", zone.networks());
        lacks.push(RenderLack { what, give });
    }
    if said.is_none() {
        let (name, value) = (PLACEHOLDER.to_owned(), ip.to_string());
        placeholders.push(PlaceholderValue { name, value });
    }
}
