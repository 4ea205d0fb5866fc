//! What a person wrote: every readable value with its place, nothing derived yet.
//!
//! The stage between the text and [`Config`]. A value that is missing or unreadable has been
//! reported and is absent here, so the checks between sections still run on the rest.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use toml::de::DeTable;
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::name::{FederationName, ZoneName};

use crate::endpoint::Endpoint;
use crate::reader::{Mistakes, Placed, SectionReader};
use crate::settings::{Lanes, LogFormat, LogLevel, SubjectName};
use crate::{schema, value};

#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) zone: ZoneDraft,
    pub(crate) gateway: GatewayDraft,
    pub(crate) tunnel: TunnelDraft,
    pub(crate) keepalive: KeepaliveDraft,
    pub(crate) probes: ProbesDraft,
    pub(crate) registry: RegistryDraft,
    pub(crate) mesh: MeshDraft,
    pub(crate) join: JoinDraft,
    pub(crate) local_api: Option<LocalApiDraft>,
    pub(crate) federations: Vec<FederationDraft>,
    pub(crate) peers: Vec<PeerDraft>,
    pub(crate) log: LogDraft,
}

#[derive(Debug, Default)]
pub(crate) struct ZoneDraft {
    pub(crate) name: Option<Placed<ZoneName>>,
    pub(crate) prefixes: Vec<Placed<IpNet>>,
}

#[derive(Debug, Default)]
pub(crate) struct GatewayDraft {
    pub(crate) name: Option<Placed<String>>,
    pub(crate) state_dir: Option<Placed<PathBuf>>,
    pub(crate) admin_socket: Option<Placed<PathBuf>>,
    pub(crate) endpoints: Vec<Placed<Endpoint>>,
}

#[derive(Debug, Default)]
pub(crate) struct TunnelDraft {
    pub(crate) interface: Option<Placed<String>>,
    pub(crate) addresses: Vec<Placed<IpAddr>>,
    pub(crate) mtu: Option<Placed<u16>>,
    pub(crate) listen_port: Option<Placed<u16>>,
    pub(crate) lanes: Option<Placed<Lanes>>,
    pub(crate) realtime: Option<Placed<bool>>,
    pub(crate) private_key_file: Option<Placed<PathBuf>>,
}

#[derive(Debug, Default)]
pub(crate) struct KeepaliveDraft {
    pub(crate) wireguard: Option<Placed<Duration>>,
    pub(crate) grpc_interval: Option<Placed<Duration>>,
    pub(crate) grpc_timeout: Option<Placed<Duration>>,
}

#[derive(Debug, Default)]
pub(crate) struct ProbesDraft {
    pub(crate) interval: Option<Placed<Duration>>,
}

#[derive(Debug, Default)]
pub(crate) struct RegistryDraft {
    pub(crate) port: Option<Placed<u16>>,
    pub(crate) identity_key_file: Option<Placed<PathBuf>>,
    pub(crate) etcd: Option<EtcdDraft>,
}

#[derive(Debug)]
pub(crate) struct EtcdDraft {
    pub(crate) endpoints: Vec<Placed<String>>,
    pub(crate) prefix: Option<Placed<String>>,
    pub(crate) streams: Option<Placed<bool>>,
    pub(crate) ca_file: Option<Placed<PathBuf>>,
    pub(crate) certificate_file: Option<Placed<PathBuf>>,
    pub(crate) key_file: Option<Placed<PathBuf>>,
    pub(crate) user: Option<Placed<String>>,
    pub(crate) password_file: Option<Placed<PathBuf>>,
}

#[derive(Debug, Default)]
pub(crate) struct MeshDraft {
    pub(crate) neighbours: Option<Placed<u16>>,
}

#[derive(Debug, Default)]
pub(crate) struct JoinDraft {
    pub(crate) listen: Option<Placed<SocketAddr>>,
}

#[derive(Debug)]
pub(crate) struct LocalApiDraft {
    pub(crate) listen: Option<Placed<SocketAddr>>,
    pub(crate) tokens: Vec<TokenDraft>,
}

#[derive(Debug)]
pub(crate) struct TokenDraft {
    pub(crate) name: Option<Placed<String>>,
    pub(crate) sha256: Option<Placed<[u8; 32]>>,
    pub(crate) federation: Option<Placed<FederationName>>,
    pub(crate) expires: Option<Placed<SystemTime>>,
}

#[derive(Debug)]
pub(crate) struct FederationDraft {
    pub(crate) name: Option<Placed<FederationName>>,
    pub(crate) extra_sans: Vec<Placed<SubjectName>>,
}

#[derive(Debug)]
pub(crate) struct PeerDraft {
    pub(crate) zone: Option<Placed<ZoneName>>,
    pub(crate) wireguard_key: Option<Placed<WireGuardPublicKey>>,
    pub(crate) zone_key: Option<Placed<ZonePublicKey>>,
    pub(crate) endpoints: Vec<Placed<Endpoint>>,
    pub(crate) prefixes: Vec<Placed<IpNet>>,
    pub(crate) tunnel_addresses: Vec<Placed<IpAddr>>,
    pub(crate) preshared_key_file: Option<Placed<PathBuf>>,
}

#[derive(Debug, Default)]
pub(crate) struct LogDraft {
    pub(crate) level: Option<Placed<LogLevel>>,
    pub(crate) format: Option<Placed<LogFormat>>,
}

