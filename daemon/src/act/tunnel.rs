//! From the plan to running tunnels: device, peers, addresses, routes.
//!
//! Needs no network answer: tunnels come up with what the configuration and the disk say.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::watch;
use zonemesh_config::Config;
use zonemesh_core::kernel::MARK;
use zonemesh_tunnel::{MOST_LANES, StartError, Tunnel, TunnelConfig, TunnelZone};

use crate::act::network::{self, KernelNetwork, Network};
use crate::act::reconcile::{Kernel, Refused, inner_networks, outer_addresses, tunnel_zones};
use crate::administration::opened::OpenedState;
use crate::facts;
use crate::facts::clock;
use crate::facts::findings::FindingBoard;
use crate::facts::in_force::ConfigInForce;
use crate::facts::kernel::FoundLink;
use crate::facts::tunnel::DataPlane;
use crate::facts::wan::WanLinks;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::plan::kernel::{OwnLink, WantedMtus};
use crate::plan::mtu;
use crate::plan::{MeshPlan, PlanSources};

const NEEDS_NET_ADMIN: &str = "setting routes needs CAP_NET_ADMIN: run as root, or set AmbientCapabilities=CAP_NET_ADMIN in the systemd unit; in a container: `--cap-add NET_ADMIN --device /dev/net/tun`";

/// A tunnel that is up, the network around it, and what both were set up with.
pub(crate) struct StartedTunnel {
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) network: Arc<dyn Network>,
    /// What this gateway has in the kernel.
    pub(crate) kernel: Kernel,
    /// Where it is said how large packets may be.
    pub(crate) mtus: Arc<watch::Sender<Arc<WantedMtus>>>,
    pub(crate) plan: MeshPlan,
    pub(crate) left_out: Vec<IpAddr>,
}

impl StartedTunnel {
    /// Over a tunnel that is up, in a kernel in which nothing is set yet.
    pub(crate) fn over(
        config: &Config,
        tunnel: Arc<dyn DataPlane>,
        network: Arc<dyn Network>,
        plan: MeshPlan,
        findings: Arc<FindingBoard>,
    ) -> Self {
        let (kernel, mtus) = kernel(config, network.clone(), findings);
        Self { tunnel, network, kernel, mtus, plan, left_out: Vec::new() }
    }
}

/// What looks after the kernel, and where it is told how large packets may be.
fn kernel(
    config: &Config,
    network: Arc<dyn Network>,
    findings: Arc<FindingBoard>,
) -> (Kernel, Arc<watch::Sender<Arc<WantedMtus>>>) {
    let wanted = WantedMtus { link: mtu(config), ..WantedMtus::default() };
    let mtus = Arc::new(watch::Sender::new(Arc::new(wanted)));
    let (name, addresses) = (config.tunnel.interface.clone(), config.tunnel.addresses.clone());
    let own = OwnLink { name, addresses };
    (Kernel::new(network, own, mtus.subscribe(), findings), mtus)
}

/// The plan to begin with: from what is on disk.
pub(crate) fn first_plan(config: &Config, state: &OpenedState) -> MeshPlan {
    let (own_keys, hints) = (state.tunnel_keys.of_all_lanes(), state.administration.hints().all());
    let (own_keys, hints) = (&own_keys, &hints);
    let (most_lanes, is_gone) = (MOST_LANES, state.ledger.is_gone());
    let outer = &outer_addresses(config, &[], &WanLinks::default());
    state.ledger.read(|registry| {
        MeshPlan::of(&PlanSources { registry, config, own_keys, hints, outer, most_lanes, is_gone })
    })
}

