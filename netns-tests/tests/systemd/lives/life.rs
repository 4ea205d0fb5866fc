//! Two zones from nothing but the values of their CONTEXT to a trained model.
//!
//! ```text
//!   berlin                                WAN                              madrid
//!   SuperLink VM - gateway VM    ====  [ router ]  ====    gateway VM - SuperNode VM
//!   OneGate of berlin                                              OneGate of madrid
//! ```
//!
//! Owns the values, both OneGates and the four VMs. Promises that a training run is right only with
//! the digest of plain FedAvg. Refuses to decide in which order the VMs are made.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use zonemesh_lab::binaries;
use zonemesh_lab::flower::{Flower, Submission, TrainingPlan};
use zonemesh_lab::lab::{Lab, LabZone, ZonePlan};
use zonemesh_lab::namespace::{Namespace, run};
use zonemesh_standin::TestOneGate;

use super::context::ContextDisk;
use super::image::{Appliance, GATEWAY, SUPERLINK, SUPERNODE};
use super::vm::OpenNebulaVm;

const ZONES: [ZonePlan<'_>; 2] = [
    ZonePlan { name: "berlin", vms: &["superlink", "onegate"] },
    ZonePlan { name: "madrid", vms: &["supernode", "onegate"] },
];
const ONEGATE_PORT: u16 = 5030;
const FEDERATION: &str = "health-eu";
/// A run of seconds, on a machine that has other things to do.
const TRAINING: Duration = Duration::from_secs(240);

/// A VM's place and part.
struct PlannedVm {
    name: &'static str,
    id: &'static str,
    zone: &'static str,
    role: &'static str,
    appliance: Appliance,
}

const VMS: [PlannedVm; 4] = [
    PlannedVm {
        name: "berlin-gateway",
        id: "10",
        zone: "berlin",
        role: "gateway",
        appliance: GATEWAY,
    },
    PlannedVm {
        name: "superlink",
        id: "11",
        zone: "berlin",
        role: "superlink",
        appliance: SUPERLINK,
    },
    PlannedVm {
        name: "madrid-gateway",
        id: "20",
        zone: "madrid",
        role: "gateway",
        appliance: GATEWAY,
    },
    PlannedVm {
        name: "supernode",
        id: "21",
        zone: "madrid",
        role: "supernode",
        appliance: SUPERNODE,
    },
];

/// The two zones and whatever has been made of their VMs.
pub(crate) struct Life {
    vms: BTreeMap<&'static str, OpenNebulaVm>,
    flower: Flower,
    lab: Lab,
    runs: u32,
    went_well: bool,
}

impl Life {
    /// The values are made, the images too, and no VM.
    pub(crate) fn new(flower: &str) -> Result<Self> {
        let disks = VMS.map(|vm| vm.appliance.disk(flower));
        let lab = Lab::new(&ZONES)?;
        let values = init(&lab)?;
        let onegates = BTreeMap::from([
            ("berlin", Arc::new(onegate(lab.zone("berlin")?)?)),
            ("madrid", Arc::new(onegate(lab.zone("madrid")?)?)),
        ]);
        let mut vms = BTreeMap::new();
        for (planned, disk) in VMS.into_iter().zip(disks) {
            let onegate = &onegates[planned.zone];
            onegate.makes_vm(planned.id, planned.role);
            let context = context(&lab, &planned, &values, onegate)?;
            let vm = OpenNebulaVm::new(planned.name, planned.id, context, onegate, disk?);
            vms.insert(planned.name, vm);
        }
        let flower = Flower::release(flower)?;
        Ok(Self { vms, flower, lab, runs: 0, went_well: false })
    }

    /// A VM, made or not.
    pub(crate) fn vm(&mut self, name: &str) -> Result<&mut OpenNebulaVm> {
        self.vms.get_mut(name).with_context(|| format!("no VM {name}"))
    }

    /// Makes and starts a VM; waits for nothing.
    pub(crate) fn make(&mut self, name: &str) -> Result<()> {
        let planned = VMS.into_iter().find(|vm| vm.name == name).context("a VM")?;
        let place = place(self.lab.zone(planned.zone)?, planned.role)?;
        let vm = self.vms.get_mut(name).with_context(|| format!("no VM {name}"))?;
        vm.make(&self.lab, place)
    }

