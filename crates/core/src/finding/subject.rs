//! What a finding is about.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::gateway::GatewayId;
use crate::name::{FederationName, ZoneName};

/// What a finding is about; with its code the key under which it is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The gateway or machine that says it.
    Here,
    /// A zone.
    Zone(ZoneName),
    /// A gateway of another zone, where a zone has several.
    Gateway(GatewayId),
    /// A federation.
    Federation(FederationName),
    /// A prefix.
    Prefix(IpNet),
    /// A VM of this zone, by its address.
    Vm(IpAddr),
    /// The Flower in a VM of this zone.
    FlowerIn(IpAddr),
    /// Somebody who calls, by the address.
    Caller(IpAddr),
    /// A setting, by its place in the configuration: `peer[1].prefixes`.
    Setting(String),
    /// A file.
    File(String),
}

impl Subject {
    /// What kind of thing it is, by a stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Zone(_) => "zone",
            Self::Gateway(_) => "gateway",
            Self::Federation(_) => "federation",
            Self::Prefix(_) => "prefix",
            Self::Vm(_) => "vm",
            Self::FlowerIn(_) => "flower",
            Self::Caller(_) => "caller",
            Self::Setting(_) => "setting",
            Self::File(_) => "file",
        }
    }
}

/// As people say it: `paris`, `VM 10.10.10.5`, `here`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => f.write_str("here"),
            Self::Zone(zone) => zone.fmt(f),
            Self::Gateway(gateway) => gateway.fmt(f),
            Self::Federation(federation) => federation.fmt(f),
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Vm(ip) => write!(f, "VM {ip}"),
            Self::FlowerIn(ip) => write!(f, "Flower in VM {ip}"),
            Self::Caller(ip) => ip.fmt(f),
            Self::Setting(name) | Self::File(name) => f.write_str(name),
        }
    }
}
