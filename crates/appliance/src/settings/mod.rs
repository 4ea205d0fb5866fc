//! What a companion is told: the ONEAPP_ZONEMESH_* keys of its VM, as types.
//!
//! It promises that a settings value can be used as it is, or every key that is wrong is named with
//! what was expected and an example. It refuses to look at the network or at files. A new key is a
//! row of [`zonemesh_context::keys`], and a field and a line that reads it here; then its use.

mod fixed;
mod fleet;
pub mod log_wish;
mod onegate_keys;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use zonemesh_context::judged::{self, companion as checks};
use zonemesh_context::keys::flower::{
    CLIENTAPPIO_PORT, CUDA_VISIBLE_DEVICES, DATABASE, FLOWER_BIN, FLOWER_USER, FLOWER_VERSION,
    GRPC_KEEPALIVE_TIME, GRPC_KEEPALIVE_TIMEOUT, ISOLATION, NODE_CONFIG, SUPERNODE_AUTH,
    TLS_ENABLED,
};
use zonemesh_context::keys::later;
use zonemesh_context::keys::mesh::{
    FEDERATION, GATEWAY, GATEWAY_STATUS, IDENTITY, STATE_DIR, TOKEN,
};
use zonemesh_context::values::truth;
use zonemesh_context::{Appliance, SettingsErrors, Variables};
use zonemesh_core::name::FederationName;
use zonemesh_core::token::{VmRole, VmToken};

use crate::flower::{FlowerVersion, GivenPorts, KEEPALIVE};
use crate::onegate::OneGate;

use fleet::FleetPlace;

pub use fixed::{FixedAddress, FixedSuperLink};
pub use fleet::distinct_ports;
pub use onegate_keys::{onegate_lack, read as onegate};
pub(crate) use zonemesh_context::judged::companion::local_api as local_api_address;

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
    /// In this VM, where its companion's status file says.
    SameVm(PathBuf),
}

/// The zone's gateway.
#[derive(Debug, Clone)]
pub struct MeshSettings {
    /// Its local API.
    pub gateway: GatewayPlace,
    /// Which zone it must be of, and what proves this VM to it.
    pub token: VmToken,
}

/// How a SuperNode finds its SuperLink.
#[derive(Debug, Clone)]
pub enum SuperLinkPlace {
    /// The zone's gateway says where it is, and which CA to trust.
    Mesh(MeshSettings),
    /// CONTEXT does.
    Fixed(FixedSuperLink),
}

/// What both companions are told.
#[derive(Debug, Clone)]
pub struct CompanionSettings {
    /// What runs in this VM.
    pub role: VmRole,
    /// Name of the federation.
    pub federation: FederationName,
    /// The status file of the gateway's companion, if that runs in this VM, too.
    pub gateway_status: Option<PathBuf>,
    /// Folder of Flower's programs.
    pub flower_bin: PathBuf,
    /// User that Flower runs as.
    pub flower_user: Option<String>,
    /// The version that must be installed.
    pub flower_version: Option<FlowerVersion>,
    /// Flower's keepalive is said, as it is anyway.
    pub says_keepalive: bool,
    /// The accelerators that Flower may use, if CONTEXT says some.
    pub accelerators: Option<String>,
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
    /// The zone's gateway.
    pub mesh: MeshSettings,
    /// This VM's address in its zone.
    pub address: IpAddr,
    /// OneGate proves to the gateway which VM this is.
    pub shows_onegate: bool,
    /// SuperNodes are admitted by their keys only.
    pub authenticates: bool,
    /// The ports that are given; the others are Flower's.
    pub ports: GivenPorts,
    /// The SuperLink's database, from Flower's folder on.
    pub database: PathBuf,
}

/// Settings of `zonemesh-supernode`.
#[derive(Debug, Clone)]
pub struct SuperNodeSettings {
    /// What both companions are told.
    pub common: CompanionSettings,
    /// How the SuperLink is found.
    pub superlink: SuperLinkPlace,
    /// For the ClientApps.
    pub node_config: Option<String>,
    /// The ports that are given; the others are Flower's.
    pub ports: GivenPorts,
}

