//! The kernel's network, as far as a gateway touches it: one change at a time, each said whole.
//!
//! What is to be changed stands in `plan::kernel`, what there is in `facts::kernel`. Touches nothing but
//! the tunnel's interface, the gateway's own routing tables with their rules, and its own table of
//! nftables; what an earlier release has left in `main` is taken away once (`earlier`), and so is what
//! an earlier start has left under another name (`left_behind`).

mod clear;
mod earlier;
mod forwarding;
mod guard;
mod left_behind;
mod link;
mod outer;
mod routes;
mod underlay;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use ipnet::IpNet;
use tokio::sync::watch;
use zonemesh_config::Config;
use zonemesh_core::kernel::{KernelChange, KernelState};
use zonemesh_netlink::{NOT_PERMITTED, answers};

pub(crate) use clear::clear_all;
pub(crate) use earlier::clear as clear_earlier;
pub(crate) use forwarding::{switched_off, warn_if_off};
pub(crate) use guard::GuardTable;
pub(crate) use left_behind::clear as clear_left_behind;
pub(crate) use outer::addresses as outer_addresses;

use crate::facts::kernel;
use crate::facts::tunnel::DataPlane;

/// The kernel's network, as far as a gateway touches it. The real one speaks netlink; tests have a
/// small one in its place.
pub trait Network: Send + Sync {
    /// What there is; `granted` is what belongs to other zones, `outer` where their tunnels lead to.
    fn look<'a>(
        &'a self,
        granted: &'a BTreeSet<IpNet>,
        outer: &'a BTreeSet<IpAddr>,
    ) -> BoxFuture<'a, anyhow::Result<KernelState>>;

    /// Makes a change; one that is made already is no error.
    fn change(&self, change: KernelChange) -> BoxFuture<'_, anyhow::Result<()>>;

    /// Counts what the kernel says has changed; without it only looks tell.
    fn news(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// The MTU of the path to an endpoint as far as this machine knows; `None` if there is no route
    /// outside of the tunnel.
    fn underlay_mtu(&self, endpoint: IpAddr) -> BoxFuture<'_, anyhow::Result<Option<u16>>>;

    /// The addresses that this machine has now outside of the tunnel, and of its own zone.
    fn outside(&self, _: &Config) -> Vec<IpAddr> {
        Vec::new()
    }

    /// Where sockets of this machine find a tunnel address: there, unless a test has no tunnel.
    fn place(&self, tunnel_ip: IpAddr) -> IpAddr {
        tunnel_ip
    }
}

/// The kernel's network around a tunnel, which may be still to come.
pub(crate) struct KernelNetwork {
    netlink: rtnetlink::Handle,
    guard: GuardTable,
    news: Option<watch::Receiver<u64>>,
    tunnel: OnceLock<Arc<dyn DataPlane>>,
}

impl KernelNetwork {
    pub(crate) fn new(netlink: rtnetlink::Handle, news: Option<watch::Receiver<u64>>) -> Self {
        Self { netlink, guard: GuardTable::default(), news, tunnel: OnceLock::new() }
    }

    /// The tunnel has come up.
    pub(crate) fn set_tunnel(&self, tunnel: Arc<dyn DataPlane>) {
        let _only_once = self.tunnel.set(tunnel);
    }

    pub(crate) fn netlink(&self) -> &rtnetlink::Handle {
        &self.netlink
    }

    /// The index of the tunnel's interface, if there is a tunnel.
    fn index(&self) -> Option<u32> {
        self.tunnel.get().map(|tunnel| tunnel.if_index())
    }

    async fn make(&self, change: KernelChange) -> anyhow::Result<()> {
        let netlink = &self.netlink;
        let index = || self.index().context("there is no tunnel yet");
        match change {
            KernelChange::SetGuard { to, .. } => self.guard.set(&to),
            KernelChange::AddRule(rule) => routes::add_rule(netlink, &rule).await,
            KernelChange::RemoveRule(rule) => routes::remove_rule(netlink, &rule).await,
            KernelChange::SetRoute { slot, from, to } => {
                routes::set(netlink, self.index(), slot, from, &to).await
            }
            KernelChange::RemoveRoute { slot, .. } => routes::remove(netlink, slot).await,
            KernelChange::MakeLink { .. } => {
                let tunnel = self.tunnel.get().context("there is no tunnel yet")?;
                tunnel.renew_device().context("cannot make the tunnel's interface anew")
            }
            KernelChange::RenameLink { to, .. } => link::rename(netlink, index()?, &to).await,
            KernelChange::MarkLink => link::mark(netlink, index()?).await,
            KernelChange::LinkMtu { to, .. } => link::set_mtu(netlink, index()?, to).await,
            KernelChange::LinkUp => link::bring_up(netlink, index()?).await,
            KernelChange::AddAddress(net) => link::add_address(netlink, index()?, net).await,
            KernelChange::RemoveAddress(net) => link::remove_address(netlink, index()?, net).await,
        }
    }
}

impl Network for KernelNetwork {
    fn look<'a>(
        &'a self,
        granted: &'a BTreeSet<IpNet>,
        outer: &'a BTreeSet<IpAddr>,
    ) -> BoxFuture<'a, anyhow::Result<KernelState>> {
        Box::pin(async move {
            let mut state = kernel::read(&self.netlink, self.index(), granted, outer).await?;
            state.guard = self.guard.look();
            Ok(state)
        })
    }

    fn change(&self, change: KernelChange) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(self.make(change))
    }

    fn news(&self) -> Option<watch::Receiver<u64>> {
        self.news.clone()
    }

    fn underlay_mtu(&self, endpoint: IpAddr) -> BoxFuture<'_, anyhow::Result<Option<u16>>> {
        Box::pin(underlay::mtu(&self.netlink, endpoint, self.index()))
    }

    fn outside(&self, config: &Config) -> Vec<IpAddr> {
        outer::addresses(config, self.index())
    }
}

/// True if the kernel refused because a capability is missing.
pub(crate) fn is_not_permitted(error: &anyhow::Error) -> bool {
    let by_netlink = error.downcast_ref().is_some_and(|error| answers(error, NOT_PERMITTED));
    let by_nftables = error.downcast_ref::<std::io::Error>();
    by_netlink || by_nftables.is_some_and(|error| error.raw_os_error() == Some(-NOT_PERMITTED))
}
