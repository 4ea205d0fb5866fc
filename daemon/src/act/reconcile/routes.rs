//! Routes: what is barred in the clear, and what is led into the tunnel.
//!
//! Both remember what they have set, so that a change touches nothing else.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Reconciler;
use crate::act::network::{Network, NetworkChange};
use crate::plan::MeshPlan;

/// The routes of last resort, which lie below all others.
pub(crate) struct Backstops {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) set: BTreeSet<IpNet>,
}

/// The routes into the tunnel.
pub(crate) struct TunnelRoutes {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) set: BTreeSet<IpNet>,
}

/// The addresses that the tunnels' own datagrams reach around the tunnel.
pub(crate) struct Asides {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) set: BTreeSet<IpAddr>,
}

/// Those of them that are wanted no more: they go when all other routes are there again.
pub(crate) struct LeftAsides<'a>(pub(crate) &'a mut Asides);

/// First what is missing: a prefix may be part of one that goes.
fn changes(
    set: &BTreeSet<IpNet>,
    wanted: &BTreeSet<IpNet>,
    [come, go]: [fn(IpNet) -> NetworkChange; 2],
) -> Vec<NetworkChange> {
    let missing = wanted.difference(set).copied().map(come);
    missing.chain(set.difference(wanted).copied().map(go)).collect()
}

impl Reconciler for Asides {
    type Step = IpAddr;

    fn difference(&self, plan: &MeshPlan) -> Vec<IpAddr> {
        plan.aside.difference(&self.set).copied().collect()
    }

    async fn apply(&mut self, step: IpAddr) -> anyhow::Result<()> {
        self.network.change(NetworkChange::Aside(step)).await?;
        self.set.insert(step);
        Ok(())
    }
}

impl Reconciler for LeftAsides<'_> {
    type Step = IpAddr;

    fn difference(&self, plan: &MeshPlan) -> Vec<IpAddr> {
        self.0.set.difference(&plan.aside).copied().collect()
    }

    async fn apply(&mut self, step: IpAddr) -> anyhow::Result<()> {
        self.0.network.change(NetworkChange::Unaside(step)).await?;
        self.0.set.remove(&step);
        Ok(())
    }
}

impl Reconciler for Backstops {
    type Step = NetworkChange;

    fn difference(&self, plan: &MeshPlan) -> Vec<NetworkChange> {
        changes(&self.set, &plan.barred(), [NetworkChange::Bar, NetworkChange::Unbar])
    }

    async fn apply(&mut self, step: NetworkChange) -> anyhow::Result<()> {
        self.network.change(step).await?;
        note(&mut self.set, step);
        Ok(())
    }
}

impl Reconciler for TunnelRoutes {
    type Step = NetworkChange;

    fn difference(&self, plan: &MeshPlan) -> Vec<NetworkChange> {
        let mut changes =
            changes(&self.set, &plan.routed(), [NetworkChange::Open, NetworkChange::Close]);
        // A route that goes may stand in the way of one that comes.
        changes.sort_by_key(|change| matches!(change, NetworkChange::Open(_)));
        changes
    }

    async fn apply(&mut self, step: NetworkChange) -> anyhow::Result<()> {
        self.network.change(step).await?;
        note(&mut self.set, step);
        Ok(())
    }
}

fn note(set: &mut BTreeSet<IpNet>, made: NetworkChange) {
    match made {
        NetworkChange::Bar(prefix) | NetworkChange::Open(prefix) => drop(set.insert(prefix)),
        NetworkChange::Unbar(prefix) | NetworkChange::Close(prefix) => drop(set.remove(&prefix)),
        NetworkChange::Aside(_)
        | NetworkChange::Unaside(_)
        | NetworkChange::InterfaceMtu(_)
        | NetworkChange::RouteMtu(..) => {}
    }
}
