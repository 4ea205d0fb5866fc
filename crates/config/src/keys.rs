//! The one table of the configuration's keys.
//!
//! Each row is a key: its type, the parser that checks it, whether it may be left out and what then
//! holds, when a change counts, and above it what it means. The typed settings, the reading of the
//! file, the defaults and the tables of REFERENCE.md follow from it. Units are in the types. The
//! annotated example is `configs/zonemesh.example.toml`; checks between keys are in `checks`.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::token::{TokenHash, VmRole};

use crate::defaults::{self, Known};
use crate::endpoint::Endpoint;
use crate::mistakes::Placed;
use crate::reader::SectionReader;
use crate::schema::{KeyNeed, KeySpec, SectionCount, SectionSpec, TakesEffect};
use crate::table::section;
use crate::value::{self, Lanes, LogFormat, LogLevel, SubjectName, WgSockets};

/// All sections of the file and their keys, in the order of the annotated example.
pub const SECTIONS: [SectionSpec; 16] = [
    DraftZone::SPEC,
    DraftGateway::SPEC,
    DraftTunnel::SPEC,
    DraftKeepalive::SPEC,
    DraftProbes::SPEC,
    DraftRegistry::SPEC,
    DraftEtcd::SPEC,
    DraftMesh::SPEC,
    DraftJoin::SPEC,
    DraftLocalApi::SPEC,
    DraftToken::SPEC,
    DraftFederation::SPEC,
    DraftPeer::SPEC,
    DraftWireGuardPeer::SPEC,
    DraftLog::SPEC,
    DraftHttp::SPEC,
];

section! {
    /// `[zone]`: the zone that this gateway speaks for.
    ZoneSettings, DraftZone = Once "zone";

    /// the zone, unique in the mesh: 1 to 63 of a-z, 0-9, `-`
    name: ZoneName = one(value::zone_name), Required("name = \"berlin\""), OnRestart;
    /// its subnets that other zones may reach, at most 1024; no two zones share an address
    prefixes: IpNet = list(value::prefix), Required("prefixes = [\"10.10.10.0/24\"]"), OnReload;
}

section! {
    /// `[gateway]`: this machine.
    GatewaySettings, DraftGateway = Once "gateway";

    /// in records and logs
    name: String = one(value::gateway_name), Default("\"<zone>-gw1\""), OnRestart;
    /// [keys, records, certificates](#state-of-a-gateway)
    state_dir: PathBuf = one(value::file), Default("\"/var/lib/zonemesh\""), OnRestart;
    /// socket of the `zonemesh` tool, at most 107 bytes
    admin_socket: PathBuf
        = one(value::socket), Default("\"/run/zonemesh/admin.sock\""), OnReload;
    /// folder of the socket that [`wg`](#wg-on-a-gateway) speaks to; `"off"`: there is none
    wg_sockets: WgSockets
        = one(value::wg_sockets), Default("\"/var/run/wireguard\""), Anew;
    /// how others reach this gateway, best first, at most 16: `IP:port`, `[IPv6]:port`, `name:port`;
    /// empty behind a NAT
    endpoints: Endpoint = list(value::endpoint), Default("[]"), OnReload;
}

/// RFC 8200, section 5: every IPv6 link carries 1280 bytes. Round the largest packet an IPv6 header,
/// a UDP header and WireGuard's 32 bytes have to fit.
const MTUS: RangeInclusive<u16> = 1280..=65535 - 80;
const MTU_FIX: &str =
    "leave it out, or take the path's MTU less 80 (1420 on Ethernet); IPv6 needs at least 1280";

