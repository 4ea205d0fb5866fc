//! From configuration to running tunnels: device, peers, addresses, routes.
//!
//! Needs no network answer: tunnels come up with what the configuration and the disk say.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use zonemesh_config::{Config, Peer as PeerConfig};
use zonemesh_core::key::WireGuardPrivateKey;
use zonemesh_tunnel::{Peer, StartError, Tunnel, TunnelConfig, uapi};

use crate::endpoints::Candidates;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::network::{self, Backstops};
use crate::resolver::Watched;
use crate::state::keys;

/// Starts the data plane, then sets addresses and routes. The device and its routes go with the
/// last handle.
pub(crate) async fn start(
    config: &Config,
    private_key: WireGuardPrivateKey,
) -> Result<Arc<Tunnel>, Failure> {
    network::warn_if_off(&config.zone.prefixes);
    let (connection, netlink, _) = rtnetlink::new_connection()
        .or_exit(Exit::Network, || "cannot open a netlink socket".to_owned())?;
    tokio::select! {
        tunnel = bring_up(config, private_key, netlink) => tunnel.map(Arc::new),
        () = connection => Err(Failure::new(Exit::Network, "the kernel closed the netlink socket")),
    }
}

async fn bring_up(
    config: &Config,
    private_key: WireGuardPrivateKey,
    netlink: rtnetlink::Handle,
) -> Result<Tunnel, Failure> {
    let prefixes = config.peers.iter().flat_map(allowed_ips).collect();
    let backstops = Backstops::set(netlink, prefixes).await.map_err(cannot_route)?;
    let peers = config.peers.iter().map(|peer| peer_of(config, peer));
    let peers = peers.collect::<Result<Vec<_>, _>>()?;
    let settings = TunnelConfig {
        interface: config.tunnel.interface.clone(),
        mtu: config.tunnel.mtu,
        listen_port: config.tunnel.listen_port,
        private_key,
        fwmark: None,
    };
    let tunnel = open(settings, peers)?;
    let (mtu, addresses) = (config.tunnel.mtu, &config.tunnel.addresses);
    network::configure(&backstops, tunnel.if_index(), mtu, addresses)
        .await
        .or_exit(Exit::Network, || {
            format!("cannot configure the interface {}", config.tunnel.interface)
        })?;
    tunnel.own_device().or_exit(Exit::Network, || {
        format!("cannot take over the interface {}", config.tunnel.interface)
    })?;
    Ok(tunnel)
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

/// What the resolver looks after: each peer that has configured endpoints.
pub(crate) fn watched(config: &Config) -> Vec<Watched> {
    let of = |peer: &PeerConfig| Watched {
        zone: peer.zone.clone(),
        key: peer.wireguard_key,
        candidates: Candidates::new(peer.endpoints.clone()),
    };
    config.peers.iter().filter(|peer| !peer.endpoints.is_empty()).map(of).collect()
}

fn peer_of(config: &Config, peer: &PeerConfig) -> Result<Peer, Failure> {
    let preshared_key = peer.preshared_key_file.as_deref().map(keys::preshared).transpose()?;
    Ok(Peer {
        name: peer.zone.to_string(),
        public_key: peer.wireguard_key,
        preshared_key,
        allowed_ips: allowed_ips(peer).collect(),
        endpoint: Candidates::new(peer.endpoints.clone()).first_address(),
        keepalive: Some(config.keepalive.wireguard),
    })
}

/// The peer's tunnel IPs and prefixes.
fn allowed_ips(peer: &PeerConfig) -> impl Iterator<Item = IpNet> {
    let addresses = peer.tunnel_addresses.iter().copied().map(<IpNet as From<IpAddr>>::from);
    addresses.chain(peer.prefixes.iter().copied())
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

fn open(settings: TunnelConfig, peers: Vec<Peer>) -> Result<Tunnel, Failure> {
    Tunnel::start(settings, peers).map_err(|error| {
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
