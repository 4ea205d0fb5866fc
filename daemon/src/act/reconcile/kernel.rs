//! What the kernel has of this gateway: links, addresses, routes, rules and the packet filter.
//!
//! Nothing is remembered that the kernel can say: each look is compared with the plan. Promises that
//! what somebody else has changed is put right within two seconds and told as an event, and that what
//! cannot be put right stops nothing else and is tried again. First what bars, then what opens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::watch;
use zonemesh_core::finding::Finding;
use zonemesh_core::kernel::{
    ASIDE_TABLE, KernelChange, KernelState, LAST_METRIC, PolicyRule, RouteSlot, RouteWay,
    RuleSelector, TABLE,
};

use super::contended::ContendedRepairs;
use crate::act::network::Network;
use crate::facts::disk::barred::BarredNetworks;
use crate::facts::findings::FindingBoard;
use crate::plan::MeshPlan;
use crate::plan::kernel::{KernelPlan, OwnLink, WantedMtus};

/// How long nobody looks after news, so that many changes are one; longer while they do not end.
const PAUSE: Duration = Duration::from_millis(30);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// What comes later than this after the last is news of its own.
const APART: Duration = Duration::from_secs(1);
/// How often the kernel is looked at also without news.
const LOOK: Duration = Duration::from_millis(1500);
/// Looks and changes in turn: an interface that was made anew gets what belongs to it after that.
const ROUNDS: usize = 4;

/// The gateway's part of the kernel.
pub(crate) struct Kernel {
    network: Arc<dyn Network>,
    own: OwnLink,
    mtus: watch::Receiver<Arc<WantedMtus>>,
    news: Option<watch::Receiver<u64>>,
    findings: Arc<FindingBoard>,
    /// What is barred in the clear, for those who write it down.
    barred: watch::Sender<Arc<BarredNetworks>>,
    /// What was wanted last.
    settled: Option<KernelPlan>,
    /// What is there now, as far as it is not this gateway's.
    seen: KernelState,
    /// What could not be done, so that only something else is news.
    refused: Vec<KernelChange>,
    /// What could not be done the time before: to do it now is no repair.
    refused_before: Vec<KernelChange>,
    /// What was put right again and again.
    contended: ContendedRepairs,
    /// How long to wait after news, and when there was something to be done last.
    pause: Duration,
    disturbed_at: Instant,
}

/// Which part of the plan is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Bars,
    Ways,
}

/// Changes that could not be made.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    changes: Vec<KernelChange>,
    pub(crate) reasons: Vec<anyhow::Error>,
}

impl Refused {
    /// True if the tunnels' own datagrams cannot go around another tunnel.
    pub(crate) fn keeps_from_going_around(&self) -> bool {
        self.changes.iter().any(|change| match change {
            KernelChange::SetRoute { slot, .. } => slot.table == ASIDE_TABLE,
            KernelChange::AddRule(PolicyRule { selects, .. }) => {
                *selects == RuleSelector::NotLocalUdp
            }
            _ => false,
        })
    }
}

impl Kernel {
    pub(crate) fn new(
        network: Arc<dyn Network>,
        own: OwnLink,
        mtus: watch::Receiver<Arc<WantedMtus>>,
        findings: Arc<FindingBoard>,
    ) -> Self {
        let news = network.news();
        let (barred, seen) = (watch::Sender::default(), KernelState::default());
        let (refused, refused_before) = (Vec::new(), Vec::new());
        Self {
            network,
            own,
            mtus,
            news,
            findings,
            barred,
            settled: None,
            seen,
            refused,
            refused_before,
            contended: ContendedRepairs::default(),
            pause: PAUSE,
            disturbed_at: Instant::now(),
        }
    }

    /// What is barred in the clear, as it changes.
    pub(crate) fn barred(&self) -> watch::Receiver<Arc<BarredNetworks>> {
        self.barred.subscribe()
    }

    /// What concerns this gateway beside its own, at the last look.
    pub(crate) fn seen(&self) -> &KernelState {
        &self.seen
    }

