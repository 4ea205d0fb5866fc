//! What `zonemesh-superlink` will do: settings and Flower in, files and command out. Pure.
//!
//! It promises that Flower's key is a 0600 file of the user that Flower runs as, that what speaks no
//! TLS stays on loopback, and that a restart finds its database. It refuses to touch anything.
//! Flower's flags are its generation's.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use zeroize::Zeroizing;
use zonemesh_api::wire::local::Registration;
use zonemesh_api::wire::onegate::OneGateIdentity;
use zonemesh_appliance::files::FileOwner;
use zonemesh_appliance::flower::control::FlowerControl;
use zonemesh_appliance::flower::{FlowerHome, FlowerPorts, InstalledFlower, SuperLinkArguments};
use zonemesh_appliance::plan::{LaunchPlan, PlannedFile, PrintedReason, shim_file, state_folders};
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::runner::child::Program;
use zonemesh_appliance::settings::SuperLinkSettings;
use zonemesh_appliance::state_folder::StateFolder;
use zonemesh_core::name::FederationName;
use zonemesh_core::time::UnixMillis;

use crate::admission::FlwrPlace;
use crate::identity::SuperLinkIdentity;

/// What is fixed before a plan is made.
pub(crate) struct SuperLinkInputs<'a> {
    pub(crate) settings: &'a SuperLinkSettings,
    pub(crate) owner: Option<FileOwner>,
    pub(crate) flower: InstalledFlower,
    pub(crate) home: &'a FlowerHome,
}

/// The registration as `plan` prints it: without token and request.
#[derive(Serialize)]
pub(crate) struct PlannedRegistration {
    /// Where the gateway is, if that is known.
    gateway: Option<SocketAddr>,
    federation: FederationName,
    address: IpAddr,
    fleet_port: u16,
    control_port: u16,
    flower_version: String,
}

/// All that `plan` prints.
#[derive(Serialize)]
pub(crate) struct PrintedSuperLinkPlan {
    schema: &'static str,
    role: &'static str,
    register: Option<PlannedRegistration>,
    /// What the gateway has against this VM, why it cannot be asked, or what is wrong with Flower.
    waiting: Option<PrintedReason>,
    #[serde(flatten)]
    plan: Option<LaunchPlan>,
}

impl PrintedSuperLinkPlan {
    /// Without a Flower nothing is known of what would be registered or started.
    pub(crate) fn without_flower(reason: &Reason) -> Self {
        let waiting = Some(PrintedReason::from(reason));
        Self { schema: SCHEMA, role: ROLE, register: None, waiting, plan: None }
    }
}

const SCHEMA: &str = "zonemesh/plan/v1";
const ROLE: &str = "superlink";

/// What the gateway is shown of this VM, if that is wanted.
pub(crate) fn onegate(settings: &SuperLinkSettings) -> Option<OneGateIdentity> {
    let known = settings.common.onegate.as_ref().filter(|_| settings.shows_onegate)?;
    Some(OneGateIdentity { vm: known.vm.clone(), token: known.token.clone() })
}

