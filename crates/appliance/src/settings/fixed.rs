//! A SuperLink that CONTEXT names, without a mesh: where it is, and which CA it is known by.
//!
//! It promises that there is no such SuperLink without a CA certificate, and none beside a token: who
//! is certified and found by a gateway is not given by hand too. It refuses to look whether anybody
//! answers there, and whether the CA's time has come: clocks come right later.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zonemesh_context::judged::companion;
use zonemesh_context::keys::flower::{SSL_CA_CERTFILE, SUPERLINK_ADDRESS};
use zonemesh_context::keys::mesh::{GATEWAY, TOKEN};
use zonemesh_context::{Variables, values};
use zonemesh_core::exit::error_line;
use zonemesh_pki::{Probe, San, describe_all};

/// Where Flower dials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedAddress {
    /// An address, or a name that is looked up at each try.
    pub host: San,
    /// The port for SuperNodes.
    pub port: u16,
}

/// A SuperLink that CONTEXT names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedSuperLink {
    /// Where it is.
    pub address: FixedAddress,
    /// The CA certificates that it is known by (PEM).
    pub ca_pem: String,
}

impl fmt::Display for FixedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            San::Ip(ip) => std::net::SocketAddr::new(*ip, self.port).fmt(f),
            San::Dns(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// True if CONTEXT names a SuperLink. A CA alone is refused: a gateway's federation has its own.
pub(super) fn is_given(variables: &mut Variables<'_>) -> bool {
    let is_given = variables.raw(SUPERLINK_ADDRESS).is_some();
    if !is_given && variables.raw(SSL_CA_CERTFILE).is_some() {
        let lacks = format!(
            "it is the CA of a SuperLink that {} names, and that is not set: a gateway gives the CA of its federation itself",
            SUPERLINK_ADDRESS.name
        );
        variables.wrong(SSL_CA_CERTFILE, &lacks);
    }
    is_given
}

/// Reads it; what is wrong is recorded.
pub(super) fn read(variables: &mut Variables<'_>) -> Option<FixedSuperLink> {
    for key in [TOKEN, GATEWAY] {
        if variables.raw(key).is_some() {
            let both = format!(
                "it is given beside {}: with a token, the gateway says where the SuperLink is; take one of the two out",
                key.name
            );
            variables.wrong(SUPERLINK_ADDRESS, &both);
        }
    }
    let address = variables.optional(SUPERLINK_ADDRESS, address);
    let ca_pem = variables.required(SSL_CA_CERTFILE, ca_certificates);
    Some(FixedSuperLink { address: address?, ca_pem: ca_pem? })
}

fn address(text: &str) -> Result<FixedAddress, String> {
    companion::superlink_address(text).map_err(|error| error.to_string())?;
    if let Ok(at) = text.parse::<std::net::SocketAddr>() {
        return Ok(FixedAddress { host: San::Ip(at.ip()), port: at.port() });
    }
    let (host, port) = text.rsplit_once(':').ok_or("it has no port")?;
    let port = port.parse().map_err(|error| format!("its port: {error}"))?;
    Ok(FixedAddress { host: San::Dns(host.to_ascii_lowercase()), port })
}

fn ca_certificates(text: &str) -> Result<String, String> {
    values::certificate(text).map_err(|error| error.to_string())?;
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let decoded = STANDARD.decode(compact).map_err(|error| error.to_string())?;
    let pem = String::from_utf8(decoded).map_err(|error| error.to_string())?;
    let certificates = describe_all(&pem).map_err(|error| error_line(&error))?;
    if let Some(other) = certificates.iter().find(|one| !one.is_ca) {
        return Err(format!(
            "\"{}\" is no CA certificate: it is the one that signed the SuperLink's that is needed",
            other.subject
        ));
    }
    Probe::new(&[&pem]).map_err(|error| error_line(&error))?;
    Ok(pem)
}
