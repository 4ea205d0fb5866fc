//! What a companion is told: the ONEAPP_ZONEMESH_* keys of its VM, as types.
//!
//! It promises that a settings value can be used as it is, or every key that is wrong is named with
//! what was expected and an example. It refuses to look at the network or at files. A new key is a
//! row of the table, a field and a line that reads it, all here; then its use and its row in
//! docs/REFERENCE.md, which a test holds against [`KEYS`].

mod checks;
mod node_config;
mod onegate_keys;
mod strangers;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use zonemesh_core::name::FederationName;
use zonemesh_core::token::{VmRole, VmToken};

use crate::flower::{FlowerVersion, GivenPorts};
use crate::onegate::OneGate;
use crate::source::{ContextKey, KeyReaders, SettingsErrors, Variables};

pub(crate) use checks::gateway as local_api_address;
pub use onegate_keys::{onegate_lack, read as onegate};
pub use strangers::{OF_GATEWAYS, OLD, is_ours, strangers};

/// Port of a gateway's local API, unless ONEAPP_ZONEMESH_GATEWAY names another.
pub const LOCAL_API_PORT: u16 = 51822;

/// A token that is good nowhere.
pub const TOKEN_EXAMPLE: &str =
    "zmt1.key:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w.bm90LWEtc2VjcmV0LWF0LWFsbA";

/// Where the gateway's local API is.
#[derive(Debug, Clone)]
pub enum GatewayPlace {
    /// At this address.
    Given(SocketAddr),
    /// Where a VM of the service says, as OneGate tells it.
    Published(OneGate),
}

/// What both companions are told.
#[derive(Debug, Clone)]
pub struct CompanionSettings {
    /// What runs in this VM.
    pub role: VmRole,
    /// Name of the federation.
    pub federation: FederationName,
    /// The gateway's local API.
    pub gateway: GatewayPlace,
    /// Which zone the gateway must be of, and what proves this VM to it.
    pub token: VmToken,
    /// Folder of Flower's programs.
    pub flower_bin: PathBuf,
    /// User that Flower runs as.
    pub flower_user: Option<String>,
    /// The version that must be installed.
    pub flower_version: Option<FlowerVersion>,
    /// The companion's own folder.
    pub state_dir: PathBuf,
    /// OneGate, if the VM has it.
    pub onegate: Option<OneGate>,
}

/// Settings of `zonemesh-superlink`.
#[derive(Clone)]
pub struct SuperLinkSettings {
    /// What both companions are told.
    pub common: CompanionSettings,
    /// This VM's address in its zone.
    pub address: IpAddr,
    /// OneGate proves to the gateway which VM this is.
    pub shows_onegate: bool,
    /// SuperNodes are admitted by their keys only.
    pub authenticates: bool,
    /// The ports that are given; the others are Flower's.
    pub ports: GivenPorts,
}

/// Settings of `zonemesh-supernode`.
#[derive(Debug, Clone)]
pub struct SuperNodeSettings {
    /// What both companions are told.
    pub common: CompanionSettings,
    /// For the ClientApps.
    pub node_config: Option<String>,
    /// The ports that are given; the others are Flower's.
    pub ports: GivenPorts,
}

