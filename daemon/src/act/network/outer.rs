//! The addresses that this machine has outside of the tunnel.
//!
//! A tunnel address must be none of them. What cannot be listed is no reason not to start.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_indextoname;
use zonemesh_config::{Config, Endpoint};
use zonemesh_core::prefix;

use crate::facts::lan;

/// Those of all other interfaces than the tunnel's, whatever that of this index is called now, and
/// those at which others call this gateway.
pub(crate) fn addresses(config: &Config, tunnel: Option<u32>) -> Vec<IpAddr> {
    let literal = |endpoint: &Endpoint| match endpoint {
        Endpoint::Address(address) => Some(address.ip()),
        Endpoint::Name { .. } => None,
    };
    let mut found: Vec<_> = config.gateway.endpoints.iter().filter_map(literal).collect();
    let renamed = tunnel.and_then(|index| if_indextoname(index).ok());
    let renamed = renamed.and_then(|name| name.into_string().ok());
    let is_tunnel =
        |name: &str| name == config.tunnel.interface || Some(name) == renamed.as_deref();
    match getifaddrs() {
        Ok(listed) => {
            let beside = listed.filter(|one| !is_tunnel(&one.interface_name));
            found.extend(beside.filter_map(|one| one.address.as_ref().and_then(lan::ip)));
        }
        Err(error) => tracing::warn!(%error, "cannot list the addresses"),
    }
    // One inside the zone is no outer one: a gateway may have its LAN address in the tunnel too.
    found.retain(|ip| !prefix::contains(&config.zone.prefixes, ip));
    found
}