impl Draft {
    pub(crate) fn read<'t>(mistakes: &mut Mistakes<'t>, file: &DeTable<'t>) -> Self {
        let mut root = SectionReader::root(mistakes, file);
        Self {
            zone: ZoneDraft::read(&mut root),
            gateway: root.table(schema::GATEWAY).map(GatewayDraft::read).unwrap_or_default(),
            tunnel: TunnelDraft::read(&mut root),
            keepalive: root.table(schema::KEEPALIVE).map(KeepaliveDraft::read).unwrap_or_default(),
            probes: root.table(schema::PROBES).map(ProbesDraft::read).unwrap_or_default(),
            registry: root.table(schema::REGISTRY).map(RegistryDraft::read).unwrap_or_default(),
            mesh: root.table(schema::MESH).map(MeshDraft::read).unwrap_or_default(),
            join: root.table(schema::JOIN).map(JoinDraft::read).unwrap_or_default(),
            local_api: root.table(schema::LOCAL_API).map(LocalApiDraft::read),
            federations: root.tables(schema::FEDERATION, FederationDraft::read),
            peers: root.tables(schema::PEER, PeerDraft::read),
            log: root.table(schema::LOG).map(LogDraft::read).unwrap_or_default(),
        }
    }
}

impl ZoneDraft {
    fn read(root: &mut SectionReader<'_, '_>) -> Self {
        let name = "name = \"berlin\"";
        let prefixes = "prefixes = [\"10.10.10.0/24\"]";
        let Some(mut section) = root.required_table(schema::ZONE, &[name, prefixes]) else {
            return Self::default();
        };
        Self {
            name: section.required("name", value::zone_name, name),
            prefixes: section.required_list("prefixes", value::prefix, prefixes),
        }
    }
}

impl GatewayDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        Self {
            name: section.optional("name", value::gateway_name),
            state_dir: section.optional("state_dir", value::file),
            admin_socket: section.optional("admin_socket", value::socket),
            endpoints: section.list("endpoints", value::endpoint),
        }
    }
}

impl TunnelDraft {
    fn read(root: &mut SectionReader<'_, '_>) -> Self {
        let addresses = "addresses = [\"10.255.0.1\"]";
        let Some(mut section) = root.required_table(schema::TUNNEL, &[addresses]) else {
            return Self::default();
        };
        Self {
            interface: section.optional("interface", value::interface),
            addresses: section.required_list("addresses", value::tunnel_address, addresses),
            mtu: section.optional("mtu", value::mtu),
            listen_port: section.optional("listen_port", value::port),
            lanes: section.optional("lanes", value::lanes),
            realtime: section.optional("realtime", value::truth),
            private_key_file: section.optional("private_key_file", value::file),
        }
    }
}

impl KeepaliveDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        Self {
            wireguard: section.optional("wireguard", value::duration),
            grpc_interval: section.optional("grpc_interval", value::duration),
            grpc_timeout: section.optional("grpc_timeout", value::duration),
        }
    }
}

impl ProbesDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        Self { interval: section.optional("interval", value::probe_interval) }
    }
}

impl RegistryDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        Self {
            port: section.optional("port", value::port),
            identity_key_file: section.optional("identity_key_file", value::file),
            etcd: section.table(schema::ETCD).map(EtcdDraft::read),
        }
    }
}

impl EtcdDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        let endpoints = "endpoints = [\"https://10.10.10.9:2379\"]";
        Self {
            endpoints: section.required_list("endpoints", value::url, endpoints),
            prefix: section.optional("prefix", value::key_prefix),
            streams: section.optional("streams", value::truth),
            ca_file: section.optional("ca_file", value::file),
            certificate_file: section.optional("certificate_file", value::file),
            key_file: section.optional("key_file", value::file),
            user: section.optional("user", value::user),
            password_file: section.optional("password_file", value::file),
        }
    }
}

impl MeshDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        Self { neighbours: section.optional("neighbours", value::neighbours) }
    }
}

impl JoinDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        Self { listen: section.optional("listen", value::listen_address) }
    }
}

impl LocalApiDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        let listen = "listen = \"10.10.10.1:51822\"";
        Self {
            listen: section.required("listen", value::listen_address, listen),
            tokens: section.tables(schema::TOKEN, TokenDraft::read),
        }
    }
}

impl TokenDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        let sha256 = "sha256 = \"...\", which `zonemesh key generate token` prints";
        let expires = "expires = \"2027-01-01T00:00:00Z\"";
        Self {
            name: section.required("name", value::token_name, "name = \"superlink-vm\""),
            sha256: section.required("sha256", value::sha256, sha256),
            federation: section.required(
                "federation",
                value::federation_name,
                "federation = \"health-eu\"",
            ),
            expires: section.required("expires", value::expiry, expires),
        }
    }
}

impl FederationDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        Self {
            name: section.required("name", value::federation_name, "name = \"health-eu\""),
            extra_sans: section.list("extra_sans", value::subject_name),
        }
    }
}

impl PeerDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        let wireguard_key = "wireguard_key = \"...\", the public key that the peer gives you";
        let zone_key = "zone_key = \"ed25519:...\", the public key that the peer gives you";
        Self {
            zone: section.required("zone", value::zone_name, "zone = \"madrid\""),
            wireguard_key: section.required("wireguard_key", value::wireguard_key, wireguard_key),
            zone_key: section.required("zone_key", value::zone_key, zone_key),
            endpoints: section.list("endpoints", value::endpoint),
            prefixes: section.required_list(
                "prefixes",
                value::prefix,
                "prefixes = [\"10.10.11.0/24\"]",
            ),
            tunnel_addresses: section.required_list(
                "tunnel_addresses",
                value::tunnel_address,
                "tunnel_addresses = [\"10.255.0.2\"]",
            ),
            preshared_key_file: section.optional("preshared_key_file", value::file),
        }
    }
}

impl LogDraft {
    fn read(mut section: SectionReader<'_, '_>) -> Self {
        Self {
            level: section.optional("level", value::log_level),
            format: section.optional("format", value::log_format),
        }
    }
}
