//! The kernel's view of the tunnel: addresses, MTU, routes and the forwarding switch.
//!
//! Touches nothing but the tunnel interface and the routes of the peers' prefixes. The routes into
//! the tunnel go with its device, or wait on it for the next start (`inherit`); below them lie
//! `backstop`s that stay.

mod aside;
mod backstop;
mod forwarding;
mod inherit;
mod outer;
mod paths;
mod routes;

use std::net::IpAddr;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use rtnetlink::{LinkUnspec, RouteMessageBuilder};

pub(crate) use aside::set as set_asides;
pub(crate) use backstop::set as set_backstops;
pub(crate) use forwarding::{switched_off, warn_if_off};
pub(crate) use inherit::routes as inherited_routes;
pub(crate) use outer::addresses as outer_addresses;

/// EPERM, ESRCH and EEXIST of Linux, as netlink answers them.
const NOT_PERMITTED: i32 = -1;
const MISSING: i32 = -3;
const EXISTS: i32 = -17;

/// One change of the kernel's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkChange {
    /// Lets nothing for this prefix leave in the clear.
    Bar(IpNet),
    /// Takes that back.
    Unbar(IpNet),
    /// Routes a prefix into the tunnel.
    Open(IpNet),
    /// Takes that back.
    Close(IpNet),
    /// Lets the tunnels' own datagrams to this address go around the tunnel, and nothing else.
    Aside(IpAddr),
    /// Takes that back.
    Unaside(IpAddr),
    /// Sets the MTU of the tunnel's interface.
    InterfaceMtu(u16),
    /// Sets the MTU of the route to a prefix; without one it is the interface's.
    RouteMtu(IpNet, Option<u16>),
}

/// The kernel's network, as far as a gateway touches it. The real one speaks netlink; tests have a
/// small one in its place.
pub trait Network: Send + Sync {
    /// Makes a change; one that is made already is no error.
    fn change(&self, change: NetworkChange) -> BoxFuture<'_, anyhow::Result<()>>;

    /// The MTU of the path to an endpoint as far as this machine knows; `None` if there is no route
    /// outside of the tunnel.
    fn underlay_mtu(&self, endpoint: IpAddr) -> BoxFuture<'_, anyhow::Result<Option<u16>>>;

    /// Where sockets of this machine find a tunnel address: there, unless a test has no tunnel.
    fn place(&self, tunnel_ip: IpAddr) -> IpAddr {
        tunnel_ip
    }
}

/// The kernel's network around the tunnel interface of this index.
pub(crate) struct KernelNetwork {
    pub(crate) netlink: rtnetlink::Handle,
    pub(crate) index: u32,
}

impl Network for KernelNetwork {
    fn change(&self, change: NetworkChange) -> BoxFuture<'_, anyhow::Result<()>> {
        let (netlink, index) = (&self.netlink, self.index);
        Box::pin(async move {
            match change {
                NetworkChange::Bar(prefix) => backstop::add(netlink, prefix).await,
                NetworkChange::Unbar(prefix) => backstop::remove(netlink, prefix).await,
                NetworkChange::Open(prefix) => routes::add(netlink, index, prefix).await,
                NetworkChange::Close(prefix) => routes::remove(netlink, index, prefix).await,
                NetworkChange::Aside(address) => aside::add(netlink, index, address).await,
                NetworkChange::Unaside(address) => aside::remove(netlink, address).await,
                NetworkChange::InterfaceMtu(mtu) => {
                    paths::set_device_mtu(netlink, index, mtu).await
                }
                NetworkChange::RouteMtu(prefix, mtu) => {
                    paths::set_route_mtu(netlink, index, prefix, mtu).await
                }
            }
        })
    }

    fn underlay_mtu(&self, endpoint: IpAddr) -> BoxFuture<'_, anyhow::Result<Option<u16>>> {
        Box::pin(paths::underlay_mtu(&self.netlink, endpoint, self.index))
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