/// Reads the settings of `zonemesh-superlink`.
///
/// # Errors
/// Every key that is missing or wrong.
pub fn superlink(mut variables: Variables<'_>) -> Result<SuperLinkSettings, SettingsErrors> {
    let first = FirstSettings::read(&mut variables, VmRole::SuperLink);
    let mesh = mesh(&mut variables, &first);
    let common = common(&mut variables, VmRole::SuperLink, first);
    let FleetPlace { address, ports } = FleetPlace::read(&mut variables);
    let database = variables.optional(DATABASE, checks::database);
    let has_onegate = onegate_keys::are_there(&variables);
    let shows = variables.optional(IDENTITY, |text| identity(text, has_onegate));
    let authenticates = variables.optional(SUPERNODE_AUTH, truth).unwrap_or(true);
    let settings = match (common, mesh, address) {
        (Some(common), Some(mesh), Some(address)) => {
            let shows_onegate = shows.is_some();
            let database = database.unwrap_or_else(|| DATABASE.example.into());
            let ready = SuperLinkSettings {
                common,
                mesh,
                address,
                shows_onegate,
                authenticates,
                ports,
                database,
            };
            Some(ready)
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
    let first = FirstSettings::read(&mut variables, VmRole::SuperNode);
    let superlink = match fixed::is_given(&mut variables) {
        true => fixed::read(&mut variables).map(SuperLinkPlace::Fixed),
        false => mesh(&mut variables, &first).map(SuperLinkPlace::Mesh),
    };
    let common = common(&mut variables, VmRole::SuperNode, first);
    let node_config = variables.optional(NODE_CONFIG, checks::pairs);
    let clientappio = variables.optional(CLIENTAPPIO_PORT, judged::port);
    let ports = GivenPorts { clientappio, ..GivenPorts::default() };
    let accelerators = variables.optional(CUDA_VISIBLE_DEVICES, checks::accelerators).flatten();
    let common = common.map(|common| CompanionSettings { accelerators, ..common });
    let settings = common.zip(superlink).map(|(common, superlink)| SuperNodeSettings {
        common,
        superlink,
        node_config,
        ports,
    });
    variables.finish(settings)
}

/// What is read before the way to the SuperLink is, and needed for it.
struct FirstSettings {
    federation: Option<FederationName>,
    onegate: Option<OneGate>,
    gateway_status: Option<PathBuf>,
}

impl FirstSettings {
    fn read(variables: &mut Variables<'_>, role: VmRole) -> Self {
        let federation = variables.required(FEDERATION, str::parse);
        let onegate = onegate_keys::read(variables);
        let in_this_vm = GATEWAY_STATUS.readers.has(Appliance::from(role));
        let gateway_status = in_this_vm.then(|| gateway_status(variables)).flatten();
        Self { federation, onegate, gateway_status }
    }
}

fn common(
    variables: &mut Variables<'_>,
    role: VmRole,
    first: FirstSettings,
) -> Option<CompanionSettings> {
    let _always = variables.optional(TLS_ENABLED, checks::tls);
    let _always = variables.optional(ISOLATION, checks::isolation);
    let says_keepalive = says_keepalive(variables);
    later::check(variables, Appliance::from(role));
    log_wish::check(variables);
    let flower_bin = variables.optional(FLOWER_BIN, checks::absolute);
    let flower_user = variables.optional(FLOWER_USER, checks::user);
    let flower_version = variables.optional(FLOWER_VERSION, str::parse);
    let given_state_dir = variables.optional(STATE_DIR, checks::absolute);
    Some(CompanionSettings {
        role,
        federation: first.federation?,
        gateway_status: first.gateway_status,
        flower_bin: flower_bin.unwrap_or_else(|| FLOWER_BIN.example.into()),
        flower_user,
        flower_version,
        says_keepalive,
        accelerators: None,
        state_dir: given_state_dir
            .unwrap_or_else(|| format!("/var/lib/zonemesh-{}", role.as_str()).into()),
        onegate: first.onegate,
    })
}

fn mesh(variables: &mut Variables<'_>, first: &FirstSettings) -> Option<MeshSettings> {
    let gateway = gateway(variables, first.onegate.as_ref(), first.gateway_status.as_ref());
    let token = variables.required(TOKEN, str::parse);
    Some(MeshSettings { gateway: gateway?, token: token? })
}

/// Where the gateway's companion in the same VM says how it goes, if there is one.
pub fn gateway_status(variables: &mut Variables<'_>) -> Option<PathBuf> {
    variables.optional(GATEWAY_STATUS, checks::absolute)
}

/// Given, in this VM, or else to be asked of OneGate; a VM that can do neither is not started.
fn gateway(
    variables: &mut Variables<'_>,
    onegate: Option<&OneGate>,
    in_this_vm: Option<&PathBuf>,
) -> Option<GatewayPlace> {
    if variables.raw(GATEWAY).is_some() {
        return variables.optional(GATEWAY, checks::local_api).map(GatewayPlace::Given);
    }
    if let Some(status) = in_this_vm {
        return Some(GatewayPlace::SameVm(status.clone()));
    }
    if onegate.is_none() {
        onegate_keys::say_what_lacks(variables);
    }
    onegate.cloned().map(GatewayPlace::Published)
}

/// True if a key of the keepalive is given; any value but the law's is recorded as wrong.
fn says_keepalive(variables: &mut Variables<'_>) -> bool {
    let law = [
        (GRPC_KEEPALIVE_TIME, KEEPALIVE.grpc_interval),
        (GRPC_KEEPALIVE_TIMEOUT, KEEPALIVE.grpc_timeout),
    ];
    let said = law.map(|(key, law)| variables.optional(key, |text| checks::keepalive(text, law)));
    said.iter().any(Option::is_some)
}

impl CompanionSettings {
    /// A variable that Flower may see: what CONTEXT says of the accelerators, else the companion's own.
    #[must_use]
    pub fn passed_on(&self, name: &str) -> Option<String> {
        let said = self.accelerators.clone().filter(|_| name == "CUDA_VISIBLE_DEVICES");
        said.or_else(|| std::env::var(name).ok())
    }
}

/// `onegate`, where the VM has one.
fn identity(text: &str, has_onegate: bool) -> Result<(), String> {
    checks::identity(text).map_err(|error| error.to_string())?;
    let lacks = || "this VM has no OneGate: its CONTEXT lacks TOKEN=YES".to_owned();
    has_onegate.then_some(()).ok_or_else(lacks)
}
