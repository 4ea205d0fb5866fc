//! What bars packets for other zones while no agent runs: `zonemeshd guard` sets it, before the network
//! comes up at boot; `zonemeshd clear` takes it away for good, with all else that a gateway leaves.
//!
//! Promises: `guard` adds and takes nothing away, so that it harms no agent that runs; it needs no key,
//! only the configuration and the list of what was barred last, and bars by that list alone where the
//! configuration cannot be used. `clear` touches nothing that is not marked as a gateway's.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::watch;
use zonemesh_config::{Config, LogFormat, LogLevel, LogSettings};
use zonemesh_core::prefix;

use crate::act::network::{self, KernelNetwork};
use crate::act::reconcile::Kernel;
use crate::facts::disk::barred::{self, BarredNetworks};
use crate::facts::findings::FindingBoard;
use crate::facts::kernel;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::logging;
use crate::plan::MeshPlan;
use crate::plan::kernel::{OwnLink, WantedMtus};
use crate::plan::peers::written_of_plain_peers;

/// The state folder of a configuration that names none.
const STATE_FOLDER: &str = "/var/lib/zonemesh";
/// What bars packets for zones that only this list knows is not there then.
const NOT_READ: &str = "what was barred last cannot be read";
/// The interface of a configuration that names none.
const INTERFACE: &str = "zm0";

/// What is to be barred, and what is not.
struct Barrier {
    networks: BarredNetworks,
    own: OwnLink,
}

/// Bars what belongs to other zones, as far as configuration and disk say. Nothing is done where an
/// agent runs, which knows better.
///
/// # Errors
/// When the kernel refuses to bar something.
pub fn guard(config: &Config, broken: Option<&str>) -> Result<(), Failure> {
    logging::start(&config.log);
    if let Some(reason) = broken {
        tracing::warn!(
            reason,
            "the configuration file is broken: barring by the last one in force"
        );
    }
    let (name, addresses) = (config.tunnel.interface.clone(), config.tunnel.addresses.clone());
    let kept = barred::read(&config.gateway.state_dir);
    let known = kept.as_ref().map(|kept| kept.lasting.clone()).unwrap_or_default();
    let own = OwnLink { name, addresses };
    let barrier = Barrier { networks: networks(config, known), own };
    with_netlink(async |netlink| bar(barrier, netlink).await)?;
    kept.map(drop).or_exit(Exit::Negative, || NOT_READ.to_owned())
}

/// Bars what was barred last, for a gateway whose configuration cannot be used: it had a mesh, and will
/// have it again when the file is mended.
///
/// # Errors
/// When the kernel refuses to bar something.
pub fn guard_as_before() -> Result<(), Failure> {
    logging::start(&LogSettings { level: LogLevel::Info, format: LogFormat::Text });
    let own = OwnLink { name: INTERFACE.to_owned(), addresses: Vec::new() };
    let kept =
        barred::read(Path::new(STATE_FOLDER)).or_exit(Exit::Negative, || NOT_READ.to_owned());
    with_netlink(async |netlink| bar(Barrier { networks: kept?, own }, netlink).await)
}

async fn bar(barrier: Barrier, netlink: rtnetlink::Handle) -> Result<(), Failure> {
    let (written, backstops) = (barrier.networks.written.clone(), barrier.networks.all());
    if backstops.is_empty() || is_running(&netlink).await? {
        return Ok(());
    }
    let mesh = MeshPlan { backstops, written, ..MeshPlan::default() };
    let mtus = watch::Sender::new(Arc::new(WantedMtus::default()));
    let network = Arc::new(KernelNetwork::new(netlink, None));
    let findings = Arc::new(FindingBoard::default());
    let mut kernel = Kernel::new(network, barrier.own, mtus.subscribe(), findings);
    match kernel.bar(&mesh).await.reasons.into_iter().next() {
        None => Ok(()),
        Some(error) => {
            let exit = match network::is_not_permitted(&error) {
                true => Exit::Policy,
                false => Exit::Network,
            };
            Err(Failure::caused(exit, error, "packets for other zones are not barred"))
        }
    }
}

