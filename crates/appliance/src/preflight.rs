//! The checks before a SuperNode's Flower starts, and the probe of a SuperLink's own port.
//!
//! Flower 1.25 retries for ever without a word when a name is missing in the certificate or the
//! versions differ, and ends when clocks differ. This promises one [`Reason`] instead, within seconds,
//! the cause to repair first before its consequences. It refuses to start or stop anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zonemesh_api::wire::local::RegisteredSuperLink;
use zonemesh_core::name::FederationName;
use zonemesh_pki::{Probe, ProbeFailure, San};

use crate::flower::InstalledFlower;
use crate::reason::{Reason, check_clock};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(4);

/// Checks everything that must hold before Flower starts, and gives the address it will dial.
///
/// `ahead_of_gateway_ms` is this machine's clock minus the gateway's; without it, or without the
/// SuperLink's own offset, clocks are not compared.
///
/// # Errors
/// The reason to repair first.
pub async fn check(
    federation: &FederationName,
    superlink: &RegisteredSuperLink,
    ours: InstalledFlower,
    ahead_of_gateway_ms: Option<i64>,
) -> Result<SocketAddr, Reason> {
    check_version(superlink, ours)?;
    if let (Some(node), Some(offset)) = (ahead_of_gateway_ms, superlink.clock_offset_ms) {
        check_clock(node.saturating_sub(offset))?;
    }
    let probe = Probe::new(&superlink.ca_pems())
        .map_err(|error| Reason::CaSet { problem: error.to_string() })?;
    let mut first_failure = None;
    for address in &superlink.addresses {
        let endpoint = SocketAddr::new(*address, superlink.fleet_port);
        match dial(endpoint, &probe).await {
            Ok(()) => return Ok(endpoint),
            Err(reason) => first_failure = first_failure.or(Some(reason)),
        }
    }
    Err(match first_failure {
        Some(Reason::SuperLinkUnreachable { endpoint, .. }) if !superlink.zone_reachable => {
            Reason::ZoneUnreachable { zone: superlink.zone.clone(), endpoint }
        }
        Some(reason) => reason,
        None => Reason::NoSuperLink { federation: federation.clone() },
    })
}

/// Flower promises nothing between versions, and their transports differ.
fn check_version(superlink: &RegisteredSuperLink, ours: InstalledFlower) -> Result<(), Reason> {
    let superlinks = &superlink.flower_version;
    if *superlinks != ours.version.to_string() {
        let superlinks = superlinks.clone();
        return Err(Reason::VersionMismatch { ours: ours.version, superlinks });
    }
    if ours.generation.transport() != superlink.transport {
        return Err(Reason::FlowerUnsupported { version: ours.version });
    }
    Ok(())
}

/// Does what Flower will do: TCP, TLS with the federation's CA and the dialled address, HTTP/2.
///
/// # Errors
/// The first step that fails, in words.
pub async fn dial(endpoint: SocketAddr, probe: &Probe) -> Result<(), Reason> {
    let unreachable = |problem| Reason::SuperLinkUnreachable { endpoint, problem };
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(endpoint)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_elapsed) => return Err(unreachable(no_answer("TCP", CONNECT_TIMEOUT))),
    };
    let handshake = handshake(endpoint, stream, probe);
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(result) => result,
        Err(_elapsed) => {
            Err(Reason::NotTls { endpoint, problem: no_answer("TLS", HANDSHAKE_TIMEOUT) })
        }
    }
}

fn no_answer(protocol: &str, timeout: Duration) -> String {
    format!("no answer over {protocol} within {} s", timeout.as_secs())
}

async fn handshake(endpoint: SocketAddr, stream: TcpStream, probe: &Probe) -> Result<(), Reason> {
    let (config, shown) =
        probe.client_config().map_err(|error| Reason::CaSet { problem: error.to_string() })?;
    let connector = TlsConnector::from(Arc::clone(&config));
    let connected = connector.connect(ServerName::from(endpoint.ip()), stream).await;
    let chain = shown.certificates();
    if !chain.is_empty() {
        // Also after a handshake that succeeded: Flower looks at the CA's dates, rustls does not.
        probe
            .check(&San::Ip(endpoint.ip()), &chain, SystemTime::now())
            .map_err(|failure| Reason::Certificate { endpoint, failure })?;
    }
    match connected {
        Ok(stream) => match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Ok(()),
            _ => Err(Reason::NotTls { endpoint, problem: "it does not offer HTTP/2".to_owned() }),
        },
        Err(error) if chain.is_empty() => {
            Err(Reason::NotTls { endpoint, problem: error.to_string() })
        }
        Err(error) => {
            let failure = ProbeFailure::Other(error.to_string());
            Err(Reason::Certificate { endpoint, failure })
        }
    }
}
