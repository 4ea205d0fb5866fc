//! The way from text to [`Config`]: syntax, values, checks, defaults, in this order.
//!
//! Each stage reports all its mistakes. Only a text that is no TOML ends before the next stage,
//! because what can be recovered of it would give mistakes that nobody made.

use std::path::Path;

use toml::de::DeTable;
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::name::ZoneName;

use crate::checks;
use crate::draft::{
    Draft, EtcdDraft, FederationDraft, GatewayDraft, JoinDraft, KeepaliveDraft, LocalApiDraft,
    LogDraft, MeshDraft, PeerDraft, ProbesDraft, RegistryDraft, TokenDraft, TunnelDraft, ZoneDraft,
};
use crate::error::ConfigErrors;
use crate::origin::Origin;
use crate::reader::{Complaint, Mistakes, Placed};
use crate::settings::{
    Config, EtcdSettings, FederationSettings, GatewaySettings, JoinSettings, LocalApiSettings,
    LogSettings, MeshSettings, PeerSettings, ProbeSettings, RegistrySettings, TokenSettings,
    TunnelSettings, ZoneSettings,
};

impl Config {
    /// Reads the text of a configuration file; `file_name` only stands in messages.
    ///
    /// # Errors
    /// All mistakes of the file, each with its place, what was expected and the way out.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        let mut mistakes = Mistakes::new(text, file_name);
        let (file, syntax_errors) = DeTable::parse_recoverable(text);
        if !syntax_errors.is_empty() {
            for error in &syntax_errors {
                report_syntax(&mut mistakes, error);
            }
            return ConfigErrors::unless_empty(None, mistakes.into_parts().0);
        }
        let draft = Draft::read(&mut mistakes, file.get_ref());
        checks::run(&draft, &mut mistakes);
        let (errors, places) = mistakes.into_parts();
        let file = file_name.to_owned();
        let config = finish(draft, Origin { file, places });
        ConfigErrors::unless_empty(config, errors)
    }
}

fn report_syntax(mistakes: &mut Mistakes<'_>, error: &toml::de::Error) {
    let offset = error.span().map_or(0, |span| span.start);
    let (found, expected) = match error.message().split_once(", expected ") {
        Some((found, expected)) => (found, expected),
        None => (error.message(), "valid TOML"),
    };
    // The line itself is not repeated: the file may be a key file that was named by mistake.
    let complaint = Complaint::new(found, expected, "correct this line");
    mistakes.report("(syntax)", offset, complaint);
}

/// The typed configuration, or `None` if a value is missing, which has been reported.
fn finish(draft: Draft, origin: Origin) -> Option<Config> {
    let zone = zone(draft.zone)?;
    let gateway = gateway(draft.gateway, &zone.name);
    Some(Config {
        tunnel: tunnel(draft.tunnel, &gateway.state_dir),
        keepalive: keepalive(&draft.keepalive),
        probes: probes(draft.probes),
        registry: registry(draft.registry, &gateway.state_dir),
        mesh: mesh(&draft.mesh),
        join: join(&draft.join),
        local_api: match draft.local_api {
            Some(draft) => Some(local_api(draft)?),
            None => None,
        },
        federations: draft.federations.into_iter().filter_map(federation).collect(),
        peers: draft.peers.into_iter().filter_map(peer).collect(),
        log: log(&draft.log),
        gateway,
        zone,
        origin,
    })
}

fn value<T>(placed: Option<Placed<T>>) -> Option<T> {
    placed.map(|placed| placed.value)
}

fn values<T>(placed: Vec<Placed<T>>) -> Vec<T> {
    placed.into_iter().map(|placed| placed.value).collect()
}

fn zone(draft: ZoneDraft) -> Option<ZoneSettings> {
    Some(ZoneSettings { name: value(draft.name)?, prefixes: values(draft.prefixes) })
}

/// The name of a gateway that was not named.
pub(crate) fn default_gateway_name(zone: &ZoneName) -> String {
    format!("{zone}-gw1")
}

fn gateway(draft: GatewayDraft, zone: &ZoneName) -> GatewaySettings {
    let default = GatewaySettings::default();
    GatewaySettings {
        name: value(draft.name).unwrap_or_else(|| default_gateway_name(zone)),
        state_dir: value(draft.state_dir).unwrap_or(default.state_dir),
        admin_socket: value(draft.admin_socket).unwrap_or(default.admin_socket),
        endpoints: values(draft.endpoints),
    }
}