section! {
    /// `[tunnel]`: the WireGuard side.
    TunnelSettings, DraftTunnel = Once "tunnel";

    /// the TUN device, 1 to 15 bytes
    interface: String = one(value::interface), Default("\"zm0\""), OnRestart;
    /// this gateway's addresses inside the tunnels, at most 8; left out, those that the mesh has
    /// granted its zone
    addresses: IpAddr = list(value::tunnel_address), Default("[]"), Anew;
    /// 1280 to 65455; left out, the smallest underlay less 60 (IPv4) or 80 (IPv6), at most 1420
    /// ([more](RELIABILITY.md#mtu))
    mtu: u16 = one(|mtu| value::count(mtu, MTUS, "bytes", MTU_FIX)), Absent("derived"), OnReload;
    /// UDP port of WireGuard
    listen_port: u16 = one(value::port), Default("51820"), Anew;
    /// cores that may work for one other gateway, 1 to 8; each lane from the second on has a UDP
    /// port, `listen_port` + 11 and up ([more](design/data-plane.md#lanes)). `"auto"`: 1 below four
    /// cores, then half of them up to 4; [unmeasured](PERFORMANCE.md#lanes)
    lanes: Lanes = one(value::lanes), Default("1"), Anew;
    /// while there is much to carry, the tunnel's threads run before ordinary programs of this
    /// machine for a fifth of the time and have a larger share than they for the rest, on one core
    /// neither ([more](design/data-plane.md#busy-threads)); it takes the right to the lowest
    /// real-time priority and to be eight less nice than the service (`LimitRTPRIO=1` and
    /// `LimitNICE=-8` in the unit; a `Nice=` of its own moves the latter), without
    /// which the log says so once
    realtime: bool = one(value::truth), Default("true"), Anew;
    /// made on first start
    private_key_file: PathBuf
        = one(value::file), Default("\"<state_dir>/wireguard.key\""), OnRestart;
}

section! {
    /// `[keepalive]`: what keeps quiet paths open; obeys the law of `zonemesh_core::keepalive`.
    #[derive(Copy)]
    KeepaliveSettings, DraftKeepalive = Once "keepalive";

    /// silence after which an empty packet goes to every peer; 1s to 29s
    wireguard: Duration = one(value::duration), Default("\"25s\""), OnReload;
    /// silence after which a registry stream is tried; at least 30s
    grpc_interval: Duration = one(value::duration), Default("\"60s\""), OnReload;
    /// without an answer the stream ends and is opened again
    grpc_timeout: Duration = one(value::duration), Default("\"20s\""), OnReload;
}

/// Seldom enough to weigh nothing, often enough to see a cut within seconds.
const PROBE_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(5);
const PROBE_FIX: &str = "\"1s\" is usual: a cut is then seen after 6s";

section! {
    /// `[probes]`: how the paths to the peers are watched.
    #[derive(Copy)]
    ProbeSettings, DraftProbes = Once "probes";

    /// distance of the small probes inside each tunnel; 100ms to 5s
    interval: Duration
        = one(|time| value::duration_within(time, PROBE_INTERVALS, PROBE_FIX)),
        Default("\"1s\""), OnReload;
}

section! {
    /// `[registry]`: the exchange of zone records inside the tunnels.
    RegistrySettings, DraftRegistry = Once "registry";

    /// TCP port on the tunnel addresses; the same in all zones
    port: u16 = one(value::port), Default("51821"), Anew;
    /// certifies this zone's gateway; made on first start; whoever has it is this zone
    identity_key_file: PathBuf
        = one(value::file), Default("\"<state_dir>/zone.key\""), OnRestart;
    /// the section below
    etcd: EtcdSettings = section(DraftEtcd), Absent("none"), OnReload;
}

section! {
    /// `[registry.etcd]`: an etcd cluster that the signed items go through as well.
    EtcdSettings, DraftEtcd = Once "registry.etcd";

    /// `https://host:port` or `http://host:port` of its members, tried one after another
    endpoints: String
        = list(value::url), Required("endpoints = [\"https://10.10.10.9:2379\"]"), OnReload;
    /// where the keys begin; the same in all zones
    prefix: String = one(value::key_prefix), Default("\"/zonemesh\""), OnReload;
    /// `false`: this gateway opens no registry streams besides
    streams: bool = one(value::truth), Default("true"), OnReload;
    /// PEM; etcd's certificate must chain to it; needed with `https`
    ca_file: PathBuf = one(value::file), Absent("none"), OnReload;
    /// PEM, this gateway's; with `key_file`
    certificate_file: PathBuf = one(value::file), Absent("none"), OnReload;
    /// PEM, its private key; only with `https`
    key_file: PathBuf = one(value::file), Absent("none"), OnReload;
    /// with `password_file`
    user: String = one(value::user), Absent("none"), OnReload;
    /// that user's password; only with `https`
    password_file: PathBuf = one(value::file), Absent("none"), OnReload;
}

