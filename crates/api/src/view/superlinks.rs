//! Where each federation's SuperLink is and whether it is ready: `zonemesh superlink list`.

use serde::Serialize;

use super::readiness;
use crate::v1::{CaView, FlowerTransport, SuperLinkView, SuperLinksReply};

/// All SuperLinks.
#[derive(Debug, Serialize)]
pub struct SuperLinksView {
    pub schema: &'static str,
    pub superlinks: Vec<SuperLinkEntry>,
}

/// One SuperLink.
#[derive(Debug, Serialize)]
pub struct SuperLinkEntry {
    pub federation: String,
    pub zone: String,
    pub readiness: &'static str,
    pub addresses: Vec<String>,
    pub fleet_port: u32,
    pub control_port: u32,
    pub flower_version: String,
    pub transport: &'static str,
    pub tls_name: String,
    pub shadowed: bool,
    pub cas: Vec<CaEntry>,
}

/// One CA certificate of its federation.
#[derive(Debug, Serialize)]
pub struct CaEntry {
    pub state: String,
    pub fingerprint: String,
    pub pem: String,
}

impl From<SuperLinksReply> for SuperLinksView {
    fn from(reply: SuperLinksReply) -> Self {
        Self {
            schema: "zonemesh/superlinks/v1",
            superlinks: reply.superlinks.into_iter().map(SuperLinkEntry::from).collect(),
        }
    }
}

impl From<SuperLinkView> for SuperLinkEntry {
    fn from(reply: SuperLinkView) -> Self {
        Self {
            readiness: readiness(reply.readiness()),
            transport: transport(reply.transport()),
            cas: reply.cas.into_iter().map(CaEntry::from).collect(),
            federation: reply.federation,
            zone: reply.zone,
            addresses: reply.addresses,
            fleet_port: reply.fleet_port,
            control_port: reply.control_port,
            flower_version: reply.flower_version,
            tls_name: reply.tls_name,
            shadowed: reply.shadowed,
        }
    }
}

impl From<CaView> for CaEntry {
    fn from(reply: CaView) -> Self {
        Self { state: reply.state, fingerprint: reply.fingerprint, pem: reply.pem }
    }
}

fn transport(transport: FlowerTransport) -> &'static str {
    match transport {
        FlowerTransport::Unspecified => "unknown",
        FlowerTransport::Grpc => "grpc",
        FlowerTransport::Http => "http",
    }
}
