//! What `zonemesh-supernode` will do: settings and the SuperLink in, files and command out. Pure.
//!
//! It promises that Flower trusts exactly the CA certificates of its federation, and that what speaks
//! no TLS stays on loopback. It refuses to touch anything.
//! Specification: the flags in `flower-supernode --help` of 1.25.0.

use std::net::SocketAddr;

use serde::Serialize;
use zeroize::Zeroizing;
use zonemesh_appliance::child::Program;
use zonemesh_appliance::files::Owner;
use zonemesh_appliance::flower::{Home, Profile, SuperNodeArguments};
use zonemesh_appliance::plan::{Layout, Plan, PlannedFile};
use zonemesh_appliance::settings::SuperNodeSettings;

/// What is fixed before a plan is made.
pub(crate) struct Inputs<'a> {
    pub(crate) settings: &'a SuperNodeSettings,
    pub(crate) owner: Option<Owner>,
    pub(crate) profile: &'static Profile,
}

/// All that `plan` prints.
#[derive(Serialize)]
pub(crate) struct Printed {
    schema: &'static str,
    role: &'static str,
    gateway: SocketAddr,
    federation: String,
    flower_version: Option<String>,
    /// Why Flower would not be started now.
    waiting: Option<Waiting>,
    #[serde(flatten)]
    plan: Option<Plan>,
}

#[derive(Serialize)]
pub(crate) struct Waiting {
    code: &'static str,
    reason: String,
    fix: String,
}

impl Inputs<'_> {
    /// Files and command for a SuperLink at this address with these CA certificates.
    pub(crate) fn plan(&self, superlink: SocketAddr, ca_pems: &[String]) -> Plan {
        let layout = layout(self.settings);
        let ca_file = layout.tls().join("ca.pem");
        let contents: String = ca_pems.iter().map(|pem| format!("{}\n", pem.trim())).collect();
        let files = vec![
            layout.shim_file(),
            PlannedFile {
                path: ca_file.clone(),
                mode: 0o644,
                owner: self.owner,
                purpose: "the federation's CA certificates",
                contents: Zeroizing::new(contents.into_bytes()),
            },
        ];
        let arguments = self.profile.supernode_arguments(&SuperNodeArguments {
            superlink,
            ca_file,
            clientappio_port: self.settings.clientappio_port,
            node_config: self.settings.node_config.clone(),
        });
        let program = Program {
            name: self.profile.supernode.to_owned(),
            path: self.settings.common.flower_bin.join(self.profile.supernode),
            arguments,
            environment: home(self.settings).environment(),
            folder: layout.flower(),
            owner: self.owner,
        };
        Plan { folders: layout.folders(self.owner), files, program }
    }
}

impl Printed {
    pub(crate) fn new(
        settings: &SuperNodeSettings,
        flower_version: Option<String>,
        plan: Result<Plan, zonemesh_appliance::reason::Reason>,
    ) -> Self {
        let (plan, waiting) = match plan {
            Ok(plan) => (Some(plan), None),
            Err(reason) => {
                let (code, fix) = (reason.code(), reason.fix());
                (None, Some(Waiting { code, reason: reason.to_string(), fix }))
            }
        };
        Self {
            schema: "zonemesh/plan/v1",
            role: "supernode",
            gateway: settings.common.gateway,
            federation: settings.common.federation.clone(),
            flower_version,
            waiting,
            plan,
        }
    }
}

fn layout(settings: &SuperNodeSettings) -> Layout {
    Layout { root: settings.common.state_dir.clone() }
}

/// Where Flower lives; known before its version is.
pub(crate) fn home(settings: &SuperNodeSettings) -> Home {
    Home::new(&settings.common.flower_bin, &layout(settings))
}