/// Takes away what gateways leave in the kernel: interface, routes, rules, packet filter.
///
/// # Errors
/// While an agent runs, or when the kernel refuses.
pub fn clear() -> Result<(), Failure> {
    with_netlink(async |netlink| take_away(&netlink).await)
}

/// Does what is done in a moment.
fn with_netlink(
    work: impl AsyncFnOnce(rtnetlink::Handle) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_exit(Exit::Negative, || "cannot start the async runtime".to_owned())?;
    runtime.block_on(async {
        let (connection, netlink, _) = rtnetlink::new_connection()
            .or_exit(Exit::Network, || "cannot open a netlink socket".to_owned())?;
        tokio::select! {
            done = work(netlink) => done,
            () = connection => Err(Failure::new(Exit::Network, "the netlink socket has ended")),
        }
    })
}

async fn take_away(netlink: &rtnetlink::Handle) -> Result<(), Failure> {
    if is_running(netlink).await? {
        let message = "a gateway runs and would set it again; first: systemctl stop zonemeshd";
        return Err(Failure::new(Exit::Negative, message));
    }
    let cleared = network::clear_all(netlink).await;
    cleared.or_exit(Exit::Network, || "cannot take away what the gateway has left".to_owned())
}

async fn is_running(netlink: &rtnetlink::Handle) -> Result<bool, Failure> {
    let links = kernel::marked_links(netlink).await;
    let links = links.or_exit(Exit::Network, || "cannot list the links".to_owned())?;
    Ok(links.values().any(|link| link.is_held))
}

/// What was barred last as other zones', and what the peers of the configuration own.
fn networks(config: &Config, kept: BTreeSet<IpNet>) -> BarredNetworks {
    let tunnel_ips = config.peers.iter().flat_map(|peer| &peer.tunnel_addresses);
    let tunnel_ips = tunnel_ips.map(|ip: &IpAddr| IpNet::from(*ip));
    let prefixes = config.peers.iter().flat_map(|peer| peer.prefixes.iter().copied());
    let left_out = config.left_out.iter().filter(|peer| peer.is_zone());
    let left_out = left_out.flat_map(|peer| peer.networks.iter().copied());
    let is_foreign = |net: &IpNet| {
        !config.zone.prefixes.iter().any(|own| prefix::overlaps(own, net))
            && !config.tunnel.addresses.iter().any(|own| net.contains(own))
    };
    let zones = kept.into_iter().chain(tunnel_ips).chain(prefixes).chain(left_out);
    let lasting: BTreeSet<_> = zones.filter(is_foreign).collect();
    let written = written_of_plain_peers(config).filter(is_foreign);
    let written = written.filter(|net| !lasting.contains(net)).collect();
    BarredNetworks { lasting, written }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_configuration_its_defaults_are_meant() {
        let text = "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\"]\n";
        let config = Config::parse(text, "zm.toml").unwrap();
        assert_eq!(config.gateway.state_dir, Path::new(STATE_FOLDER));
        assert_eq!(config.tunnel.interface, INTERFACE);
    }

    #[test]
    fn what_a_section_owns_that_cannot_be_used_is_barred_too() {
        let text = include_str!("../../../configs/berlin.toml");
        let whole = Config::parse(text, "zm.toml").unwrap();
        let bad = text.replacen("wireguard_key = \"", "wireguard_key = \"no key ", 1);
        let usable = Config::parse_usable(&bad, "zm.toml").unwrap();
        assert_eq!(usable.peers.len() + 1, whole.peers.len());
        let of = |config| networks(config, BTreeSet::new());
        assert_eq!(of(&usable), of(&whole));
        assert!(of(&whole).lasting.len() >= 4);
    }
}
