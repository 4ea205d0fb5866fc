//! The checks before a SuperNode's Flower starts, and the probe of a SuperLink's own port.
//!
//! Flower 1.25 retries for ever without a word when a name is missing in the certificate or the
//! versions differ, and ends when clocks differ. This promises one [`Reason`] instead, within seconds,
//! the cause to repair first before its consequences. What a port must speak is its generation's:
//! HTTP/2 over TLS for gRPC; from 1.40 on HTTP/1.1, where its health and its version can be asked
//! for. It refuses to start or stop anything.

mod fixed;
mod http;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zonemesh_api::wire::local::RegisteredSuperLink;
use zonemesh_core::name::FederationName;
use zonemesh_core::record::FlowerTransport;
use zonemesh_pki::{OfferedProtocol, Probe, ProbeFailure, San};

pub use fixed::{check_fixed, places};

use crate::flower::{InstalledFlower, spoken};
use crate::reason::{Reason, check_clock};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(4);

/// Where is dialled, and as whom.
#[derive(Debug, Clone)]
struct DialledPlace {
    at: SocketAddr,
    /// What the certificate must be for.
    host: San,
}

impl From<SocketAddr> for DialledPlace {
    fn from(at: SocketAddr) -> Self {
        Self { at, host: San::Ip(at.ip()) }
    }
}

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
        match passes(&endpoint.into(), &probe, ours).await {
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
    if superlink.transport == ours.generation.transport() {
        return same_version(&superlink.flower_version, ours);
    }
    Err(Reason::VersionMismatch {
        ours: ours.spoken(),
        superlinks: spoken(&superlink.flower_version, superlink.transport),
        install: superlink.flower_version.clone(),
    })
}

fn same_version(superlinks: &str, ours: InstalledFlower) -> Result<(), Reason> {
    if *superlinks == ours.version.to_string() {
        return Ok(());
    }
    Err(Reason::VersionMismatch {
        ours: ours.spoken(),
        superlinks: spoken(superlinks, ours.generation.transport()),
        install: superlinks.to_owned(),
    })
}

async fn passes(
    dialled: &DialledPlace,
    probe: &Probe,
    ours: InstalledFlower,
) -> Result<(), Reason> {
    let transport = ours.generation.transport();
    dial_as(dialled, probe, transport).await?;
    if transport != FlowerTransport::Http {
        return Ok(());
    }
    // What was registered may be another process than the one that has the port now.
    match version_told(dialled, probe).await {
        Some(told) => same_version(&told, ours),
        None => Ok(()),
    }
}

/// Does what Flower will do: TCP, TLS with the federation's CA and the dialled address, then HTTP/2
/// for gRPC, or `GET /health` over HTTP/1.1.
///
/// # Errors
/// The first step that fails, in words.
pub async fn dial(
    endpoint: SocketAddr,
    probe: &Probe,
    transport: FlowerTransport,
) -> Result<(), Reason> {
    dial_as(&endpoint.into(), probe, transport).await
}

async fn dial_as(
    dialled: &DialledPlace,
    probe: &Probe,
    transport: FlowerTransport,
) -> Result<(), Reason> {
    let endpoint = dialled.at;
    let not_flower = |problem| Reason::NotTls { endpoint, problem };
    if transport == FlowerTransport::Http {
        let stream = connect(dialled, probe, OfferedProtocol::None).await?;
        let answer = http::get(stream, endpoint, "/health").await;
        return match answer.map(|answer| answer.status) {
            Ok(200) => Ok(()),
            Ok(status) => Err(not_flower(format!("GET /health is answered with {status}"))),
            Err(error) => Err(not_flower(error.to_string())),
        };
    }
    let stream = connect(dialled, probe, OfferedProtocol::Http2).await?;
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Ok(()),
        _ => Err(not_flower("it does not offer HTTP/2".to_owned())),
    }
}

/// The version that a SuperLink of the HTTP generation tells of itself. A front may keep it back.
async fn version_told(dialled: &DialledPlace, probe: &Probe) -> Option<String> {
    let stream = connect(dialled, probe, OfferedProtocol::None).await.ok()?;
    let answer = http::get(stream, dialled.at, "/openapi.json").await.ok()?;
    let described: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    described["info"]["version"].as_str().map(str::to_owned)
}

/// A TLS connection as Flower would have it.
async fn connect(
    dialled: &DialledPlace,
    probe: &Probe,
    offered: OfferedProtocol,
) -> Result<TlsStream<TcpStream>, Reason> {
    let endpoint = dialled.at;
    let unreachable = |problem| Reason::SuperLinkUnreachable { endpoint, problem };
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(endpoint)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_elapsed) => return Err(unreachable(no_answer("TCP", CONNECT_TIMEOUT))),
    };
    let handshake = handshake(dialled, stream, probe, offered);
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

async fn handshake(
    dialled: &DialledPlace,
    stream: TcpStream,
    probe: &Probe,
    offered: OfferedProtocol,
) -> Result<TlsStream<TcpStream>, Reason> {
    let endpoint = dialled.at;
    let (config, shown) = probe
        .client_config(offered)
        .map_err(|error| Reason::CaSet { problem: error.to_string() })?;
    let connector = TlsConnector::from(Arc::clone(&config));
    let name = dialled.host.to_server_name();
    let name = name.map_err(|error| Reason::NotTls { endpoint, problem: error.to_string() })?;
    let connected = connector.connect(name, stream).await;
    let chain = shown.certificates();
    if !chain.is_empty() {
        // Also after a handshake that succeeded: Flower looks at the CA's dates, rustls does not.
        probe
            .check(&dialled.host, &chain, SystemTime::now())
            .map_err(|failure| Reason::Certificate { endpoint, failure })?;
    }
    connected.map_err(|error| match chain.is_empty() {
        true => Reason::NotTls { endpoint, problem: error.to_string() },
        false => {
            let failure = ProbeFailure::Other(error.to_string());
            Reason::Certificate { endpoint, failure }
        }
    })
}
