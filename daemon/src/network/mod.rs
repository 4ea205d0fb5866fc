//! The kernel's view of the tunnel: addresses, MTU, routes and the forwarding switch.
//!
//! Touches nothing but the tunnel interface and the routes of the peers' prefixes. An
//! `unreachable` route of the worst metric backs every prefix: while the tunnel interface is
//! gone (a crash, a restart) packets for another zone end here and never leave in the clear
//! by the default route. A clean stop removes both.

mod forwarding;

use std::net::IpAddr;

use anyhow::Context as _;
use ipnet::IpNet;
use rtnetlink::packet_route::route::{RouteMessage, RouteType};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

pub(crate) use forwarding::warn_if_off;

/// Worse than any route an administrator sets.
const BACKSTOP_METRIC: u32 = 4_278_198_272;
/// EEXIST of Linux.
const EXISTS: i32 = -17;

/// The tunnel interface as the kernel knows it.
pub(crate) struct Interface {
    netlink: Handle,
    index: u32,
    routes: Vec<IpNet>,
}

impl Interface {
    /// Sets MTU and addresses (as /32 and /128) and brings the interface up.
    pub(crate) async fn configure(
        netlink: Handle,
        index: u32,
        mtu: u16,
        addresses: &[IpAddr],
    ) -> anyhow::Result<Self> {
        let link = LinkUnspec::new_with_index(index).mtu(u32::from(mtu)).up().build();
        netlink.link().set(link).execute().await.context("cannot set MTU and bring it up")?;
        for address in addresses {
            let net = IpNet::from(*address);
            let added = netlink.address().add(index, *address, net.prefix_len()).execute().await;
            added.with_context(|| format!("cannot set the tunnel address {address}"))?;
        }
        Ok(Self { netlink, index, routes: Vec::new() })
    }

    /// Routes `prefix` into the tunnel.
    pub(crate) async fn add_route(&mut self, prefix: IpNet) -> anyhow::Result<()> {
        let backstop = self.netlink.route().add(backstop(prefix)).replace().execute().await;
        backstop.with_context(|| format!("cannot set the backstop route for {prefix}"))?;
        self.routes.push(prefix);
        match self.netlink.route().add(self.through_tunnel(prefix)).execute().await {
            Ok(()) => Ok(()),
            Err(error) if is_exists(&error) => anyhow::bail!(
                "another route to {prefix} exists on this gateway; see it with: ip route show {prefix}"
            ),
            Err(error) => Err(error).with_context(|| format!("cannot route {prefix}")),
        }
    }

    /// Removes every route that was added. What is gone already is no error.
    pub(crate) async fn remove_routes(&self) {
        for prefix in &self.routes {
            for route in [self.through_tunnel(*prefix), backstop(*prefix)] {
                if let Err(error) = self.netlink.route().del(route).execute().await {
                    tracing::debug!(%prefix, %error, "route was gone");
                }
            }
        }
    }

    fn through_tunnel(&self, prefix: IpNet) -> RouteMessage {
        to(prefix).output_interface(self.index).build()
    }
}

fn to(prefix: IpNet) -> RouteMessageBuilder<IpAddr> {
    let builder = RouteMessageBuilder::<IpAddr>::new();
    builder
        .destination_prefix(prefix.network(), prefix.prefix_len())
        .expect("an IpNet has a prefix length of its family")
}

fn backstop(prefix: IpNet) -> RouteMessage {
    to(prefix).kind(RouteType::Unreachable).priority(BACKSTOP_METRIC).build()
}

fn is_exists(error: &rtnetlink::Error) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == EXISTS)
}
