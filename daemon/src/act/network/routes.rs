//! The routes of the mesh: what is barred in the clear and what is opened into the tunnel.
//!
//! Remembers what it has set, so that a change touches nothing else. A route that cannot be set is
//! an error that names it; the others are set all the same.

use std::collections::BTreeSet;

use anyhow::Context as _;
use ipnet::IpNet;
use rtnetlink::Handle;

use super::{EXISTS, MISSING, answers, backstop, inherit, to};
use crate::plan::Plan;

/// The routes that are set.
pub(crate) struct Routes {
    index: u32,
    barred: BTreeSet<IpNet>,
    opened: BTreeSet<IpNet>,
}

impl Routes {
    /// The routes of the device `index`, over backstops that are set. Those that an earlier agent
    /// has left in the device are taken over.
    pub(crate) async fn of(
        netlink: &Handle,
        index: u32,
        barred: BTreeSet<IpNet>,
    ) -> anyhow::Result<Self> {
        let opened = inherit::routes(netlink, index).await?;
        Ok(Self { index, barred, opened })
    }

    /// True if all that the plan asks for is set.
    pub(crate) fn is_complete(&self, plan: &Plan) -> bool {
        self.barred == plan.backstops && self.opened == plan.routed()
    }

    /// Sets the backstops that are missing.
    pub(crate) async fn bar(
        &mut self,
        netlink: &Handle,
        wanted: &BTreeSet<IpNet>,
    ) -> Vec<anyhow::Error> {
        let mut failed = Vec::new();
        for prefix in wanted.difference(&self.barred.clone()) {
            match backstop::add(netlink, *prefix).await {
                Ok(()) => drop(self.barred.insert(*prefix)),
                Err(error) => failed.push(error),
            }
        }
        failed
    }

    /// Removes the backstops of prefixes that no other zone may claim any more.
    pub(crate) async fn unbar(
        &mut self,
        netlink: &Handle,
        wanted: &BTreeSet<IpNet>,
    ) -> Vec<anyhow::Error> {
        let mut failed = Vec::new();
        for prefix in self.barred.clone().difference(wanted) {
            match backstop::remove(netlink, *prefix).await {
                Ok(()) => drop(self.barred.remove(prefix)),
                Err(error) => failed.push(error),
            }
        }
        failed
    }

    /// Routes exactly `wanted` into the tunnel, as far as there is a backstop below.
    pub(crate) async fn open(
        &mut self,
        netlink: &Handle,
        wanted: &BTreeSet<IpNet>,
    ) -> Vec<anyhow::Error> {
        let mut failed = Vec::new();
        for prefix in self.opened.clone().difference(wanted) {
            match self.remove(netlink, *prefix).await {
                Ok(()) => drop(self.opened.remove(prefix)),
                Err(error) => failed.push(error),
            }
        }
        for prefix in wanted.difference(&self.opened.clone()) {
            match self.add(netlink, *prefix).await {
                Ok(()) => drop(self.opened.insert(*prefix)),
                Err(error) => failed.push(error),
            }
        }
        failed
    }

    async fn add(&self, netlink: &Handle, prefix: IpNet) -> anyhow::Result<()> {
        let route = to(prefix).output_interface(self.index).build();
        match netlink.route().add(route).execute().await {
            Err(error) if answers(&error, EXISTS) => anyhow::bail!(
                "another route to {prefix} exists on this gateway; see it with: ip route show {prefix}"
            ),
            added => added.with_context(|| format!("cannot route {prefix}")),
        }
    }

    async fn remove(&self, netlink: &Handle, prefix: IpNet) -> anyhow::Result<()> {
        let route = to(prefix).output_interface(self.index).build();
        match netlink.route().del(route).execute().await {
            // Somebody else has removed it.
            Err(error) if answers(&error, MISSING) => Ok(()),
            removed => removed.with_context(|| format!("cannot remove the route to {prefix}")),
        }
    }
}
