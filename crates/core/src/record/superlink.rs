//! What a record says about a SuperLink: where it is, how it is spoken to, whether it serves.

use std::net::IpAddr;

use super::{AdmittedNode, HeldCa};
use crate::name::FederationName;

/// How SuperNodes talk to a SuperLink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowerTransport {
    /// gRPC (Flower up to 1.39).
    Grpc,
    /// HTTP (Flower from 1.40).
    Http,
    /// What a later release knows, by its number: passed on, never used here.
    Other(i32),
}

impl FlowerTransport {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Other(_) => "unknown",
        }
    }

    /// What stands for it in records and messages.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Grpc => 1,
            Self::Http => 2,
            Self::Other(number) => number,
        }
    }

    /// The one that a number stands for.
    #[must_use]
    pub fn of(number: i32) -> Self {
        match number {
            1 => Self::Grpc,
            2 => Self::Http,
            other => Self::Other(other),
        }
    }
}

/// Whether SuperNodes may connect to a SuperLink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// Registered, not serving yet.
    Starting,
    /// Serving.
    Ready,
    /// Stopped on purpose, or withdrawn by its gateway.
    Stopped,
    /// Its VM does not answer its gateway any more: nobody has stopped it.
    Lost,
    /// What a later release knows, by its number: passed on, and not ready.
    Other(i32),
}

impl Readiness {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
            Self::Other(_) => "unknown",
        }
    }

    /// What stands for it in records and messages.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Starting => 1,
            Self::Ready => 2,
            Self::Stopped => 3,
            Self::Lost => 4,
            Self::Other(number) => number,
        }
    }

    /// The one that a number stands for.
    #[must_use]
    pub fn of(number: i32) -> Self {
        match number {
            1 => Self::Starting,
            2 => Self::Ready,
            3 => Self::Stopped,
            4 => Self::Lost,
            other => Self::Other(other),
        }
    }
}

/// A SuperLink that runs in the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperLink {
    /// Its federation.
    pub federation: FederationName,
    /// Its addresses, best first.
    pub addresses: Vec<IpAddr>,
    /// TCP port for SuperNodes.
    pub fleet_port: u16,
    /// TCP port for `flwr run`.
    pub control_port: u16,
    /// Flower's version, for example `1.25.0`.
    pub flower_version: String,
    /// How SuperNodes talk to it.
    pub transport: FlowerTransport,
    /// Whether SuperNodes may connect.
    pub readiness: Readiness,
    /// The mesh DNS name in its certificate; never looked up.
    pub tls_name: String,
    /// A DNS name that leads to it, if its zone has one.
    pub dns_name: Option<String>,
    /// The CA certificates that it holds.
    pub cas: Vec<HeldCa>,
    /// Which SuperNodes it admits, where it admits by key only.
    pub admitted: Option<Vec<AdmittedNode>>,
    /// The SuperLink VM's clock minus its gateway's, in milliseconds.
    pub clock_offset_ms: i64,
}