fn tunnel(draft: TunnelDraft, state_dir: &Path) -> TunnelSettings {
    let default = TunnelSettings::default();
    TunnelSettings {
        interface: value(draft.interface).unwrap_or(default.interface),
        addresses: values(draft.addresses),
        mtu: value(draft.mtu).or(default.mtu),
        listen_port: value(draft.listen_port).unwrap_or(default.listen_port),
        lanes: value(draft.lanes).unwrap_or(default.lanes),
        realtime: value(draft.realtime).unwrap_or(default.realtime),
        private_key_file: value(draft.private_key_file)
            .unwrap_or_else(|| state_dir.join("wireguard.key")),
    }
}

pub(crate) fn keepalive(draft: &KeepaliveDraft) -> Keepalive {
    let default = Keepalive::DEFAULT;
    let or = |given: &Option<Placed<_>>, default| given.as_ref().map_or(default, |g| g.value);
    Keepalive {
        wireguard: or(&draft.wireguard, default.wireguard),
        grpc_interval: or(&draft.grpc_interval, default.grpc_interval),
        grpc_timeout: or(&draft.grpc_timeout, default.grpc_timeout),
        ..default
    }
}

fn probes(draft: ProbesDraft) -> ProbeSettings {
    ProbeSettings { interval: value(draft.interval).unwrap_or(ProbeSettings::default().interval) }
}

fn registry(draft: RegistryDraft, state_dir: &Path) -> RegistrySettings {
    RegistrySettings {
        port: value(draft.port).unwrap_or(RegistrySettings::default().port),
        identity_key_file: value(draft.identity_key_file)
            .unwrap_or_else(|| state_dir.join("zone.key")),
        etcd: draft.etcd.map(etcd),
    }
}

fn etcd(draft: EtcdDraft) -> EtcdSettings {
    let default = EtcdSettings::default();
    EtcdSettings {
        endpoints: values(draft.endpoints),
        prefix: value(draft.prefix).unwrap_or(default.prefix),
        streams: value(draft.streams).unwrap_or(default.streams),
        ca_file: value(draft.ca_file),
        identity_files: value(draft.certificate_file).zip(value(draft.key_file)),
        login: value(draft.user).zip(value(draft.password_file)),
    }
}

fn mesh(draft: &MeshDraft) -> MeshSettings {
    let default = MeshSettings::default();
    MeshSettings {
        neighbours: draft.neighbours.as_ref().map_or(default.neighbours, |given| given.value),
    }
}

fn join(draft: &JoinDraft) -> JoinSettings {
    let default = JoinSettings::default();
    JoinSettings { listen: draft.listen.as_ref().map_or(default.listen, |given| given.value) }
}

fn local_api(draft: LocalApiDraft) -> Option<LocalApiSettings> {
    Some(LocalApiSettings {
        listen: value(draft.listen)?,
        tokens: draft.tokens.into_iter().filter_map(token).collect(),
    })
}

fn token(draft: TokenDraft) -> Option<TokenSettings> {
    Some(TokenSettings {
        name: value(draft.name)?,
        sha256: value(draft.sha256)?,
        federation: value(draft.federation)?,
        expires: value(draft.expires)?,
    })
}

fn federation(draft: FederationDraft) -> Option<FederationSettings> {
    Some(FederationSettings { name: value(draft.name)?, extra_sans: values(draft.extra_sans) })
}

fn peer(draft: PeerDraft) -> Option<PeerSettings> {
    Some(PeerSettings {
        zone: value(draft.zone)?,
        wireguard_key: value(draft.wireguard_key)?,
        zone_key: value(draft.zone_key)?,
        endpoints: values(draft.endpoints),
        prefixes: values(draft.prefixes),
        tunnel_addresses: values(draft.tunnel_addresses),
        preshared_key_file: value(draft.preshared_key_file),
    })
}

fn log(draft: &LogDraft) -> LogSettings {
    let default = LogSettings::default();
    LogSettings {
        level: draft.level.as_ref().map_or(default.level, |level| level.value),
        format: draft.format.as_ref().map_or(default.format, |format| format.value),
    }
}
