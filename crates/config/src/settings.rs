//! The settings of a gateway, valid by construction.
//!
//! Owns the typed sections of the file and their defaults (`impl Default`; where a section has a
//! value that must be given, its default is empty and never leaves this crate). Units are in the
//! types: durations, socket addresses, prefixes. Which texts become these values: `read`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::name::{FederationName, ZoneName};

use crate::endpoint::Endpoint;
use crate::origin::Origin;

/// A valid configuration of one gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[zone]`: the zone this gateway speaks for.
    pub zone: ZoneSettings,
    /// `[gateway]`: this machine.
    pub gateway: GatewaySettings,
    /// `[tunnel]`: the WireGuard side.
    pub tunnel: TunnelSettings,
    /// `[keepalive]`: what keeps quiet paths open; obeys the law of `zonemesh_core::keepalive`.
    pub keepalive: Keepalive,
    /// `[probes]`: how the paths to the peers are watched.
    pub probes: ProbeSettings,
    /// `[registry]`: the exchange of zone records inside the tunnels.
    pub registry: RegistrySettings,
    /// `[mesh]`: how a managed mesh spreads its registry.
    pub mesh: MeshSettings,
    /// `[join]`: where zones that this gateway has invited call.
    pub join: JoinSettings,
    /// `[local_api]`: what the zone's own VMs talk to; absent if the section is.
    pub local_api: Option<LocalApiSettings>,
    /// `[[federation]]`: the federations whose CA this gateway holds.
    pub federations: Vec<FederationSettings>,
    /// `[[peer]]`: the other zones.
    pub peers: Vec<PeerSettings>,
    /// `[log]`: what is written to standard error.
    pub log: LogSettings,
    /// Where every value stands in the file.
    pub(crate) origin: Origin,
}

/// `[zone]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneSettings {
    /// `name`: unique in the mesh.
    pub name: ZoneName,
    /// `prefixes`: the zone's subnets, at least one, without host bits.
    pub prefixes: Vec<IpNet>,
}

/// `[gateway]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// `name`: a DNS label; `<zone>-gw1` unless given.
    pub name: String,
    /// `state_dir`: keys, records and certificates.
    pub state_dir: PathBuf,
    /// `admin_socket`: the unix socket of `zonemesh`.
    pub admin_socket: PathBuf,
    /// `endpoints`: how other zones reach this gateway; empty behind a NAT.
    pub endpoints: Vec<Endpoint>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            state_dir: PathBuf::from("/var/lib/zonemesh"),
            admin_socket: PathBuf::from("/run/zonemesh/admin.sock"),
            endpoints: Vec::new(),
        }
    }
}

/// How many lanes the tunnels have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// What the number of cores says ([`Lanes::count`]). Unmeasured, so nobody gets it unasked.
    Auto,
    /// 1 to 8.
    Count(u8),
}

impl Lanes {
    /// The number on a machine with so many cores: below four a second lane has no core to itself, and
    /// beyond four lanes the network is usually the limit.
    #[must_use]
    pub fn count(self, cores: usize) -> u8 {
        match self {
            Self::Count(count) => count,
            Self::Auto if cores < 4 => 1,
            Self::Auto => (cores / 2).min(4) as u8,
        }
    }
}

/// `[tunnel]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelSettings {
    /// `interface`: the name of the TUN device.
    pub interface: String,
    /// `addresses`: this gateway's tunnel IPs, at least one.
    pub addresses: Vec<IpAddr>,
    /// `mtu`: of the TUN device, in bytes; without it what the underlay allows, at most 1420.
    pub mtu: Option<u16>,
    /// `listen_port`: UDP, on all addresses.
    pub listen_port: u16,
    /// `lanes`: how many cores may work for one other gateway.
    pub lanes: Lanes,
    /// `realtime`: busy tunnel threads run before all that are not real-time.
    pub realtime: bool,
    /// `private_key_file`: base64; made on first start if it is not there.
    pub private_key_file: PathBuf,
}

impl Default for TunnelSettings {
    fn default() -> Self {
        Self {
            interface: "zm0".to_owned(),
            addresses: Vec::new(),
            mtu: None,
            listen_port: 51820,
            lanes: Lanes::Count(1),
            realtime: true,
            private_key_file: GatewaySettings::default().state_dir.join("wireguard.key"),
        }
    }
}

/// `[probes]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSettings {
    /// `interval`: distance of two small probes to a peer.
    pub interval: Duration,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1) }
    }
}