const NEIGHBOURS_FIX: &str = "6 is usual: fewer make changes slow to arrive, more cost traffic";

section! {
    /// `[mesh]`: how a managed mesh spreads its registry.
    #[derive(Copy)]
    MeshSettings, DraftMesh = Once "mesh";

    /// registry streams that this gateway keeps, about; 2 to 64, the same in all zones
    neighbours: u16
        = one(|count| value::count(count, 2..=64, "neighbours", NEIGHBOURS_FIX)),
        Default("6"), OnReload;
}

section! {
    /// `[join]`: where zones that this gateway has invited call.
    #[derive(Copy)]
    JoinSettings, DraftJoin = Once "join";

    /// where zones that join call, and zones that ask whether they are out; in a managed mesh
    listen: SocketAddr = one(value::listen_address), Default("\"0.0.0.0:51823\""), OnReload;
}

section! {
    /// `[local_api]`: what the zone's own VMs talk to.
    LocalApiSettings, DraftLocalApi = Once "local_api";

    /// this gateway's LAN address and a TCP port; until it can be had, [N226](codes/N226.md);
    /// `0.0.0.0` or `[::]`: all addresses, and still only the zone's own VMs are served
    listen: SocketAddr
        = one(value::listen_address), Required("listen = \"10.10.10.1:51822\""), OnReload;
    /// OneGate as this gateway reaches it: who registers a SuperLink must then prove its VM by it too
    onegate: String = one(value::url), Absent("none"), OnReload;
    /// an address of this gateway in `zone.prefixes`, or loopback, and a TCP port, at which scripts
    /// read in [OneGate's form](#a-view-for-scripts) where the SuperLink is, over HTTP without TLS
    onegate_view: SocketAddr = one(value::listen_address), Absent("none"), OnReload;
    /// the sections below
    tokens as "token": TokenSettings = sections(DraftToken), Absent("none"), OnReload;
}

section! {
    /// `[[local_api.token]]`: a token of a VM, of which only the hash is known here.
    TokenSettings, DraftToken = Many "local_api.token";

    /// for logs
    name: String = one(value::token_name), Required("name = \"superlink-vm\""), OnReload;
    /// what the VM that has it runs: `superlink` or `supernode`
    role: VmRole = one(value::vm_role), Required("role = \"superlink\""), OnReload;
    /// hash of the token; `zonemesh key generate token` prints both
    sha256: TokenHash
        = one(value::token_hash),
        Required("sha256 = \"zmt1:...\", which `zonemesh key generate token` prints"), OnReload;
    /// the one federation it is good for
    federation: FederationName = one(value::federation_name), Absent("any"), OnReload;
    /// RFC 3339; refused from then on
    expires: SystemTime = one(value::expiry), Absent("never"), OnReload;
}

section! {
    /// `[[federation]]`: a federation whose SuperLink lives in this zone.
    FederationSettings, DraftFederation = Many "federation";

    /// the federation, unique in the mesh; a zone has at most 64
    name: FederationName = one(value::federation_name), Required("name = \"health-eu\""), OnReload;
    /// more names and addresses in the SuperLink's certificate
    extra_sans: SubjectName = list(value::subject_name), Default("[]"), OnReload;
}