impl SuperLinkInputs<'_> {
    pub(crate) fn state(&self) -> StateFolder {
        StateFolder::new(&self.settings.common.state_dir)
    }

    pub(crate) fn ports(&self) -> FlowerPorts {
        self.settings.ports.or(self.flower.generation.ports())
    }

    /// What ports are given for that this Flower does not have.
    pub(crate) fn without_effect(&self) -> Vec<&'static str> {
        self.settings.ports.without_effect(self.flower.generation.ports())
    }

    /// Where SuperNodes connect.
    pub(crate) fn fleet(&self) -> SocketAddr {
        SocketAddr::new(self.settings.address, self.ports().fleet)
    }

    /// What the gateway is told, with this certificate request at this time.
    pub(crate) fn registration(&self, csr_pem: String, clock: UnixMillis) -> Registration {
        let ports = self.ports();
        Registration {
            addresses: vec![self.settings.address],
            fleet_port: ports.fleet,
            control_port: ports.for_runs(),
            flower_version: self.flower.version.to_string(),
            transport: self.flower.generation.transport(),
            csr_pem,
            clock,
            authenticates: self.settings.authenticates,
        }
    }

    /// Whether SuperNodes are admitted by their keys only: also a gateway that does not name them, one
    /// of release 0.2.0, is worked with.
    pub(crate) fn authenticates(&self, identity: Option<&SuperLinkIdentity>) -> bool {
        self.settings.authenticates && identity.is_none_or(|identity| identity.names_supernodes)
    }

    /// How Flower is told and asked who takes part.
    pub(crate) fn flwr(&self) -> FlwrPlace {
        let (state, ports) = (self.state(), self.ports());
        let address = SocketAddr::new(self.settings.address, ports.for_runs());
        let (ca_file, folder) = (state.tls().join("ca.pem"), state.control());
        FlwrPlace {
            control: FlowerControl { address, ca_file, folder },
            flower: self.flower,
            home: self.home.clone(),
            owner: self.owner,
        }
    }

    /// Files and command. Without an identity the files are named and empty, for printing only.
    pub(crate) fn plan(&self, identity: Option<&SuperLinkIdentity>) -> LaunchPlan {
        let state = self.state();
        let tls = state.tls();
        let file = |name: &str, mode, purpose, contents: Option<&str>| PlannedFile {
            path: tls.join(name),
            mode,
            owner: self.owner,
            purpose,
            contents: Zeroizing::new(contents.unwrap_or_default().as_bytes().to_vec()),
        };
        let mut files = Vec::from_iter(shim_file(&state, self.flower));
        files.extend([
            file("ca.pem", 0o644, "the federation's CA", identity.map(|all| all.ca_pem.as_str())),
            file(
                "server.pem",
                0o644,
                "certificate",
                identity.map(|all| all.certificate_pem.as_str()),
            ),
            file("server.key", 0o600, "key", identity.map(|all| all.key_pem.as_str())),
        ]);
        let folders = state_folders(&state, self.owner);
        LaunchPlan { folders, files, program: self.program(&state, identity) }
    }

    fn program(&self, state: &StateFolder, identity: Option<&SuperLinkIdentity>) -> Program {
        let (tls, generation) = (state.tls(), self.flower.generation);
        let arguments = generation.superlink_arguments(&SuperLinkArguments {
            address: self.settings.address,
            ports: self.ports(),
            ca_file: tls.join("ca.pem"),
            certificate_file: tls.join("server.pem"),
            key_file: tls.join("server.key"),
            database: state.flower().join(&self.settings.database),
            authenticates: self.authenticates(identity),
        });
        Program {
            name: generation.superlink_program().to_owned(),
            path: self.home.programs.join(generation.superlink_program()),
            arguments,
            environment: self.flower.environment(self.home),
            folder: state.flower(),
            owner: self.owner,
        }
    }

    /// `asked` is what came of asking the gateway, where it is known to be.
    pub(crate) fn printed(
        &self,
        gateway: Option<SocketAddr>,
        asked: Result<(), &Reason>,
    ) -> PrintedSuperLinkPlan {
        let (settings, ports) = (self.settings, self.ports());
        PrintedSuperLinkPlan {
            schema: SCHEMA,
            role: ROLE,
            register: Some(PlannedRegistration {
                gateway,
                federation: settings.common.federation.clone(),
                address: settings.address,
                fleet_port: ports.fleet,
                control_port: ports.for_runs(),
                flower_version: self.flower.version.to_string(),
            }),
            waiting: asked.err().map(PrintedReason::from),
            plan: Some(self.plan(None)),
        }
    }
}

/// Where Flower lives; known before its version is.
pub(crate) fn home(settings: &SuperLinkSettings) -> FlowerHome {
    FlowerHome::new(&settings.common.flower_bin, &StateFolder::new(&settings.common.state_dir))
}

#[cfg(test)]
mod tests {
    use zonemesh_appliance::flower::FlowerVersion;
    use zonemesh_appliance::flower::{GrpcFlower, HttpFlower, PREFERRED};
    use zonemesh_appliance::onegate::OneGate;
    use zonemesh_appliance::settings;
    use zonemesh_context::key::KeyEffect;
    use zonemesh_context::source::Environment;
    use zonemesh_context::{Appliance, Variables, keys};
    use zonemesh_core::record::FlowerTransport;

    use super::*;

    fn settings() -> SuperLinkSettings {
        let lookup = |key: &str| {
            let value = match key {
                "ONEAPP_ZONEMESH_FEDERATION" => "health-eu",
                "ONEAPP_ZONEMESH_GATEWAY" => "10.10.10.1:51822",
                "ONEAPP_ZONEMESH_TOKEN" => zonemesh_appliance::settings::TOKEN_EXAMPLE,
                "ONEAPP_ZONEMESH_ADDRESS" => "10.10.10.5",
                _ => return None,
            };
            Some(value.to_owned())
        };
        settings::superlink(Variables::new(vec![&Environment(lookup)])).unwrap()
    }

    #[test]
    fn the_gateway_is_shown_the_onegate_token_only_if_that_is_wanted() {
        let mut settings = settings();
        settings.common.onegate = Some(OneGate::new("http://169.254.16.9:5030", "7", "abc="));
        for shows in [false, true] {
            settings.shows_onegate = shows;
            let shown = onegate(&settings);
            assert_eq!(shown.map(|shown| shown.vm).as_deref(), shows.then_some("7"));
        }
    }

