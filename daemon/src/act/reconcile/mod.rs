//! Makes what is into what the plan says, one kind after the other, for as long as the gateway runs.
//!
//! Level-triggered: after each change and every few seconds the plan is made anew and compared with
//! what there is. Promises: what does not differ is not touched; one thing that cannot be put right is
//! told and tried again, and never stops the others. A zone that leaves is distrusted first, then told
//! why within a second, then its peer and routes go; for a zone that comes the way is barred in the
//! clear before it is opened in the tunnel.

mod contended;
mod kernel;
mod outer;
mod peers;
mod streams;
mod trust;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;
use zonemesh_config::Config;
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::kernel::KernelState;
use zonemesh_tunnel::MOST_LANES;

pub(crate) use kernel::{Kernel, Refused};
pub(crate) use outer::seen as outer_addresses;
pub(crate) use peers::{InnerNetworks, ToldPeers, TunnelPeers, inner_networks, tunnel_zones};
pub(crate) use streams::{NeighbourStreams, StreamWakers};
pub(crate) use trust::TrustedZones;

use crate::act::network::Network;
use crate::facts::hints::Hints;
use crate::facts::in_force::ConfigInForce;
use crate::facts::ledger::Ledger;
use crate::facts::tunnel::DataPlane;
use crate::facts::wan::WanLinks;
use crate::plan::{MachineAddresses, MeshPlan, PeerPlan, PlanSources, troubles};

/// When everything is compared again, also if nothing is known to have changed.
const RETRY: Duration = Duration::from_secs(5);

/// One kind of thing that the plan asks for. Whoever owns it retries: see [`settle`].
pub(crate) trait Reconciler {
    /// What puts one thing right.
    type Step;

    /// What is not as the plan wants it, in the order in which it is put right.
    fn difference(&self, plan: &MeshPlan) -> Vec<Self::Step>;

    /// Puts one thing right.
    async fn apply(&mut self, step: Self::Step) -> anyhow::Result<()>;
}

/// Puts right what can be. Returns why the rest cannot be: it is to be tried again.
pub(crate) async fn settle<R: Reconciler>(kind: &mut R, plan: &MeshPlan) -> Vec<String> {
    let mut failed = Vec::new();
    for step in kind.difference(plan) {
        if let Err(error) = kind.apply(step).await {
            let error = format!("{error:#}");
            tracing::error!(error, "something is not as it should be, trying again");
            failed.push(error);
        }
    }
    failed
}

/// Tells what the kernel has refused.
fn tell_refused(refused: Refused) -> Vec<String> {
    let tell = |error| {
        let error = format!("{error:#}");
        tracing::error!(error, "something is not as it should be, trying again");
        error
    };
    refused.reasons.into_iter().map(tell).collect()
}

/// What is told here and by nobody else.
const CODES: [Code; 8] = [
    Code::OuterAddressCovered,
    Code::PlanNotApplied,
    Code::WireGuardKeyTaken,
    Code::WireGuardPeerRefused,
    Code::LocalNetworkInside,
    Code::ForeignRoute,
    Code::GuardMissing,
    Code::ChangedAgain,
];
/// Reasons that are told at one time; the log has all.
const REASONS: usize = 3;

/// One finding for all that could not be put right, and those of the plan itself.
fn told(plan: &MeshPlan, seen: &KernelState, failed: Vec<String>) -> Vec<Finding> {
    let mut found = troubles::of_plan(plan, seen);
    found.extend(troubles::of_kernel(plan, seen));
    if !failed.is_empty() {
        let reasons = failed.into_iter().take(REASONS).map(Evidence::Reason);
        let here = Finding::new(Code::PlanNotApplied, Subject::Here);
        found.push(reasons.fold(here, Finding::with));
    }
    found
}

/// Everything that is made to follow the plan.
pub(crate) struct Reconcilers {
    pub(crate) trust: TrustedZones,
    pub(crate) kernel: Kernel,
    pub(crate) peers: TunnelPeers,
    pub(crate) inner: InnerNetworks,
    pub(crate) streams: NeighbourStreams,
    /// The peers in service, for all who look after them.
    pub(crate) in_service: watch::Sender<Arc<Vec<PeerPlan>>>,
}

/// What the plan is made of.
pub(crate) struct PlanFacts {
    pub(crate) config: ConfigInForce,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) hints: Hints,
    pub(crate) tunnel: Arc<dyn DataPlane>,
    /// Tunnel addresses that are not used, as the machine had them outside at the start.
    pub(crate) left_out: Vec<IpAddr>,
    /// What was barred before, and in this run.
    pub(crate) kept: BTreeSet<IpNet>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) wan: Arc<WanLinks>,
}

impl PlanFacts {
    /// What follows from who belongs to the mesh now.
    pub(crate) fn plan(&self, config: &Config) -> MeshPlan {
        let own_keys = self.tunnel.all_keys();
        let hints = self.hints.all();
        let is_gone = self.ledger.is_gone();
        let mut outer = outer::seen(config, &self.tunnel.zones(), &self.wan);
        let (outside, left_out) = (self.network.outside(config), self.left_out.clone());
        outer.machine = MachineAddresses { outside, left_out };
        let outer = &outer;
        self.ledger.read(|registry| {
            MeshPlan::of(&PlanSources {
                registry,
                config,
                own_keys: &own_keys,
                hints: &hints,
                outer,
                most_lanes: MOST_LANES,
                is_gone,
                kept: &self.kept,
            })
        })
    }
}

impl Reconcilers {
    /// Follows the mesh until it is dropped.
    pub(crate) async fn run(mut self, mut facts: PlanFacts) -> anyhow::Result<()> {
        let mut revision = facts.ledger.revision();
        let mut hints = facts.hints.changes();
        let mut changes = facts.config.changes();
        loop {
            let config = changes.borrow_and_update().clone();
            let plan = facts.plan(&config);
            facts.kept.extend(plan.lasting_bars());
            let failed = self.follow(&plan).await;
            let mut found = told(&plan, self.kernel.seen(), failed);
            found.extend(self.kernel.contended());
            facts.ledger.findings().settle(&CODES, found);
            facts.config.followed(config);
            tokio::select! {
                changed = revision.changed() => changed?,
                changed = hints.changed() => changed?,
                changed = changes.changed() => changed?,
                () = self.kernel.disturbed(&plan) => {}
                () = tokio::time::sleep(RETRY) => {}
                failed = self.streams.failed() => failed?,
            }
        }
    }

    /// Returns what could not be put right.
    async fn follow(&mut self, plan: &MeshPlan) -> Vec<String> {
        // Whoever is to be distrusted keeps nothing else for longer.
        let mut failed = settle(&mut self.trust, plan).await;
        if !failed.is_empty() {
            return failed;
        }
        let barred = self.kernel.bar(plan).await;
        // Where nothing can go around, a tunnel is cut rather than a packet let out.
        let closed = barred.keeps_from_going_around().then(|| plan.clone().closed());
        failed.extend(tell_refused(barred));
        let plan = closed.as_ref().unwrap_or(plan);
        self.streams.last_words(plan).await;
        failed.extend(settle(&mut self.peers, plan).await);
        failed.extend(settle(&mut self.inner, plan).await);
        failed.extend(tell_refused(self.kernel.open(plan).await));
        self.in_service.send_if_modified(|peers| {
            let changed = **peers != plan.peers;
            if changed {
                *peers = Arc::new(plan.peers.clone());
            }
            changed
        });
        failed.extend(settle(&mut self.streams, plan).await);
        self.streams.follow_names(plan);
        failed
    }
}

#[cfg(test)]
mod tests;
