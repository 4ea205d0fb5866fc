//! The keys of the configuration file, by section.
//!
//! The one list that the reader checks unknown keys against and the annotated example is tested
//! against. What a key means and which values it takes: `settings` and `value`.

/// One section of the file and its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// The dotted name, for example `local_api.token`.
    pub name: &'static str,
    /// True for `[[name]]`, which may stand many times.
    pub repeated: bool,
    /// The keys, in the order of the example.
    pub keys: &'static [&'static str],
}

impl Section {
    /// The line that opens it: `[tunnel]`, `[[peer]]`.
    #[must_use]
    pub fn heading(&self) -> String {
        let name = self.name;
        if self.repeated { format!("[[{name}]]") } else { format!("[{name}]") }
    }
}

const fn once(name: &'static str, keys: &'static [&'static str]) -> Section {
    Section { name, repeated: false, keys }
}

const fn many(name: &'static str, keys: &'static [&'static str]) -> Section {
    Section { name, repeated: true, keys }
}

pub(crate) const ZONE: Section = once("zone", &["name", "prefixes"]);
pub(crate) const GATEWAY: Section =
    once("gateway", &["name", "state_dir", "admin_socket", "endpoints"]);
pub(crate) const TUNNEL: Section = once(
    "tunnel",
    &["interface", "addresses", "mtu", "listen_port", "lanes", "realtime", "private_key_file"],
);
pub(crate) const KEEPALIVE: Section =
    once("keepalive", &["wireguard", "grpc_interval", "grpc_timeout"]);
pub(crate) const PROBES: Section = once("probes", &["interval"]);
pub(crate) const REGISTRY: Section = once("registry", &["port", "identity_key_file", "etcd"]);
pub(crate) const ETCD: Section = once(
    "registry.etcd",
    &[
        "endpoints",
        "prefix",
        "streams",
        "ca_file",
        "certificate_file",
        "key_file",
        "user",
        "password_file",
    ],
);
pub(crate) const MESH: Section = once("mesh", &["neighbours"]);
pub(crate) const JOIN: Section = once("join", &["listen"]);
pub(crate) const LOCAL_API: Section = once("local_api", &["listen", "token"]);
pub(crate) const TOKEN: Section =
    many("local_api.token", &["name", "sha256", "federation", "expires"]);
pub(crate) const FEDERATION: Section = many("federation", &["name", "extra_sans"]);
pub(crate) const PEER: Section = many(
    "peer",
    &[
        "zone",
        "wireguard_key",
        "zone_key",
        "endpoints",
        "prefixes",
        "tunnel_addresses",
        "preshared_key_file",
    ],
);
pub(crate) const LOG: Section = once("log", &["level", "format"]);

/// The file itself: its keys are the sections.
pub(crate) const ROOT: Section = once(
    "",
    &[
        "zone",
        "gateway",
        "tunnel",
        "keepalive",
        "probes",
        "registry",
        "mesh",
        "join",
        "local_api",
        "federation",
        "peer",
        "log",
    ],
);

/// All sections, in the order of the example.
pub const SCHEMA: [Section; 14] = [
    ZONE, GATEWAY, TUNNEL, KEEPALIVE, PROBES, REGISTRY, ETCD, MESH, JOIN, LOCAL_API, TOKEN,
    FEDERATION, PEER, LOG,
];