    #[test]
    fn over_http_one_port_is_registered_for_all_and_no_shim_is_written() {
        let mut settings = settings();
        settings.ports.control = Some(19093);
        let flower =
            InstalledFlower { version: FlowerVersion::new(1, 42, 0), generation: &HttpFlower };
        let home = home(&settings);
        let inputs = SuperLinkInputs { settings: &settings, owner: None, flower, home: &home };
        let registered = inputs.registration(String::new(), UnixMillis(0));
        assert_eq!((registered.fleet_port, registered.control_port), (8000, 8000));
        assert_eq!(registered.transport, FlowerTransport::Http);
        assert_eq!(inputs.fleet().to_string(), "10.10.10.5:8000");
        let plan = inputs.plan(None);
        assert!(plan.files.iter().all(|file| file.purpose != "keepalive shim"));
        assert!(!plan.program.environment.contains_key("PYTHONPATH"));
        assert_eq!(inputs.without_effect(), ["`flwr run`"]);
    }

    #[test]
    fn the_plan_is_the_golden_one() {
        let settings = settings();
        let flower = InstalledFlower { version: PREFERRED, generation: &GrpcFlower };
        let owner = Some(FileOwner { uid: 990, gid: 991 });
        let home = home(&settings);
        let inputs = SuperLinkInputs { settings: &settings, owner, flower, home: &home };
        let gateway = Some("10.10.10.1:51822".parse().unwrap());
        let printed = serde_json::to_string_pretty(&inputs.printed(gateway, Ok(()))).unwrap();
        let golden = include_str!("../tests/golden/plan.json").trim();
        assert_eq!(printed, golden, "if the change is meant, this is the new plan:\n{printed}");
        assert!(!printed.contains("zmt1."));
    }

    /// What Flower is given in a VM with this value and OneGate.
    fn given(key: &str, value: &str) -> String {
        let lookup = |name: &str| {
            let value = match name {
                _ if name == key => value,
                "ONEAPP_ZONEMESH_FEDERATION" => "health-eu",
                "ONEAPP_ZONEMESH_TOKEN" => zonemesh_appliance::settings::TOKEN_EXAMPLE,
                "ETH0_IP" => "10.10.10.5",
                "ONEGATE_ENDPOINT" => "http://169.254.16.9:5030",
                "VMID" => "8",
                "TOKENTXT" => "abc=",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let settings = settings::superlink(Variables::new(vec![&Environment(lookup)]));
        let settings = settings.unwrap_or_else(|errors| panic!("{errors}"));
        let flower = InstalledFlower { version: PREFERRED, generation: &GrpcFlower };
        let home = home(&settings).passing_on(|name| settings.common.passed_on(name));
        let inputs = SuperLinkInputs { settings: &settings, owner: None, flower, home: &home };
        serde_json::to_string(&inputs.plan(None)).unwrap()
    }

    #[test]
    fn a_key_restarts_flower_exactly_if_flower_is_given_what_follows_from_it() {
        let before = given("", "");
        for key in keys::of(Appliance::SuperLink) {
            let value = match key.name {
                // Its certificate is another, and its files are another user's.
                "ONEAPP_ZONEMESH_FEDERATION" | "ONEAPP_ZONEMESH_FLOWER_USER" => continue,
                "ONEAPP_ZONEMESH_TOKEN" => continue,
                "ETH0_IP" | "ONEAPP_ZONEMESH_ADDRESS" => "10.10.10.6",
                "ONEAPP_FL_FLEET_API_ADDRESS" => "0.0.0.0:19092",
                "ONEAPP_FL_DATABASE" => "state/state.db",
                "ONEAPP_FL_SUPERNODE_AUTH" => "NO",
                "ONEAPP_ZONEMESH_FLOWER_BIN" => "/srv/flower/bin",
                _ if matches!(key.effect, KeyEffect::Full) => key.example,
                _ => continue,
            };
            assert_eq!(given(key.name, value) != before, key.restarts_flower, "{}", key.name);
        }
    }

    #[test]
    fn a_database_lies_in_flowers_folder_or_where_it_is_said() {
        // Whatever root makes in Flower's own folder, Flower's user could lead elsewhere before.
        let inside = given("ONEAPP_FL_DATABASE", "state/deep/state.db");
        let flower = "/var/lib/zonemesh-superlink/flower";
        assert!(inside.contains(&format!("\"--database\",\"{flower}/state.db\"")), "{inside}");
        assert!(!inside.contains(&format!("\"path\":\"{flower}/")), "{inside}");
        let outside = given("ONEAPP_FL_DATABASE", "/srv/fl/state.db");
        assert!(outside.contains("\"--database\",\"/srv/fl/state.db\""), "{outside}");
        assert!(!outside.contains("\"path\":\"/srv"), "{outside}");
    }
}
