//! The life of a gateway: what starts after what, and how it ends.
//!
//! Tunnels come up with what configuration and disk say, before any network answer is awaited.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use zonemesh_config::Config;
use zonemesh_core::gateway::GatewayId;

use crate::act::last_mile::{self, LastMileParts};
use crate::act::lookout;
use crate::act::network;
use crate::act::network::{KernelNetwork, Network};
use crate::act::paths::Farewell;
use crate::act::standing::Inquiry;
use crate::act::tunnel::{self, StartedTunnel};
use crate::act::udp_port;
use crate::administration::opened::OpenedState;
use crate::administration::reload::{self, Reloading};
use crate::administration::{Administration, addresses, left_out};
use crate::boards::{Boards, ServedConfig};
use crate::configuration::StartConfig;
use crate::facts::disk::config_file::ConfigFile;
use crate::facts::disk::{DiskWriter, FileSystem, FolderLock, SlowDisk, barred, leftovers};
use crate::facts::in_force::ConfigInForce;
use crate::facts::journal;
use crate::facts::kernel::changes;
use crate::facts::ledger::Ledger;
use crate::facts::tunnel::DataPlane;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::plan::MeshPlan;
use crate::serve::admin;
use crate::signals::{self, EndAsked, EndSignals};
use crate::supervisor::Supervisor;
use crate::{act, failed_starts, serve};

/// How a gateway has ended in order.
#[derive(Debug)]
pub enum AgentEnd {
    /// It was asked to.
    Stopped,
    /// It is to be started anew at once, unless these ask to end: what it starts with has changed.
    Again(EndSignals),
}

/// Runs the gateway until a signal asks it to end, or something it needs has ended.
///
/// # Errors
/// [`Failure`]: why it cannot start, or what has ended.
pub async fn run(begun: StartConfig) -> Result<AgentEnd, Failure> {
    let mut signals = EndSignals::listen()?;
    let StartConfig { config: written, text, file, broken } = begun;
    if let Some(reason) = broken {
        tracing::error!(reason, "the configuration file is broken: what was in force last runs");
    }
    let mut config = written;
    left_out::settle(&mut config);
    let written = config.clone();
    let follows_grant = addresses::fill_in(&mut config)?;
    // Before it is asked what is outside: the tunnel address is not, at the interface of before.
    network::clear_left_behind(&config).await;
    let outside = network::outer_addresses(&config, None);
    let left_out = addresses::leave_out(&mut config, &outside);
    let config = in_force(config, written)?;
    let mut supervisor = Supervisor::new();
    let begun = Beginning { config: &config, file: Some(Arc::new(file)) };
    let running = tokio::select! {
        started = start(begun, Ground::Kernel { left_out }, &mut supervisor) => started?,
        _ = signals.asked() => {
            tracing::info!("stopping in the middle of the start");
            serve::manager::stopping();
            supervisor.stop().await;
            return Ok(AgentEnd::Stopped);
        }
    };
    failed_starts::over();
    running.reloading.keep_what_runs(text).await;
    let GatewayId { zone, gateway } = running.ledger.read(|registry| registry.id().clone());
    tracing::info!(%zone, gateway, "ready");
    let (ledger, administration) = (&running.ledger, &running.administration);
    let ended = tokio::select! {
        ended = supervisor.first_end() => Err(ended),
        asked = signals.asked() => Ok(Ended::Asked(asked)),
        () = addresses::granted_anew(&config, &outside, ledger, administration), if follows_grant => {
            Ok(Ended::Again)
        }
        () = running.reloading.wants_to_start_anew() => Ok(Ended::Again),
    };
    stop(running, supervisor, ended, signals).await
}

/// Why a gateway that runs in order ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Asked(EndAsked),
    Again,
}

async fn stop(
    running: Running,
    supervisor: Supervisor,
    ended: Result<Ended, Failure>,
    mut signals: EndSignals,
) -> Result<AgentEnd, Failure> {
    tracing::info!("stopping");
    let Running { tunnel, farewell, disk, lock: _held_to_the_end, .. } = running;
    // Whoever says so and is still there later is ended by the service manager.
    if !matches!(ended, Ok(Ended::Again)) {
        serve::manager::stopping();
    }
    supervisor.stop().await;
    if matches!(ended, Ok(Ended::Asked(EndAsked::Stop))) {
        farewell.say().await;
    }
    disk.flush().await;
    let mut ended = ended?;
    if ended == Ended::Again
        && let Some(asked) = signals.asked_already().await
    {
        serve::manager::stopping();
        ended = Ended::Asked(asked);
    }
    if ended != Ended::Asked(EndAsked::Stop) {
        match tunnel.leave_device() {
            Ok(()) => tracing::info!("interface and routes stay for the next start"),
            Err(error) => tracing::warn!(%error, "interface and routes cannot stay"),
        }
    }
    Ok(match ended {
        Ended::Again => AgentEnd::Again(signals),
        Ended::Asked(_) => AgentEnd::Stopped,
    })
}