    /// What a gateway of this machine has barred for good, which may be no more than the kernel's word:
    /// the state folder may be a new one.
    pub(crate) async fn barred_before(&mut self) -> BTreeSet<IpNet> {
        let nothing = BTreeSet::new();
        let seen = match self.network.look(&nothing, &BTreeSet::new()).await {
            Ok(seen) => seen,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "what the kernel bars already cannot be read");
                return nothing;
            }
        };
        let is_bar = |slot: &RouteSlot| slot.table == TABLE && slot.metric == LAST_METRIC;
        let barred =
            seen.routes.iter().filter(|(slot, way)| is_bar(slot) && **way == RouteWay::Unreachable);
        barred.map(|(slot, _)| slot.prefix).collect()
    }

    /// What somebody else changes again and again, if anybody does.
    pub(crate) fn contended(&mut self) -> Option<Finding> {
        self.contended.finding(Instant::now())
    }

    /// Keeps what is for other zones from leaving in the clear.
    pub(crate) async fn bar(&mut self, mesh: &MeshPlan) -> Refused {
        let now = BarredNetworks { lasting: mesh.lasting_bars(), written: mesh.written.clone() };
        self.barred.send_if_modified(|barred| {
            let is_new = **barred != now;
            if is_new {
                *barred = Arc::new(now);
            }
            is_new
        });
        self.contended.begin_round();
        self.refused_before = std::mem::take(&mut self.refused);
        self.carry_out(mesh, Part::Bars).await
    }

    /// Opens what leads into the tunnel, and takes away what is wanted no more.
    pub(crate) async fn open(&mut self, mesh: &MeshPlan) -> Refused {
        self.carry_out(mesh, Part::Ways).await
    }

    async fn carry_out(&mut self, mesh: &MeshPlan, part: Part) -> Refused {
        let mut refused = Refused::default();
        for round in 0..=ROUNDS {
            let plan = match self.look(mesh).await {
                Ok(plan) => plan,
                Err(error) => {
                    refused.reasons.push(error);
                    break;
                }
            };
            let mut changes = match part {
                Part::Bars => plan.bars(&self.seen),
                Part::Ways => plan.ways(&self.seen),
            };
            changes.retain(|change| !refused.changes.contains(change));
            let is_over = changes.is_empty() || round == ROUNDS;
            for change in changes {
                let made = match is_over {
                    true => Err(anyhow::anyhow!("it does not stay as it was set: {change}")),
                    false => self.make(&plan, &change).await,
                };
                if let Err(error) = made {
                    refused.changes.push(change);
                    refused.reasons.push(error);
                }
            }
            if is_over {
                if part == Part::Ways {
                    self.settled = Some(plan);
                }
                break;
            }
        }
        self.refused.extend(refused.changes.iter().cloned());
        refused
    }

    async fn make(&mut self, plan: &KernelPlan, change: &KernelChange) -> anyhow::Result<()> {
        let was_wanted = self.settled.as_ref().is_some_and(|settled| settled.holds(change, plan));
        let is_repair = was_wanted && !self.refused_before.contains(change);
        self.network.change(change.clone()).await?;
        if is_repair {
            tracing::warn!("repaired what somebody has changed: {change}");
            self.findings.tell_of_repair(change);
            self.contended.note(change, Instant::now());
        } else {
            tracing::debug!("{change}");
        }
        Ok(())
    }

    async fn look(&mut self, mesh: &MeshPlan) -> anyhow::Result<KernelPlan> {
        self.seen = self.network.look(&mesh.backstops, &mesh.outer).await?;
        let mtus = self.mtus.borrow().clone();
        Ok(KernelPlan::of(mesh, &self.own, &mtus, &self.seen))
    }

    /// Waits until the kernel is not as planned, or has something new that concerns the plan.
    pub(crate) async fn disturbed(&mut self, mesh: &MeshPlan) {
        loop {
            let Self { news, mtus, pause, .. } = self;
            tokio::select! {
                () = told(news.as_mut()) => tokio::time::sleep(*pause).await,
                () = told(Some(mtus)) => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Some(news) = &mut self.news {
                news.mark_unchanged();
            }
            let beside =
                |seen: &KernelState| (seen.local.clone(), seen.kept.clone(), seen.foreign.clone());
            let before = beside(&self.seen);
            let Ok(plan) = self.look(mesh).await else { return };
            let is_new = before != beside(&self.seen);
            // Without an interface nothing works: that is tried at each look.
            let differs = |change: &KernelChange| {
                matches!(change, KernelChange::MakeLink { .. }) || !self.refused.contains(change)
            };
            if is_new || plan.difference(&self.seen).iter().any(differs) {
                return self.note_disturbance();
            }
        }
    }
}

impl Kernel {
    /// Somebody who changes the same again and again costs this process little.
    fn note_disturbance(&mut self) {
        let is_again = self.disturbed_at.elapsed() < APART;
        self.pause = if is_again { (self.pause * 2).min(LONGEST_PAUSE) } else { PAUSE };
        self.disturbed_at = Instant::now();
    }
}

/// Waits for a change; for ever, if none can come.
async fn told<T>(of: Option<&mut watch::Receiver<T>>) {
    let changed = match of {
        Some(of) => of.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending::<()>().await;
    }
}
