//! From the plan to running tunnels: device, peers, addresses, routes.
//!
//! Needs no network answer: tunnels come up with what the configuration and the disk say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use zonemesh_config::Config;
use zonemesh_core::key::PresharedKey;
use zonemesh_core::name::ZoneName;
use zonemesh_tunnel::{MOST_LANES, StartError, Tunnel, TunnelConfig, TunnelZone};

use crate::act::network::{self, KernelNetwork, Network};
use crate::act::reconcile::{Reconciler as _, TunnelRoutes, outer_addresses, tunnel_zones};
use crate::administration::opened::OpenedState;
use crate::facts::clock;
use crate::facts::disk::keys;
use crate::facts::tunnel::DataPlane;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::plan::mtu;
use crate::plan::{MachineAddresses, MeshPlan, PlanSources};

/// A tunnel that is up, the network around it, and what both were set up with.
pub(crate) struct StartedTunnel {
    pub(crate) tunnel: Arc<dyn DataPlane>,
    pub(crate) network: Arc<dyn Network>,
    /// The routes into it that are set.
    pub(crate) routes: BTreeSet<IpNet>,
    pub(crate) plan: MeshPlan,
    pub(crate) preshared: BTreeMap<ZoneName, PresharedKey>,
    pub(crate) machine: MachineAddresses,
}

/// The plan to begin with: from what is on disk.
pub(crate) fn first_plan(config: &Config, state: &OpenedState) -> MeshPlan {
    let (own_keys, hints) = (state.tunnel_keys.of_all_lanes(), state.administration.hints().all());
    let (own_keys, hints) = (&own_keys, &hints);
    let (most_lanes, is_gone) = (MOST_LANES, state.ledger.is_gone());
    let outer = &outer_addresses(config, &[]);
    state.ledger.read(|registry| {
        MeshPlan::of(&PlanSources { registry, config, own_keys, hints, outer, most_lanes, is_gone })
    })
}

/// Starts the data plane, then sets addresses and routes. The device and its routes go with the
/// last handle. A route that cannot be set ends the start in a mesh that is written by hand; in a
/// managed one it is tried again later, for the sake of all others.
pub(crate) async fn start(
    config: &Config,
    state: &OpenedState,
    netlink: rtnetlink::Handle,
) -> Result<(Arc<Tunnel>, StartedTunnel), Failure> {
    let (plan, preshared) = (first_plan(config, state), preshared_keys(config)?);
    let strict = state.ledger.read(|registry| registry.membership().is_none());
    network::warn_if_off(&config.zone.prefixes);
    let settings = TunnelConfig {
        interface: config.tunnel.interface.clone(),
        mtu: mtu(config),
        listen_port: config.tunnel.listen_port,
        lanes: config.tunnel.lanes.count(cores()),
        realtime: config.tunnel.realtime,
        private_key: state.tunnel_keys.private.clone(),
        inner_destinations: Some(own_destinations(config)),
        fwmark: None,
        outlives_device: false,
    };
    let zones = tunnel_zones(&plan.peers, &preshared, config.keepalive.wireguard);
    let plan = prepare(&netlink, plan).await?;
    let mut tunnel = open(settings, zones)?;
    if let Some(next) = &state.tunnel_keys.next {
        tunnel.begin_rotation(next).or_exit(Exit::Configuration, || {
            "the next WireGuard key is a peer's; move its file away".to_owned()
        })?;
    }
    tunnel
        .keep_clock(&clock::file(config))
        .or_exit(Exit::Negative, || "cannot start a thread".to_owned())?;
    let kernel = Arc::new(KernelNetwork { netlink, index: tunnel.if_index() });
    let configured = configure(config, &plan, kernel.clone(), strict).await;
    let routes = configured.or_exit(Exit::Network, || {
        format!("cannot configure the interface {}", config.tunnel.interface)
    })?;
    tunnel.own_device().or_exit(Exit::Network, || {
        format!("cannot take over the interface {}", config.tunnel.interface)
    })?;
    let tunnel = Arc::new(tunnel);
    let started = StartedTunnel {
        tunnel: tunnel.clone(),
        network: kernel,
        routes,
        plan,
        preshared,
        machine: MachineAddresses::default(),
    };
    Ok((tunnel, started))
}

/// Bars what is for other zones before there is a tunnel. Returns what can be done of the plan.
async fn prepare(netlink: &rtnetlink::Handle, plan: MeshPlan) -> Result<MeshPlan, Failure> {
    let plan = match network::set_asides(netlink, &plan.aside).await {
        Err(error) if !plan.aside.is_empty() => {
            tracing::error!(error = format!("{error:#}"), "no tunnel can go around another");
            plan.closed()
        }
        _ => plan,
    };
    network::set_backstops(netlink, &plan.barred()).await.map_err(cannot_route)?;
    Ok(plan)
}

/// What other zones may reach here: this zone's prefixes and the tunnel addresses.
fn own_destinations(config: &Config) -> Vec<IpNet> {
    let addresses = config.tunnel.addresses.iter().copied().map(IpNet::from);
    addresses.chain(config.zone.prefixes.iter().copied()).collect()
}

/// The MTU to begin with. The paths are not known yet; their watcher lowers it where they are
/// narrow.
fn mtu(config: &Config) -> u16 {
    mtu::of_device(config.tunnel.mtu, std::iter::empty())
}

async fn configure(
    config: &Config,
    plan: &MeshPlan,
    kernel: Arc<KernelNetwork>,
    strict: bool,
) -> anyhow::Result<BTreeSet<IpNet>> {
    let (netlink, index) = (&kernel.netlink, kernel.index);
    network::configure(netlink, index, mtu(config), &config.tunnel.addresses).await?;
    let set = network::inherited_routes(netlink, index).await?;
    let mut routes = TunnelRoutes { network: kernel.clone(), set };
    for step in routes.difference(plan) {
        match routes.apply(step).await {
            Err(error) if strict => return Err(error),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "a route could not be set, trying again"
            ),
            Ok(()) => {}
        }
    }
    Ok(routes.set)
}

/// The cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The preshared keys of the configured peers.
fn preshared_keys(config: &Config) -> Result<BTreeMap<ZoneName, PresharedKey>, Failure> {
    let files = config.peers.iter().filter_map(|peer| {
        let file = peer.preshared_key_file.as_deref()?;
        Some(keys::preshared(file).map(|key| (peer.zone.clone(), key)))
    });
    files.collect()
}

fn cannot_route(error: anyhow::Error) -> Failure {
    match network::is_not_permitted(&error) {
        true => Failure::caused(
            Exit::Policy,
            error,
            "setting routes needs CAP_NET_ADMIN: run as root, or set AmbientCapabilities=CAP_NET_ADMIN in the systemd unit",
        ),
        false => Failure::caused(Exit::Network, error, "cannot prepare the routes"),
    }
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
