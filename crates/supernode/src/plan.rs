//! What `zonemesh-supernode` will do: settings and the SuperLink in, files and command out. Pure.
//!
//! It promises that Flower trusts exactly the CA certificates of its federation, and that what speaks
//! no TLS stays on loopback. It refuses to touch anything.
//! Flower's flags are its generation's.

use std::net::SocketAddr;

use serde::Serialize;
use zeroize::Zeroizing;
use zonemesh_api::wire::local::RegisteredSuperLink;
use zonemesh_appliance::files::FileOwner;
use zonemesh_appliance::flower::{FlowerHome, InstalledFlower, SuperNodeArguments};
use zonemesh_appliance::partition::{Partition, PartitionSource};
use zonemesh_appliance::plan::{LaunchPlan, PlannedFile, PrintedReason, shim_file, state_folders};
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::runner::child::Program;
use zonemesh_appliance::settings::{FixedSuperLink, SuperNodeSettings};
use zonemesh_appliance::state_folder::StateFolder;
use zonemesh_core::name::FederationName;

/// What is fixed before a plan is made.
pub(crate) struct SuperNodeInputs<'a> {
    pub(crate) settings: &'a SuperNodeSettings,
    pub(crate) owner: Option<FileOwner>,
    pub(crate) flower: InstalledFlower,
    pub(crate) home: &'a FlowerHome,
}

/// The SuperLink that Flower is started for.
pub(crate) struct StartedFor<'a> {
    /// Where it is dialled: ADDRESS:PORT or NAME:PORT.
    pub(crate) endpoint: String,
    /// The CA certificates to trust.
    pub(crate) ca_pems: Vec<&'a str>,
    /// It admits by keys.
    pub(crate) by_key: bool,
}

impl<'a> StartedFor<'a> {
    pub(crate) fn new(endpoint: SocketAddr, superlink: &'a RegisteredSuperLink) -> Self {
        let endpoint = endpoint.to_string();
        Self { endpoint, ca_pems: superlink.ca_pems(), by_key: superlink.authenticates }
    }

    /// The one that CONTEXT names; nobody registers a key there.
    pub(crate) fn fixed(superlink: &'a FixedSuperLink) -> Self {
        let endpoint = superlink.address.to_string();
        Self { endpoint, ca_pems: vec![&superlink.ca_pem], by_key: false }
    }
}

/// All that `plan` prints.
#[derive(Serialize)]
pub(crate) struct PrintedSuperNodePlan {
    schema: &'static str,
    role: &'static str,
    /// Where the gateway is, if that is known.
    gateway: Option<SocketAddr>,
    federation: FederationName,
    flower_version: Option<String>,
    /// Why Flower would not be started now.
    waiting: Option<PrintedReason>,
    #[serde(flatten)]
    plan: Option<LaunchPlan>,
}

impl SuperNodeInputs<'_> {
    /// Where the node config comes from, if CONTEXT does not say it and the VM has OneGate.
    pub(crate) fn partition(&self) -> Option<PartitionSource> {
        let SuperNodeSettings { common, node_config, .. } = self.settings;
        let onegate = common.onegate.clone().filter(|_| node_config.is_none())?;
        Some(PartitionSource::new(onegate, StateFolder::new(&common.state_dir).partition()))
    }

    /// Files and command for a SuperLink; `partition` is what [`SuperNodeInputs::partition`] says.
    pub(crate) fn plan(
        &self,
        started: &StartedFor<'_>,
        partition: Option<Partition>,
    ) -> LaunchPlan {
        let superlink = started.endpoint.clone();
        let state = StateFolder::new(&self.settings.common.state_dir);
        let ca_file = state.tls().join("ca.pem");
        let contents: String =
            started.ca_pems.iter().map(|pem| format!("{}\n", pem.trim())).collect();
        let mut files = Vec::from_iter(shim_file(&state, self.flower));
        files.push(PlannedFile {
            path: ca_file.clone(),
            mode: 0o644,
            owner: self.owner,
            purpose: "the federation's CA certificates",
            contents: Zeroizing::new(contents.into_bytes()),
        });
        let generation = self.flower.generation;
        let given = self.settings.node_config.clone();
        let arguments = generation.supernode_arguments(&SuperNodeArguments {
            superlink,
            ca_file,
            clientappio_port: self.settings.ports.or(generation.ports()).clientappio,
            node_config: given.or(partition.map(Partition::node_config)),
            key_file: started.by_key.then(|| state.node_key()),
        });
        let program = Program {
            name: generation.supernode_program().to_owned(),
            path: self.home.programs.join(generation.supernode_program()),
            arguments,
            environment: self.flower.environment(self.home),
            folder: state.flower(),
            owner: self.owner,
        };
        LaunchPlan { folders: state_folders(&state, self.owner), files, program }
    }
}

impl PrintedSuperNodePlan {
    pub(crate) fn new(
        settings: &SuperNodeSettings,
        gateway: Option<SocketAddr>,
        flower_version: Option<String>,
        plan: Result<LaunchPlan, Reason>,
    ) -> Self {
        let (plan, waiting) = match plan {
            Ok(plan) => (Some(plan), None),
            Err(reason) => (None, Some(PrintedReason::from(&reason))),
        };
        Self {
            schema: "zonemesh/plan/v1",
            role: "supernode",
            gateway,
            federation: settings.common.federation.clone(),
            flower_version,
            waiting,
            plan,
        }
    }
}