const FEDERATION: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_FEDERATION",
    readers: KeyReaders::Both,
    default: "required",
    meaning: "the federation",
    expected: "a federation's name: a-z, 0-9 and '-', 1 to 63 characters",
    example: "health-eu",
    secret: false,
};
const GATEWAY: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_GATEWAY",
    readers: KeyReaders::Both,
    default: "asked of OneGate",
    meaning: "IP or IP:PORT of the gateway's local API",
    expected: "IP:PORT of the gateway's local API",
    example: "10.10.10.1:51822",
    secret: false,
};
const TOKEN: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_TOKEN",
    readers: KeyReaders::Both,
    default: "required",
    meaning: "this VM's token: says which zone's gateway is talked to, and proves this VM there; secret",
    expected: "the token that `zonemesh key generate token` printed",
    example: "zmt1.key:....",
    secret: true,
};
const ADDRESS: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_ADDRESS",
    readers: KeyReaders::SuperLink,
    default: "`ETH0_IP`",
    meaning: "this VM's address in its zone",
    expected: "the IP address of this VM in its zone (without it, ETH0_IP is taken)",
    example: "10.10.10.5",
    secret: false,
};
const IDENTITY: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_IDENTITY",
    readers: KeyReaders::SuperLink,
    default: "none",
    meaning: "`onegate`: the gateway, once pinned, is shown this VM's OneGate token, for `local_api.onegate`",
    expected: "onegate, in a VM with TOKEN=YES",
    example: "onegate",
    secret: false,
};
const NODE_CONFIG: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_NODE_CONFIG",
    readers: KeyReaders::SuperNode,
    default: "the VM's part in its OneFlow role, if it has one",
    meaning: "`key=value` pairs for the ClientApps",
    expected: "key=value pairs with spaces between them; a value is a number, true, false or a quoted text",
    example: "partition-id=0 num-partitions=2 site='berlin'",
    secret: false,
};
const TLS_ENABLED: ContextKey = ContextKey {
    name: "ONEAPP_FL_TLS_ENABLED",
    readers: KeyReaders::Both,
    default: "`YES`",
    meaning: "of the single-site appliances; `NO` is refused: SuperNodes of other zones are there",
    expected: "YES, or nothing: across zones Flower speaks TLS, and its certificates come by themselves",
    example: "YES",
    secret: false,
};
const SUPERNODE_AUTH: ContextKey = ContextKey {
    name: "ONEAPP_FL_SUPERNODE_AUTH",
    readers: KeyReaders::SuperLink,
    default: "`YES`",
    meaning: "SuperNodes take part by their registered keys only; `NO` lets every VM of a training zone in",
    expected: "YES or NO",
    example: "YES",
    secret: false,
};
const FLOWER_BIN: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_FLOWER_BIN",
    readers: KeyReaders::Both,
    default: "`/opt/flower/bin`",
    meaning: "folder of Flower's programs",
    expected: "an absolute path: the folder with flwr, flower-superlink and flower-supernode",
    example: "/opt/flower/bin",
    secret: false,
};
const FLOWER_USER: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_FLOWER_USER",
    readers: KeyReaders::Both,
    default: "the companion's own",
    meaning: "user that Flower runs as",
    expected: "the name of a user of this VM",
    example: "flower",
    secret: false,
};
const FLOWER_VERSION: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_FLOWER_VERSION",
    readers: KeyReaders::Both,
    default: "any that is supported",
    meaning: "the version that must be installed",
    expected: "the Flower version that must be installed",
    example: "1.25.0",
    secret: false,
};
const STATE_DIR: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_STATE_DIR",
    readers: KeyReaders::Both,
    default: "`/var/lib/zonemesh-superlink`, `/var/lib/zonemesh-supernode`",
    meaning: "the companion's own folder",
    expected: "an absolute path",
    example: "/var/lib/zonemesh-supernode",
    secret: false,
};
const FLEET_PORT: ContextKey = port_key(
    "ONEAPP_ZONEMESH_FLEET_PORT",
    KeyReaders::SuperLink,
    "9092; 8000 from Flower 1.40 on",
    "port for SuperNodes",
);
const CONTROL_PORT: ContextKey = port_key(
    "ONEAPP_ZONEMESH_CONTROL_PORT",
    KeyReaders::SuperLink,
    "9093; none of its own from Flower 1.40 on",
    "port for `flwr run`",
);
const SERVERAPPIO_PORT: ContextKey = port_key(
    "ONEAPP_ZONEMESH_SERVERAPPIO_PORT",
    KeyReaders::SuperLink,
    "9091; none of its own from Flower 1.40 on",
    "loopback port for ServerApps",
);
const HEALTH_PORT: ContextKey = port_key(
    "ONEAPP_ZONEMESH_HEALTH_PORT",
    KeyReaders::SuperLink,
    "9099; none of its own from Flower 1.40 on",
    "loopback port of Flower's health service",
);
const CLIENTAPPIO_PORT: ContextKey = port_key(
    "ONEAPP_ZONEMESH_CLIENTAPPIO_PORT",
    KeyReaders::SuperNode,
    "9094",
    "loopback port for ClientApps",
);
const ETH0_IP: ContextKey = ContextKey {
    name: "ETH0_IP",
    readers: KeyReaders::SuperLink,
    default: "none",
    meaning: "OpenNebula's own: the address, if `ONEAPP_ZONEMESH_ADDRESS` is not given",
    expected: "the IP address of this VM's first interface",
    example: "10.10.10.5",
    secret: false,
};
const ONEGATE_ENDPOINT: ContextKey = onegate_key(
    "ONEGATE_ENDPOINT",
    "OpenNebula's own: with the next two, OneGate is told `READY=YES`, and asked for the gateway",
    "http://169.254.16.9:5030",
);
const VMID: ContextKey = onegate_key("VMID", "OpenNebula's own", "7");
const TOKENTXT: ContextKey =
    onegate_key("TOKENTXT", "OpenNebula's own: this VM's OneGate token; secret", "bXktdG9rZW4=");