/// `[registry]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// `port`: TCP, on the tunnel IPs only.
    pub port: u16,
    /// `identity_key_file`: base64 of the zone's Ed25519 seed; made on first start.
    pub identity_key_file: PathBuf,
    /// `[registry.etcd]`: absent if the section is.
    pub etcd: Option<EtcdSettings>,
}

/// `[registry.etcd]`: an etcd cluster that the signed items go through as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdSettings {
    /// `endpoints`: `http://host:port` or `https://host:port`, at least one.
    pub endpoints: Vec<String>,
    /// `prefix`: where the mesh's keys begin, without a slash at its end.
    pub prefix: String,
    /// `streams`: whether this gateway keeps its registry streams besides.
    pub streams: bool,
    /// `ca_file`: PEM; etcd's certificate must chain to it. There if an endpoint is `https`.
    pub ca_file: Option<PathBuf>,
    /// `certificate_file` and `key_file`: PEM; both or none.
    pub identity_files: Option<(PathBuf, PathBuf)>,
    /// `user` and `password_file`: both or none.
    pub login: Option<(String, PathBuf)>,
}

impl Default for EtcdSettings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            prefix: "/zonemesh".to_owned(),
            streams: true,
            ca_file: None,
            identity_files: None,
            login: None,
        }
    }
}

impl Default for RegistrySettings {
    fn default() -> Self {
        let identity_key_file = GatewaySettings::default().state_dir.join("zone.key");
        Self { port: 51821, identity_key_file, etcd: None }
    }
}

/// `[mesh]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeshSettings {
    /// `neighbours`: registry streams that a gateway of a large managed mesh keeps, about.
    pub neighbours: u16,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self { neighbours: 6 }
    }
}

/// `[join]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinSettings {
    /// `listen`: an outer address of this gateway and a TCP port, in use while it has invitations.
    pub listen: SocketAddr,
}

impl Default for JoinSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 51823)) }
    }
}

/// `[local_api]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalApiSettings {
    /// `listen`: an address of this gateway on the zone's LAN, or loopback.
    pub listen: SocketAddr,
    /// `[[local_api.token]]`: who may register a SuperLink.
    pub tokens: Vec<TokenSettings>,
}

impl Default for LocalApiSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 51822)), tokens: Vec::new() }
    }
}

/// `[[local_api.token]]`: a bootstrap token, of which only the hash is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// `name`: for logs, unique.
    pub name: String,
    /// `sha256`: of the token's text.
    pub sha256: [u8; 32],
    /// `federation`: the one whose SuperLink may be registered with it.
    pub federation: FederationName,
    /// `expires`: the token is refused from then on. May already be past.
    pub expires: SystemTime,
}

/// `[[federation]]`: a federation whose SuperLink lives in this zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederationSettings {
    /// `name`: unique in the mesh.
    pub name: FederationName,
    /// `extra_sans`: names and addresses its SuperLink's certificate carries besides the usual ones.
    pub extra_sans: Vec<SubjectName>,
}

/// A name that a certificate may carry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectName {
    /// A DNS name, in lower case.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

/// `[[peer]]`: another zone and its gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSettings {
    /// `zone`: its name.
    pub zone: ZoneName,
    /// `wireguard_key`: its gateway's public key.
    pub wireguard_key: WireGuardPublicKey,
    /// `zone_key`: what its records are signed with.
    pub zone_key: ZonePublicKey,
    /// `endpoints`: how its gateway is reached, in order of preference; empty if it calls us.
    pub endpoints: Vec<Endpoint>,
    /// `prefixes`: its subnets, at least one, without host bits.
    pub prefixes: Vec<IpNet>,
    /// `tunnel_addresses`: its gateway's tunnel IPs, at least one.
    pub tunnel_addresses: Vec<IpAddr>,
    /// `preshared_key_file`: base64 of a WireGuard preshared key.
    pub preshared_key_file: Option<PathBuf>,
}

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogSettings {
    /// `level`: the least important messages that are still written.
    pub level: LogLevel,
    /// `format`: for people or for machines.
    pub format: LogFormat,
}

/// `log.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// The daemon stops.
    Error,
    /// Worth waking someone.
    Warn,
    /// Few, and for users.
    #[default]
    Info,
    /// For finding out why.
    Debug,
    /// Also per packet.
    Trace,
}

impl LogLevel {
    /// All levels, the quietest first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The text in the file, which is also what `tracing` calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line of text per message.
    #[default]
    Text,
    /// One JSON object per message.
    Json,
}

impl LogFormat {
    /// Both formats.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// The text in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}
