//! The life of a gateway: what starts after what, and how it ends.
//!
//! Tunnels come up with what configuration and disk say, before any network answer is awaited.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use zonemesh_config::Config;

use crate::act::lookout::{self, Lookout};
use crate::act::network;
use crate::act::network::{KernelNetwork, Network};
use crate::act::standing::Inquiry;
use crate::act::start::{ActBoards, Acting};
use crate::act::streams::StreamContext;
use crate::act::tunnel::{self, StartedTunnel};
use crate::administration::opened::OpenedState;
use crate::administration::{Administration, addresses};
use crate::facts::companions::CompanionBoard;
use crate::facts::disk::{DiskWriter, FileSystem, FolderLock, SlowDisk, barred, leftovers};
use crate::facts::etcd::EtcdBoard;
use crate::facts::journal;
use crate::facts::keepalives::Keepalives;
use crate::facts::kernel::changes;
use crate::facts::ledger::Ledger;
use crate::facts::pairs::PairBoard;
use crate::facts::paths::PathBoard;
use crate::facts::rate_limits::RefusedCalls;
use crate::facts::streams::StreamBoard;
use crate::facts::tunnel::DataPlane;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::plan::{MachineAddresses, MeshPlan};
use crate::serve::admin;
use crate::serve::sources::SnapshotSources;
use crate::serve::start::Served;
use crate::supervisor::Supervisor;
use crate::{act, serve};

/// How a gateway has ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentEnd {
    /// It was asked to.
    Stopped,
    /// It is to be started anew at once: what it starts with has changed.
    Again,
}

/// Runs the gateway until a signal asks it to end, or something it needs has ended.
///
/// # Errors
/// [`Failure`]: why it cannot start, or what has ended.
pub async fn run(mut config: Config) -> Result<AgentEnd, Failure> {
    let follows_grant = addresses::fill_in(&mut config)?;
    let outside = network::outer_addresses(&config).await;
    let left_out = addresses::leave_out(&mut config, &outside);
    let machine = MachineAddresses { outside: outside.clone(), left_out };
    let config = Arc::new(config);
    let mut supervisor = Supervisor::new();
    let Running { tunnel, disk, ledger, administration, lock: _held_to_the_end } =
        start(&config, Ground::Kernel(machine), &mut supervisor).await?;
    tracing::info!(zone = %config.zone.name, gateway = config.gateway.name, "ready");
    let ended = tokio::select! {
        ended = supervisor.first_end() => Err(ended),
        asked = asked_to_end() => asked,
        () = addresses::granted_anew(&config, &outside, &ledger, &administration), if follows_grant => {
            Ok(EndAsked::Again)
        }
    };
    tracing::info!("stopping");
    serve::manager::stopping();
    supervisor.stop().await;
    disk.flush().await;
    if matches!(ended, Ok(EndAsked::Restart | EndAsked::Again)) {
        match tunnel.leave_device() {
            Ok(()) => tracing::info!("interface and routes stay for the next start"),
            Err(error) => tracing::warn!(%error, "interface and routes cannot stay"),
        }
    }
    ended.map(|asked| match asked {
        EndAsked::Again => AgentEnd::Again,
        EndAsked::Stop | EndAsked::Restart => AgentEnd::Stopped,
    })
}

/// What is left to be ended when all tasks have.
struct Running {
    tunnel: Arc<dyn DataPlane>,
    disk: DiskWriter,
    lock: Arc<FolderLock>,
    ledger: Arc<Ledger>,
    administration: Arc<Administration>,
}

/// A gateway that runs inside another program: a test's.
pub struct StartedGateway {
    supervisor: Supervisor,
    running: Running,
}

impl StartedGateway {
    /// Starts a gateway over a tunnel that is up.
    ///
    /// # Errors
    /// [`Failure`], as [`run`] ends with.
    pub async fn start(config: Config, ground: GivenGround) -> Result<Self, Failure> {
        let mut supervisor = Supervisor::new();
        let running = start(&Arc::new(config), Ground::Given(ground), &mut supervisor).await?;
        Ok(Self { supervisor, running })
    }