/// The table, in the order of the documents.
pub const KEYS: &[ContextKey] = &[
    FEDERATION,
    GATEWAY,
    TOKEN,
    ADDRESS,
    IDENTITY,
    NODE_CONFIG,
    TLS_ENABLED,
    SUPERNODE_AUTH,
    FLOWER_BIN,
    FLOWER_USER,
    FLOWER_VERSION,
    STATE_DIR,
    FLEET_PORT,
    CONTROL_PORT,
    SERVERAPPIO_PORT,
    HEALTH_PORT,
    CLIENTAPPIO_PORT,
    ETH0_IP,
    ONEGATE_ENDPOINT,
    VMID,
    TOKENTXT,
];

const fn port_key(
    name: &'static str,
    readers: KeyReaders,
    usual: &'static str,
    meaning: &'static str,
) -> ContextKey {
    ContextKey {
        name,
        readers,
        default: usual,
        meaning,
        expected: "a TCP port from 1 to 65535",
        example: "19092",
        secret: false,
    }
}

const fn onegate_key(
    name: &'static str,
    meaning: &'static str,
    example: &'static str,
) -> ContextKey {
    ContextKey {
        name,
        readers: KeyReaders::Both,
        default: "none",
        meaning,
        expected: "what OpenNebula gives with TOKEN=YES, the token in /run/one-context/one_env",
        example,
        secret: true,
    }
}

/// Reads the settings of `zonemesh-superlink`.
///
/// # Errors
/// Every key that is missing or wrong.
pub fn superlink(mut variables: Variables<'_>) -> Result<SuperLinkSettings, SettingsErrors> {
    let common = common(&mut variables, VmRole::SuperLink);
    let address = address(&mut variables);
    let has_onegate = onegate_keys::are_there(&variables);
    let shows = variables.optional(IDENTITY, |text| checks::identity(text, has_onegate));
    let authenticates = variables.optional(SUPERNODE_AUTH, checks::yes_or_no).unwrap_or(true);
    let ports = GivenPorts {
        fleet: variables.optional(FLEET_PORT, checks::port),
        control: variables.optional(CONTROL_PORT, checks::port),
        serverappio: variables.optional(SERVERAPPIO_PORT, checks::port),
        health: variables.optional(HEALTH_PORT, checks::port),
        clientappio: None,
    };
    let settings = match (common, address) {
        (Some(common), Some(address)) => {
            let shows_onegate = shows.is_some();
            Some(SuperLinkSettings { common, address, shows_onegate, authenticates, ports })
        }
        _ => None,
    };
    variables.finish(settings)
}

/// Reads the settings of `zonemesh-supernode`.
///
/// # Errors
/// Every key that is missing or wrong.
pub fn supernode(mut variables: Variables<'_>) -> Result<SuperNodeSettings, SettingsErrors> {
    let common = common(&mut variables, VmRole::SuperNode);
    let node_config = variables.optional(NODE_CONFIG, node_config::parse);
    let clientappio = variables.optional(CLIENTAPPIO_PORT, checks::port);
    let ports = GivenPorts { clientappio, ..GivenPorts::default() };
    let settings = common.map(|common| SuperNodeSettings { common, node_config, ports });
    variables.finish(settings)
}

fn common(variables: &mut Variables<'_>, role: VmRole) -> Option<CompanionSettings> {
    let federation = variables.required(FEDERATION, str::parse);
    let onegate = onegate_keys::read(variables);
    let gateway = gateway(variables, onegate.as_ref());
    let token = variables.required(TOKEN, str::parse);
    let _always = variables.optional(TLS_ENABLED, checks::tls);
    let flower_bin = variables.optional(FLOWER_BIN, checks::absolute);
    let flower_user = variables.optional(FLOWER_USER, checks::user);
    let flower_version = variables.optional(FLOWER_VERSION, str::parse);
    let given_state_dir = variables.optional(STATE_DIR, checks::absolute);
    Some(CompanionSettings {
        role,
        federation: federation?,
        gateway: gateway?,
        token: token?,
        flower_bin: flower_bin.unwrap_or_else(|| FLOWER_BIN.example.into()),
        flower_user,
        flower_version,
        state_dir: given_state_dir
            .unwrap_or_else(|| format!("/var/lib/zonemesh-{}", role.as_str()).into()),
        onegate,
    })
}

/// Given, or else to be asked of OneGate; a VM that can do neither is not started.
fn gateway(variables: &mut Variables<'_>, onegate: Option<&OneGate>) -> Option<GatewayPlace> {
    if variables.raw(GATEWAY).is_some() {
        return variables.optional(GATEWAY, checks::gateway).map(GatewayPlace::Given);
    }
    if onegate.is_none() {
        onegate_keys::say_what_lacks(variables);
    }
    onegate.cloned().map(GatewayPlace::Published)
}

fn address(variables: &mut Variables<'_>) -> Option<IpAddr> {
    if variables.raw(ADDRESS).is_none() && variables.raw(ETH0_IP).is_some() {
        return variables.optional(ETH0_IP, checks::own_address);
    }
    variables.required(ADDRESS, checks::own_address)
}
