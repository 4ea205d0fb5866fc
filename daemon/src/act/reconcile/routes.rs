//! Routes: what is barred in the clear, and what is led into the tunnel.
//!
//! Both remember what they have set, so that a change touches nothing else.

use std::collections::BTreeSet;
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

/// First what is missing: a prefix may be part of one that goes.
fn changes(
    set: &BTreeSet<IpNet>,
    wanted: &BTreeSet<IpNet>,
    [come, go]: [fn(IpNet) -> NetworkChange; 2],
) -> Vec<NetworkChange> {
    let missing = wanted.difference(set).copied().map(come);
    missing.chain(set.difference(wanted).copied().map(go)).collect()
}

impl Reconciler for Backstops {
    type Step = NetworkChange;

    fn difference(&self, plan: &MeshPlan) -> Vec<NetworkChange> {
        changes(&self.set, &plan.backstops, [NetworkChange::Bar, NetworkChange::Unbar])
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
        NetworkChange::InterfaceMtu(_) | NetworkChange::RouteMtu(..) => {}
    }
}
