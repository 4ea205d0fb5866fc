//! The kernel's view of the tunnel: addresses, MTU, routes and the forwarding switch.
//!
//! Touches nothing but the tunnel interface and the routes of the peers' prefixes. The routes into
//! the tunnel go with its device; below them lie `backstop`s that stay.

mod backstop;
mod forwarding;

use std::net::IpAddr;

use anyhow::Context as _;
use ipnet::IpNet;
use rtnetlink::{LinkUnspec, RouteMessageBuilder};

pub(crate) use backstop::Backstops;
pub(crate) use forwarding::warn_if_off;

/// EEXIST of Linux.
const EXISTS: i32 = -17;

/// Sets MTU and addresses (as /32 and /128) of the tunnel interface, brings it up and routes
/// into it what has a backstop.
pub(crate) async fn configure(
    backstops: &Backstops,
    index: u32,
    mtu: u16,
    addresses: &[IpAddr],
) -> anyhow::Result<()> {
    let netlink = &backstops.netlink;
    let link = LinkUnspec::new_with_index(index).mtu(u32::from(mtu)).up().build();
    netlink.link().set(link).execute().await.context("cannot set MTU and bring it up")?;
    for address in addresses {
        let net = IpNet::from(*address);
        let added = netlink.address().add(index, *address, net.prefix_len()).execute().await;
        added.with_context(|| format!("cannot set the tunnel address {address}"))?;
    }
    for prefix in &backstops.prefixes {
        let route = to(*prefix).output_interface(index).build();
        match netlink.route().add(route).execute().await {
            Err(error) if is_exists(&error) => anyhow::bail!(
                "another route to {prefix} exists on this gateway; see it with: ip route show {prefix}"
            ),
            added => added.with_context(|| format!("cannot route {prefix}"))?,
        }
    }
    Ok(())
}

fn to(prefix: IpNet) -> RouteMessageBuilder<IpAddr> {
    let builder = RouteMessageBuilder::<IpAddr>::new();
    builder
        .destination_prefix(prefix.network(), prefix.prefix_len())
        .expect("an IpNet has a prefix length of its family")
}

fn is_exists(error: &rtnetlink::Error) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == EXISTS)
}