/// Bars what is for other zones, starts the data plane, then opens the ways into it. The device and its
/// routes go with the last handle. What cannot be set is told and tried again, for the sake of all
/// others.
pub(crate) async fn start(
    held: &ConfigInForce,
    state: &OpenedState,
    network: KernelNetwork,
) -> Result<(Arc<Tunnel>, StartedTunnel), Failure> {
    let config = &held.now();
    let plan = first_plan(config, state);
    network::warn_if_off(&config.zone.prefixes);
    let network = Arc::new(network);
    let (mut kernel, mtus) = kernel(config, network.clone(), state.ledger.findings());
    let plan = bar(&mut kernel, plan).await?;
    check_device(config, network.netlink()).await?;
    let zones = tunnel_zones(&plan.peers, &held.preshared(), config.keepalive.wireguard);
    let mut tunnel = open(settings(config, state), zones)?;
    if let Some(next) = &state.tunnel_keys.next {
        tunnel.begin_rotation(next).or_exit(Exit::Configuration, || {
            "the next WireGuard key is a peer's; move its file away".to_owned()
        })?;
    }
    tunnel
        .keep_clock(&clock::file(config))
        .or_exit(Exit::Negative, || "cannot start a thread".to_owned())?;
    let tunnel = Arc::new(tunnel);
    network.set_tunnel(tunnel.clone());
    tell(&kernel.open(&plan).await);
    wait_for_addresses(&config.tunnel.addresses).await;
    if let Err(error) = network::clear_earlier(network.netlink(), Some(tunnel.if_index())).await {
        let error = format!("{error:#}");
        tracing::error!(error, "routes of an earlier release stay in the table main");
    }
    tunnel.own_device().or_exit(Exit::Network, || {
        format!("cannot take over the interface {}", config.tunnel.interface)
    })?;
    let left_out = Vec::new();
    let started = StartedTunnel { tunnel: tunnel.clone(), network, kernel, mtus, plan, left_out };
    Ok((tunnel, started))
}

fn settings(config: &Config, state: &OpenedState) -> TunnelConfig {
    TunnelConfig {
        interface: config.tunnel.interface.clone(),
        mtu: mtu(config),
        listen_port: config.tunnel.listen_port,
        waits_for_port: true,
        lanes: config.tunnel.lanes.count(cores()),
        realtime: config.tunnel.realtime,
        private_key: state.tunnel_keys.private.clone(),
        inner_destinations: Some(inner_networks(config)),
        fwmark: Some(MARK),
        fresh_ports: true,
        outlives_device: true,
    }
}

/// Bars what is for other zones before there is a tunnel. Returns what can be done of the plan.
async fn bar(kernel: &mut Kernel, plan: MeshPlan) -> Result<MeshPlan, Failure> {
    let refused = kernel.bar(&plan).await;
    tell(&refused);
    let is_closed = refused.keeps_from_going_around();
    let mut reasons = refused.reasons.into_iter();
    if let Some(error) = reasons.find(network::is_not_permitted) {
        return Err(Failure::caused(Exit::Policy, error, NEEDS_NET_ADMIN));
    }
    Ok(if is_closed { plan.closed() } else { plan })
}

fn tell(refused: &Refused) {
    for error in &refused.reasons {
        let error = format!("{error:#}");
        tracing::error!(error, "something is not as it should be, trying again");
    }
}

/// Waits until sockets can be bound to the tunnel addresses: of IPv6 the kernel takes a moment. Not for
/// long, as one may be of a family that is switched off.
async fn wait_for_addresses(addresses: &[IpAddr]) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let usable = async {
        while addresses.iter().any(|ip| UdpSocket::bind((*ip, 0)).is_err()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, usable).await.is_err() {
        tracing::warn!(?addresses, "not all tunnel addresses can be used yet");
    }
}

/// A device that waits for this start carries the gateway's mark; one of releases up to 0.2 is known by
/// its address. Another one of this name is somebody else's.
async fn check_device(config: &Config, netlink: &rtnetlink::Handle) -> Result<(), Failure> {
    let name = &config.tunnel.interface;
    let found = facts::kernel::found_link(netlink, name).await;
    let found = found.or_exit(Exit::Network, || format!("cannot look for the interface {name}"))?;
    let has_ours = |link: &FoundLink| {
        config.tunnel.addresses.iter().any(|ip| link.addresses.contains(&IpNet::from(*ip)))
    };
    match found {
        Some(link) if !link.is_marked && !has_ours(&link) => Err(Failure::new(
            Exit::Network,
            format!(
                "interface {name} exists already and is not this gateway's: \
                 `ip -d link show {name}` says what it is; remove it, or set another tunnel.interface"
            ),
        )),
        _ => Ok(()),
    }
}

/// The MTU to begin with. The paths are not known yet; their watcher lowers it where they are
/// narrow.
fn mtu(config: &Config) -> u16 {
    mtu::of_device(config.tunnel.mtu, std::iter::empty())
}

/// The cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn open(settings: TunnelConfig, zones: Vec<TunnelZone>) -> Result<Tunnel, Failure> {
    Tunnel::start(settings, zones).map_err(|error| {
        let exit = match &error {
            StartError::NotPermitted { .. } | StartError::FirewallMark { .. } => Exit::Policy,
            StartError::InterfaceName { .. } | StartError::Mtu { .. } | StartError::Peers(_) => {
                Exit::Configuration
            }
            _ => Exit::Network,
        };
        Failure::caused(exit, error, "cannot start the tunnels")
    })
}
