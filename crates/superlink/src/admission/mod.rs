//! Who takes part at this SuperLink: Flower's own list, held against what the gateway names.
//!
//! It promises that Flower is asked rarely (once a minute, and more often only while somebody waits),
//! that what was registered is on disk before it is said, and that a call which fails is tried again.
//! It refuses to decide: that is `wanted`'s; how Flower is asked is `flwr`'s.

mod flwr;
mod numbers;
mod wanted;

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use zonemesh_appliance::flower::control::{ControlError, ListedNode};
use zonemesh_appliance::gateway::WatchedFederation;
use zonemesh_appliance::reason::Reason;
use zonemesh_core::exit::error_line;
use zonemesh_core::record::AdmittedNode;
use zonemesh_core::registry::FederationMember;

use flwr::Flwr;
use numbers::NodeNumbers;
use wanted::{AdmissionStep, WantedNodes};

pub(crate) use flwr::FlwrPlace;

/// Between two looks at Flower's list when nobody waits.
const LOOK: Duration = Duration::from_secs(60);
/// The same just after something has changed.
const SOON: Duration = Duration::from_secs(2);

/// What came of the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AdmissionNews {
    /// Flower's list, once it was read.
    pub(crate) nodes: Option<Vec<AdmittedNode>>,
    /// Why it is not as it should be.
    pub(crate) problem: Option<Reason>,
}

/// The list of a Flower that serves, kept right for as long as this lives.
pub(crate) struct KeptAdmissions {
    /// What is known.
    pub(crate) news: watch::Receiver<AdmissionNews>,
    _keeping: JoinSet<()>,
}

impl KeptAdmissions {
    pub(crate) fn begin(
        place: FlwrPlace,
        numbers: PathBuf,
        watched: watch::Receiver<WatchedFederation>,
    ) -> Self {
        let (told, news) = watch::channel(AdmissionNews::default());
        let keeper = AdmissionKeeper {
            flwr: Flwr::new(place),
            numbers: NodeNumbers::open(numbers),
            wanted: WantedNodes::default(),
            watched,
            told,
            changed_at: Instant::now(),
        };
        let mut keeping = JoinSet::new();
        keeping.spawn(keeper.keep());
        Self { news, _keeping: keeping }
    }
}

struct AdmissionKeeper {
    flwr: Flwr,
    numbers: NodeNumbers,
    wanted: WantedNodes,
    watched: watch::Receiver<WatchedFederation>,
    told: watch::Sender<AdmissionNews>,
    /// When something else was wanted, or came of it, last.
    changed_at: Instant,
}

impl AdmissionKeeper {
    async fn keep(mut self) {
        loop {
            let members = self.watched.borrow_and_update().members.clone();
            if let Some(members) = &members {
                self.want(members);
                let problem = self.round().await.err();
                self.tell_problem(problem);
            }
            let others = |watched: &WatchedFederation| watched.members != members;
            tokio::select! {
                () = sleep(self.wait()) => {}
                changed = self.watched.wait_for(others) => if changed.is_err() { return },
            }
        }
    }

    fn want(&mut self, members: &[FederationMember]) {
        if self.wanted.take(members) {
            self.changed_at = Instant::now();
        }
    }

    /// One look at Flower's list, and what follows from it.
    async fn round(&mut self) -> Result<(), Reason> {
        let mut listed = self.flwr.list().await.map_err(refused)?;
        self.tell(&listed);
        for step in self.wanted.steps(&listed, &self.numbers, Instant::now()) {
            match step {
                AdmissionStep::Unregister(id) => {
                    self.flwr.unregister(id).await.map_err(refused)?;
                    listed.retain(|node| node.id != id);
                    tracing::info!(
                        node_id = id,
                        "unregistered a SuperNode: nobody names it any more"
                    );
                }
                AdmissionStep::Register(key) => self.register(&key, &mut listed).await?,
            }
            self.changed_at = Instant::now();
            self.tell(&listed);
        }
        self.numbers.retain(&listed, &self.wanted).map_err(refused)
    }

    async fn register(&mut self, key: &[u8], listed: &mut Vec<ListedNode>) -> Result<(), Reason> {
        match self.flwr.register(key).await {
            Ok(id) => {
                self.numbers.set(key, id).map_err(refused)?;
                listed.push(ListedNode { id, is_online: false, online_since: 0 });
                tracing::info!(node_id = id, "registered a SuperNode");
                Ok(())
            }
            Err(ControlError::KeyInUse) => {
                self.wanted.is_spent(key);
                match self.wanted.nobodys(listed, &self.numbers) {
                    0 => tracing::info!(
                        "a SuperNode's key was unregistered before: it is to make another"
                    ),
                    count => tracing::warn!(
                        nobodys = count,
                        "a SuperNode's key is registered by somebody else than this companion, or was unregistered before: it is to make another. Who reaches the Control API of this SuperLink?"
                    ),
                }
                Ok(())
            }
            Err(error) => Err(refused(error)),
        }
    }

    fn tell(&self, listed: &[ListedNode]) {
        let nodes = Some(self.wanted.said(listed, &self.numbers));
        self.told.send_if_modified(|news| {
            let is_news = news.nodes != nodes;
            news.nodes.clone_from(&nodes);
            is_news
        });
    }

    fn tell_problem(&self, problem: Option<Reason>) {
        self.told.send_if_modified(|news| {
            let is_news = news.problem != problem;
            news.problem = problem;
            is_news
        });
    }

    /// The longer nothing has changed, the rarer it is looked.
    fn wait(&self) -> Duration {
        if !self.wanted.somebody_waits() && self.told.borrow().problem.is_none() {
            return self.wanted.until_given_up(Instant::now()).unwrap_or(LOOK).min(LOOK);
        }
        (self.changed_at.elapsed() / 4).clamp(SOON, LOOK)
    }
}

fn refused(error: impl std::error::Error) -> Reason {
    Reason::ControlRefused { problem: error_line(&error) }
}