/// Where Flower lives; known before its version is.
pub(crate) fn home(settings: &SuperNodeSettings) -> FlowerHome {
    FlowerHome::new(&settings.common.flower_bin, &StateFolder::new(&settings.common.state_dir))
}

#[cfg(test)]
mod tests {
    use zonemesh_appliance::flower::{GrpcFlower, PREFERRED};
    use zonemesh_appliance::settings;
    use zonemesh_context::key::KeyEffect;
    use zonemesh_context::source::Environment;
    use zonemesh_context::{Appliance, Variables, keys};

    use super::*;

    fn settings() -> SuperNodeSettings {
        let lookup = |key: &str| {
            let value = match key {
                "ONEAPP_ZONEMESH_FEDERATION" => "health-eu",
                "ONEAPP_ZONEMESH_GATEWAY" => "10.10.11.1:51822",
                "ONEAPP_ZONEMESH_TOKEN" => zonemesh_appliance::settings::TOKEN_EXAMPLE,
                "ONEAPP_ZONEMESH_NODE_CONFIG" => "partition-id=0 num-partitions=2",
                _ => return None,
            };
            Some(value.to_owned())
        };
        settings::supernode(Variables::new(vec![&Environment(lookup)])).unwrap()
    }

    fn printed(plan: Result<LaunchPlan, Reason>, settings: &SuperNodeSettings) -> String {
        serde_json::to_string_pretty(&PrintedSuperNodePlan::new(
            settings,
            Some("10.10.11.1:51822".parse().unwrap()),
            Some("1.25.0".into()),
            plan,
        ))
        .unwrap()
    }

    #[test]
    fn the_plan_is_the_golden_one() {
        let settings = settings();
        let flower = InstalledFlower { version: PREFERRED, generation: &GrpcFlower };
        let owner = Some(FileOwner { uid: 990, gid: 991 });
        let home = home(&settings);
        let inputs = SuperNodeInputs { settings: &settings, owner, flower, home: &home };
        let superlink = "[fd00:10::5]:9092".parse().unwrap();
        let started =
            StartedFor { endpoint: superlink, ca_pems: vec!["FIRST\n", "SECOND"], by_key: true };
        let plan = inputs.plan(&started, None);
        let ca = plan.files.iter().find(|file| file.path.ends_with("ca.pem")).unwrap();
        assert_eq!(ca.contents.as_slice(), b"FIRST\nSECOND\n");
        let printed = printed(Ok(plan), &settings);
        let golden = include_str!("../tests/golden/plan.json").trim();
        assert_eq!(printed, golden, "if the change is meant, this is the new plan:\n{printed}");
    }

    #[test]
    fn without_a_superlink_the_plan_says_why() {
        let none = Err(Reason::NoSuperLink { federation: "health-eu".parse().unwrap() });
        let plan: serde_json::Value = serde_json::from_str(&printed(none, &settings())).unwrap();
        assert_eq!(plan["waiting"]["code"], "F510");
        assert_eq!(plan.get("program"), None);
    }

    /// What Flower is given in a VM with this value and OneGate.
    fn given(key: &str, value: &str) -> String {
        let lookup = |name: &str| {
            let value = match name {
                _ if name == key => value,
                "ONEAPP_ZONEMESH_FEDERATION" => "health-eu",
                "ONEAPP_ZONEMESH_TOKEN" => zonemesh_appliance::settings::TOKEN_EXAMPLE,
                "ONEGATE_ENDPOINT" => "http://169.254.16.9:5030",
                "VMID" => "8",
                "TOKENTXT" => "abc=",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let settings = settings::supernode(Variables::new(vec![&Environment(lookup)]));
        let settings = settings.unwrap_or_else(|errors| panic!("{errors}"));
        let flower = InstalledFlower { version: PREFERRED, generation: &GrpcFlower };
        let home = home(&settings).passing_on(|name| settings.common.passed_on(name));
        let inputs = SuperNodeInputs { settings: &settings, owner: None, flower, home: &home };
        let endpoint = "10.10.10.5:9092".parse().unwrap();
        let superlink = StartedFor { endpoint, ca_pems: Vec::new(), by_key: true };
        serde_json::to_string(&inputs.plan(&superlink, None)).unwrap()
    }

    #[test]
    fn a_key_restarts_flower_exactly_if_flower_is_given_what_follows_from_it() {
        let before = given("", "");
        for key in keys::of(Appliance::SuperNode) {
            let value = match key.name {
                // Its SuperLink is another, and its files are another user's.
                "ONEAPP_ZONEMESH_FEDERATION" | "ONEAPP_ZONEMESH_FLOWER_USER" => continue,
                // They are for a SuperLink without a mesh, which is another.
                "ONEAPP_FL_SUPERLINK_ADDRESS" | "ONEAPP_FL_SSL_CA_CERTFILE" => continue,
                "ONEAPP_ZONEMESH_TOKEN" => continue,
                "ONEAPP_ZONEMESH_STATE_DIR" => "/srv/state",
                "ONEAPP_ZONEMESH_FLOWER_BIN" => "/srv/flower/bin",
                _ if matches!(key.effect, KeyEffect::Full) => key.example,
                _ => continue,
            };
            assert_eq!(given(key.name, value) != before, key.restarts_flower, "{}", key.name);
        }
        assert!(
            given("ONEAPP_FL_CUDA_VISIBLE_DEVICES", "1").contains("\"CUDA_VISIBLE_DEVICES\":\"1\"")
        );
        assert_eq!(given("ONEAPP_FL_CUDA_VISIBLE_DEVICES", "all"), before);
    }
}