section! {
    /// `[[peer]]`: another zone and its gateway.
    PeerSettings, DraftPeer = Many "peer";

    /// the other zone
    zone: ZoneName = one(value::zone_name), Required("zone = \"madrid\""), OnReload;
    /// its gateway's WireGuard public key
    wireguard_key: WireGuardPublicKey
        = one(value::wireguard_key),
        Required("wireguard_key = \"...\", the public key that the peer gives you"), OnReload;
    /// what its gateways are certified with
    zone_key: ZonePublicKey
        = one(value::zone_key),
        Required("zone_key = \"ed25519:...\", the public key that the peer gives you"), OnReload;
    /// how its gateway is reached, best first, at most 16; names are looked up again when the path
    /// is lost
    endpoints: Endpoint = list(value::endpoint), Default("[]"), OnReload;
    /// its subnets, at most 1024; packets and records that claim more are refused
    prefixes: IpNet = list(value::prefix), Required("prefixes = [\"10.10.11.0/24\"]"), OnReload;
    /// its gateway's addresses inside the tunnels, at most 8
    tunnel_addresses: IpAddr
        = list(value::tunnel_address), Required("tunnel_addresses = [\"10.255.0.2\"]"), OnReload;
    /// a secret that both sides share, as `wg genpsk` writes it
    preshared_key_file: PathBuf = one(value::file), Absent("none"), OnReload;
}

/// WireGuard counts the distance of keepalives in seconds, in 16 bits.
const PERSISTENT_KEEPALIVES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(65_535);
const PERSISTENT_KEEPALIVE_FIX: &str =
    "\"25s\" is usual where this gateway is behind a NAT; else leave it out";

section! {
    /// `[[wireguard_peer]]`: a router or host that runs plain WireGuard, without Zonemesh.
    WireGuardPeerSettings, DraftWireGuardPeer = Many "wireguard_peer";

    /// what it is called here: 1 to 63 of a-z, 0-9, `-`; no zone's name
    name: ZoneName = one(value::peer_name), Required("name = \"office\""), OnReload;
    /// its WireGuard public key
    public_key: WireGuardPublicKey
        = one(value::peer_public_key),
        Required("public_key = \"...\", what `wg show INTERFACE public-key` prints there"), OnReload;
    /// what may come from it and is sent to it: its own addresses and the subnets behind it; no part
    /// of them is this zone's or another zone's
    allowed_ips: IpNet
        = list(value::allowed_ip), Required("allowed_ips = [\"10.10.20.0/24\"]"), OnReload;
    /// where it is: `IP:port`, `[IPv6]:port`, `name:port`; a name is looked up again and again; left
    /// out, it calls this gateway
    endpoint: Endpoint = one(value::endpoint), Absent("none"), OnReload;
    /// a secret that both sides share, as `wg genpsk` writes it
    preshared_key_file: PathBuf = one(value::file), Absent("none"), OnReload;
    /// silence after which an empty packet goes to it, 1s to 65535s; left out, none does, and there
    /// is a session only while there is something to carry
    persistent_keepalive: Duration
        = one(|time| value::duration_within(time, PERSISTENT_KEEPALIVES, PERSISTENT_KEEPALIVE_FIX)),
        Absent("off"), OnReload;
}

section! {
    /// `[log]`: what is written to standard error.
    #[derive(Copy)]
    LogSettings, DraftLog = Once "log";

    /// error, warn, info, debug, trace
    level: LogLevel = one(value::log_level), Default("\"info\""), OnReload;
    /// or `"json"`
    format: LogFormat = one(value::log_format), Default("\"text\""), OnReload;
}

impl From<&Keepalive> for KeepaliveSettings {
    fn from(keepalive: &Keepalive) -> Self {
        let Keepalive { wireguard, grpc_interval, grpc_timeout, .. } = *keepalive;
        Self { wireguard, grpc_interval, grpc_timeout }
    }
}

section! {
    /// `[http]`: two states of this gateway, for probes of a container engine or a load balancer.
    #[derive(Copy)]
    HttpSettings, DraftHttp = Once "http";

    /// a loopback address and a TCP port, where [`/livez` and `/readyz`](#whether-it-lives) answer
    listen: SocketAddr
        = one(value::loopback_address), Required("listen = \"127.0.0.1:9824\""), Anew;
}

impl From<KeepaliveSettings> for Keepalive {
    fn from(settings: KeepaliveSettings) -> Self {
        let KeepaliveSettings { wireguard, grpc_interval, grpc_timeout } = settings;
        Self { wireguard, grpc_interval, grpc_timeout, ..Self::DEFAULT }
    }
}