    /// Ends it; everything that it was told to keep is on disk then.
    pub async fn stop(self) {
        let Running { disk, lock, .. } = self.running;
        self.supervisor.stop().await;
        disk.flush().await;
        drop(lock);
    }
}

/// What stands in for the kernel in a test.
pub struct GivenGround {
    /// The tunnel, which is up.
    pub tunnel: Arc<dyn DataPlane>,
    /// The network around it.
    pub network: Arc<dyn Network>,
    /// How much longer than the real one the disk takes for each write.
    pub write_delay: Duration,
}

/// What a gateway stands on.
enum Ground {
    Kernel(MachineAddresses),
    Given(GivenGround),
}

async fn start(
    config: &Arc<Config>,
    ground: Ground,
    supervisor: &mut Supervisor,
) -> Result<Running, Failure> {
    let write_delay = match &ground {
        Ground::Kernel(_) => Duration::ZERO,
        Ground::Given(given) => given.write_delay,
    };
    let disk = DiskWriter::start(SlowDisk { disk: FileSystem, write_delay })
        .or_exit(Exit::Negative, || "cannot start a thread".to_owned())?;
    let state = OpenedState::open(config, disk.clone()).await?;
    let socket = admin::bind(&config.gateway.admin_socket, &state.ledger.findings()).await?;
    // No other gateway is at work in this folder: it is locked.
    leftovers::remove_all(config.gateway.state_dir.clone(), &disk).await;
    let started = bring_up(config, &state, ground, supervisor).await?;
    let tunnel = started.tunnel.clone();
    state.announce(tunnel.lanes()).await?;
    let folder = config.gateway.state_dir.clone();
    supervisor.spawn("barred", barred::run(started.kernel.barred(), disk.clone(), folder));
    let boards = Boards::new(config, started.network.clone());
    if let Some(events) = state.ledger.findings().events() {
        let folder = config.gateway.state_dir.clone();
        supervisor.spawn("journal", journal::run(events, disk.clone(), folder));
    }
    let acting =
        act::start::start(config, &state, started, boards.acting(&state, &tunnel), supervisor)
            .await?;
    let lock = state.lock.clone();
    let (ledger, administration) = (state.ledger.clone(), state.administration.clone());
    let served = boards.served(config, state, acting);
    let lookout = served.sources.lookout.clone();
    supervisor.spawn("lookout", lookout::run(lookout.clone()));
    let inquiry = Inquiry { lookout, leaf: served.sources.leaf.clone() };
    supervisor.spawn("inquiry", inquiry.run());
    serve::start::start(served, socket, supervisor).await?;
    Ok(Running { tunnel, disk, lock, ledger, administration })
}

/// Tunnels and routes, from what is on disk.
async fn bring_up(
    config: &Config,
    state: &OpenedState,
    ground: Ground,
    supervisor: &mut Supervisor,
) -> Result<StartedTunnel, Failure> {
    let machine = match ground {
        Ground::Kernel(machine) => machine,
        Ground::Given(GivenGround { tunnel, network, .. }) => {
            // Nothing is set yet: the reconcilers find all of it missing.
            let trusted = tunnel::first_plan(config, state).trusted;
            let plan = MeshPlan { trusted, ..MeshPlan::default() };
            let findings = state.ledger.findings();
            return Ok(StartedTunnel::over(config, tunnel, network, plan, findings));
        }
    };
    let (connection, netlink, _) = rtnetlink::new_connection()
        .or_exit(Exit::Network, || "cannot open a netlink socket".to_owned())?;
    supervisor.spawn("netlink", async move {
        connection.await;
        Ok(())
    });
    let news = Arc::new(watch::Sender::new(0));
    let network = KernelNetwork::new(netlink, Some(news.subscribe()));
    supervisor.spawn("news of the kernel", changes::run(news));
    let (tunnel, started) = tunnel::start(config, state, network).await?;
    supervisor.spawn("UAPI socket", serve::wg::run(tunnel));
    Ok(StartedTunnel { machine, ..started })
}

