//! What `zonemesh-superlink` will do: settings and Flower's profile in, files and command out. Pure.
//!
//! It promises that Flower's key is a 0600 file of the user that Flower runs as, that what speaks no
//! TLS stays on loopback, and that a restart finds its database. It refuses to touch anything.
//! Specification: the flags in `flower-superlink --help` of 1.25.0.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use zeroize::Zeroizing;
use zonemesh_appliance::files::Owner;
use zonemesh_appliance::flower::{FlowerVersion, Home, Profile, SuperLinkArguments};
use zonemesh_appliance::gateway::Registration;
use zonemesh_appliance::plan::{Layout, Plan, PlannedFile};
use zonemesh_appliance::runner::child::Program;
use zonemesh_appliance::settings::SuperLinkSettings;

use crate::identity::Identity;

/// What is fixed before a plan is made.
pub(crate) struct Inputs<'a> {
    pub(crate) settings: &'a SuperLinkSettings,
    pub(crate) owner: Option<Owner>,
    pub(crate) version: FlowerVersion,
    pub(crate) profile: &'static Profile,
}

/// The registration as `plan` prints it: without token and request.
#[derive(Serialize)]
pub(crate) struct PlannedRegistration {
    gateway: SocketAddr,
    federation: String,
    address: IpAddr,
    fleet_port: u16,
    control_port: u16,
    flower_version: String,
}

/// All that `plan` prints.
#[derive(Serialize)]
pub(crate) struct Printed {
    schema: &'static str,
    role: &'static str,
    register: PlannedRegistration,
    #[serde(flatten)]
    plan: Plan,
}

impl Inputs<'_> {
    pub(crate) fn layout(&self) -> Layout {
        Layout { root: self.settings.common.state_dir.clone() }
    }

    /// Where SuperNodes connect.
    pub(crate) fn fleet(&self) -> SocketAddr {
        SocketAddr::new(self.settings.address, self.settings.fleet_port)
    }

    pub(crate) fn home(&self) -> Home {
        home(self.settings)
    }

    /// What the gateway is told, with this certificate request.
    pub(crate) fn registration(&self, request_pem: String) -> Registration {
        Registration {
            address: self.settings.address,
            fleet_port: self.settings.fleet_port,
            control_port: self.settings.control_port,
            flower_version: self.version.to_string(),
            transport: self.profile.transport,
            request_pem,
        }
    }

    /// Files and command. Without an identity the files are named and empty, for printing only.
    pub(crate) fn plan(&self, identity: Option<&Identity>) -> Plan {
        let layout = self.layout();
        let tls = layout.tls();
        let file = |name: &str, mode, purpose, contents: Option<&str>| PlannedFile {
            path: tls.join(name),
            mode,
            owner: self.owner,
            purpose,
            contents: Zeroizing::new(contents.unwrap_or_default().as_bytes().to_vec()),
        };
        let files = vec![
            layout.shim_file(),
            file("ca.pem", 0o644, "the federation's CA", identity.map(|all| all.ca_pem.as_str())),
            file(
                "server.pem",
                0o644,
                "certificate",
                identity.map(|all| all.certificate_pem.as_str()),
            ),
            file("server.key", 0o600, "key", identity.map(|all| all.key_pem.as_str())),
        ];
        Plan { folders: layout.folders(self.owner), files, program: self.program(&layout) }
    }

    fn program(&self, layout: &Layout) -> Program {
        let (settings, tls) = (self.settings, layout.tls());
        let arguments = self.profile.superlink_arguments(&SuperLinkArguments {
            fleet: self.fleet(),
            control: SocketAddr::new(settings.address, settings.control_port),
            serverappio_port: settings.serverappio_port,
            health_port: settings.health_port,
            ca_file: tls.join("ca.pem"),
            certificate_file: tls.join("server.pem"),
            key_file: tls.join("server.key"),
            database: layout.flower().join("superlink.db"),
        });
        Program {
            name: self.profile.superlink.to_owned(),
            path: settings.common.flower_bin.join(self.profile.superlink),
            arguments,
            environment: self.home().environment(),
            folder: layout.flower(),
            owner: self.owner,
        }
    }

    pub(crate) fn printed(&self) -> Printed {
        let settings = self.settings;
        Printed {
            schema: "zonemesh/plan/v1",
            role: "superlink",
            register: PlannedRegistration {
                gateway: settings.common.gateway,
                federation: settings.common.federation.clone(),
                address: settings.address,
                fleet_port: settings.fleet_port,
                control_port: settings.control_port,
                flower_version: self.version.to_string(),
            },
            plan: self.plan(None),
        }
    }
}

/// Where Flower lives; known before its version is.
pub(crate) fn home(settings: &SuperLinkSettings) -> Home {
    let layout = Layout { root: settings.common.state_dir.clone() };
    Home::new(&settings.common.flower_bin, &layout)
}

#[cfg(test)]
mod tests {
    use zonemesh_appliance::flower::GRPC;
    use zonemesh_appliance::settings;
    use zonemesh_appliance::source::Variables;

    use super::*;

    fn settings() -> SuperLinkSettings {
        let lookup = |key: &str| {
            let value = match key {
                "ONEAPP_ZONEMESH_FEDERATION" => "health-eu",
                "ONEAPP_ZONEMESH_GATEWAY" => "10.10.10.1:51822",
                "ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT" => {
                    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
                }
                "ONEAPP_ZONEMESH_TOKEN" => "hunter2",
                "ONEAPP_ZONEMESH_ADDRESS" => "10.10.10.5",
                _ => return None,
            };
            Some(value.to_owned())
        };
        settings::superlink(Variables::new(lookup, None)).unwrap()
    }

    #[test]
    fn the_plan_is_the_golden_one() {
        let settings = settings();
        let version = "1.25.0".parse().unwrap();
        let owner = Some(Owner { uid: 990, gid: 991 });
        let inputs = Inputs { settings: &settings, owner, version, profile: &GRPC };
        let printed = serde_json::to_string_pretty(&inputs.printed()).unwrap();
        let golden = include_str!("../tests/golden/plan.json").trim();
        assert_eq!(printed, golden, "if the change is meant, this is the new plan:\n{printed}");
        assert!(!printed.contains("hunter2"));
    }
}
