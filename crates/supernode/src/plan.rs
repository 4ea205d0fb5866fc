//! What `zonemesh-supernode` will do: settings and the SuperLink in, files and command out. Pure.
//!
//! It promises that Flower trusts exactly the CA certificates of its federation, and that what speaks
//! no TLS stays on loopback. It refuses to touch anything.
//! Specification: the flags in `flower-supernode --help` of 1.25.0.

use std::net::SocketAddr;

use serde::Serialize;
use zeroize::Zeroizing;
use zonemesh_appliance::files::Owner;
use zonemesh_appliance::flower::{Home, Profile, SuperNodeArguments};
use zonemesh_appliance::plan::{Layout, Plan, PlannedFile};
use zonemesh_appliance::runner::child::Program;
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

#[cfg(test)]
mod tests {
    use zonemesh_appliance::flower::GRPC;
    use zonemesh_appliance::reason::Reason;
    use zonemesh_appliance::settings;
    use zonemesh_appliance::source::Variables;

    use super::*;

    fn settings() -> SuperNodeSettings {
        let lookup = |key: &str| {
            let value = match key {
                "ONEAPP_ZONEMESH_FEDERATION" => "health-eu",
                "ONEAPP_ZONEMESH_GATEWAY" => "10.10.11.1:51822",
                "ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT" => {
                    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
                }
                "ONEAPP_ZONEMESH_NODE_CONFIG" => "partition-id=0 num-partitions=2",
                _ => return None,
            };
            Some(value.to_owned())
        };
        settings::supernode(Variables::new(lookup, None)).unwrap()
    }

    fn printed(plan: Result<Plan, Reason>, settings: &SuperNodeSettings) -> String {
        serde_json::to_string_pretty(&Printed::new(settings, Some("1.25.0".into()), plan)).unwrap()
    }

    #[test]
    fn the_plan_is_the_golden_one() {
        let settings = settings();
        let owner = Some(Owner { uid: 990, gid: 991 });
        let inputs = Inputs { settings: &settings, owner, profile: &GRPC };
        let superlink = "[fd00:10::5]:9092".parse().unwrap();
        let plan = inputs.plan(superlink, &["FIRST\n".into(), "SECOND".into()]);
        let ca = plan.files.iter().find(|file| file.path.ends_with("ca.pem")).unwrap();
        assert_eq!(ca.contents.as_slice(), b"FIRST\nSECOND\n");
        let printed = printed(Ok(plan), &settings);
        let golden = include_str!("../tests/golden/plan.json").trim();
        assert_eq!(printed, golden, "if the change is meant, this is the new plan:\n{printed}");
    }

    #[test]
    fn without_a_superlink_the_plan_says_why() {
        let none = Err(Reason::NoSuperLink { federation: "health-eu".into() });
        let plan: serde_json::Value = serde_json::from_str(&printed(none, &settings())).unwrap();
        assert_eq!(plan["waiting"]["code"], "F510");
        assert_eq!(plan.get("program"), None);
    }
}
