//! The kernel's view of the tunnel: addresses, MTU, routes and the forwarding switch.
//!
//! Touches nothing but the tunnel interface and the routes of the peers' prefixes. The routes into
//! the tunnel go with its device, or wait on it for the next start (`inherit`); below them lie
//! `backstop`s that stay.

mod backstop;
mod forwarding;
mod inherit;
mod paths;
mod routes;

use std::net::IpAddr;

use anyhow::Context as _;
use ipnet::IpNet;
use rtnetlink::{LinkUnspec, RouteMessageBuilder};

pub(crate) use backstop::set as set_backstops;
pub(crate) use forwarding::{switched_off, warn_if_off};
pub(crate) use paths::{set_device_mtu, set_route_mtu, underlay_mtu};
pub(crate) use routes::Routes;

/// EPERM, ESRCH and EEXIST of Linux, as netlink answers them.
const NOT_PERMITTED: i32 = -1;
const MISSING: i32 = -3;
const EXISTS: i32 = -17;

/// Runs `work` with a netlink socket of its own.
pub(crate) async fn with_netlink<T>(
    work: impl AsyncFnOnce(rtnetlink::Handle) -> T,
) -> anyhow::Result<T> {
    let (connection, netlink, _) =
        rtnetlink::new_connection().context("cannot open a netlink socket")?;
    tokio::select! {
        done = work(netlink) => Ok(done),
        () = connection => anyhow::bail!("the kernel closed the netlink socket"),
    }
}

/// Sets MTU and addresses (as /32 and /128) of the tunnel interface and brings it up. Routes come
/// after it: what a peer sends to an address that is not yet here would be forwarded by the default
/// route.
pub(crate) async fn configure(
    netlink: &rtnetlink::Handle,
    index: u32,
    mtu: u16,
    addresses: &[IpAddr],
) -> anyhow::Result<()> {
    let link = LinkUnspec::new_with_index(index).mtu(u32::from(mtu)).build();
    netlink.link().set(link).execute().await.context("cannot set the MTU")?;
    inherit::addresses(netlink, index, addresses).await?;
    for address in addresses {
        let net = IpNet::from(*address);
        let add = netlink.address().add(index, *address, net.prefix_len()).replace();
        let added = add.execute().await;
        added.with_context(|| format!("cannot set the tunnel address {address}"))?;
    }
    let link = LinkUnspec::new_with_index(index).up().build();
    netlink.link().set(link).execute().await.context("cannot bring it up")?;
    Ok(())
}

fn to(prefix: IpNet) -> RouteMessageBuilder<IpAddr> {
    let builder = RouteMessageBuilder::<IpAddr>::new();
    builder
        .destination_prefix(prefix.network(), prefix.prefix_len())
        .expect("an IpNet has a prefix length of its family")
}

/// True if the kernel refused because a capability is missing.
pub(crate) fn is_not_permitted(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|error| answers(error, NOT_PERMITTED))
}

fn answers(error: &rtnetlink::Error, code: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == code)
}