/// Where the parts of the gateway tell how it goes.
struct Boards {
    paths: Arc<PathBoard>,
    streams: Arc<StreamBoard>,
    keepalives: Arc<Keepalives>,
    pairs: Arc<PairBoard>,
    etcd: Option<Arc<EtcdBoard>>,
    refusals: Arc<RefusedCalls>,
    network: Arc<dyn Network>,
}

impl Boards {
    fn new(config: &Config, network: Arc<dyn Network>) -> Self {
        let (paths, refusals) = (Arc::new(PathBoard::default()), Arc::default());
        let etcd = config.registry.etcd.as_ref().and_then(|etcd| etcd.endpoints.first());
        Self {
            keepalives: Keepalives::new(config.keepalive, paths.clone()),
            streams: Arc::new(StreamBoard::new(Arc::clone(&refusals))),
            pairs: Arc::default(),
            etcd: etcd.map(|first| Arc::new(EtcdBoard::new(first))),
            paths,
            refusals,
            network,
        }
    }

    fn streams(&self, ledger: &Arc<Ledger>, tunnel: &Arc<dyn DataPlane>) -> StreamContext {
        StreamContext {
            ledger: ledger.clone(),
            board: self.streams.clone(),
            keepalives: self.keepalives.clone(),
            network: self.network.clone(),
            pairs: self.pairs.clone(),
            tunnel: tunnel.clone(),
        }
    }

    fn acting(&self, state: &OpenedState, tunnel: &Arc<dyn DataPlane>) -> ActBoards {
        ActBoards {
            paths: self.paths.clone(),
            streams: self.streams(&state.ledger, tunnel),
            etcd: self.etcd.clone(),
        }
    }

    fn served(self, config: &Arc<Config>, state: OpenedState, acting: Acting) -> Served {
        let lookout = Lookout {
            config: config.clone(),
            tunnel: acting.tunnel.clone(),
            peers: acting.peers.clone(),
            ledger: state.ledger.clone(),
            streams: self.streams.clone(),
            etcd: self.etcd.clone(),
            paths: self.paths.clone(),
            keepalives: self.keepalives.clone(),
            refusals: self.refusals.clone(),
            cas: state.cas.clone(),
            silent: Mutex::default(),
            last: Mutex::default(),
        };
        let said = state.ledger.draft().supernodes;
        let companions = Arc::new(CompanionBoard::new(said));
        Served {
            streams: self.streams(&state.ledger, &acting.tunnel),
            administration: state.administration,
            announcer: state.announcer,
            trust: acting.trust,
            sources: SnapshotSources {
                config: config.clone(),
                tunnel: acting.tunnel,
                peers: acting.peers,
                findings: state.ledger.findings(),
                lookout: Arc::new(lookout),
                ledger: state.ledger,
                board: self.streams,
                pairs: self.pairs,
                etcd: self.etcd,
                paths: self.paths,
                keepalives: self.keepalives,
                cas: state.cas,
                companions,
                leaf: state.leaf,
                refusals: self.refusals,
                started_at: SystemTime::now(),
            },
        }
    }
}

/// What a signal asks for.
enum EndAsked {
    /// To end and leave nothing but the routes of last resort.
    Stop,
    /// To end and leave the interface to the next start.
    Restart,
    /// The same, and to start anew at once.
    Again,
}

async fn asked_to_end() -> Result<EndAsked, Failure> {
    let on = |kind| signal(kind).or_exit(Exit::Negative, || "cannot wait for signals".to_owned());
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut restart = on(SignalKind::user_defined1())?;
    Ok(tokio::select! {
        _ = terminate.recv() => EndAsked::Stop,
        _ = interrupt.recv() => EndAsked::Stop,
        _ = restart.recv() => EndAsked::Restart,
    })
}
