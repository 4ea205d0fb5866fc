//! From the plan to running tunnels: device, peers, addresses, routes.
//!
//! Needs no network answer: tunnels come up with what the configuration and the disk say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use zonemesh_config::Config;
use zonemesh_core::key::{PresharedKey, WireGuardPrivateKey};
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::Lane;
use zonemesh_tunnel::{PeerLane, StartError, Tunnel, TunnelConfig, TunnelPeer, TunnelZone, uapi};

use crate::act::network::{self, Routes};
use crate::facts::clock;
use crate::facts::disk::keys;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::plan::Plan;
use crate::plan::endpoints::Candidates;
use crate::plan::mtu;

/// Starts the data plane, then sets addresses and routes. The device and its routes go with the
/// last handle. A route that cannot be set ends the start in a mesh that is written by hand
/// (`strict`); in a managed one it is tried again later, for the sake of all others.
pub(crate) async fn start(
    config: &Config,
    (private_key, next_key): (WireGuardPrivateKey, Option<WireGuardPrivateKey>),
    (plan, preshared): (&Plan, &BTreeMap<ZoneName, PresharedKey>),
    strict: bool,
) -> Result<(Arc<Tunnel>, Routes), Failure> {
    network::warn_if_off(&config.zone.prefixes);
    let settings = TunnelConfig {
        interface: config.tunnel.interface.clone(),
        mtu: mtu(config),
        listen_port: config.tunnel.listen_port,
        lanes: config.tunnel.lanes.count(cores()),
        realtime: config.tunnel.realtime,
        private_key,
        fwmark: None,
    };
    let zones = zones(plan, preshared, config.keepalive.wireguard);
    let started = network::with_netlink(async |netlink| {
        network::set_backstops(&netlink, &plan.backstops).await.map_err(cannot_route)?;
        let mut tunnel = open(settings, zones)?;
        if let Some(next) = &next_key {
            tunnel.begin_rotation(next).or_exit(Exit::Configuration, || {
                "the next WireGuard key is a peer's; move its file away".to_owned()
            })?;
        }
        tunnel
            .keep_clock(&clock::file(config))
            .or_exit(Exit::Negative, || "cannot start a thread".to_owned())?;
        let routes = configure(config, plan, (&netlink, &tunnel), strict).await;
        let routes = routes.or_exit(Exit::Network, || {
            format!("cannot configure the interface {}", config.tunnel.interface)
        })?;
        tunnel.own_device().or_exit(Exit::Network, || {
            format!("cannot take over the interface {}", config.tunnel.interface)
        })?;
        Ok((Arc::new(tunnel), routes))
    });
    started.await.or_exit(Exit::Network, || "cannot prepare the routes".to_owned())?
}

/// Serves `wg` until it is dropped. A gateway without is as good for its zone: it goes on.
pub(crate) async fn serve_wg(tunnel: Arc<Tunnel>) -> anyhow::Result<()> {
    const INSTEAD: &str = "change zonemesh.toml and restart zonemeshd instead";
    let _attached = match uapi::attach(&tunnel, INSTEAD) {
        Ok(attached) => Some(attached),
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::info!(error, "`wg` cannot show this interface; everything else works");
            None
        }
    };
    std::future::pending().await
}

/// The MTU to begin with. The paths are not known yet; their watcher lowers it where they are
/// narrow.
fn mtu(config: &Config) -> u16 {
    mtu::of_device(config.tunnel.mtu, std::iter::empty())
}

async fn configure(
    config: &Config,
    plan: &Plan,
    (netlink, tunnel): (&rtnetlink::Handle, &Tunnel),
    strict: bool,
) -> anyhow::Result<Routes> {
    let index = tunnel.if_index();
    network::configure(netlink, index, mtu(config), &config.tunnel.addresses).await?;
    let mut routes = Routes::of(netlink, tunnel.if_index(), plan.backstops.clone()).await?;
    for error in routes.open(netlink, &plan.routed()).await {
        if strict {
            return Err(error);
        }
        tracing::error!(error = format!("{error:#}"), "a route could not be set, trying again");
    }
    Ok(routes)
}

/// The other zones, as the tunnel is told of them.
pub(crate) fn zones(
    plan: &Plan,
    preshared: &BTreeMap<ZoneName, PresharedKey>,
    keepalive: Duration,
) -> Vec<TunnelZone> {
    let gateway = |peer: &crate::plan::PeerPlan| TunnelPeer {
        public_key: peer.wireguard_key,
        next_key: peer.next_key,
        lanes: peer.lanes.iter().map(lane).collect(),
        preshared_key: preshared.get(&peer.zone).cloned(),
        endpoint: Candidates::new(peer.endpoints.clone()).first_address(),
        keepalive: peer.keeps_alive.then_some(keepalive),
    };
    let of = |peer: &crate::plan::PeerPlan| TunnelZone {
        name: peer.zone.to_string(),
        allowed_ips: peer.allowed_ips().collect(),
        gateways: vec![gateway(peer)],
    };
    plan.peers.iter().map(of).collect()
}

fn lane(lane: &Lane) -> PeerLane {
    PeerLane {
        public_key: lane.wireguard_key,
        next_key: lane.next_wireguard_key,
        port_offset: lane.port_offset,
    }
}

/// The cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The preshared keys of the configured peers.
pub(crate) fn preshared_keys(config: &Config) -> Result<BTreeMap<ZoneName, PresharedKey>, Failure> {
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