/// What is left to be ended when all tasks have.
struct Running {
    tunnel: Arc<dyn DataPlane>,
    farewell: Farewell,
    disk: DiskWriter,
    lock: Arc<FolderLock>,
    ledger: Arc<Ledger>,
    administration: Arc<Administration>,
    reloading: Arc<Reloading>,
}

/// With what a gateway begins.
struct Beginning<'a> {
    config: &'a ConfigInForce,
    file: Option<Arc<ConfigFile>>,
}

/// The configuration in force, with the preshared keys that its peers name.
fn in_force(config: Config, written: Config) -> Result<ConfigInForce, Failure> {
    let preshared = reload::preshared(&written).map_err(|unusable| {
        let what = "a file that the configuration names cannot be used";
        Failure::caused(unusable.exit, unusable.mistakes, what)
    })?;
    Ok(ConfigInForce::new(config, written, preshared))
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
        let config = &in_force(config.clone(), config)?;
        let file = ground.file.clone().map(|path| Arc::new(ConfigFile::new(&path, false)));
        let begun = Beginning { config, file };
        let running = start(begun, Ground::Given(ground), &mut supervisor).await?;
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
    /// The configuration file that a reload reads.
    pub file: Option<PathBuf>,
}

/// What a gateway stands on.
enum Ground {
    /// These tunnel addresses are not used, as the machine has them outside.
    Kernel {
        left_out: Vec<IpAddr>,
    },
    Given(GivenGround),
}

async fn start(
    begun: Beginning<'_>,
    ground: Ground,
    supervisor: &mut Supervisor,
) -> Result<Running, Failure> {
    let hang_ups = signals::hang_ups()?;
    let Beginning { config: held, file } = begun;
    let config = &held.now();
    let write_delay = match &ground {
        Ground::Kernel { .. } => Duration::ZERO,
        Ground::Given(given) => given.write_delay,
    };
    let disk = DiskWriter::start(SlowDisk { disk: FileSystem, write_delay })
        .or_exit(Exit::Negative, || "cannot start a thread".to_owned())?;
    let state = OpenedState::open(held, disk.clone()).await?;
    left_out::tell(config, &state.ledger);
    let socket = admin::bind(&config.gateway.admin_socket, &state.ledger.findings()).await?;
    // No other gateway is at work in this folder: it is locked.
    leftovers::remove_all(config.gateway.state_dir.clone(), &disk).await;
    let started = bring_up(held, &state, ground, supervisor).await?;
    let tunnel = started.tunnel.clone();
    state.announce(tunnel.lanes()).await?;
    let folder = config.gateway.state_dir.clone();
    supervisor.spawn(
        "barred",
        barred::run(started.kernel.barred(), disk.clone(), state.ledger.findings(), folder),
    );
    let boards = Boards::new(held, started.network.clone());
    if let Some(events) = state.ledger.findings().events() {
        let folder = config.gateway.state_dir.clone();
        supervisor.spawn("journal", journal::run(events, disk.clone(), folder));
    }
    let acting =
        act::start::start(held, &state, started, boards.acting(&state, &tunnel), supervisor)
            .await?;
    let lock = state.lock.clone();
    let (ledger, administration) = (state.ledger.clone(), state.administration.clone());
    let file_of = ServedConfig { config: held.clone(), file, hang_ups };
    let (served, farewell) = boards.served(file_of, state, acting);
    let reloading = served.reloading.clone();
    let asked = LastMileParts {
        config: held.clone(),
        tunnel: tunnel.clone(),
        peers: served.sources.peers.clone(),
        companions: served.sources.companions.clone(),
        findings: served.sources.findings.clone(),
    };
    supervisor.spawn("last mile", last_mile::run(asked));
    let lookout = served.sources.lookout.clone();
    supervisor.spawn("lookout", lookout::run(lookout.clone()));
    let inquiry = Inquiry { lookout, leaf: served.sources.leaf.clone() };
    supervisor.spawn("inquiry", inquiry.run());
    serve::start::start(served, socket, supervisor).await?;
    Ok(Running { tunnel, farewell, disk, lock, ledger, administration, reloading })
}

/// Tunnels and routes, from what is on disk.
async fn bring_up(
    held: &ConfigInForce,
    state: &OpenedState,
    ground: Ground,
    supervisor: &mut Supervisor,
) -> Result<StartedTunnel, Failure> {
    let left_out = match ground {
        Ground::Kernel { left_out } => left_out,
        Ground::Given(GivenGround { tunnel, network, .. }) => {
            // Nothing is set yet: the reconcilers find all of it missing.
            let config = &held.now();
            let trusted = tunnel::first_plan(config, state, &BTreeSet::new()).trusted;
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
    let (tunnel, started) = tunnel::start(held, state, network).await?;
    let listening =
        udp_port::run(tunnel.clone(), held.now().tunnel.listen_port, state.ledger.findings());
    supervisor.spawn("UDP port", listening);
    let sockets = held.now().gateway.wg_sockets.clone();
    supervisor.spawn("UAPI socket", serve::wg::run(tunnel, sockets));
    Ok(StartedTunnel { left_out, ..started })
}
