//! The addresses that this machine has outside of the tunnel.
//!
//! A tunnel address must be none of them. What cannot be listed is no reason not to start.

use std::net::IpAddr;

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkAttribute;
use zonemesh_config::{Config, Endpoint};
use zonemesh_core::prefix;

/// Those of all other interfaces, and those at which others call this gateway.
pub(crate) async fn addresses(config: &Config) -> Vec<IpAddr> {
    let literal = |endpoint: &Endpoint| match endpoint {
        Endpoint::Address(address) => Some(address.ip()),
        Endpoint::Name { .. } => None,
    };
    let mut found: Vec<_> = config.gateway.endpoints.iter().filter_map(literal).collect();
    match listed(&config.tunnel.interface).await {
        Ok(listed) => found.extend(listed),
        Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot list the addresses"),
    }
    // One inside the zone is no outer one: a gateway may have its LAN address in the tunnel too.
    found.retain(|ip| !prefix::contains(&config.zone.prefixes, ip));
    found
}

async fn listed(tunnel: &str) -> anyhow::Result<Vec<IpAddr>> {
    let (connection, netlink, _) =
        rtnetlink::new_connection().context("cannot open a netlink socket")?;
    tokio::select! {
        listed = beside(&netlink, tunnel) => Ok(listed?),
        () = connection => anyhow::bail!("the netlink socket has ended"),
    }
}

async fn beside(netlink: &Handle, tunnel: &str) -> Result<Vec<IpAddr>, rtnetlink::Error> {
    let mut links = netlink.link().get().execute();
    let mut own = None;
    while let Some(link) = links.try_next().await? {
        if link.attributes.contains(&LinkAttribute::IfName(tunnel.to_owned())) {
            own = Some(link.header.index);
        }
    }
    let mut found = Vec::new();
    let mut addresses = netlink.address().get().execute();
    while let Some(address) = addresses.try_next().await? {
        if own == Some(address.header.index) {
            continue;
        }
        found.extend(address.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(ip) | AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        }));
    }
    Ok(found)
}