    /// Until OneFlow sees them all as ready, and each is as it should be.
    pub(crate) fn wait_until_all_are_ready(&mut self, patience: Duration) -> Result<()> {
        for vm in self.vms.values() {
            vm.wait_until_ready(patience)?;
        }
        self.vms.values().try_for_each(OpenNebulaVm::is_as_it_should_be)
    }

    /// Runs the app from the SuperLink's VM, and holds its result against plain FedAvg.
    pub(crate) fn train(&mut self) -> Result<()> {
        let plan = TrainingPlan { rounds: 2, nodes: 1, train_sleep: Duration::ZERO };
        self.runs += 1;
        let ca = self.lab.folder().join("federation-ca.pem");
        let pem = self.vm("superlink")?.run("cat /var/lib/zonemesh-superlink/tls/ca.pem")?;
        std::fs::write(&ca, pem)?;
        let vm = self.lab.zone("berlin")?.vm("superlink")?;
        let place = Submission {
            name: &format!("flwr-run-{}", self.runs),
            namespace: &vm.namespace,
            folder: self.lab.folder(),
            address: vm.address,
            ca: &ca,
        };
        let outcome = self.flower.submit(&place, plan)?.finish(TRAINING, &[])?;
        let expected = self.flower.expected(plan)?;
        ensure!(
            outcome.digest == expected.digest && outcome.rounds_done == plan.rounds,
            "plain FedAvg gives {expected:?}, the federation gave {outcome:?}"
        );
        Ok(())
    }

    /// Ends a life that went well.
    pub(crate) fn succeeded(mut self) -> Result<()> {
        self.went_well = true;
        self.lab.succeeded()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.went_well {
            return;
        }
        // The Lab prints all logs in its folder then.
        for (name, vm) in &self.vms {
            if let Some(text) = vm.journal() {
                drop(std::fs::write(self.lab.folder().join(format!("{name}-journal.log")), text));
            }
        }
    }
}

/// Makes the mesh on an administrator's machine; returns its folder.
fn init(lab: &Lab) -> Result<PathBuf> {
    let (berlin, madrid) = (lab.zone("berlin")?, lab.zone("madrid")?);
    let folder = lab.folder().join("founded");
    let founder = format!("berlin={}@{}:51820", berlin.prefix(), berlin.wan_address);
    let mut command = Command::new(binaries::find("zonemesh")?);
    command.current_dir(lab.folder()).args(["mesh", "init", "--out"]).arg(&folder);
    command.args(["--founder", &founder, "--zone", &format!("madrid={}", madrid.prefix())]);
    run(command.args(["--federation", &format!("{FEDERATION}=berlin:madrid")]))?;
    Ok(folder)
}

/// The OneGate of a zone, where its VMs reach it.
fn onegate(zone: &LabZone) -> Result<TestOneGate> {
    let server = zone.vm("onegate")?;
    let at: (Ipv4Addr, u16) = (server.address, ONEGATE_PORT);
    Ok(TestOneGate::serving(server.namespace.inside(|| Ok(TcpListener::bind(at)?))?))
}

fn place<'a>(zone: &'a LabZone, role: &str) -> Result<&'a Namespace> {
    Ok(if role == "gateway" { &zone.gateway } else { &zone.vm(role)?.namespace })
}

/// What OpenNebula writes for a VM of ours.
fn context(
    lab: &Lab,
    planned: &PlannedVm,
    values: &Path,
    onegate: &TestOneGate,
) -> Result<ContextDisk> {
    let PlannedVm { name, id, zone, role, .. } = *planned;
    let mut context = ContextDisk::new(lab.folder().join(format!("{name}-context")))?;
    let template = match zone {
        "berlin" => "coordinator.json",
        _ => "training-site.json",
    };
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oneflow");
    context.take_role(&templates.join(template), role)?;
    let file = match role {
        "gateway" => "context".to_owned(),
        role => format!("{role}-{FEDERATION}.context"),
    };
    context.take_values(&values.join(zone).join(file))?;
    let place = place(lab.zone(zone)?, role)?;
    if role == "gateway" {
        context.take_nic(0, place, "lan0")?;
        context.take_nic(1, place, "wan0")?;
    } else {
        context.take_nic(0, place, "eth0")?;
        context.set("ETH0_GATEWAY", &lab.zone(zone)?.lan_address.to_string());
    }
    for (key, value) in onegate.variables_of(id) {
        context.set(&key, &value);
    }
    Ok(context)
}
